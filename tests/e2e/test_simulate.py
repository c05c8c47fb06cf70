"""`-simulate NEW.lua -journal FILE`: what was decided, and what other scripts would have decided."""

import json
import re

import pytest

PATIENT = """
fm.policy("patient", function(svc, exit, params)
  if exit.code == 0 then return fm.stop("finished") end
  if svc.failures > (params.max or 3) then return fm.fail("keeps crashing") end
  return fm.restart(%s)
end)
"""
BEGIN = 1764000000


class Journal:
    """Writes a journal event by event, as the monitor does."""

    def __init__(self):
        self.lines, self.seq, self.now, self.pid = [], 0, 0, 100

    def add(self, kind, service=None, **keys):
        self.seq += 1
        event = {"seq": self.seq, "time": BEGIN + self.now, "mono": 5000 + self.now}
        if service:
            event["service"] = service
        event |= {"kind": kind} | keys
        for key in ("time", "mono", "duration"):
            if key in event:
                event[key] = f"\0{event[key]:.3f}\0"
        self.lines.append(re.sub(r'"\\u0000(.*?)\\u0000"', r"\1", json.dumps(event, separators=(",", ":"))))
        return self.seq

    def starting(self, service, cause):
        self.pid += 1
        seq = self.add("starting", service, cause=cause, pid=self.pid)
        return self.after(0.3).add("up", service, cause=seq, pid=self.pid)

    def after(self, seconds):
        self.now += seconds
        return self

    def exit(self, service, count, code=1, ran=0.3, **keys):
        keys |= {"code": code} if code is not None else {}
        text = keys.pop("text", f"exited with code {code} after {ran} s")
        return self.add("exit", service, pid=self.pid, duration=ran, count=count, text=text, **keys)

    def restart(self, service, cause, delay=0, text="the core's policy restarts a service that ends"):
        keys = {"duration": delay} if delay else {}
        seq = self.add("decision", service, cause=cause, text=text, **keys)
        if delay:
            seq = self.add("waiting", service, cause=seq, duration=delay)
            self.after(delay)
        return self.starting(service, seq)

    def text(self):
        return "".join(line + "\n" for line in self.lines)


@pytest.fixture(name="simulate")
def fixture_simulate(monitor):
    """simulate(new script, journal, name={...conf of services}, **scripts of home) -> code, stdout lines, stderr."""
    (monitor.home / "conf").mkdir(exist_ok=True)
    (monitor.home / "lua").mkdir(exist_ok=True)

    def run(new, journal, *more, svrs=None, name="new.lua", **scripts):
        for script, body in scripts.items():
            (monitor.home / "lua" / f"{script}.lua").write_text(body, encoding="utf-8")
        (monitor.home / name).write_text(new, encoding="utf-8")
        if journal is not None:
            (monitor.home / "j.jsonl").write_text(
                journal.text() if isinstance(journal, Journal) else journal, encoding="utf-8")
        if svrs is not None:
            monitor.conf(svrs=svrs)
        done = monitor.cli("-simulate", name, "-journal", "j.jsonl", *more, cwd=monitor.home)
        return done.returncode, done.stdout.splitlines(), done.stderr
    return run


def crash_loop(times=3, delay=2, policy='policy patient (lua/site.lua:5): try again later'):
    j = Journal()
    j.starting("web", j.add("monitor", text="the monitor 0.1.0 started, pid 1"))
    for n in range(1, times + 1):
        j.after(1).restart("web", j.exit("web", n, code=3, ran=1.3), delay, policy)
    return j


# ---- a journal of a real monitor


