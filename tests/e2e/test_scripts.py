"""Lua scripts in the running monitor: overlays, policies, commands, events, timers, reload."""

import http.server
import os
import re
import signal
import socket
import threading
from pathlib import Path

import pytest
from harness import free_port, wait_until

SLEEPER = "exec sleep 1000"


@pytest.fixture
def scripted(monitor):
    """Writes lua/NAME.lua and starts the monitor on one or more sleeping services."""
    def start(text, *names, name="site", **keys):
        (monitor.home / "lua").mkdir(exist_ok=True)
        (monitor.home / "lua" / f"{name}.lua").write_text(text, encoding="utf-8")
        for service in names:
            monitor.script(f"{service}/run", SLEEPER)
        monitor.conf(svrs={service: f"{service}/run" for service in names} | keys.pop("svrs", {}), **keys)
        monitor.start()
        return monitor
    return start


def write(monitor, name, text):
    (monitor.home / "lua").mkdir(exist_ok=True)
    (monitor.home / "lua" / f"{name}.lua").write_text(text, encoding="utf-8")


# ---- overlays


def test_overlays_run_in_order_between_the_file_and_the_command_line(monitor):
    write(monitor, "a", 'fm.overlay("test", function(conf, env) conf.vars = { x = env, y = 1 } end)\n')
    write(monitor, "b", "\nfm.overlay(function(conf) conf.vars.y = conf.vars.y + 1 end)\n"
                        'fm.overlay("other", function(conf) conf.vars.y = 99 end)\n')
    monitor.script("demo/run", SLEEPER)
    monitor.conf(svrs={"demo": "demo/run"}, vars={"z": 1})
    out = monitor.cli("-check", "-conf", "vars.x=over").stdout
    assert "1 service, 2 scripts\n" in out
    assert 'vars.x = "over"  # -conf\n' in out
    assert "vars.y = 2  # lua/b.lua:2\n" in out
    assert "vars.z" not in out
    assert 'svrs.demo = "demo/run"  # conf.json\n' in out


def test_an_overlay_may_fill_what_the_file_does_not_have(monitor):
    write(monitor, "a", "fm.overlay(function(conf, env)\n"
                        '  conf.vars.env = env\n  conf.svrs.more = { cmd = "demo/run" }\nend)\n')
    monitor.script("demo/run", SLEEPER)
    monitor.conf_text('{"test": {"port": 0}}')
    done = monitor.cli("-check")
    assert done.returncode == 0 and done.stdout.endswith(
        "1 service, 1 script\nport = 0  # conf.json\n"
        'svrs.more.cmd = "demo/run"  # lua/a.lua:1\nvars.env = "test"  # lua/a.lua:1\n')


@pytest.mark.parametrize("script, expected", [
    ('fm.overlay(function(conf)\n  conf.svrs.web = { cnd = "x" }\nend)',
     'Error: lua/site.lua:1: test.svrs.web.cnd: unknown key "cnd"; did you mean "cmd"?'),
    ("fm.overlay(function(conf) conf.vars.x = 1; conf.vars[5] = 1 end)", "Error: lua/site.lua:1: test.vars: "),
    ("fm.overlay(function(conf) conf.port = 'x' end)", "Error: lua/site.lua:1: test.port: must be"),
    ("fm.overlay(function(conf)\n  conf.a.b = 1\nend)", "Error: overlay of lua/site.lua:1: lua/site.lua:2: "),
    ("\n\nfm.overlay(function(conf) while true do end end)", "Error: overlay of lua/site.lua:3: "),
    ("fm.overlay(function(conf) conf.vars = conf end)", "Error: lua/site.lua:1: test.vars: more than 1000 levels deep"),
    ("x = = 1", "Error: lua/site.lua:1: "),
    ("fm.nothing()", "Error: lua/site.lua:1: "),
    ("\nfm.command { name = 'stop', run = print }", "Error: lua/site.lua:2: fm.command \"stop\": the name is reserved"),
    ("fm.on('exits', print)", "Error: lua/site.lua:1: fm.on: there is no event \"exits\"; there are down, "),
    ("fm.cron('61 * * * *', print)", "Error: lua/site.lua:1: fm.cron: "),
    ("fm.sleep(1)", "Error: lua/site.lua:1: fm.sleep waits"),
    ("fm.log = nil", "Error: lua/site.lua:1: fm.log can't be set"),
    *[(f"fm.command {{ name = 'x', run = print, args = {{ a = {{ {given} }} }} }}",
       f'Error: lua/site.lua:1: fm.command "x": args.a.{message}') for given, message in [
        ("choices = 'x'", "choices: must be a list of texts or numbers"), ("type = 'int'", "type: must be string, number"),
        ("min = '1'", "min: must be a number"), ("required = 1", "required: must be a boolean"),
        ("default = 'x', type = 'number'", "default: must be a number"), ("defualt = 1", "defualt: there is no such key")]],
])
def test_a_bad_script_stops_the_start(monitor, script, expected):
    write(monitor, "site", script)
    monitor.conf()
    check = monitor.cli("-check")
    assert check.returncode == 2 and expected in check.stderr
    monitor.start(wait=False)
    assert monitor.exit_code() == 2
    assert expected in monitor.stderr()


