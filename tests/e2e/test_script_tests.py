"""`-test`: the cases of fm.test, in simulated time, with the scripts of home around them."""

import re
import time
from pathlib import Path

import pytest

POLICY = """
fm.policy("patient", function(svc, exit, params)
  if exit.code == 0 then return fm.stop("finished") end
  if svc.failures > (params.max or 3) then return fm.fail("keeps crashing") end
  return fm.restart(2 ^ svc.failures)
end)
"""


@pytest.fixture(name="run")
def fixture_run(monitor):
    """run(text, scripts={name: text}) runs `text` as a test file and returns exit code, lines, all output."""
    (monitor.home / "conf").mkdir(exist_ok=True)
    (monitor.home / "lua").mkdir(exist_ok=True)

    def run(text, name="case.lua", timeout=60, **scripts):
        for script, body in scripts.items():
            (monitor.home / "lua" / f"{script}.lua").write_text(body, encoding="utf-8")
        (monitor.home / name).write_text(text, encoding="utf-8")
        done = monitor.cli("-test", name, cwd=monitor.home, timeout=timeout)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines(), done.stdout
    return run


def passes(result, count=1):
    code, lines, text = result
    assert code == 0, text
    assert lines[-1] == f"{count} passed, 0 failed", text


def fails(result, *lines):
    """The one case fails, and says that beneath it, in this order."""
    code, shown, text = result
    assert code == 1, text
    assert shown[0].startswith("FAIL case.lua: "), text
    assert [line.strip() for line in shown[1:1 + len(lines)]] == list(lines), text
    assert shown[-1].endswith(", 1 failed"), text


def case(body):
    return f'fm.test("it", function(t)\n{body}\nend)\n'


# ---- what comes out


def test_every_case_is_a_line_and_the_exit_code_tells_of_failures(run):
    code, lines, _ = run("""
fm.test("one", function(t) t:eq(1, 1) end)
fm.test("two", function(t) t:eq({ 1, { a = "x" } }, { 1, { a = "y" } }, "the list") end)
fm.test("three", function(t) end)
""")
    assert code == 1
    assert lines == [
        "ok   case.lua: one",
        "FAIL case.lua: two",
        '    case.lua:3: the list: [2].a: got "x", expected "y"',
        "ok   case.lua: three",
        "2 passed, 1 failed",
    ]


def test_a_failing_case_shows_what_happened_by_simulated_time(run):
    code, lines, text = run(case('local web = t:service{ name = "web", policy = "patient" }\n'
                                 't:crash(web, { code = 3 })\nt:advance(1)\nfm.log.info("look here")\nt:state(web, "up")'),
                            policies=POLICY)
    assert code == 1
    assert lines[1] == "    case.lua:6: service[web] is waiting, expected up", text
    told = [line.strip() for line in lines[2:]]
    assert "+0.300 web: pid 5000000 exited with code 3 after 0.3 s" in told, text
    assert "+1.300 [info] look here" in told, text
    assert told.index("+0.300 web: pid 5000000 exited with code 3 after 0.3 s") < told.index("+1.300 [info] look here")


@pytest.mark.parametrize("text, message", [
    ("fm.test('x', function(t)", "FAIL case.lua:1: 'end' expected near <eof>"),
    ("\nnosuch()", "FAIL case.lua:2: attempt to call a nil value (global 'nosuch')"),
    ("fm.policy('x', function() end)", "FAIL case.lua: there is no fm.test in it"),
    ("fm.test('x', function(t) end)\nwhile true do end", "FAIL case.lua:2: over budget: more than 50 ms in one turn"),
])
def test_a_file_that_is_no_test_is_exit_code_2(run, text, message):
    code, lines, out = run(text)
    assert code == 2, out
    assert lines[0] == message, out


def test_a_file_that_is_not_there_does_not_keep_the_others_from_running(run, monitor):
    run(case("t:ok(true)"))
    done = monitor.cli("-test", "nosuch.lua", "case.lua", cwd=monitor.home)
    assert done.returncode == 2
    assert "nosuch.lua" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1:] == ["ok   case.lua: it", "1 passed, 0 failed"]


