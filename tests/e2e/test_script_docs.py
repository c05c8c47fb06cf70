"""lua/README.md, lua/fm/meta.lua and examples/lua/: what is written there is so. (The block with a test, and the
cookbook, are run in test_script_tests.py and test_readme.py.)"""

import json
import re
import socket
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
README = (TOP / "lua" / "README.md").read_text(encoding="utf-8")
META = (TOP / "lua" / "fm" / "meta.lua").read_text(encoding="utf-8")
EXAMPLES = sorted((TOP / "examples" / "lua").glob("*.lua"))
BLOCKS = re.findall(r"^```lua( task)?\n(.*?)^```$", README, re.M | re.S)
SCRIPTS = [text for task, text in BLOCKS if not task and "fm.test(" not in text]
FRONT = re.findall(r"^```lua\n(.*?)^```$", (TOP / "README.md").read_text(encoding="utf-8"), re.M | re.S)
TASKS = [text for task, text in BLOCKS if task]


@pytest.fixture(name="home")
def fixture_home(monitor):
    """A monitor with the ready-made scripts, a service and three envs."""
    (monitor.home / "lua").mkdir()
    for path in (TOP / "lua").glob("*.lua"):
        (monitor.home / "lua" / path.name).write_bytes(path.read_bytes())
    env = {"port": 0, "bind": ["127.0.0.1"], "rootpath": str(monitor.root), "svrs": {"web": "/bin/sleep 1000"}}
    monitor.conf_text(json.dumps({name: env for name in ("test", "prod", "dev")}))
    return monitor


def write(monitor, name, text):
    (monitor.home / name).write_text(text, encoding="utf-8")


def run_case(monitor, before, body):
    """A case of fm.test with that body passes."""
    write(monitor, "case.lua", f"{before}\nfm.test('it', function(t)\n{body}\nend)\n")
    done = monitor.cli("-test", "case.lua", cwd=monitor.home)
    assert done.returncode == 0, done.stdout


# ---- the blocks of the README


def test_there_are_blocks_of_each_kind():
    assert len(SCRIPTS) >= 7 and len(TASKS) >= 4
    assert len(BLOCKS) == README.count("```lua") and len(FRONT) == 2


def named(blocks):
    return [pytest.param(text, id=" ".join(re.findall(r"fm\.(\w+)", text)[:3])) for text in blocks]


@pytest.mark.parametrize("text", named(SCRIPTS + FRONT))
def test_a_script_of_the_readme_loads(home, text):
    write(home, "lua/site.lua", text)
    for env in ("test", "prod"):
        done = home.cli("-env", env, "-check")
        assert done.returncode == 0 and "[ERROR]" not in done.stderr, done.stderr
    # Nothing in it fails when services end and time passes.
    run_case(home, "", """
      local web = t:service{ name = "web" }
      t:crash(web)
      t:authorized("stop", { services = { web } })
      t:advance(100000)
      if web.state ~= "up" then t:start(web) end""")


@pytest.mark.parametrize("text", named(TASKS))
def test_a_task_of_the_readme_runs(home, text):
    run_case(home, "", """
      local svc = t:service{ name = "web", behave = { ignores = { "USR1" }, on = { HUP = {} } } }
      t:exec(function() return { stdout = "out" } end)
      t:http(function() return { status = 200, body = "page", headers = { ["content-type"] = "text/plain" } } end)
      t:run(function()\n""" + text + "\nend)")


def test_the_command_of_the_readme_does_what_is_said(home):
    text, = [text for text in SCRIPTS if 'name = "greet"' in text]
    run_case(home, text, """
      local web = t:service{ name = "web" }
      t:eq(t:command("greet", { services = { web }, to = "you" }).text, "web: hello, you\\n")
      t:eq(t:command("greet", { services = { web }, to = "you", times = 6 }).text, "too often")
      for key, value in pairs{ times = 11, tone = "rude", loud = "maybe", volume = 3 } do
        t:eq(t:command("greet", { services = { web }, to = "you", [key] = value }).outcome, "bad")
      end
      t:eq(t:command("greet", { services = { web } }).outcome, "bad")""")


def values(shown, monitor, *words):
    """The values that -check lists are those, whatever home and host are called."""
    done = monitor.cli(*words, "-check")
    assert done.returncode == 0, done.stderr
    here = shown.replace("/srv/fota_monitor", str(monitor.home))
    host = socket.gethostname()
    assert done.stdout == here.replace("vm7", host).replace("VM7", host.upper())


def test_the_values_that_are_shown_are_those_that_come(home):
    script, = [text for text in SCRIPTS if 'fm.overlay("prod"' in text]
    shown, = re.findall(r"^```text\n(port.*?)^```$", README, re.M | re.S)
    home.conf_text('{"prod": {"port": 8080, "svrs": {"old": "old/run"}}}')
    write(home, "lua/site.lua", script)
    values("/srv/fota_monitor/conf/conf.json: env prod is well: 1 service, 3 scripts\n" + shown, home, "-env", "prod",
           "-conf=vars.version=\"1.10\"")