def test_a_policy_that_nobody_defines(monitor):
    write(monitor, "site", 'fm.policy("careful", function() end)')
    monitor.script("demo/run", SLEEPER)
    monitor.conf(svrs={"demo": {"cmd": "demo/run", "policy": "carefull"}})
    result = monitor.cli("-check")
    assert result.returncode == 2
    assert 'svrs.demo.policy: no script defines a policy "carefull"; did you mean "careful"?' in result.stderr


# ---- policies


def test_a_policy_decides(scripted):
    m = scripted("""
fm.policy("once", function(svc, exit, params)
  fm.log.info("asked: %s %s %d %s", svc.name, tostring(exit.code), svc.failures, params.x)
  if svc.failures >= 2 then return fm.fail("enough") end
  return fm.restart(0.05)
end)
""", svrs={"demo": {"cmd": "demo/run", "policy": {"name": "once", "x": "y"}}})
    m.script("demo/run", "exit 3")
    m.get("start", "demo", timeout=5)
    m.wait_state("demo", "failed")
    assert "asked: demo 3 1 y" in m.stderr() and "asked: demo 3 2 y" in m.stderr()
    why = m.cli("-why", "demo").stdout
    assert "policy once (lua/site.lua:4): give up: enough" in why
    assert m.status("demo")["policy"] == "once"


@pytest.mark.parametrize("body, reason", [
    ("error('boom')", r"policy bad failed \(lua/site.lua:1: boom\); "),
    ("while true do end", r"policy bad failed \(.*over budget"),
    ("return 7", r"policy bad failed \(.*must return fm.restart"),
    ("fm.sleep(1)", r"policy bad failed \(.*fm.sleep waits"),
    ("local d = fm.restart(1) d.after = 0 / 0 return d", r"policy bad failed \(.*from 0 seconds to ten years, not -?nan"),
    ("return setmetatable({ kind = 'restart', after = -1e300, where = '' }, { __metatable = 'decision' })",
     r"policy bad failed \(.*from 0 seconds to ten years, not -1e\+300"),
    ("return nil", r"the core's policy"),
])
def test_a_broken_policy_leaves_the_core_to_decide(scripted, body, reason):
    m = scripted(f'fm.policy("bad", function(svc) {body} end)', svrs={"demo": {"cmd": "demo/run", "policy": "bad"}})
    m.script("demo/run", SLEEPER)
    m.get("start", "demo")
    pid = m.status("demo")["pid"]
    os.kill(pid, signal.SIGKILL)
    m.wait_new_pid("demo", pid)
    decision = m.wait_event(service="demo", kind="decision")
    assert re.search(reason, decision["text"])


# ---- commands


COMMANDS = """
fm.command { name = "drain", help = "take out gently", args = { grace = { type = "number", min = 0, default = 0,
  help = "seconds" } }, run = function(req)
    for _, svc in ipairs(req.services) do
      fm.sleep(req.args.grace)
      assert(svc:stop())
      req:write("%s drained\\n", svc.name)
    end
  end }
fm.command { name = "facts", changes = false, run = function(req)
  local svc = req.services[1]
  return { name = svc.name, state = svc.state, pid = svc.pid, vars = fm.vars, conf = svc.conf, env = fm.env,
    principal = req.principal, peer = req.peer }
end }
fm.command { name = "boom", services = "none", run = function(req) error("no luck") end }
fm.command { name = "bad", services = "none", run = function(req) return false, "it did not work" end }
fm.command { name = "quiet", services = "none", run = function(req) end }
fm.command { name = "helper", services = "none", run = function(req)
  local r = assert(fm.exec{ "sh", "-c", "cat; echo err >&2; exit 3", input = "given", timeout = 5 })
  return { code = r.code, out = r.stdout, err = r.stderr }
end }
fm.command { name = "lost", services = "none", run = function(req)
  local r, message = fm.exec{ "/nonexistent/program" }
  return { r = r == nil, message = message }
end }
fm.command { name = "slow", services = "none", run = function(req)
  req:write("begun\\n")
  local ok, message = pcall(fm.sleep, 1000)
  fm.log.info("slow ended: %s", message)
end }
fm.command { name = "many", run = function(req)
  return fm.parallel(req.services, function(svc) assert(svc:restart()) end)
end }
"""


