"""One service from start to stop: how it is started, kept up, stopped, and what is left of it."""

import os
import resource
import signal
import stat as modes
import time

import pytest
from harness import (children, cmdline_of, duration_text, environ_of, fds, is_alive, is_running, kill, limits, stat,
                     status_of, wait_gone, wait_past, wait_until)

BURST = 6  # so many ends in a row, then a pause
PAUSE_S = 3.0
UP_S = 0.3

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# A child that only SIGKILL ends, and a parent that ends by SIGTERM.
STUBBORN_CHILD = """sh -c 'trap "" TERM; exec sleep 1000' &
sleep 1000 &
exec sleep 2000"""
# The same with a parent that ignores SIGTERM as well.
STUBBORN_ALL = "trap '' TERM\n" + STUBBORN_CHILD

# A service that knows SIGHUP (a shell can't: it was started with SIGHUP ignored).
PYTHON = "/usr/bin/python3 -B"
GRACEFUL = """import os, signal, sys, time
def on_hup(*_):
    print("got HUP", flush=True)
    {action}
signal.signal(signal.SIGHUP, on_hup)
print("ready", flush=True)
while True:
    signal.pause()
"""


def run_one(monitor, body="exec sleep 1000", name="demo", **service):
    """Starts the monitor with one service made of this shell script, and waits until it is up."""
    monitor.script(f"{name}/{name}", body)
    monitor.conf(svrs={name: {"cmd": f"{name}/{name}", **service}})
    monitor.start()
    pid = monitor.wait_state(name)["pid"]
    wait_past(pid, body)
    return pid


def wait_children(pid, count):
    return wait_until(lambda: len(found := children(pid)) == count and found, what=f"{pid} has {count} children")


def kinds(monitor, name="demo"):
    return [e["kind"] for e in monitor.events(service=name)]


# ---- start


def test_a_service_runs_as_written_in_its_own_folder(monitor):
    monitor.script("demo/demo", 'while :; do sleep 1000; done')
    monitor.conf(svrs={"demo": "demo/demo -p 80 x"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    assert cmdline_of(pid) == ["/bin/sh", f"{monitor.root}/demo/demo", "-p", "80", "x"]
    assert os.readlink(f"/proc/{pid}/cwd") == f"{monitor.root}/demo"
    assert stat(pid).ppid == monitor.pid
    assert f" runs env test on {monitor.address} with 1 service, pid {monitor.pid}\n" in monitor.stderr()


@pytest.mark.alone
def test_a_service_is_up_when_it_is_alive_after_300_ms(monitor):
    run_one(monitor)
    started, up = monitor.events(kind="starting")[0], monitor.events(kind="up")[0]
    assert UP_S - 0.01 <= up["mono"] - started["mono"] < UP_S + 0.5


def test_a_service_that_dies_before_300_ms_has_failed_to_start(monitor):
    monitor.script("demo/demo", "echo no such database >&2; sleep 0.02; exit 7")
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "autostart": False}})
    monitor.start()
    reply = monitor.get("start", "demo")
    assert reply.status == 500 and reply.exit_code == 1
    assert reply.text.startswith("FAIL: demo\n")
    seconds = monitor.events(kind="exit")[0]["duration"]
    assert f"exited with code 7 after {duration_text(seconds)}" in reply.text and "no such database" in reply.text
    assert 0.02 <= seconds < UP_S
    assert not monitor.events(kind="up")


def test_autostart_off_waits_for_a_command(monitor):
    monitor.script("demo/demo")
    monitor.script("other/other")
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "autostart": False}, "other": "other/other"})
    monitor.start()
    monitor.wait_up("other")
    assert monitor.status("demo")["state"] == "down" and not monitor.processes("demo")
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    assert monitor.processes("demo") == [monitor.status("demo")["pid"]]


# ---- ends


@pytest.mark.alone
def test_a_killed_service_is_started_again_at_once(monitor):
    old = run_one(monitor)
    kill(old)
    new = monitor.wait_new_pid("demo", old)
    ended, started = monitor.events(kind="exit")[0], monitor.events(kind="starting")[1]
    assert ended["pid"] == old and started["pid"] == new
    assert started["mono"] - ended["mono"] < 0.2
    found = monitor.status("demo")
    assert found["restarts"] == 1
    assert found["last_exit"]["signal"] == "SIGKILL" and found["last_exit"]["code"] is None


@pytest.mark.alone
def test_an_end_is_noticed_at_once(monitor):
    run_one(monitor, "until [ -e go ]; do sleep 0.02; done; rm go; exec date +%s.%N >ended")
    monitor.file("demo/go", "")
    ended = monitor.wait_event(kind="exit")
    assert ended["time"] - float((monitor.root / "demo/ended").read_text()) < 0.2


