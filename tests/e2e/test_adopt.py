"""What runs already: taken over, never doubled, never mistaken, cleaned up when nothing is left to take over."""

import os
import shutil
import signal
import time

import pytest
from harness import Monitor, children, cmdline_of, is_alive, is_running, kill, stat, wait_gone, wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
BOTH_ENDS = pytest.mark.parametrize("how", [Monitor.kill, Monitor.terminate], ids=["SIGKILL", "SIGTERM"])

# A parent and two workers that all show the same command line.
FORKING = """import os, signal, time
for _ in range(2):
    if not os.fork():
        break
while True:
    signal.pause()
"""


def binary(monitor, path="demo/demo"):
    """A compiled program of that name (it sleeps for so many seconds as it is told)."""
    full = monitor.root / path
    full.parent.mkdir(exist_ok=True)
    shutil.copy("/usr/bin/sleep", full)
    return full


def kernel_tells_status():
    """Does this kernel keep the exit status of a process for whoever holds its pidfd (Linux 6.15)?"""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 15)


def is_adopted(monitor, process, name="demo"):
    """Does the monitor take this process, started by hand, for the service? And nothing else?"""
    found = monitor.wait_state(name)
    assert found["pid"] == process.pid and found["adopted"] is True
    assert not monitor.processes(name), "it started one itself"
    assert [e["pid"] for e in monitor.events(kind="adopt", service=name)] == [process.pid]
    assert process.poll() is None
    return True


# ---- a monitor that comes back


@BOTH_ENDS
def test_every_kind_of_service_is_found_again(monitor, how):
    binary(monitor)
    monitor.script("script/script", "while :; do sleep 1000; done")
    monitor.script("execs/execs", "exec sleep 2000")
    monitor.conf(environ="export A=1", svrs={
        "direct": "demo/demo 1000",
        "script": "script/script",
        "another-command-line-by-now": "execs/execs",
        "shell-exec": "demo/demo '1001'",
        "shell-parent": "cd / && sleep 1002; sleep 1003",
        "environ-shell": {"cmd": "demo/demo 1004", "environ": "[ -d / ]"},
        "unnameable \"服务\"": {"cmd": "demo/demo $SECONDS_TO_SLEEP", "env": {"SECONDS_TO_SLEEP": "1005"}},
    })
    monitor.start()
    before = dict(zip(monitor.names, monitor.wait_up()))
    family = wait_until(lambda: len(found := monitor.processes()) == 9 and found, what="two shells have come to their sleep")
    uptime = monitor.status("direct")["uptime"]
    monitor.restart(how)
    after = dict(zip(monitor.names, monitor.wait_up()))
    assert after == before
    assert monitor.processes() == family, "nothing was started"
    found = monitor.statuses()
    assert all(s["adopted"] for s in found.values())
    assert found["direct"]["uptime"] >= uptime