def test_commands_of_scripts(scripted):
    m = scripted(COMMANDS, "a", "b", vars={"x": 1})
    m.wait_up()
    reply = m.cli("-drain", "a", "grace=0.01")
    assert (reply.returncode, reply.stdout) == (0, "a drained\n")
    assert m.status("a")["state"] == "down"
    facts = m.get("facts", "b", format="json").json()
    assert (facts["name"], facts["state"], facts["pid"]) == ("b", "up", m.status("b")["pid"])
    assert (facts["vars"], facts["env"], facts["conf"]["cmd"]) == ({"x": 1}, "test", "b/run")
    assert (facts["principal"], facts["peer"]) == ("local", "127.0.0.1")
    assert m.cli("-quiet").stdout == "SUCCESS\n"
    assert m.get("drain", "b", format="json").json() == {"ok": True, "text": "b drained\n"}
    assert m.get("many", "all").text == "true\n" or m.wait_up("a", "b")
    assert "take out gently" in m.cli("-help").stdout and "seconds (0)" in m.cli("-help", "drain").stdout


@pytest.mark.parametrize("words, code, status, message", [
    (("-drain", "a", "grace=x"), 2, 400, 'Error: command[drain]: grace: must be a number, got "x"\n'),
    (("-drain", "a", "grace=-1"), 2, 400, "Error: command[drain]: grace: must be at least 0, got -1\n"),
    (("-drain", "a", "gracee=1"), 2, 400, 'Error: command[drain] has no argument "gracee"'),
    (("-boom",), 3, 500, "Error: lua/site.lua:15: no luck\n"),
    (("-bad",), 1, 500, "Error: it did not work\n"),
    (("-boom", "a"), 2, 400, "Error: command[boom] takes no service\n"),
])
def test_commands_that_fail(scripted, words, code, status, message):
    m = scripted(COMMANDS, "a")
    reply = m.cli(*words)
    assert reply.returncode == code
    assert (reply.stderr + reply.stdout).startswith(message)
    args = dict(word.split("=") for word in words if "=" in word)
    service = words[1] if len(words) > 1 and "=" not in words[1] else None
    assert m.get(words[0][1:], service, **args).status == status


def test_helper_processes(scripted):
    m = scripted(COMMANDS)
    assert m.get("helper").json() == {"code": 3, "out": "given", "err": "err\n"}
    lost = m.get("lost").json()
    assert lost["r"] and "/nonexistent/program" in lost["message"]


def test_a_command_ends_with_its_client(scripted):
    m = scripted(COMMANDS)
    reply = m.get("slow", timeout=0.2)
    assert reply.text.startswith("begun\n") and "not done within 0.2 s" in reply.text
    wait_until(lambda: "slow ended" in m.stderr())
    assert "cancelled" in m.stderr()


def test_a_cancelled_command_ends_its_helper_with_its_group(scripted):
    m = scripted("""
fm.command { name = "long", services = "none", run = function(req)
  fm.exec{ "sh", "-c", "sleep 1000 & echo $$ $! >" .. fm.home .. "/pids.new; mv pids.new pids; wait", dir = fm.home }
end }""")
    reply = m.get("long", timeout=3)
    assert "not done within 3 s" in reply.text
    pids = (m.home / "pids").read_text(encoding="utf-8").split()
    assert len(pids) == 2
    wait_until(lambda: not any(alive(pid) for pid in pids))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_options_of_a_helper_are_read_without_calling_the_script(scripted):
    m = scripted("""
fm.command { name = "sly", services = "none", run = function(req)
  local given = { "echo", ("x"):rep(100) }
  return fm.exec(setmetatable(given, { __index = function() given[2] = nil; collectgarbage() end })).stdout
end }""")
    assert m.cli("-sly").stdout == "x" * 100 + "\n"


