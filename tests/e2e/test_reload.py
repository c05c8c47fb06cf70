"""A changed conf.json, applied to a running monitor: what is not concerned goes on as the same process."""

import contextlib
import http.client
import json
import signal
import socket
import time

import pytest
from harness import environ_of, free_port, is_alive, later, wait_minds, wait_until

DEAF = "trap '' TERM; while :; do sleep 1000; done"
SLOW = "trap 'while [ ! -e go ]; do sleep 0.02; done; exit 0' TERM; while :; do sleep 1000 & wait; done"  # until it may go


@pytest.fixture(name="monitor")
def fixture_monitor(make_monitor):
    """With the script "run", which any number of services can be made of."""
    one = make_monitor()
    one.script("run")
    return one


def pids_of(monitor):
    return {name: s["pid"] for name, s in monitor.statuses().items()}


def reload(monitor, **args):
    """The lines of a reload that must be well."""
    reply = monitor.get("reload", **args)
    assert (reply.status, reply.exit_code) == (200, 0), reply.text
    return reply.text.splitlines()


# ---- services


def test_added_removed_and_changed_services(monitor):
    monitor.conf(svrs={"a": "run a", "b": "run b", "c": "run c", "d": "run d"})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(svrs={"b": {"cmd": "run b2", "env": {"X": "1"}}, "c": {"cmd": "run c", "stop": {"timeout": 3}},
                       "d": {"cmd": "run d"}, "e": "run e", "f": {"cmd": "run f", "autostart": False}})
    assert reload(monitor) == ["removed: a", "changed: b: cmd, env (restart)", "changed: c: stop", "added: e",
                               "added: f", "SUCCESS"]
    after = pids_of(monitor)
    assert list(after) == ["b", "c", "d", "e", "f"]
    assert (after["c"], after["d"]) == (before["c"], before["d"])
    assert after["b"] != before["b"] and environ_of(after["b"])["X"] == "1"
    assert after["e"] and monitor.status("e")["state"] == "up"
    assert (monitor.status("f")["state"], after["f"]) == ("down", None)
    wait_until(lambda: not is_alive(before["a"]), what="a is gone")
    assert not is_alive(before["b"])
    assert monitor.get("status", "a").text == "Error: service[a] not configured\n"
    assert reload(monitor) == ["nothing has changed", "SUCCESS"]
    assert pids_of(monitor) == after


def test_every_field_is_named_and_only_some_need_a_restart(monitor):
    (monitor.root / "other").mkdir()
    changes = {"cmd": "run other", "dir": str(monitor.root / "other"), "environ": "export A=b", "env": {"A": "b"},
               "user": "root", "group": "root", "umask": "027", "log": "other.log",
               "autostart": False, "stop": {"signal": "INT"}, "graceful": {"signal": "USR1"}, "vars": {"a": 1}}
    restarts = {"cmd", "dir", "environ", "env", "user", "group", "umask", "log"}
    monitor.conf(svrs={f"s-{key}": f"run {key}" for key in changes})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(svrs={f"s-{key}": {"cmd": f"run {key}", key: value} for key, value in changes.items()})
    assert reload(monitor) == [f"changed: s-{key}: {key}" + (" (restart)" if key in restarts else "")
                               for key in sorted(changes)] + ["SUCCESS"]
    after = pids_of(monitor)
    assert {name for name in after if after[name] != before[name]} == {f"s-{key}" for key in restarts}
    assert {s["state"] for s in monitor.statuses().values()} == {"up"}
    assert monitor.get("stop", "s-stop").status == 200
    assert monitor.status("s-stop")["last_exit"]["signal"] == "SIGINT", "what needs no restart holds at once"


def test_what_only_looks_different_is_no_change(monitor):
    monitor.conf(svrs={"a": "run a", "b": {"cmd": "run b", "stop": {"timeout": 10}}})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf_text("""// a comment
        {"other": {"port": 1}, "test": {"svrs": {"b": "run b", /* and one more */ "a": {"stop": {"signal": "SIGTERM"},
        "autostart": true, "cmd": "run a"}}, "clog": {"level": 15}, "port": 0, "rootpath": "svc",
        "bind": ["127.0.0.1"]}}""")
    assert reload(monitor) == ["nothing has changed", "SUCCESS"]
    assert pids_of(monitor) == before