def test_the_scripts_that_wrote_a_journal_differ_in_nothing(monitor, simulate):
    (monitor.home / "lua").mkdir(exist_ok=True)
    (monitor.home / "lua" / "site.lua").write_text(PATIENT % "0.1 * svc.failures", encoding="utf-8")
    monitor.script("web/run", "exit 3")
    monitor.script("api/run", "exec sleep 1000")
    monitor.script("once/run", "sleep 0.4; exit 0")
    monitor.conf(svrs={"web": {"cmd": "web/run", "policy": "patient"}, "api": "api/run",
                       "gone": {"cmd": "nosuch/file", "policy": "patient"},
                       "once": {"cmd": "once/run", "policy": {"name": "patient", "max": 1}}})
    monitor.start()
    for name in ("web", "gone"):
        monitor.wait_state(name, "failed")
    monitor.wait_state("once", "down")
    pid = monitor.wait_state("api")["pid"]
    monitor.get("restart", "api")
    monitor.wait_new_pid("api", pid)
    monitor.get("start", "web")
    monitor.wait_state("web", "failed")
    monitor.terminate()
    journal = (monitor.home / "run" / "test.events.jsonl").read_text(encoding="utf-8")
    decisions = journal.count('"kind":"decision"')
    code, lines, err = simulate(PATIENT % "0.1 * svc.failures", journal, name="site.lua")
    assert (code, err) == (0, ""), "\n".join(lines) + err
    assert len(lines) == decisions + 1 and decisions == 13
    assert lines[-1].startswith(f"{decisions} the same, 0 with"), lines
    code, lines, err = simulate('fm.policy("patient", function() return fm.fail("enough") end)', journal)
    assert code == 1, "\n".join(lines) + err
    assert lines[-1] == "0 the same, 0 with a delay that differs a little (~), 4 different; 9 ends would not have happened"


# ---- decision by decision


def test_the_same_decision_is_one_line(simulate):
    code, lines, err = simulate(PATIENT % "2", crash_loop(2), svrs={"web": {"cmd": "x", "policy": "patient"}})
    assert (code, err) == (0, "")
    assert [re.sub(r"^([=!~]) \S+ \S+ ", r"\1 ", line) for line in lines] == [
        "= web: exited with code 3 after 1.3 s: restart in 2.0 s",
        "= web: exited with code 3 after 1.3 s: restart in 2.0 s",
        "2 the same, 0 with a delay that differs a little (~), 0 different; 0 ends would not have happened"]


def test_what_differs_is_told_with_both_reasons_and_what_follows(simulate):
    code, lines, _ = simulate(PATIENT.replace("or 3", "or 1") % "2", crash_loop(3),
                              svrs={"web": {"cmd": "x", "policy": "patient"}}, site=PATIENT % "2")
    assert code == 1
    assert [re.sub(r"^([=!~]) \S+ \S+ ", r"\1 ", line) for line in lines] == [
        "= web: exited with code 3 after 1.3 s: restart in 2.0 s",
        "! web: exited with code 3 after 1.3 s: restart in 2.0 s",
        "    then: restart in 2.0 s (policy patient (lua/site.lua:5): try again later)",
        "    now:  give up (policy patient (new.lua:4): give up: keeps crashing)",
        "! web: exited with code 3 after 1.3 s: restart in 2.0 s",
        "    now:  this would not have happened: it is failed",
        "1 the same, 0 with a delay that differs a little (~), 1 different; 1 end would not have happened"]


def test_a_delay_that_differs_a_little_may_be_chance(simulate):
    code, lines, _ = simulate(PATIENT % "2 + math.random()", crash_loop(2, delay=2.4))
    assert code == 0
    assert lines[0].startswith("~") and lines[0].endswith(": restart in 2.4 s, now: restart in 2.5 s")
    assert lines[-1].startswith("0 the same, 2 with a delay that differs a little (~), 0 different")


def test_an_end_that_comes_before_the_next_try_would_not_have_happened(simulate):
    code, lines, _ = simulate(PATIENT % "60", crash_loop(2))
    assert code == 1
    assert lines[4].endswith("this would not have happened: it is waiting, its next try is in 56 s"), lines