@pytest.mark.parametrize("call, message", [
    ("fm.exec{ 'true', timeout = 'x' }", "fm.exec: timeout: a number expected, got a string"),
    ("fm.exec{ 'true', max = 0 }", "fm.exec: max: bytes, from 1 to 4194304"),
    ("fm.exec{ 'true', dir = {} }", "fm.exec: dir: a string expected, got a table"),
    ("fm.http{ url = true }", "fm.http: url: a string expected, got a boolean"),
    ("fm.http{ url = 'http://x', headers = 7 }", "fm.http: headers: a table expected, got a number"),
])
def test_options_that_are_wrong_are_told_by_name(scripted, call, message):
    m = scripted(f'fm.command {{ name = "wrong", services = "none", run = function() {call} end }}')
    assert m.cli("-wrong").stderr == f"Error: lua/site.lua:1: {message}\n"


FLOOD = """
fm.command { name = "flood", services = "none", run = function(req)
  local text = ("x"):rep(99999) .. "\\n"
  for i = 1, 500 do req:write(text) end
  fm.log.info("all written")
end }
local kept
fm.command { name = "keep", services = "none", run = function(req) kept = req; fm.sleep(1000) end }
fm.command { name = "into", services = "none", run = function(req)
  local ok, message
  repeat ok, message = pcall(kept.write, kept, ("x"):rep(100000)) until not ok
  fm.log.info("into ended: %s", message)
end }
"""


def begin(m, command):
    """A request whose answer nobody reads yet."""
    s = socket.create_connection(("127.0.0.1", int(m.address.rsplit(":", 1)[1])))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.sendall(f"GET /?command={command} HTTP/1.0\r\n\r\n".encode())
    return s


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))[1])


@pytest.mark.parametrize("backlog_kb", [64, 1024])
def test_a_command_waits_for_a_slow_client(scripted, backlog_kb):
    m = scripted(FLOOD, http={"backlog_kb": backlog_kb})
    before = rss_kib(m.pid)
    with begin(m, "flood") as s:
        s.recv(1000)
        for _ in range(20):  # the monitor answers others meanwhile
            assert m.cli("-version").returncode == 0 and m.get("status").status == 200
        assert "all written" not in m.stderr()
        assert rss_kib(m.pid) - before < 20 * 1024
        size = 0
        while data := s.recv(1 << 20):
            size += len(data)
    assert size > 49_000_000
    assert "all written" in m.stderr()
    assert rss_kib(m.pid) - before < 20 * 1024


def test_who_writes_into_the_answer_of_another_command_is_woken_at_its_end(scripted):
    m = scripted(FLOOD)
    with begin(m, "keep") as kept:
        wait_until(lambda: "keep asked for" in m.stderr())
        thread = threading.Thread(target=m.get, args=("into",))
        thread.start()
        wait_until(lambda: "into asked for" in m.stderr())
        assert m.get("status").status == 200 and "into ended" not in m.stderr()
        kept.close()
        wait_until(lambda: "into ended: " in m.stderr())
        thread.join()


def test_what_fails_is_json_too(scripted):
    m = scripted(COMMANDS + FLOOD + """
fm.command { name = "half", services = "none", run = function(req) req:write('"half') error("then broken") end }
fm.command { name = "halfbad", services = "none", run = function(req) req:write('x') return nil, 'not "done"' end }
""", "a", lua={"budget_ms": 500})  # a sanitizer takes its time for the flood
    for command, args, status, message in [
            ("drain", {"service": "a", "grace": "x"}, 400, 'command[drain]: grace: must be a number, got "x"'),
            ("boom", {}, 500, "lua/site.lua:15: no luck"), ("bad", {}, 500, "it did not work"),
            ("half", {}, 500, "then broken"), ("halfbad", {}, 500, 'not "done"'),
            ("flood", {}, 500, "more than one answer in JSON may have")]:
        reply = m.get(command, args.pop("service", None), format="json", **args)
        assert reply.status == status and message in reply.json()["error"]["message"]