def test_scripts_that_have_changed_are_named(monitor):
    lua = monitor.home / "lua"
    (lua / "parts").mkdir(parents=True)
    monitor.conf(svrs={"a": "run a"})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    for name, text in {"a.lua": "require 'parts.one'", "b.lua": "-- b", "parts/one.lua": "-- one"}.items():
        (lua / name).write_text(text)
    assert reload(monitor) == ["added: lua/a.lua", "added: lua/b.lua", "added: lua/parts/one.lua", "SUCCESS"]
    assert reload(monitor) == ["nothing has changed", "SUCCESS"]
    (lua / "b.lua").unlink()
    (lua / "parts" / "one.lua").write_text("-- two")
    told = "removed: lua/b.lua\nchanged: lua/parts/one.lua\n"
    assert monitor.get("reload", **{"dry-run": 1}).text == told + "services: 1 to stay as they are\n"
    assert monitor.get("reload", format="json", **{"dry-run": 1}).json()["plan"]["scripts"] == [
        {"name": "lua/b.lua", "change": "removed"}, {"name": "lua/parts/one.lua", "change": "changed"}]
    assert reload(monitor) == [*told.splitlines(), "SUCCESS"]
    (lua / "a.lua").unlink()
    assert reload(monitor) == ["removed: lua/a.lua", "removed: lua/parts/one.lua", "SUCCESS"]
    assert pids_of(monitor) == before


def test_one_that_is_stopped_stays_so_and_starts_as_it_is_written_now(monitor):
    monitor.conf(svrs={"a": "run a"})
    monitor.start()
    monitor.wait_up()
    assert monitor.get("stop", "a").status == 200
    monitor.conf(svrs={"a": {"cmd": "run a", "env": {"NEW": "1"}}})
    assert reload(monitor) == ["changed: a: env", "SUCCESS"]
    assert monitor.status("a")["state"] == "down"
    assert monitor.get("start", "a").status == 200
    assert environ_of(monitor.status("a")["pid"])["NEW"] == "1"


def test_one_that_waits_for_its_next_try_is_tried_as_it_is_written_now(monitor):
    monitor.script("bad", "exit 1")
    monitor.conf(svrs={"a": "bad"})
    monitor.start()
    monitor.wait_state("a", "waiting")
    monitor.conf(svrs={"a": "run a"})
    began = time.monotonic()
    assert reload(monitor) == ["changed: a: cmd (restart)", "SUCCESS"]
    assert time.monotonic() - began < 2.5 and monitor.status("a")["state"] == "up"


def test_what_does_not_start_any_more_is_told(monitor):
    monitor.script("bad", "echo broken; exit 4")
    monitor.conf(svrs={"a": "run a", "b": "run b"})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(svrs={"a": "bad a", "b": "run b", "c": "not/there"})
    reply = monitor.get("reload")
    assert (reply.status, reply.exit_code) == (500, 1)
    lines = reply.text.splitlines()
    assert lines[:3] == ["changed: a: cmd (restart)", "added: c", "FAIL: a, c"]
    assert lines[3].startswith("a: exited with code 4") and lines[3].endswith(": broken")
    assert lines[4].startswith("c: ") and "not/there" in lines[4]
    assert pids_of(monitor)["b"] == before["b"]
    reply = monitor.get("reload", format="json")
    assert reply.json() == {"ok": True, "plan": {"services": [], "settings": [], "same": 3, "scripts": []},
                            "services": {}}


def test_a_removed_service_is_stopped_the_way_it_was_configured(monitor):
    monitor.script("deaf", DEAF)
    monitor.script("polite", "trap 'echo bye; exit 0' INT; while :; do sleep 1000 & wait; done")
    monitor.conf(svrs={"deaf": {"cmd": "deaf", "stop": {"timeout": 0.5}},
                       "polite": {"cmd": "polite", "stop": {"signal": "INT"}, "log": "polite.log"}})
    monitor.start()
    deaf, polite = monitor.wait_up()
    wait_minds(deaf)
    wait_minds(polite, signal.SIGINT)
    monitor.conf()
    assert reload(monitor) == ["removed: deaf", "removed: polite", "SUCCESS"]
    assert monitor.statuses() == {}
    wait_until(lambda: not is_alive(polite) and "bye" in monitor.log("polite.log"), what="polite has said good-bye")
    wait_until(lambda: not is_alive(deaf), what="deaf was killed")
    wait_until(lambda: not monitor.processes(), what="their children are gone too")
    assert [e["text"] for e in monitor.events(service="deaf", kind="config")] == ["removed from the configuration"]