def test_a_service_that_ends_well_is_started_again_too(monitor):
    old = run_one(monitor, "trap 'exit 0' USR1; while :; do sleep 0.02; done")
    kill(old, signal.SIGUSR1)
    monitor.wait_new_pid("demo", old)
    assert monitor.status("demo")["last_exit"]["code"] == 0


@pytest.mark.alone
def test_after_six_failures_in_a_row_it_waits_3_s(monitor):
    monitor.script("demo/demo", "exit 3")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    wait_until(lambda: len(monitor.events(kind="waiting")) == 2, what="the second pause")
    ends = monitor.events(kind="exit")
    starts = monitor.events(kind="starting")
    assert [e["count"] for e in ends] == list(range(1, 2 * BURST + 1))
    assert len(starts) == 2 * BURST
    gaps = [start["mono"] - end["mono"] for end, start in zip(ends, starts[1:])]
    assert PAUSE_S - 0.01 <= gaps.pop(BURST - 1) < PAUSE_S + 0.5
    assert max(gaps) < 0.2
    assert monitor.stderr().count("[ERROR] service[demo] has failed 6 times in a row") == 1
    assert monitor.stderr().count("[ERROR] service[demo] has failed ") == 1, "the same again is no news"
    found = monitor.status("demo")
    assert found["state"] == "waiting" and 0 < found["next_try"] <= PAUSE_S and found["failures"] == 12


def test_a_start_command_ends_the_wait_for_the_next_try(monitor):
    monitor.script("demo/demo", "[ -e mended ] || exit 3; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    monitor.wait_state("demo", "waiting")
    monitor.file("demo/mended", "")
    began = time.monotonic()
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    assert time.monotonic() - began < 2
    assert monitor.status("demo")["failures"] == 0


def test_a_waiting_service_can_be_stopped(monitor):
    monitor.script("demo/demo", "exit 3")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    monitor.wait_state("demo", "waiting")
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert monitor.status("demo")["state"] == "down"


# ---- stop


def test_stop_sends_term_and_leaves_it_down(monitor):
    pid = run_one(monitor)
    reply = monitor.get("stop", "demo")
    assert reply.status == 200 and reply.text == "SUCCESS\n"
    assert not is_alive(pid)
    found = monitor.status("demo")
    assert found["state"] == "down" and found["pid"] is None and found["last_exit"]["signal"] == "SIGTERM"
    assert found["last_exit"]["requested"] is True
    assert kinds(monitor) == ["starting", "up", "command", "stopping", "exit", "down"]


def test_stop_uses_the_configured_signal(monitor):
    run_one(monitor, "trap 'echo got USR1; exit 0' USR1; while :; do sleep 0.02; done",
            stop={"signal": "USR1", "scope": "parent"})
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert monitor.log("demo") == "got USR1\n"


def test_stop_lets_a_service_take_its_time(monitor):
    run_one(monitor, "trap 'sleep 0.5; echo clean; exit 0' TERM; while :; do sleep 0.02; done", stop={"scope": "parent"})
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert monitor.log("demo") == "clean\n"
    assert monitor.status("demo")["last_exit"]["code"] == 0


@pytest.mark.alone
def test_the_whole_group_is_killed_when_it_ignores_term(monitor):
    pid = run_one(monitor, STUBBORN_ALL, stop={"timeout": 0.4})
    family = [pid, *wait_children(pid, 2)]
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    wait_gone(*family)
    stopping, killed = monitor.events(kind="stopping")[0], monitor.events(kind="signal")[0]
    assert killed["signal"] == "SIGKILL" and killed["pid"] == pid
    assert 0.39 <= killed["mono"] - stopping["mono"] < 1
    assert monitor.status("demo")["last_exit"]["signal"] == "SIGKILL"


def test_children_that_ignore_term_go_with_their_parent(monitor):
    pid = run_one(monitor, STUBBORN_CHILD)
    family = [pid, *wait_children(pid, 2)]
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    wait_gone(*family)


def test_children_of_a_crashed_parent_go_before_it_is_started_again(monitor):
    pid = run_one(monitor, STUBBORN_CHILD)
    left = wait_children(pid, 2)
    kill(pid)
    new = monitor.wait_new_pid("demo", pid)
    wait_gone(*left)
    assert len(wait_children(new, 2)) == 2


def test_scope_parent_spares_the_children_until_the_next_start(monitor):
    pid = run_one(monitor, STUBBORN_CHILD, stop={"scope": "parent"})
    left = wait_children(pid, 2)
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid) and all(is_running(child) for child in left)
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    wait_gone(*left)
    cleaned = monitor.events(kind="cleanup")
    assert sorted({e["pid"] for e in cleaned}) == left
    assert max(e["seq"] for e in cleaned) < monitor.events(kind="starting")[-1]["seq"]