def test_a_wait_ends_with_its_service(scripted):
    m = scripted("""
fm.command { name = "await", run = function(req)
  local ok, message = req.services[1]:wait("up")
  return { ok = ok, message = message }
end }""", "a", svrs={"b": {"cmd": "a/run", "autostart": False}})
    m.wait_up("a")
    replies = []
    thread = threading.Thread(target=lambda: replies.append(m.get("await", "b")))
    thread.start()
    wait_until(lambda: "await b asked for" in m.stderr())
    m.conf(svrs={"a": "a/run"})
    assert m.cli("-reload").returncode == 0
    thread.join()
    assert replies[0].json() == {"message": "the service is not configured any more"}


def test_the_monitor_ends_while_commands_run(scripted):
    m = scripted(FLOOD + """
fm.command { name = "busy", run = function(req)
  fm.parallel({ function() fm.exec{ "sleep", "1000" } end, function() fm.sleep(1000) end,
    function() fm.service("a"):wait("failed") end,
    function() fm.http{ url = "http://127.0.0.1:%d/" } end }, function(fn) fn() end)
end }""" % free_port(), "a")
    m.wait_up("a")
    with begin(m, "busy"), begin(m, "flood"):
        wait_until(lambda: "busy asked for" in m.stderr() and "flood asked for" in m.stderr())
        m.terminate()
    assert "Sanitizer" not in m.stderr()


class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("X-Given", self.headers["X-Key"])
        self.end_headers()
        self.wfile.write(b"got " + body)

    def log_message(self, *_):
        pass


def test_http_requests(scripted):
    server = http.server.HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        m = scripted(f"""
fm.command {{ name = "post", services = "none", run = function(req)
  local r = assert(fm.http{{ url = "http://127.0.0.1:{server.server_port}/x", body = fm.json.encode{{ a = 1 }},
    headers = {{ ["X-Key"] = "v" }}, timeout = 5 }})
  return {{ status = r.status, body = r.body, given = r.headers["x-given"] }}
end }}
fm.command {{ name = "nobody", services = "none", run = function(req)
  return fm.http{{ url = "http://127.0.0.1:{free_port()}/", timeout = 5 }} or false, "nobody is there"
end }}
""")
        assert m.get("post").json() == {"status": 201, "body": 'got {"a":1}', "given": "v"}
        assert m.cli("-nobody").returncode == 1
    finally:
        server.shutdown()
        server.server_close()


# ---- events, timers


def test_handlers_and_timers(scripted):
    m = scripted("""
fm.on("exit", function(ev) error("broken") end)
fm.on("exit", function(ev) fm.log.info("saw %s %s %d", ev.service, ev.signal, ev.pid) end)
fm.after(0.01, function() fm.log.info("after") end)
local n = 0
fm.every(0.02, function() n = n + 1; if n == 3 then fm.log.info("third"); error("every") end end)
local t = fm.after(60, function() fm.log.info("never") end)
fm.after(0.02, function() fm.log.info("cancelled: %s", t:cancel()) end)
""", "a")
    pid = m.wait_up("a")[0]
    m.get("stop", "a")
    wait_until(lambda: f"saw a SIGTERM {pid}" in m.stderr())
    wait_until(lambda: "third" in m.stderr() and "after" in m.stderr() and "cancelled: true" in m.stderr())
    assert "broken" in m.stderr() and "never" not in m.stderr()


# ---- reload


def test_reload_swaps_the_scripts(scripted):
    m = scripted('fm.command { name = "one", services = "none", run = function() return "1" end }', "a")
    pid = m.wait_up("a")[0]
    assert m.cli("-one").stdout == "1\n"
    write(m, "site", 'fm.command { name = "two", services = "none", run = function() return "2" end }\n'
                     "fm.overlay(function(conf) conf.vars = { x = 1 } end)")
    assert m.cli("-reload").returncode == 0
    assert m.cli("-two").stdout == "2\n"
    assert m.cli("-one").returncode == 2
    assert m.status("a")["pid"] == pid


def test_a_bad_script_changes_nothing_at_reload(scripted):
    m = scripted('fm.command { name = "one", services = "none", run = function() return "1" end }', "a")
    write(m, "site", "fm.command { name = 'two', services = 'none', run = function() return '2' end }\nerror('oh')")
    reply = m.cli("-reload")
    assert reply.returncode == 2
    assert reply.stderr.startswith("Error: lua/site.lua:2: oh; nothing was changed\nstack traceback:")
    assert m.cli("-one").stdout == "1\n"