def test_a_broken_script_in_home_is_told_with_its_place(run):
    code, lines, _ = run(case(""), site="\nfm.policy('x')")
    assert code == 2
    assert lines[0].startswith("FAIL case.lua: lua/site.lua:2: bad argument #2 to 'fm.policy'")


def test_tests_need_files_and_take_no_other_words(monitor):
    done = monitor.cli("-test")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2, "Error: -test: the files with the tests come behind it")


def test_nothing_is_written_anywhere(run, monitor):
    passes(run(case('local web = t:service{ name = "web" }\nt:crash(web)\nt:says(web, "x")\nt:advance(100000)')))
    assert sorted(p.name for p in monitor.home.rglob("*") if p.is_file()) == ["case.lua"]


# ---- services and time


def test_a_policy_is_driven_through_its_whole_life(run):
    passes(run(case("""
  local web = t:service{ name = "web", policy = { name = "patient", max = 2 } }
  t:state(web, "up")
  t:crash(web, { code = 3 })
  t:state(web, "waiting")
  t:eq({ web.last_exit.code, web.failures }, { 3, 1 })
  t:advance(1.9)
  t:state(web, "waiting")
  t:advance(0.5)
  t:state(web, "up")
  t:crash(web, { signal = "SEGV", core = true, says = "oh no", max_rss = 1048576, cpu = 1.5 })
  local e = web.last_exit
  t:eq({ e.code, e.signal, e.core, e.tail, e.max_rss, e.cpu }, { nil, "SIGSEGV", true, { "oh no" }, 1048576, 1.5 })
  t:wait(web, "up", 10)
  t:crash(web)
  t:state(web, "failed")
  t:eq(#t:events(web, "exit"), 3)
  t:ok(t:events(web, "decision")[3].reason:find("keeps crashing", 1, true))
  t:ok(t:start(web))
  t:advance(60)
  t:crash(web, { code = 0 })
  t:state(web, "down")"""), policies=POLICY))


def test_an_hour_of_crashes_takes_no_time(run):
    """The core's own policy: 6 failures in 3 s and their lives, again and again."""
    began = time.monotonic()
    passes(run(case("""
  t:behave("web", { dies_after = 0.1 })
  local web = t:service{ name = "web" }
  t:advance(3600)
  t:near(web.restarts, 3600 / 3.6 * 6, 100)
  t:eq(fm.now() - 1000 > 3600, true)""")))
    assert time.monotonic() - began < 30  # of 3600


def test_the_same_run_twice_is_the_same(run):
    text = case('t:behave("web", { dies_after = 0.1 })\nt:service{ name = "web", policy = "dice" }\nt:advance(600)\n'
                'local n = 0\nfor _, ev in ipairs(t:events("web")) do n = n + ev.time % 60 end\nt:fail(n)')
    dice = 'fm.policy("dice", function() return fm.restart(math.random() * 10) end)'
    first, second = run(text, dice=dice), run(text)
    assert first[1][1] == second[1][1] and re.match(r" *case\.lua:7: \d+", first[1][1])


def test_services_are_judged_as_in_conf_json(run):
    fails(run(case('t:service{ name = "web", polcy = "x" }')),
          'case.lua:2: t:service: test.svrs.web.polcy: unknown key "polcy"; did you mean "policy"?')
    fails(run(case('t:service{ name = "web", policy = "patent" }'), policies=POLICY),
          'case.lua:2: t:service: test.svrs.web.policy: no script defines a policy "patent"; did you mean "patient"?')
    fails(run(case('t:service{ cmd = "x" }')), "case.lua:2: t:service: name: a text is expected, got nil")


def test_a_service_changes_and_goes(run):
    passes(run(case("""
  local web = t:service{ name = "web", vars = { x = 1 } }
  t:service{ name = "api", autostart = false }
  local pid = web.pid
  t:eq({ web.vars.x, web.restarts, fm.service("api").state }, { 1, 0, "down" })
  t:service{ name = "web", env = { A = "b" } }
  t:eq({ web.restarts, web.pid ~= pid, web.conf.env.A }, { 1, true, "b" })
  t:remove("api")
  t:eq(#fm.services(), 1)
  t:config{ vars = { y = 2 } }
  t:eq({ fm.vars.y, web.state }, { 2, "up" })""")))