def test_removed_ones_that_do_not_run(monitor):
    monitor.script("bad", "exit 1")
    monitor.conf(svrs={"waiting": "bad", "down": {"cmd": "run down", "autostart": False}, "stays": "run stays"})
    monitor.start()
    monitor.wait_state("waiting", "waiting")
    monitor.wait_up("stays")
    monitor.conf(svrs={"stays": "run stays"})
    assert reload(monitor) == ["removed: down", "removed: waiting", "SUCCESS"]
    assert list(monitor.statuses()) == ["stays"]
    ended = len(monitor.events(service="waiting", kind="exit"))
    assert reload(monitor) == ["nothing has changed", "SUCCESS"]
    assert len(monitor.events(service="waiting", kind="exit")) == ended


def test_one_that_comes_back_while_it_is_still_stopping(monitor):
    """The old process ends before the new one begins: never two, and never the dying one for the new."""
    monitor.script("deaf", DEAF)
    svrs = {"deaf": {"cmd": "deaf", "stop": {"timeout": 5}}}
    monitor.conf(svrs=svrs)
    monitor.start()
    old, = monitor.wait_up()
    wait_minds(old)
    monitor.conf()
    assert reload(monitor) == ["removed: deaf", "SUCCESS"]
    assert is_alive(old)
    monitor.conf(svrs=svrs)
    assert reload(monitor) == ["added: deaf", "SUCCESS"]
    found = monitor.status("deaf")
    assert not is_alive(old)
    assert (found["state"], found["adopted"], found["failures"]) == ("up", False, 0) and found["pid"] != old
    assert monitor.status("deaf")["pid"] == found["pid"]
    leaders = [e["pid"] for e in monitor.events(service="deaf", kind="starting")]
    assert leaders == [old, found["pid"]]


def test_one_that_comes_and_goes_while_its_first_process_is_stopping(monitor):
    monitor.script("deaf", DEAF)
    svrs = {"deaf": {"cmd": "deaf", "stop": {"timeout": 5}}}
    monitor.conf(svrs=svrs)
    monitor.start()
    old, = monitor.wait_up()
    wait_minds(old)
    asked = []
    for _ in range(3):
        monitor.conf()
        assert reload(monitor) == ["removed: deaf", "SUCCESS"]
        monitor.conf(svrs=svrs)
        count = len(monitor.events(kind="command"))
        asked.append(later(monitor.get, "reload"))
        wait_until(lambda n=count: len(monitor.events(kind="command")) > n and "deaf" in monitor.statuses(),
                   what="it is back")
    asked.append(later(monitor.get, "stop", "deaf"))
    assert asked[-1].result(20).text == "SUCCESS\n"
    assert not is_alive(old), "a stop waits for the old one too"
    for one in asked[:-1]:
        assert "FAIL: deaf\ndeaf: " in one.result(20).text
    assert monitor.status("deaf")["state"] == "down"
    wait_until(lambda: not monitor.processes(), what="its child has died of the same signal")
    assert len(monitor.events(service="deaf", kind="starting")) == 1
    assert monitor.get("start", "deaf").text == "SUCCESS\n"


def test_commands_that_wait_for_a_service_that_is_removed(monitor):
    monitor.script("deaf", DEAF)
    names = ["start", "stop", "restart"]
    monitor.conf(svrs={name: {"cmd": f"deaf {name}", "stop": {"timeout": 5}} for name in names})
    monitor.start()
    for pid in monitor.wait_up():
        wait_minds(pid)
    assert monitor.get("stop", "start", timeout=0.1).status == 504
    asked = {name: later(monitor.get, name, name) for name in names}
    wait_until(lambda: {s["state"] for s in monitor.statuses().values()} == {"stopping"}
               and monitor.status("start")["wanted"] and not monitor.status("stop")["wanted"],
               what="all are on their way")
    monitor.conf()
    assert reload(monitor)[-1] == "SUCCESS"
    assert asked["stop"].result(20).text == "SUCCESS\n"
    for name in ("start", "restart"):
        assert asked[name].result(20).text == f"FAIL: {name}\n{name}: superseded by a newer command to stop it\n"
    wait_until(lambda: not monitor.processes(), what="all are gone")