def test_a_running_command_finishes_in_its_own_world(scripted):
    m = scripted("""
fm.command { name = "long", services = "none", run = function(req)
  while fm.service("a").state == "up" do fm.sleep(0.01) end
  return "old"
end }""", "a")
    m.wait_up("a")
    replies = []
    thread = threading.Thread(target=lambda: replies.append(m.get("long")))
    thread.start()
    wait_until(lambda: "long asked for" in m.stderr())
    write(m, "site", 'fm.command { name = "long", services = "none", run = function(req) return "new" end }')
    assert m.cli("-reload").returncode == 0
    assert m.cli("-long").stdout == "new\n"
    m.get("stop", "a")
    thread.join()
    assert replies[0].text == "old\n"


def test_changed_files_are_read_by_themselves(scripted):
    m = scripted('fm.command { name = "one", services = "none", run = function() return "1" end }', "a",
                 lua={"autoreload": True})
    m.wait_up("a")
    write(m, "site", "error('oh')")
    wait_until(lambda: "a changed file was read: Error: lua/site.lua:1: oh; nothing was changed" in m.stderr())
    assert m.cli("-one").stdout == "1\n"
    write(m, "site", 'fm.command { name = "two", services = "none", run = function() return "2" end }')
    wait_until(lambda: m.cli("-two").returncode == 0)
    m.conf(svrs={"a": "a/run", "b": "a/run"})
    wait_until(lambda: m.statuses().get("b", {}).get("state") == "up")
    wait_until(lambda: "changed: lua" in m.stderr())
    write(m, "site", "error('not watched any more')")
    assert m.cli("-two").returncode == 0


# ---- the ready-made policies and commands


def test_the_shipped_scripts_load(monitor):
    for path in (Path(__file__).resolve().parents[2] / "lua").glob("*.lua"):
        write(monitor, path.stem, path.read_text(encoding="utf-8"))
    monitor.script("a/run", SLEEPER)
    monitor.conf(svrs={name: {"cmd": "a/run", "policy": "backoff"} for name in ("a", "b")})
    monitor.start()
    pids = monitor.wait_up("a", "b")
    reply = monitor.cli("-rolling", "all")
    assert re.fullmatch(r"a up, pid \d+ \(1/2\)\nb up, pid \d+ \(2/2\)\n", reply.stdout)
    assert not set(pids) & set(monitor.wait_up("a", "b"))
    lines = monitor.cli("-top", "all", "over=0.1").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PID", "CPU%", "MEMORY", "FDS"] and len(lines) == 3
    top = monitor.get("top", "all", over=0.1, format="json").json()["services"]
    assert {t["name"] for t in top} == {"a", "b"} and all(t["descriptors"] > 0 and t["memory"] > 0 for t in top)
    assert monitor.cli("-signal", "a", "name=NOPE").returncode == 3
    assert monitor.cli("-signal", "a").returncode == 2
    assert monitor.cli("-signal", "a", "name=USR1").stdout == "SUCCESS\n"
    assert monitor.cli("-drain", "b", "grace=0", "signal=").stdout == "b drained\n"


# ---- who may


def test_authorize_narrows(scripted):
    m = scripted("""
fm.authorize(function(req)
  if req.command == "stop" then return false, "not " .. req.services[1] .. " by " .. req.principal end
end)
""", "a")
    m.wait_up("a")
    reply = m.cli("-stop", "a")
    assert reply.returncode == 5 and "not a by token" in reply.stderr
    reply = m.get("stop", "a")
    assert reply.status == 403 and "not a by local" in reply.text
    assert m.cli("-restart", "a").returncode == 0


def test_an_error_that_comes_again_and_again_is_logged_once(monitor):
    write(monitor, "site", """
        local n, other = 0, 0
        fm.every(0.02, function() n = n + 1; error("always the same") end)
        fm.every(0.02, function() other = other + 1; if other == 5 then error("another one") end end)
        fm.command { name = "count", run = function(req) req:write(n .. "\\n") end }
    """)
    monitor.conf()
    monitor.start()
    wait_until(lambda: int(monitor.get("count").text) > 20, what="it was raised over and over")
    assert monitor.stderr().count("always the same") == 1
    assert monitor.stderr().count("another one") == 1
    errors = next(line for line in monitor.http("/metrics").text.splitlines() if line.startswith("fota_monitor_script_errors_total "))
    assert int(errors.split()[1]) > 20, "each is counted"