def test_no_line_of_a_console_is_lost_while_the_monitor_comes_and_goes(monitor):
    monitor.script("demo/demo", "i=0; until [ -e enough ]; do i=$((i+1)); echo $i; done; echo end; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    for how in (Monitor.kill, Monitor.terminate) * 3:
        monitor.restart(how)
        assert monitor.wait_state("demo")["pid"] == pid
        written = len(monitor.log("demo"))
        wait_until(lambda: len(monitor.log("demo")) > written)  # pylint: disable=cell-var-from-loop
    monitor.file("demo/enough", "")
    wait_until(lambda: monitor.log("demo").endswith("end\n"))
    *lines, _end = monitor.log("demo").splitlines()
    assert lines == [str(i) for i in range(1, len(lines) + 1)]


@AS_ROOT
def test_a_service_of_another_user_is_found_again(monitor):
    binary(monitor)
    (monitor.root / "demo").chmod(0o777)
    monitor.conf(svrs={"demo": {"cmd": "demo/demo 1000", "user": "nobody"}})
    monitor.start()
    before = monitor.wait_up()
    monitor.restart(Monitor.kill)
    assert monitor.wait_up() == before


def test_a_monitor_killed_at_any_moment_doubles_nothing(monitor):
    count = 24
    binary(monitor)
    monitor.conf(svrs={f"s{i:02}": f"demo/demo {1000 + i}" for i in range(count)})
    for enough in (0, 1, 9, 17, count):
        monitor.start(wait=False)
        wait_until(lambda: len(monitor.processes()) >= enough)  # pylint: disable=cell-var-from-loop
        monitor.kill()
    monitor.start()
    pids = monitor.wait_up()
    assert len(set(pids)) == count
    assert monitor.processes() == sorted(pids)
    assert not monitor.events(kind="audit")


def test_two_envs_with_the_same_command_line_have_a_process_each(make_monitor):
    one, two = make_monitor("one"), make_monitor("two")
    shutil.rmtree(two.home)
    two.home, two.root, two.conf_file, two.stderr_file = one.home, one.root, one.conf_file, one.home / "two.stderr"
    binary(one)
    common = '{"port": 0, "bind": "127.0.0.1", "rootpath": "svc", "svrs": {"demo": "demo/demo 1000"}}'
    one.conf_text(f'{{"one": {common}, "two": {common}}}')
    pids = [m.start().wait_state("demo")["pid"] for m in (one, two)]
    assert pids[0] != pids[1]
    for m in (one, two):
        m.restart(Monitor.kill)
    assert [m.wait_state("demo")["pid"] for m in (one, two)] == pids
    assert [m.processes() for m in (one, two)] == [[pids[0]], [pids[1]]]


# ---- started by hand


@pytest.mark.parametrize("argv, cwd", [
    (["{root}/demo/demo", "1000"], "/"),
    (["./demo", "1000"], "{root}/demo"),
    (["demo/demo", "1000"], "{root}"),
    (["././/demo/demo", "1000"], "{root}"),
    (["demo", "1000"], "/"),
], ids=["absolute", "./demo", "demo/demo", "odd", "found in PATH"])
def test_a_program_started_by_hand_is_taken_over(monitor, argv, cwd):
    path = binary(monitor)
    process = monitor.spawn([a.format(root=monitor.root) for a in argv], cwd=cwd.format(root=monitor.root), executable=path)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    assert is_adopted(monitor, process)


@pytest.mark.parametrize("argv, cwd", [
    (["{root}/demo/demo", "x y"], "/"),
    (["./demo", "x y"], "{root}/demo"),
    (["/bin/sh", "{root}/demo/demo", "x y"], "/"),
    (["sh", "demo", "x y"], "{root}/demo"),
    (["/bin/sh", "-e", "./demo/demo", "x y"], "{root}"),
], ids=["absolute", "./demo", "sh absolute", "sh demo", "sh -e"])
def test_a_script_started_by_hand_is_taken_over(monitor, argv, cwd):
    monitor.script("demo/demo", "while :; do sleep 1000; done")
    process = monitor.spawn([a.format(root=monitor.root) for a in argv], cwd=cwd.format(root=monitor.root))
    wait_until(lambda: "demo" in " ".join(cmdline_of(process.pid)[1:]), what="the script runs")
    monitor.conf(svrs={"demo": "demo/demo 'x y'"})
    monitor.start()
    assert is_adopted(monitor, process)


def test_an_env_script_started_by_hand_is_taken_over(monitor):
    monitor.script("demo/demo", "import signal\nsignal.pause()", interpreter="/usr/bin/env python3")
    process = monitor.spawn(["./demo"], cwd=monitor.root / "demo", env={"PATH": "/usr/bin:/bin"})
    wait_until(lambda: cmdline_of(process.pid)[:1] == ["python3"], what="the script runs")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    assert is_adopted(monitor, process)


def test_one_in_a_session_of_somebody_else_is_taken_over(monitor):
    """From a shell, say: it leads neither session nor group, and only it may get the signals."""
    binary(monitor)
    shell = monitor.spawn(["/bin/sh", "-c", f"{monitor.root}/demo/demo 1000; sleep 2000"])
    pid = wait_until(lambda: children(shell.pid))[0]
    wait_until(lambda: cmdline_of(pid)[1:] == ["1000"])
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    assert monitor.wait_state("demo")["pid"] == pid
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid) and is_running(shell.pid)


@pytest.mark.parametrize("argv", [["{root}/demo/demo", "1001"], ["{root}/demo/demo", "1000", "0"], ["sleep", "1000"]],
                         ids=["other argument", "more arguments", "other program"])
def test_a_stranger_is_not_taken_over(monitor, argv):
    binary(monitor)
    stranger = monitor.spawn([a.format(root=monitor.root) for a in argv])
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    assert monitor.wait_state("demo")["pid"] != stranger.pid
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert stranger.poll() is None


@AS_ROOT
def test_the_same_of_another_user_is_a_stranger(monitor):
    path = binary(monitor)
    stranger = monitor.spawn([path, "1000"], user=65534, group=65534)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    assert monitor.wait_state("demo")["pid"] != stranger.pid
    assert not monitor.events(kind="audit")


def test_the_top_most_parent_of_workers_is_the_service(monitor):
    monitor.script("demo/demo", FORKING, interpreter="/usr/bin/python3 -B")
    parent = monitor.spawn([monitor.root / "demo/demo"])
    workers = wait_until(lambda: len(found := children(parent.pid)) == 2 and found)
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    assert is_adopted(monitor, parent)
    assert not monitor.events(kind="audit"), "workers are no second copies"
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    wait_gone(parent.pid, *workers)