def test_the_values_and_the_error_in_the_guide_to_the_configuration(home):
    text = (TOP / "conf" / "README.md").read_text(encoding="utf-8").partition("\n## Where a value comes from")[2]
    script = re.search(r"^```lua\n(.*?)^```$", text, re.M | re.S)[1]
    shown, error = re.findall(r"\n\n((?:    .*\n)+)", text)[:2]
    home.conf_text('{"test": {"svrs": {"web": {"cmd": "web/server -p 8081"}}}}')
    write(home, "lua/site.lua", script)
    values(re.sub("^    ", "", shown.partition("\n")[2], flags=re.M), home, "-conf=port=8080")
    write(home, "lua/site.lua", script.replace("backoff", "backof"))
    assert error.strip() in home.cli("-check").stderr


# ---- which call is legal where


CALLS = {
    "fm.overlay": "fm.overlay(function() end)", "fm.policy": "fm.policy('p' .. count, function() end)",
    "fm.command": "fm.command{ name = 'c' .. count, run = print }", "fm.authorize": "fm.authorize(function() end)",
    "fm.test": "fm.test('x', function() end)", "fm.on": "fm.on('audit', function() end)",
    "fm.after": "fm.after(1e6, function() end)", "fm.every": "fm.every(1e6, function() end)",
    "fm.cron": "fm.cron('@yearly', function() end)", "fm.log": "fm.log.debug('x')", "fm.json": "fm.json.encode(1)",
    "fm.now": "fm.now()", "fm.time": "fm.time()", "fm.env": "assert(fm.env)", "fm.hostname": "assert(fm.hostname)",
    "fm.home": "assert(fm.home)", "fm.version": "assert(fm.version)", "fm.restart": "fm.restart(1)",
    "fm.stop": "fm.stop()", "fm.fail": "fm.fail()", "fm.service": "assert(fm.service('web'))", "fm.services": "fm.services()",
    "fm.vars": "assert(fm.vars)", "svc.state": "assert(fm.service('web').state)", "svc:log": "fm.service('web'):log()",
    "fm.spawn": "fm.spawn(function() end)", "fm.sleep": "fm.sleep(0)", "fm.exec": "fm.exec{ 'true' }",
    "fm.http": "fm.http{ url = 'http://127.0.0.1/' }", "fm.parallel": "fm.parallel({ 1 }, function() end)",
    "task:join": "fm.spawn(function() end):join()", "svc:start": "fm.service('web'):start()",
    "svc:stop": "fm.service('web'):stop()", "svc:restart": "fm.service('web'):restart()",
    "svc:grestart": "fm.service('web'):grestart()", "svc:signal": "fm.service('web'):signal('USR1')",
    "svc:wait": "fm.service('web'):wait('failed', 0.01)", "req:write": "req:write('x')", "t:…": "T:advance(1)",
}

PROBE = """
count = 0
local function try(context)
  local file = assert(io.open(%s, "a"))
  for _, call in ipairs{ %s } do
    count = count + 1
    local ok, message = pcall(call[2])
    file:write(context, "\\t", call[1], "\\t", ok and "yes" or "no", "\\t", tostring(message), "\\n")
  end
  file:close()
end
"""


def probe(path):
    calls = ", ".join(f"{{ {json.dumps(name, ensure_ascii=False)}, function() {call} end }}"
                      for name, call in CALLS.items())
    return PROBE % (json.dumps(str(path)), calls)


