"""A child that left the process group is not ended with it; it must not outlive the service into its next start."""

import os
import signal

from harness import is_running, wait_until

HELPER = "setsid sh -c 'echo $$ >helper.pid; exec sleep 100000' & exec sleep 1000"


def helper_of(monitor):
    path = monitor.root / "demo" / "helper.pid"
    text = wait_until(lambda: path.exists() and path.read_text().strip(), what="the helper's pid")
    path.unlink()
    return int(text)


def test_a_child_in_a_session_of_its_own_is_ended_before_a_restart_after_a_crash(monitor):
    monitor.script("demo/demo", HELPER)
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_up("demo")[0]
    helper = helper_of(monitor)
    # Two seconds after a start the monitor has looked for such children.
    wait_until(lambda: monitor.status("demo")["uptime"] > 3, what="an uptime of 3 s")
    os.kill(pid, signal.SIGKILL)
    monitor.wait_new_pid("demo", pid)
    wait_until(lambda: not is_running(helper), what="the end of the helper")
    event = monitor.wait_event(service="demo", kind="cleanup")
    assert event["pid"] == helper and is_running(helper_of(monitor))


def test_a_child_that_leaves_when_nobody_looks_is_ended_by_the_look_after_the_restart(monitor):
    monitor.script("demo/demo", "while ! [ -e leave ]; do sleep 0.05; done; " + HELPER)
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_up("demo")[0]
    wait_until(lambda: monitor.status("demo")["uptime"] > 3, what="an uptime of 3 s")
    (monitor.root / "demo/leave").touch()
    helper = helper_of(monitor)
    os.kill(pid, signal.SIGKILL)
    monitor.wait_new_pid("demo", pid)
    wait_until(lambda: not is_running(helper), what="the end of the helper")
    assert monitor.wait_event(service="demo", kind="cleanup")["pid"] == helper and is_running(helper_of(monitor))


def test_a_child_in_a_session_of_its_own_is_ended_before_a_start_after_a_stop(monitor):
    monitor.script("demo/demo", HELPER)
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    monitor.wait_up("demo")
    helper = helper_of(monitor)
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    wait_until(lambda: not is_running(helper), what="the end of the helper")


def test_an_editor_that_has_the_script_open_is_not_the_service(monitor):
    script = monitor.script("demo/demo", "exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    editor = monitor.spawn(["tail", "-f", str(script)])
    monitor.start()
    assert monitor.wait_up("demo")[0] != editor.pid