def test_a_parent_of_workers_is_found_again(monitor):
    monitor.script("demo/demo", FORKING, interpreter="/usr/bin/python3 -B")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    family = wait_until(lambda: len(found := monitor.processes("demo")) == 3 and found)
    monitor.restart(Monitor.kill)
    assert monitor.wait_state("demo")["pid"] == pid
    assert monitor.processes("demo") == family
    assert not monitor.events(kind="audit")


def test_one_started_by_hand_while_the_service_is_down_is_found_by_start(monitor):
    path = binary(monitor)
    monitor.conf(svrs={"demo": {"cmd": "demo/demo 1000", "autostart": False}})
    monitor.start()
    process = monitor.spawn([path, "1000"])
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    assert is_adopted(monitor, process)


def test_one_started_by_hand_after_a_stop_is_found_by_start(monitor):
    path = binary(monitor)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    monitor.wait_up()
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    process = monitor.spawn([path, "1000"])
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    assert is_adopted(monitor, process)


def test_autostart_off_still_takes_over_what_runs(monitor):
    path = binary(monitor)
    process = monitor.spawn([path, "1000"])
    monitor.conf(svrs={"demo": {"cmd": "demo/demo 1000", "autostart": False}})
    monitor.start()
    assert is_adopted(monitor, process)


# ---- second copies


def test_of_two_copies_the_older_is_the_service_and_the_other_is_reported(monitor):
    path = binary(monitor)
    first = monitor.spawn([path, "1000"])
    wait_until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) * 100 > stat(first.pid).start_ticks + 2)
    second = monitor.spawn([path, "1000"])
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    assert is_adopted(monitor, first)
    report = monitor.wait_event(kind="audit")
    assert f"second copy of it runs as pid {second.pid}" in report["text"]
    assert f"[ERROR] service[demo]: a second copy runs as pid {second.pid}" in monitor.stderr()
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert second.poll() is None, "it is left alone"


def test_a_copy_beside_a_marked_service_is_reported(monitor):
    path = binary(monitor)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    monitor.terminate()
    second = monitor.spawn([path, "1000"])
    monitor.start()
    assert monitor.wait_state("demo")["pid"] == pid
    assert str(second.pid) in monitor.wait_event(kind="audit")["text"]
    assert second.poll() is None


# ---- ends of adopted ones


@pytest.mark.alone
def test_the_end_of_an_adopted_service_is_noticed_at_once(monitor):
    path = binary(monitor)
    process = monitor.spawn([path, "1000"])
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    assert is_adopted(monitor, process)
    killed = time.time()
    process.kill()  # nobody collects it yet: a zombie counts as ended
    ended = monitor.wait_event(kind="exit")
    assert ended["pid"] == process.pid and ended["time"] - killed < 0.2
    new = monitor.wait_new_pid("demo", process.pid)
    assert monitor.processes("demo") == [new]
    assert monitor.status("demo")["adopted"] is False and monitor.status("demo")["restarts"] == 1
    started = monitor.events(kind="starting")[0]
    assert started["mono"] - ended["mono"] < 0.5


@pytest.mark.parametrize("end, code, sig", [("exit 5", 5, None), ("kill -SEGV $$", None, "SIGSEGV")])
def test_the_exit_status_of_an_adopted_service(monitor, end, code, sig):
    monitor.script("demo/demo", f"until [ -e go ]; do sleep 0.02; done; rm go; echo last words; {end}")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    monitor.restart(Monitor.kill)
    assert monitor.wait_state("demo")["pid"] == pid
    monitor.file("demo/go", "")
    monitor.wait_new_pid("demo", pid)
    found = monitor.status("demo")["last_exit"]
    if kernel_tells_status():
        assert (found["code"], found["signal"]) == (code, sig)
    else:
        assert found["code"] in (code, None) and found["signal"] in (sig, None)
    assert found["tail"][-1] == "last words"


def test_an_adopted_service_can_be_stopped_and_restarted(monitor):
    binary(monitor)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    old = monitor.wait_state("demo")["pid"]
    monitor.restart(Monitor.kill)
    monitor.wait_state("demo")
    assert monitor.get("restart", "demo").text == "SUCCESS\n"
    new = monitor.status("demo")["pid"]
    assert new != old and not is_alive(old) and monitor.processes("demo") == [new]
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert monitor.processes("demo") == []