def test_processes_behave_as_told(run):
    passes(run(case("""
  local web = t:service{ name = "web", stop = { timeout = 4 }, behave = { spawn_error = "ENOENT", starts = 1 } }
  t:ok(t:events(web, "spawn_fail")[1].reason:find("No such file or directory", 1, true))
  t:wait(web, "up")
  t:hang(web)
  local from = fm.now()
  t:ok(t:stop(web))
  t:near(fm.now() - from, 4)
  t:behave(web, { on = { TERM = { after = 2, code = 7 } } })
  t:start(web)
  from = fm.now()
  t:stop(web)
  t:near(fm.now() - from, 2)
  t:eq(web.last_exit.code, 7)
  t:behave(web, { ignores = { "TERM" } })
  t:start(web)
  from = fm.now()
  t:stop(web)
  t:near(fm.now() - from, 4)
  t:behave(web, { on = { HUP = { after = 1, heir = true } } })
  t:start(web)
  local pid = web.pid
  t:ok(t:grestart(web))
  t:eq({ web.state, web.pid ~= pid }, { "up", true })
  t:says(web, "one\\ntwo")
  t:eq(web:log(1), { "two" })""")))


def test_what_a_service_can_not_do_is_said(run):
    fails(run(case('local web = t:service{ name = "web", autostart = false }\nt:crash(web)')),
          "case.lua:3: t:crash: service[web] has no process: it is down")
    fails(run(case('local web = t:service{ name = "web", policy = "patient" }\nt:crash(web)\nt:hang(web)'), policies=POLICY),
          "case.lua:4: t:hang: service[web] has no process: it is waiting (its next try is in 2.000 s)")
    fails(run(case('t:crash("nosuch")')), "case.lua:2: t:crash: service[nosuch] not configured")
    fails(run(case('t:crash(t:service{ name = "web" }, { cod = 1 })')),
          'case.lua:2: t:crash: there is no "cod"; there are code, core, cpu, max_rss, says, signal')
    fails(run(case('t:wait(t:service{ name = "web" }, "failed", 5)')),
          "case.lua:2: service[web] has not become failed within 5 s; it is up")


def test_timers_and_cron_run_by_the_clocks_of_the_case(run):
    passes(run(case("""
  t:eq(os.date("%Y-%m-%d %H:%M:%S"), "2026-01-05 12:00:00")
  t:set_zone("Europe/Berlin")
  t:set_time("2026-03-29 01:59:00")
  t:eq(ticks, nil)
  t:advance(3600)
  t:eq(os.date("%H:%M"), "03:59")
  t:ok(t:logged("tick at 03:05"), "a tick in what is left of the night")
  t:eq(t:logged("tick at 02"), nil)"""),
               site='fm.cron("5 * * * *", function() fm.log.info("tick at %s", os.date("%H:%M")) end)'))


def test_each_case_has_a_world_and_scripts_of_its_own(run):
    passes(run("""
local seen = 0
for i = 1, 2 do
  fm.test("case " .. i, function(t)
    seen = seen + 1
    t:eq({ seen, #fm.services(), fm.now() }, { 1, 0, 1000 })
    t:service{ name = "web" }
    t:set_zone("Asia/Tokyo")
  end)
end"""), 2)


# ---- commands, tasks, what lies outside


COMMANDS = """
fm.command{ name = "drain", args = { grace = { default = 5, type = "number" } }, services = "required",
  run = function(req)
    for _, svc in ipairs(req.services) do
      svc:signal("USR1")
      fm.sleep(req.args.grace)
      svc:stop()
      req:write("%s drained\\n", svc.name)
    end
  end }
fm.command{ name = "count", run = function(req) return { n = #req.services, format = req.format } end }
fm.command{ name = "broken", run = function() error("oh no") end }
fm.command{ name = "refuses", run = function() return false, "not now" end }
fm.authorize(function(req) if req.command == "drain" and req.peer ~= "127.0.0.1" then return false, "from here only" end end)
"""