def legal_table():
    """(call, context): yes or no, as the README says."""
    table = README.partition("## Which call is legal where")[2].partition("\n\n| call")[2].partition("\n\n")[0]
    found = {}
    for row in table.splitlines()[2:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        files, overlay, policy, task, case = cells[1:]
        for name in re.findall(r"`([^`]+)`", cells[0]):
            found |= {(name, "files"): files, (name, "overlay"): overlay, (name, "policy"): policy,
                      (name, "authorize"): policy, (name, "task"): task, (name, "case"): case}
    return found


def test_what_is_legal_where(home):
    table = legal_table()
    assert {name for name, _ in table} == set(CALLS)
    path = home.home / "calls.txt"
    write(home, "lua/site.lua", probe(path) + "try('files')\nfm.overlay(function() try('overlay') end)\n")
    assert home.cli("-check").returncode == 0
    write(home, "lua/site.lua", "")
    run_case(home, probe(path) + """
      fm.policy("probe", function() try("policy") end)
      fm.authorize(function() try("authorize") end)
      fm.command{ name = "probe", services = "none", run = function(given) req = given; try("task") end }""", """
      T = t
      t:exec(function() return "" end)
      t:http(function() return {} end)
      local web = t:service{ name = "web", policy = "probe", behave = { ignores = { "USR1" }, on = { HUP = {} } } }
      t:command("probe")
      t:authorized("stop", { services = { web } })
      if not web.pid then t:start(web) end
      t:crash(web)
      try("case")""")
    lines = [line.split("\t", 3) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 6 * len(CALLS)
    wrong = [(call, context, ok, message) for context, call, ok, message in lines if table[call, context] != ok]
    assert not wrong


# ---- names


def functions_of_fm(monitor):
    write(monitor, "lua/site.lua", """
      local function show(name, of)
        for key, value in pairs(of) do
          local path = name .. "." .. key
          if type(value) == "table" then show(path, value) else print("has", path, type(value)) end
        end
      end
      show("fm", fm)""")
    said = monitor.cli("-check").stderr
    found = dict(re.findall(r" has (\S+) (\w+)$", said, re.M))
    return {name for name, kind in found.items() if kind == "function"} | {"fm.load"}  # in tests alone


def methods(source, name):
    """Of sim.lua or service.lua: what is defined for `name`, also in loops over lists of names."""
    text = (TOP / "lua" / "fm" / source).read_text(encoding="utf-8")
    found = set(re.findall(rf"^function {name}:(\w+)\(", text, re.M))
    for names in re.findall(rf"^for _, what in ipairs {{ (.*?) }} do\n(?:  --.*\n)*  {name}\[what\]", text, re.M):
        found |= set(re.findall(r'"(\w+)"', names))
    return found


def facts():
    text = (TOP / "src" / "script" / "api_service.c").read_text(encoding="utf-8")
    return set(re.findall(r'^    \{"(\w+)", push_\w+\},$', text, re.M)) | {"name"}


def fields(name):
    """Of a class in meta.lua."""
    return set(re.findall(r"^---@field (\w+)", re.search(rf"^---@class {name}\n((?:---.*\n)*)", META, re.M)[1], re.M))


def test_the_annotations_name_what_there_is(home):
    named = set(re.findall(r"^function (fm\.[\w.]+)\(", META, re.M))
    assert named == functions_of_fm(home)
    for source, name in (("sim.lua", "t"), ("service.lua", "svc")):
        there = methods(source, "methods" if name == "svc" else name)
        assert len(there) >= 7
        assert set(re.findall(rf"^function {name}:(\w+)\(", META, re.M)) == there
    assert fields("fm.svc") == facts() and len(facts()) >= 14


def test_the_annotations_are_not_run_and_would_do_no_harm(home):
    (home.home / "lua" / "fm").mkdir()
    write(home, "lua/fm/meta.lua", META)
    write(home, "lua/site.lua", "local before = fm.now\nrequire 'fm.meta'\nassert(fm.now == before and fm.now() > 0)")
    done = home.cli("-check")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_readme_names_what_there_is(home):
    names = functions_of_fm(home) | {f"t:{m}" for m in methods("sim.lua", "t")} | {f"svc.{f}" for f in facts()}
    names |= {f"svc:{m}" for m in methods("service.lua", "methods")}
    missing = [name for name in sorted(names) if not re.search(rf"{re.escape(name)}\b", README)]
    # those of which one is an example for all
    assert set(missing) <= {"fm.log.debug", "fm.log.warn", "t:stop", "t:restart", "t:grestart"}, missing


@pytest.mark.parametrize("name, make", [
    ("fm.exit", "web.last_exit"), ("fm.service_conf", "web.conf"), ("fm.event", "t:events(web)[n]")])
def test_fields_of_what_scripts_get(home, name, make):
    known = ", ".join(f"{field} = true" for field in sorted(fields(name)))
    run_case(home, "", f"""
      local known = {{ {known} }}
      local web = t:service{{ name = "web", env = {{ A = "b" }}, umask = "022", policy = "backoff", log = "x.log" }}
      t:crash(web, {{ code = 3, cpu = 1, max_rss = 1e6 }})
      t:crash(t:wait_for(function() return web.pid and web end), {{ signal = "SEGV" }})
      for n = 1, #t:events(web) do
        for key in pairs({make}) do t:ok(known[key], key) end
      end""")


# ---- the examples


def test_all_examples_load_in_one_monitor(home):
    for path in EXAMPLES:
        write(home, f"lua/{path.name}", path.read_text(encoding="utf-8"))
    done = home.cli("-check")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 service, {len(EXAMPLES) + 2} scripts\n" in done.stdout
    home.names = ["web"]
    home.start()
    home.wait_up()
    assert {"-canary", "-grep"} <= set(home.cli("-help").stdout.split())
    assert home.cli("-canary", "web", "watch=1").stdout.splitlines()[-1] == "web is well (1/1)"
    assert "ERROR" not in home.stderr()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_tested_and_told_of(path):
    assert path.read_text(encoding="utf-8").count("\n") < 40
    test = (TOP / "tests" / "lua" / f"examples_{path.stem}_test.lua").read_text(encoding="utf-8")
    assert f'fm.load("../../examples/lua/{path.name}")' in test and test.count("fm.test(") >= 2
    assert f"(lua/{path.name})" in (TOP / "examples" / "README.md").read_text(encoding="utf-8")