def test_scope_parent_kills_the_parent_alone(monitor):
    pid = run_one(monitor, STUBBORN_ALL, stop={"scope": "parent", "timeout": 0.2})
    left = wait_children(pid, 2)
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid) and all(is_running(child) for child in left)


def test_what_left_the_group_is_cleaned_up_before_the_next_start(monitor):
    pid = run_one(monitor, "setsid sleep 1000 &\nexec sleep 2000")
    left = wait_children(pid, 1)
    wait_until(lambda: stat(left[0]).session == left[0], what="it has a session of its own")
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert is_running(left[0])
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    wait_gone(*left)
    assert {e["pid"] for e in monitor.events(kind="cleanup")} == set(left)


def test_a_rest_that_stands_in_the_way_is_cleaned_up(monitor):
    """The crashed service's daemonized child holds what the next instance needs."""
    pid = run_one(monitor, "flock -n lock true || exit 9\nsetsid flock -n lock sleep 1000 &\nexec sleep 2000")
    left = wait_until(lambda: len(found := [p for p in monitor.processes("demo") if p != pid]) == 2 and found)
    kill(pid)
    monitor.wait_new_pid("demo", pid)
    wait_gone(*left)
    assert monitor.status("demo")["failures"] <= 2


def test_a_stopped_process_can_be_stopped(monitor):
    pid = run_one(monitor)
    kill(pid, signal.SIGSTOP)
    wait_until(lambda: not is_running(pid), what="it is frozen")
    began = time.monotonic()
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid)
    assert time.monotonic() - began < 5, "it had to wait for SIGKILL"
    assert monitor.status("demo")["last_exit"]["signal"] == "SIGTERM"


def test_restart_is_another_process(monitor):
    old = run_one(monitor)
    reply = monitor.get("restart", "demo")
    assert reply.text == "SUCCESS\n"
    new = monitor.status("demo")["pid"]
    assert new != old and not is_alive(old)
    assert monitor.processes("demo") == [new]


def test_a_stop_replaces_a_waiting_start(monitor):
    monitor.script("demo/demo", "exit 3")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    monitor.wait_state("demo", "waiting")
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    last = monitor.events(service="demo")[-1]
    assert last["kind"] == "down"


def test_nothing_of_a_removed_binary_stops_the_others(monitor):
    monitor.script("demo/demo")
    monitor.script("other/other")
    monitor.conf(svrs={"demo": "demo/demo", "other": "other/other"})
    monitor.start()
    old, other = monitor.wait_up("demo", "other")
    (monitor.root / "demo/demo").unlink()
    kill(old)
    failed = monitor.wait_event(kind="spawn_fail", service="demo")
    assert "exec" in failed["text"] and "No such file or directory" in failed["text"]
    assert monitor.status("other")["pid"] == other
    monitor.script("demo/demo")
    assert monitor.get("start", "demo").text == "SUCCESS\n"


# ---- graceful restart


def graceful(monitor, action, **service):
    monitor.file("demo/demo.py", GRACEFUL.replace("{action}", action))
    monitor.conf(svrs={"demo": {"cmd": f"{PYTHON} {monitor.root}/demo/demo.py", "dir": "demo", "graceful": {"timeout": 0.5}, **service}})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_until(lambda: "ready" in monitor.log("demo"), what="it handles SIGHUP")
    return pid


def test_grestart_of_a_service_that_reloads_in_place(monitor):
    pid = graceful(monitor, "pass")
    began = time.monotonic()
    reply = monitor.get("grestart", "demo")
    assert reply.text == "SUCCESS\n", reply
    assert time.monotonic() - began >= 0.49, "it is not sure before the timeout"
    assert monitor.status("demo")["pid"] == pid
    monitor.wait_log("demo", "ready\ngot HUP\n")
    assert [e["signal"] for e in monitor.events(kind="signal")] == ["SIGHUP"]


def test_grestart_of_a_service_that_leaves_a_successor(monitor):
    """As nginx or gunicorn: the new one is a child of the old one, which then goes."""
    old = graceful(monitor, """
    if os.fork():
        time.sleep(0.2)
        os._exit(0)
    print("successor", os.getpid(), flush=True)""", graceful={"timeout": 5})
    reply = monitor.get("grestart", "demo")
    assert reply.text == "SUCCESS\n", reply
    new = monitor.status("demo")["pid"]
    assert new != old and f"successor {new}\n" in monitor.log("demo")
    assert monitor.processes("demo") == [new]
    assert monitor.status("demo")["failures"] == 0
    # and it is the service from now on
    kill(new)
    monitor.wait_new_pid("demo", new)