def test_the_story_tells_of_it(monitor):
    monitor.conf(svrs={"a": "run a"})
    monitor.start()
    monitor.wait_up()
    monitor.conf(svrs={"a": "run a2", "b": "run b"})
    reload(monitor)
    assert "changed in the configuration\n" in monitor.get("history", "a").text
    assert "added to the configuration\n" in monitor.get("history", "b").text
    why = monitor.get("why", "a").text
    assert "reload asked for by HTTP from 127.0.0.1" in why


# ---- the env itself


def test_environ_concerns_whom_it_concerns(monitor):
    svrs = {"a": "run a", "b": {"cmd": "run b", "environ": "export WHO=b"}}
    monitor.conf(environ="ulimit -n 500", svrs=svrs)
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(environ="  ulimit  -n 500 ;", svrs=svrs)
    assert reload(monitor) == ["changed: environ", "SUCCESS"]
    assert pids_of(monitor) == before, "written differently, the same for all"
    monitor.conf(environ="export WHO=all", svrs=svrs)
    assert reload(monitor) == ["changed: a: environ (restart)", "changed: b: environ (restart)", "changed: environ",
                               "SUCCESS"]
    after = pids_of(monitor)
    assert [environ_of(after[name])["WHO"] for name in "ab"] == ["all", "b"]
    monitor.conf(environ="export WHO=everybody", svrs=svrs)
    assert reload(monitor) == ["changed: a: environ (restart)", "changed: environ", "SUCCESS"]
    assert pids_of(monitor)["b"] == after["b"], "it has its own"


def test_rootpath_concerns_relative_commands(monitor):
    moved = monitor.home / "moved"
    moved.mkdir()
    (moved / "run").write_text("#!/bin/sh\nexec sleep 1000\n", encoding="ascii")
    (moved / "run").chmod(0o755)
    svrs = {"relative": "run a", "absolute": f"{monitor.root}/run b"}
    monitor.conf(svrs=svrs)
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(rootpath=str(moved), svrs=svrs)
    lines = reload(monitor)
    assert lines[0].startswith("changed: relative: cmd") and lines[0].endswith(" (restart)")
    assert lines[1:] == ["changed: rootpath", "SUCCESS"]
    after = pids_of(monitor)
    assert after["absolute"] == before["absolute"] and after["relative"] != before["relative"]
    assert (moved / "fota_monitor.log").exists()


def test_settings_that_concern_no_service(monitor):
    monitor.conf(svrs={"a": "run a"})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(svrs={"a": "run a"}, clog={"level": 4}, log={"keep_days": 3}, auth="open", lua={"budget_ms": 20},
                 vars={"x": [1, 2]}, rundir="elsewhere", probe="pidfd")
    assert reload(monitor) == [
        "changed: clog, log, auth, lua, vars, rundir (takes effect when the monitor is started again), probe",
        "SUCCESS"]
    assert pids_of(monitor) == before
    said = monitor.stderr()
    assert monitor.get("restart", "a").status == 200
    assert monitor.stderr() == said, "the level holds from now on"


def test_level_can_be_turned_up(monitor):
    monitor.conf(clog={"level": 0})
    monitor.start()
    reload(monitor)
    assert monitor.stderr() == ""
    monitor.conf(clog={"level": 15})
    reload(monitor)
    reload(monitor)
    assert "reload" in monitor.stderr()


# ---- the port


def test_a_changed_port_answers_the_reload_itself_and_moves(monitor):
    first, second = free_port(), free_port()
    svrs = {"a": "run a"}
    monitor.conf(port=first, svrs=svrs)
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(port=second, svrs=svrs)
    done = monitor.cli("-reload")
    assert (done.returncode, done.stdout) == (0, "changed: port or bind\nSUCCESS\n")
    assert monitor.address == f"127.0.0.1:{second}"
    assert pids_of(monitor) == before and monitor.cli("-status").returncode == 0

    def refused():
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first), 5).close()
            return False
        return True
    wait_until(refused, what="nobody listens on the old port")
    monitor.conf(port=first, svrs=svrs)
    assert monitor.cli("-reload").returncode == 0
    assert monitor.address == f"127.0.0.1:{first}" and monitor.cli("-status").returncode == 0