def test_a_policy_sees_how_long_it_ran_and_in_which_row(simulate):
    """The journal begins with a service that has been running for an hour and has failed before."""
    j = Journal()
    j.restart("web", j.exit("web", 1, code=None, signal="SIGSEGV", ran=3000, text="was killed (core dumped)"), 5)
    j.restart("job", j.exit("job", 4, code=7, ran=0.2), 5)
    script = """fm.policy("p", function(svc, exit)
  if svc.name == "web" then return fm.restart(exit.signal == "SIGSEGV" and exit.core and exit.uptime == 3000 and 5 or 99) end
  return fm.restart(exit.code == 7 and exit.uptime == 0.2 and svc.failures == 4 and 5 or 99)
end)"""
    code, lines, err = simulate(script, j, svrs={n: {"cmd": "x", "policy": "p"} for n in ("web", "job")})
    assert (code, err) == (0, ""), "\n".join(lines)


def test_starts_that_failed_fail_again(simulate):
    j = Journal()
    start = j.add("monitor", text="the monitor 0.1.0 started, pid 1")
    for n in range(1, 4):
        fail = j.add("spawn_fail", "web", cause=start, count=n, text="exec /srv/x: No such file or directory")
        decision = j.add("decision", "web", cause=fail, duration=1, text="policy p (lua/s.lua:1): try again later")
        start = j.add("waiting", "web", cause=decision, duration=1)
        j.after(1)
    j.starting("web", start)
    j.after(5).restart("web", j.exit("web", 4), 1)
    script = """fm.policy("p", function(svc, exit)
  if exit.started then return fm.restart(exit.code == 1 and svc.failures == 4 and 1 or 99) end
  return fm.restart(exit.reason:find("No such file", 1, true) and 1 or 99)
end)"""
    code, lines, err = simulate(script, j, svrs={"web": {"cmd": "x", "policy": "p"}})
    assert (code, err) == (0, ""), "\n".join(lines)
    assert lines[-1].startswith("4 the same")
    # quicker tries come to the one that went well at once
    code, lines, _ = simulate('fm.policy("p", function() return fm.restart(0) end)', j)
    assert code == 1 and lines[-1].startswith("0 the same, 0 with a delay that differs a little (~), 4 different; 0"), lines


def test_commands_of_people_are_given_again_and_those_of_handlers_are_not(simulate):
    j = crash_loop(1)
    stop = j.after(1).add("command", "web", text="stop asked for by root")
    down = j.add("exit", "web", cause=stop, code=0, duration=1, text="exited")
    j.add("down", "web", cause=down)
    j.after(100).starting("web", j.add("command", "web", text="start asked for by root"))
    j.after(1).restart("web", j.exit("web", 1, code=3), 2, "policy patient (x:1): try again later")
    j.after(1).add("command", "web", text="stop asked for by a script (handler of \"exit\" (lua/x.lua:1))")
    j.after(1).restart("web", j.exit("web", 2, code=3), 2, "policy patient (x:1): try again later")
    code, lines, err = simulate(PATIENT % "2", j)
    assert (code, err) == (0, ""), "\n".join(lines)
    assert lines[-1].startswith("3 the same")


def test_a_journal_in_two_files_is_one(simulate, monitor):
    j = crash_loop(2)
    lines = j.text().splitlines(keepends=True)
    (monitor.home / "old").write_text("".join(lines[:6]), encoding="utf-8")
    code, shown, err = simulate(PATIENT % "2", "".join(lines[6:]), "old")
    assert (code, err) == (0, "") and shown[-1].startswith("2 the same"), shown


# ---- scripts and configuration


def test_the_script_stands_in_for_the_one_of_its_name(simulate):
    site = PATIENT % "2" + 'fm.command{ name = "x", run = function() end }\n'
    code, _, err = simulate(site.replace("return fm.restart(2)", "return fm.restart(2, 'new')"), crash_loop(1),
                            name="site.lua", site=site)
    assert (code, err) == (0, "")


def test_a_script_of_another_name_comes_last_and_may_define_things_again(simulate):
    site = PATIENT % "99" + 'fm.command{ name = "x", run = function() end }\n'
    code, lines, err = simulate(PATIENT % "2" + 'fm.command{ name = "x", run = function() end }\n', crash_loop(1),
                                site=site, zz='fm.overlay(function(c) c.vars = { x = 1 } end)')
    assert (code, err) == (0, ""), lines