def test_the_whole_group_of_an_adopted_service_is_killed_when_it_ignores_term(monitor):
    monitor.script("demo/demo", "trap '' TERM; sleep 1000 & exec sleep 2000")
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "stop": {"timeout": 0.3}}})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    family = [pid, *wait_until(lambda: children(pid))]
    monitor.restart(Monitor.kill)
    monitor.wait_state("demo")
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    wait_gone(*family)


def test_stubborn_children_of_an_adopted_service_go_with_it(monitor):
    monitor.script("demo/demo", "sh -c 'trap \"\" TERM; exec sleep 1000' & exec sleep 2000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    child = wait_until(lambda: [p for p in children(pid) if cmdline_of(p) == ["sleep", "1000"]])[0]
    monitor.restart(Monitor.kill)
    monitor.wait_state("demo")
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid) and not is_alive(child)
    assert monitor.processes() == []


def test_the_group_of_one_started_by_hand_goes_with_it(monitor):
    """A job of an interactive shell: a group of its own, in the session of others."""
    path = monitor.script("demo/demo", "sh -c 'trap \"\" TERM; exec sleep 1000' & while :; do sleep 2000; done")
    monitor.conf(svrs={"demo": "demo/demo"})
    shell = monitor.spawn(["bash", "-c", f"sleep 3000 & set -m; {path} & wait"])
    pid = wait_until(lambda: [p for p in children(shell.pid) if str(path) in cmdline_of(p)])[0]
    other = wait_until(lambda: [p for p in children(shell.pid) if cmdline_of(p) == ["sleep", "3000"]])[0]
    child = wait_until(lambda: [p for p in children(pid) if cmdline_of(p) == ["sleep", "1000"]])[0]
    monitor.start()
    assert monitor.wait_state("demo")["pid"] == pid == stat(child).pgrp != stat(child).session
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid) and not is_alive(child)
    assert is_running(other)


def test_a_frozen_adopted_service_can_be_stopped(monitor):
    binary(monitor)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    monitor.kill()
    kill(pid, signal.SIGSTOP)
    wait_until(lambda: not is_running(pid))
    monitor.start()
    assert monitor.wait_state("demo")["pid"] == pid
    assert monitor.get("stop", "demo", timeout=5).text == "SUCCESS\n"
    assert not is_alive(pid)


# ---- nothing left to take over


def test_what_a_dead_parent_left_behind_goes_before_the_start(monitor):
    monitor.script("demo/demo", "sh -c 'trap \"\" TERM; exec sleep 1000' & exec sleep 2000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    left = wait_until(lambda: [p for p in children(pid) if cmdline_of(p) == ["sleep", "1000"]])
    monitor.kill()
    kill(pid)
    wait_until(lambda: not is_alive(pid))
    monitor.start()
    new = monitor.wait_state("demo")["pid"]
    wait_gone(*left)
    cleaned = monitor.events(kind="cleanup")
    assert {e["pid"] for e in cleaned} == set(left)
    started = monitor.events(kind="starting", pid=new)[0]
    assert cleaned[0]["seq"] < started["seq"] and cleaned[0]["mono"] <= started["mono"]
    assert is_running(new)


def test_what_a_service_left_that_nobody_wants_is_only_reported(monitor):
    monitor.script("demo/demo", "sleep 1000 & exec sleep 2000")
    monitor.script("other/other")
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "autostart": False}, "other": "other/other"})
    monitor.start()
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    pid = monitor.status("demo")["pid"]
    left = wait_until(lambda: children(pid))
    monitor.kill()
    kill(pid)
    wait_until(lambda: not is_alive(pid))
    (monitor.home / "run" / f"{monitor.env}.state.jsonl").unlink()  # which says that it was started by hand
    monitor.start()
    monitor.wait_state("other")  # so it has looked through all processes
    assert monitor.status("demo")["state"] == "down"
    assert all(is_running(p) for p in left)
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    wait_gone(*left)


def test_a_service_that_died_with_the_monitor_is_started(monitor):
    binary(monitor)
    monitor.conf(svrs={"demo": "demo/demo 1000"})
    monitor.start()
    old = monitor.wait_state("demo")["pid"]
    monitor.kill()
    kill(old)
    wait_gone(old)
    monitor.start()
    new = monitor.wait_state("demo")["pid"]
    assert new != old and monitor.processes("demo") == [new]
    assert monitor.status("demo")["adopted"] is False


def test_a_stale_lock_is_no_obstacle(monitor):
    monitor.conf()
    (monitor.home / "run").mkdir(mode=0o700)
    (monitor.home / "run/test.lock").write_text(f"{os.getpid()}\n127.0.0.1:1\n")
    monitor.start()
    assert monitor.cli("-status", "all").returncode == 0