def test_who_waits_on_the_old_port_is_still_answered(monitor):
    monitor.script("slow", SLOW)
    monitor.conf(port=free_port(), svrs={"slow": "slow"})
    monitor.start()
    wait_minds(*monitor.wait_up())
    old = monitor.address
    waiting = later(monitor.get, "stop", "slow")
    monitor.wait_state("slow", "stopping")
    monitor.conf(port=free_port(), svrs={"slow": "slow"})
    assert monitor.get("reload").text.startswith("changed: port or bind\n")
    assert monitor.address != old and not waiting.done()
    monitor.file("go", "")
    assert waiting.result(20).text == "SUCCESS\n"


def refused(host, port):
    try:
        socket.create_connection((host, port), 5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_a_kept_connection_does_not_keep_the_old_port_open(monitor):
    monitor.conf(port=free_port())
    monitor.start()
    host, port = monitor.address.split(":")
    kept = http.client.HTTPConnection(host, int(port), timeout=10)
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b"ok\n"
    monitor.conf(port=free_port())
    reload(monitor)
    wait_until(lambda: refused(host, int(port)), what="the old port is closed")  # a moment after the answer
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b"ok\n"
    kept.close()


def test_a_port_in_use_changes_nothing(monitor):
    svrs = {"a": "run a"}
    monitor.conf(svrs=svrs)
    monitor.start()
    monitor.wait_up()
    before, address = pids_of(monitor), monitor.address
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monitor.conf(port=port, svrs={"a": "run changed", "b": "run b"})
        reply = monitor.get("reload")
    assert (reply.status, reply.exit_code) == (400, 2)
    assert reply.text == f"Error: port {port} on 127.0.0.1: Address already in use; nothing was changed\n"
    assert (pids_of(monitor), monitor.address) == (before, address)


def test_addresses_come_and_go(monitor):
    port = free_port()
    monitor.conf(port=port)
    monitor.start()

    def answers(address):
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection(address, port, timeout=5)
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        return False
    for bind in (["127.0.0.1", "127.0.0.2"], ["127.0.0.2"], ["0.0.0.0"], ["127.0.0.1"]):
        monitor.conf(port=port, bind=bind)
        assert reload(monitor) == ["changed: port or bind", "SUCCESS"], bind
        for address in ("127.0.0.1", "127.0.0.2"):
            expected = address in bind or bind == ["0.0.0.0"]
            wait_until(lambda a=address, e=expected: answers(a) == e, what=f"{address} answers: {expected} ({bind})")
        assert monitor.cli("-status").returncode == 0


# ---- bad files


@pytest.mark.parametrize("text,message", [
    ("", "conf.json:1:1: "),
    ('{"test": {"svrs": {', "conf.json:1:20: "),
    ('{"prod": {}}', "conf.json:1:1: test: there is no such env"),
    ('{"test": {"svrs": {"a": "run a", "new": "run new"}, "prot": 1}}', "conf.json:1:53: test.prot: unknown key"),
    ('{"test": {"svrs": {"a": "run a", "b": {"cmd": "run b", "user": "nobody-knows"}}}}', ""),
    ('{"test": {"svrs": {"a": "run a", "all": "run b"}}}', ""),
    (None, "conf.json: cannot open "),
], ids=["empty", "broken", "no such env", "unknown key", "unknown user", "bad name", "missing"])
def test_a_bad_file_is_rejected_whole(monitor, text, message):
    svrs = {"a": "run a", "b": "run b"}
    good = monitor.conf(svrs=svrs).read_bytes()
    monitor.start()
    monitor.wait_up()
    before, address = pids_of(monitor), monitor.address
    if text is None:
        monitor.conf_file.unlink()
    else:
        monitor.conf_text(text)
    for args in ({}, {"dry-run": "1"}):
        reply = monitor.get("reload", **args)
        assert (reply.status, reply.exit_code) == (400, 2)
        assert reply.text.startswith(f"Error: {message}") and reply.text.endswith("; nothing was changed\n")
    error = monitor.get("reload", format="json").json()["error"]
    assert error["code"] == "configuration" and error["message"].startswith(message)
    assert (pids_of(monitor), monitor.address) == (before, address)
    monitor.conf_text(good)
    assert reload(monitor) == ["nothing has changed", "SUCCESS"]
    assert pids_of(monitor) == before


# ---- dry runs


def test_a_dry_run_changes_nothing(monitor):
    monitor.conf(port=free_port(), svrs={"a": "run a", "b": "run b", "c": "run c"})
    monitor.start()
    monitor.wait_up()
    before, address, story = pids_of(monitor), monitor.address, len(monitor.events())
    monitor.conf(port=free_port(), svrs={"a": "run a2", "b": "run b", "d": "run d"})
    plan = ["changed: a: cmd (restart)", "removed: c", "added: d", "changed: port or bind"]
    shown = reload(monitor, **{"dry-run": "1"})
    assert [line.split(" (")[0].split(", ")[0] for line in shown if line[0] != " "][:4] == [
        "removed: c", "changed: a", "added: d", f'changed: port or bind: "127.0.0.1 port {address.split(":")[1]}" -> '
        f'"127.0.0.1 port {json.loads(monitor.conf_file.read_text())["test"]["port"]}"']
    as_json = monitor.get("reload", **{"dry-run": "1", "format": "json"}).json()
    assert as_json["ok"] is True and len(as_json["plan"]["services"]) == 3 and as_json["services"] == {}
    assert monitor.cli("-reload", "dry-run=1").stdout.splitlines() == shown
    assert (pids_of(monitor), monitor.address, len(monitor.events())) == (before, address, story)
    assert reload(monitor, **{"dry-run": "0"}) == plan + ["SUCCESS"]
    assert reload(monitor, **{"dry-run": "1"}) == ["nothing has changed"]


# ---- many


def test_reloads_at_once_do_it_once(monitor):
    monitor.conf(svrs={f"s{i}": f"run {i}" for i in range(10)})
    monitor.start()
    monitor.wait_up()
    before = pids_of(monitor)
    monitor.conf(svrs={f"s{i}": f"run changed {i}" for i in range(5, 15)})
    asked = [later(monitor.get, "reload") for _ in range(10)]
    replies = [a.result(30) for a in asked]
    assert {r.status for r in replies} == {200}
    assert sorted(r.text.count("\n") for r in replies) == [2] * 9 + [16]
    monitor.wait_up()
    assert list(monitor.statuses()) == sorted(f"s{i}" for i in range(5, 15))
    for i in range(5, 10):
        assert len(monitor.events(service=f"s{i}", kind="starting")) == 2
    wait_until(lambda: not any(is_alive(before[f"s{i}"]) for i in range(10)), what="the old ones are gone")


def test_a_reload_while_another_one_waits(monitor):
    monitor.script("slow", SLOW)
    monitor.conf(svrs={"slow": "slow 1", "a": "run a"})
    monitor.start()
    wait_minds(monitor.wait_up("slow")[0])
    monitor.conf(svrs={"slow": "slow 2", "a": "run a"})
    first = later(monitor.get, "reload")
    monitor.wait_state("slow", "stopping")
    monitor.conf(svrs={"slow": "slow 3", "a": "run a"})
    second = later(reload, monitor)
    wait_until(lambda: len(monitor.events(kind="command")) == 2, what="both have come")
    monitor.file("go", "")
    assert second.result(20) == ["changed: slow: cmd (restart)", "SUCCESS"]
    assert first.result(20).text == "changed: slow: cmd (restart)\nSUCCESS\n"
    with open(f"/proc/{monitor.status('slow')['pid']}/cmdline", "rb") as cmdline:
        assert cmdline.read().endswith(b"slow\0" + b"3\0")


def test_five_hundred_services(monitor):
    def numbered(numbers, **keys):
        return {f"s{i:03}": {"cmd": f"run {i}", **keys} for i in numbers}
    monitor.conf(svrs=numbered(range(0, 10)))
    monitor.start()
    monitor.wait_up()
    first = pids_of(monitor)
    monitor.conf(svrs=numbered(range(500)))
    waiting = later(reload, monitor)
    slowest = 0
    while not waiting.done():
        asked = time.monotonic()
        assert monitor.http("/healthz").status == 200
        slowest = max(slowest, time.monotonic() - asked)
    lines = waiting.result()
    assert len(lines) == 491 and lines[-1] == "SUCCESS" and slowest < 2
    everybody = pids_of(monitor)
    assert len(set(everybody.values())) == 500 and everybody.items() >= first.items()
    monitor.conf(svrs={**numbered(range(250)), **numbered(range(200, 210), umask="077"), "one": "run more"})
    lines = reload(monitor)
    assert [line.split(":")[0] for line in lines] == ["added"] + ["changed"] * 10 + ["removed"] * 250 + ["SUCCESS"]
    after = pids_of(monitor)
    assert sum(after[name] == pid for name, pid in everybody.items() if name in after) == 240
    wait_until(lambda: len(monitor.processes()) == 251, what="only those of now are left")