def test_commands_run_to_their_end(run):
    passes(run(case("""
  local a, b = t:service{ name = "a" }, t:service{ name = "b" }
  local from = fm.now()
  t:eq(t:command("drain", { services = { a, "b" }, grace = 7 }), { ok = true, outcome = "done", text = "a drained\\nb drained\\n" })
  t:near(fm.now() - from, 14)
  t:eq({ a.state, b.state }, { "down", "down" })
  t:eq(t:command("count", { format = "json" }).json, { n = 2, format = "json" })
  t:eq(t:command("count", { services = "all" }).json.n, 2)
  t:eq(t:command("refuses"), { ok = false, outcome = "failed", text = "not now" })
  local r = t:command("broken")
  t:eq(r.outcome, "error")
  t:ok(r.text:find("oh no", 1, true))
  t:eq(t:command("drain", { services = { "a" }, grace = "x" }).text, 'grace: must be a number, got "x"')
  t:eq(t:command("drain", { services = { a }, grace = 100, timeout = 10 }).outcome, "timeout")
  t:eq({ t:authorized("drain", { peer = "10.0.0.1" }) }, { nil, "from here only" })
  t:eq(t:authorized("drain"), true)"""), commands=COMMANDS))


def test_a_command_runs_while_other_things_happen(run):
    passes(run(case("""
  local a = t:service{ name = "a" }
  local drain = t:begin_command("drain", { services = { a }, grace = 10 })
  t:advance(5)
  t:eq({ drain:has_ended() }, { false, "" })
  t:eq(a.state, "up")
  t:crash(a)
  t:advance(6)
  t:eq({ drain:has_ended() }, { true, "a drained\\n" })
  t:eq(drain:result().outcome, "done")
  local other = t:begin_command("drain", { services = { a }, grace = 10 })
  other:cancel()
  t:advance(20)
  t:eq(other:result(), { ok = false, outcome = "cancelled", text = "" })"""), commands=COMMANDS))


def test_a_command_asked_for_wrongly_is_a_mistake_of_the_case(run):
    fails(run(case('t:command("nosuch")')), 'case.lua:2: t:command: no script defines a command "nosuch"')
    fails(run(case('t:command("drain")'), commands=COMMANDS),
          "case.lua:2: t:command: command[drain] needs services = {...}")
    fails(run(case('t:command("drain", { services = { "x" } })'), commands=COMMANDS),
          "case.lua:2: t:command: service[x] not configured")


def test_helpers_and_http_are_what_the_test_says(run):
    passes(run(case("""
  t:exec(function(args)
    fm.sleep(2)
    if args[1] == "nosuch" then return nil, "no such program" end
    return args[1] == "df" and "100%" or { code = 3, stderr = args[2] }
  end)
  t:http(function(req) return { status = 404, body = req.method .. " " .. req.url .. req.headers.accept,
    headers = { server = "x" } } end)
  t:run(function()
    local from = fm.now()
    t:eq(fm.exec{ "df" }, { code = 0, stdout = "100%", stderr = "", timed_out = false, truncated = false })
    t:near(fm.now() - from, 2)
    t:eq(fm.exec{ "x", "y" }.stderr, "y")
    t:eq({ fm.exec{ "nosuch" } }, { nil, "no such program" })
    local r = fm.http{ url = "http://a/", body = "x", headers = { Accept = "y" } }
    t:eq({ r.status, r.body, r.headers.server }, { 404, "POST http://a/y", "x" })
  end)""")))
    fails(run(case('t:run(function() pcall(fm.exec, { "df" }) end)')),
          'fm.exec is called, and the test says nothing about it: '
          't:exec(function(args) return { code = 0, stdout = "..." } end)')
    passes(run(case('t:raises(function() fm.http{ url = "http://a/" } end, "only tasks can")')))