def test_grestart_of_a_service_that_ends(monitor):
    old = graceful(monitor, "sys.exit(0)", graceful={"timeout": 5})
    assert monitor.get("grestart", "demo").text == "SUCCESS\n"
    new = monitor.status("demo")["pid"]
    assert new != old and monitor.processes("demo") == [new]
    assert monitor.status("demo")["failures"] == 0


def test_grestart_is_refused_where_the_signal_is_not_handled(monitor):
    pid = run_one(monitor)
    reply = monitor.get("grestart", "demo")
    assert reply.status == 500 and reply.exit_code == 1
    assert "SIGHUP" in reply.text and "use restart" in reply.text
    assert monitor.status("demo")["pid"] == pid and monitor.status("demo")["state"] == "up"


# ---- what it is given


def test_umask_as_octal(monitor):
    pid = run_one(monitor, "touch made; exec sleep 1000", umask="027")
    assert status_of(pid)["Umask"] == "0027"
    assert modes.S_IMODE((monitor.root / "demo/made").stat().st_mode) == 0o640


@AS_ROOT
def test_user_group_and_groups(monitor):
    (monitor.root / "demo").mkdir()
    (monitor.root / "demo").chmod(0o777)
    pid = run_one(monitor, user="nobody", group="daemon")
    found = status_of(pid)
    assert set(found["Uid"].split()) == {"65534"}
    assert set(found["Gid"].split()) == {"1"}
    assert "0" not in found["Groups"].split(), "root's groups must not stay"
    env = environ_of(pid)
    assert env["USER"] == env["LOGNAME"] == "nobody" and env["HOME"] == "/nonexistent"


@AS_ROOT
def test_group_alone(monitor):
    pid = run_one(monitor, group="daemon")
    found = status_of(pid)
    assert set(found["Uid"].split()) == {"0"} and set(found["Gid"].split()) == {"1"}
    assert found["Groups"].split() in ([], ["1"])


def test_env_wins_over_environ(monitor):
    monitor.conf(environ="export A=global; B=global; export C=global",
                 svrs={"demo": {"cmd": "sleep 98765", "environ": "export B=own", "env": {"C": "map", "N": 7, "空": "值 '\""}}})
    monitor.start()
    env = environ_of(monitor.wait_state("demo")["pid"])
    assert [env[key] for key in ("A", "B", "C", "N", "空")] == ["global", "own", "map", "7", "值 '\""]


def test_environ_that_needs_a_shell(monitor):
    monitor.script("demo/demo")
    monitor.conf(environ='export WHERE="$(cd / && pwd)x"; export TWICE="$WHERE$WHERE"',
                 svrs={"demo": {"cmd": "demo/demo 'a  b'", "env": {"TWICE": "map"}}})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_past(pid, "exec sleep 1000")
    env = environ_of(pid)
    assert env["WHERE"] == "/x" and env["TWICE"] == "map"


@pytest.mark.parametrize("shell", ["", "[ -d / ]; "], ids=["native", "shell"])
def test_ulimit(monitor, shell):
    pid = run_one(monitor, environ=f"{shell}ulimit -S -n 321; ulimit -c 0; ulimit -u 4321")
    found = limits(pid)
    assert found["Max open files"][0] == "321" and found["Max open files"][1] != "321"
    assert found["Max core file size"] == ("0", "0")
    assert found["Max processes"] == ("4321", "4321")