def test_parameters_come_from_conf_json_with_its_overlays(simulate):
    """The journal knows a policy's name at most."""
    j = crash_loop(2)
    svrs = {"web": {"cmd": "x", "policy": {"name": "patient", "max": 1}}}
    assert simulate(PATIENT % "2", j, svrs=svrs)[0] == 1
    assert simulate(PATIENT % "2" + 'fm.overlay(function(c) c.svrs.web.policy.max = 2 end)', j, svrs=svrs)[0] == 0
    assert simulate(PATIENT % "2", j, svrs={})[0] == 0


def test_a_policy_that_is_gone_is_told(simulate):
    code, lines, err = simulate("", crash_loop(1))
    assert code == 1
    assert err == 'service[web]: no script defines its policy "patient"; the core\'s own decides\n'
    assert lines[2].endswith("now:  restart at once (the core's policy restarts a service that ends)"), lines


def test_nothing_is_run_for_a_simulation(simulate, monitor):
    script = PATIENT % "2" + f"""
fm.on("exit", function()
  local r, why = fm.exec{{ "touch", "{monitor.home}/touched" }}
  error(tostring(r) .. " " .. why)
end)"""
    code, _, err = simulate(script, crash_loop(1))
    assert code == 0
    assert "nil a simulation starts no program" in err
    assert not (monitor.home / "touched").exists() and not (monitor.home / "run").exists()


def test_timers_of_scripts_run_and_months_take_no_time(simulate):
    """A service that a timer restarts each night is replayed with it, over half a year."""
    j = Journal()
    j.starting("web", j.add("monitor", text="the monitor 0.1.0 started, pid 1"))
    j.after(180 * 86400).restart("web", j.exit("web", 1, code=3, ran=180 * 86400), 2)
    script = """local n = 0
fm.cron("0 3 * * *", function() n = n + 1 fm.service("web"):restart() end)
fm.policy("patient", function() return fm.restart(n >= 179 and n <= 181 and 2 or 99) end)"""
    code, lines, err = simulate(script, j, svrs={"web": {"cmd": "x", "policy": "patient"}})
    assert (code, err) == (0, ""), lines


# ---- what can't be read


def test_lines_that_are_none_are_told_and_left_out(simulate):
    lines = crash_loop(1).text().splitlines(keepends=True)
    code, shown, err = simulate(PATIENT % "2", "".join([lines[0], "rubbish\n", *lines[1:], "\n", '{"seq":99,"ti']))
    assert code == 0 and shown[-1].startswith("1 the same")
    assert err == f"j.jsonl:2: no line of a journal, left out\nj.jsonl:{len(lines) + 3}: no line of a journal, left out\n"


@pytest.mark.parametrize("new, journal, message", [
    ("fm.policy(", crash_loop(1), "Error: new.lua:1: "),
    ("\nnosuch()", crash_loop(1), "Error: new.lua:2: attempt to call a nil value (global 'nosuch')"),
    ("", None, "Error: j.jsonl can't be read: No such file or directory"),
    ("", "rubbish\n", "Error: j.jsonl: there is no event in it"),
])
def test_what_can_not_be_read_is_exit_code_2(simulate, new, journal, message):
    code, lines, err = simulate(new, journal)
    assert (code, lines) == (2, [])
    assert message in err, err


def test_a_configuration_that_is_wrong_is_told(simulate, monitor):
    simulate("", crash_loop(1), svrs={})
    monitor.conf_text('{ "test": { "prot": 1 } }')
    code, _, err = simulate("", crash_loop(1))
    assert code == 2 and err.startswith('Error: conf.json:1:13: test.prot: unknown key "prot"'), err


@pytest.mark.parametrize("words", [["-simulate", "x.lua"], ["-journal", "x"], ["-simulate", "x.lua", "-status"]])
def test_script_and_journal_go_together(monitor, words):
    done = monitor.cli(*words)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2, "Error: -simulate SCRIPT and -journal FILE go together")