def test_a_task_brings_back_its_results_and_errors(run):
    passes(run(case('t:eq({ t:run(function(a) fm.sleep(3600 - 1) return a, nil, 2 end, 1) }, { 1, nil, 2 })')))
    fails(run(case('t:run(function()\nfm.sleep(1)\nerror("oh no")\nend)')), "case.lua:4: oh no")
    fails(run(case('t:run(function() fm.sleep(4000) end)')), "case.lua:2: t:run: it has not ended within 3600 s")


@pytest.mark.parametrize("body, message", [
    ('fm.sleep(1)', "fm.sleep waits, which only tasks can"),
    ('t:run(function() t:advance(1) end)', "only the case itself can do this, no task, handler or coroutine in it"),
    ('coroutine.wrap(function() t:advance(1) end)()',
     "only the case itself can do this, no task, handler or coroutine in it"),
    ('coroutine.yield()', "yield"),
])
def test_only_the_case_lets_time_pass_and_only_tasks_wait(run, body, message):
    code, lines, text = run(case(body))
    assert code == 1 and message in lines[1], text


def test_errors_in_callbacks_fail_a_case_that_does_not_ask_for_them(run):
    site = 'fm.on("exit", function() error("handler broke") end)'
    crash = 't:crash(t:service{ name = "web" })\n'
    code, lines, text = run(case(crash), site=site)
    assert code == 1 and lines[1].endswith("lua/site.lua:1: handler broke"), text
    passes(run(case(crash + 't:ok(t:logged("handler broke"))'), site=site))


def test_overlays_are_tried_on_a_table(run):
    site = ('fm.overlay("test", function(conf) conf.svrs.web = { cmd = "web/server", policy = conf.vars.policy } end)\n'
            'fm.overlay(function(conf, env) conf.vars.env = env end)')
    passes(run(case("""
  t:eq(t:overlay("test", { port = 1 }), { port = 1, vars = { env = "test" }, svrs = { web = { cmd = "web/server" } } })
  t:eq(t:overlay("prod", {}), { vars = { env = "prod" }, svrs = {} })
  t:raises(function() error("x") end, "x")"""), site=site))
    fails(run(case('t:overlay("test", { vars = { policy = "x" } })'), site=site),
          'case.lua:2: t:overlay: test.svrs.web.policy: no script in lua/ defines a policy "x"')


def test_a_script_from_elsewhere_is_loaded_for_its_test(run, monitor):
    (monitor.home / "other").mkdir()
    (monitor.home / "other" / "p.lua").write_text(POLICY, encoding="utf-8")
    (monitor.home / "tests").mkdir()
    passes(run('fm.load("../other/p.lua")\n' + case('t:service{ name = "web", policy = "patient" }'),
               name="tests/case.lua"))
    code, lines, text = run('fm.load("nosuch.lua")\n' + case(""))
    assert code == 2 and "nosuch.lua" in lines[0], text


def test_the_test_in_the_readme_passes(run):
    text = (Path(__file__).resolve().parents[2] / "lua" / "README.md").read_text(encoding="utf-8")
    policy = re.search(r'^fm\.policy\("careful".*?^end\)$', text, re.M | re.S).group()
    example = re.search(r'^fm\.test\(.*?^end\)$', text, re.M | re.S).group()
    passes(run(example, site=policy))


# ---- what runs for ever


def test_a_policy_that_runs_for_ever_is_stopped_and_the_core_decides(run):
    passes(run(case('local web = t:service{ name = "web", policy = "loop" }\nt:crash(web)\nt:wait(web, "up")\n'
                    't:ok(t:logged("over budget"))'),
               site='fm.policy("loop", function() while true do pcall(error) end end)'))


def test_a_case_that_runs_for_ever_is_stopped(run):
    code, lines, text = run('fm.test("endless", function(t) while true do pcall(error) end end)\n'
                            'fm.test("next", function(t) end)')
    assert code == 1, text
    assert lines[1].strip() == "case.lua:1: over budget: more than 5000 ms in one turn", text
    assert lines[-2:] == ["ok   case.lua: next", "1 passed, 1 failed"], text


def test_names_of_options_are_reserved(run):
    code, lines, _ = run(case(""), site='fm.command{ name = "test", run = function() end }')
    assert code == 2
    assert "the name is reserved" in lines[0]