def test_a_service_gets_the_descriptor_limit_the_monitor_was_given(monitor):
    """The monitor raises its own; that is no concern of its services."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    monitor.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard)))
    pid = monitor.wait_state("demo")["pid"]
    assert limits(pid)["Max open files"] == ("200", str(hard))
    assert limits(monitor.pid)["Max open files"] == (str(hard), str(hard))


def test_dir(monitor):
    (monitor.root / "elsewhere").mkdir()
    pid = run_one(monitor, "pwd; exec sleep 1000", dir="elsewhere")
    assert os.readlink(f"/proc/{pid}/cwd") == f"{monitor.root}/elsewhere"
    assert monitor.log("elsewhere") == f"{monitor.root}/elsewhere\n"
    assert not (monitor.root / "demo/fota_monitor.log").exists()


# ---- its console


def test_the_log_is_in_its_folder_and_is_appended_to(monitor):
    monitor.file("demo/fota_monitor.log", "before\n")
    old = run_one(monitor, 'echo "out $$"; echo "err $$" >&2; exec sleep 1000')
    kill(old)
    new = monitor.wait_new_pid("demo", old)
    monitor.wait_log("demo", f"before\nout {old}\nerr {old}\nout {new}\nerr {new}\n")


def test_log_names_the_file(monitor):
    (monitor.root / "demo").mkdir()
    run_one(monitor, "echo hello; exec sleep 1000", log="console-{name}.txt")
    assert monitor.log("demo/console-demo.txt") == "hello\n"
    assert not (monitor.root / "demo/fota_monitor.log").exists()


def test_two_services_may_share_a_log(monitor):
    shared = monitor.home / "shared.log"
    line = 'i=0; while [ $i -lt 300 ]; do echo "$0 $i"; i=$((i+1)); done; exec sleep 1000'
    monitor.script("a/a", line)
    monitor.script("b/b", line)
    monitor.conf(svrs={name: {"cmd": f"{name}/{name}", "log": str(shared)} for name in "ab"})
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: shared.read_text().count("\n") == 600, what="600 lines")
    lines = shared.read_text().splitlines()
    for name in "ab":
        own = [line for line in lines if line.startswith(f"{monitor.root}/{name}/")]
        assert own == [f"{monitor.root}/{name}/{name} {i}" for i in range(300)]


def test_the_log_may_be_removed_and_does_not_stay_open_in_the_monitor(monitor):
    old = run_one(monitor, "echo hello; exec sleep 1000")
    assert not [target for target in fds(monitor.pid).values() if "svc/demo" in target]
    (monitor.root / "demo/fota_monitor.log").unlink()
    kill(old)
    monitor.wait_new_pid("demo", old)
    monitor.wait_log("demo", "hello\n")


# ---- as with nohup


def test_a_service_is_started_as_with_nohup(monitor):
    pid = run_one(monitor)
    found = stat(pid)
    assert found.session == found.pgrp == pid
    log = f"{monitor.root}/demo/fota_monitor.log"
    assert fds(pid) == {0: "/dev/null", 1: log, 2: log}
    signals = status_of(pid)
    assert int(signals["SigIgn"], 16) == 1 << (signal.SIGHUP - 1)
    assert int(signals["SigBlk"], 16) == 0
    flags = open(f"/proc/{pid}/fdinfo/1", encoding="utf-8").read()
    assert int(flags.split("flags:")[1].split()[0], 8) & os.O_APPEND


def test_nothing_the_monitor_was_started_with_reaches_a_service(monitor):
    def odd_start():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    with open("/etc/passwd", "rb") as leaked:
        monitor.start(preexec_fn=odd_start, pass_fds=[leaked.fileno()],
                      env={"FOTA_MONITOR_HOME": "/nowhere", "FOTA_MONITOR_X": "1", "OTHER": "kept"})
    pid = monitor.wait_state("demo")["pid"]
    wait_past(pid, "exec sleep 1000")
    assert sorted(fds(pid)) == [0, 1, 2]
    signals = status_of(pid)
    assert int(signals["SigIgn"], 16) == 1 and int(signals["SigBlk"], 16) == 0
    env = environ_of(pid)
    assert {k: v for k, v in env.items() if k.startswith("FOTA_MONITOR")} == {
        "FOTA_MONITOR_SERVICE": f"{monitor.home}:test/demo"}
    assert env["OTHER"] == "kept"


@pytest.mark.parametrize("closed", [[0], [1, 2], [0, 1, 2]], ids=str)
def test_a_monitor_started_with_closed_descriptors(monitor, closed):
    monitor.script("demo/demo", "echo to the log; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start(preexec_fn=lambda: [os.close(fd) for fd in closed])
    pid = monitor.wait_state("demo")["pid"]
    wait_past(pid, "exec sleep 1000")
    log = f"{monitor.root}/demo/fota_monitor.log"
    assert fds(pid) == {0: "/dev/null", 1: log, 2: log}
    assert monitor.log("demo") == "to the log\n"


def test_hup_does_not_end_monitor_or_service(monitor):
    pid = run_one(monitor)
    kill(monitor.pid, signal.SIGHUP)
    kill(pid, signal.SIGHUP)
    assert monitor.get("version").status == 200
    assert monitor.get("restart", "demo").text == "SUCCESS\n", "the service was still there to be restarted"
    assert monitor.events(kind="exit")[0]["signal"] == "SIGTERM"


def test_services_outlive_the_monitor(monitor):
    pid = run_one(monitor)
    monitor.terminate()
    assert is_running(pid)
    monitor.start()
    assert monitor.wait_state("demo")["pid"] == pid
