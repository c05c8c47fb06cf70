"""Where /proc is missing or hides things: the monitor runs as far as that goes, and says what it can't do."""

import os
import shutil
import subprocess
import time

import pytest
from faulty import Faults
from harness import BINARY, Monitor, is_alive, is_sanitized, kill, later, wait_until

UID = 54331


def in_a_world_of_its_own(monitor, commands, user=""):
    """The program, run in mounts of its own after these shell commands; what start() needs."""
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    if tried.returncode or not shutil.which("setpriv"):
        pytest.skip("needs the right to mount, and setpriv")
    real = shutil.copy(BINARY, monitor.home / "real")
    become = f"setpriv --reuid {user} --regid {user} --clear-groups " if user else ""
    inner = monitor.script("inner", f"{commands}\nexec {become}{real} \"$@\"")
    wrapper = monitor.script("wrapper", f"exec unshare -m {inner} \"$@\"")
    if user:
        for folder, _, files in os.walk(monitor.home):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chown(path, user, user)
    return {"binary": wrapper}


def test_without_proc_services_run_and_are_restarted(monitor):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start(**in_a_world_of_its_own(monitor, "mount -t tmpfs none /proc"))
    pid, = monitor.wait_up()
    assert "/proc can't be read: No such file or directory; services that run already are not recognised" in monitor.stderr()
    kill(pid)
    new = monitor.wait_new_pid("demo", pid)
    assert monitor.status("demo")["last_exit"]["signal"] == "SIGKILL"
    assert monitor.cli("-restart", "demo").stdout == "SUCCESS\n"
    assert not is_alive(new) and len(monitor.processes("demo")) == 1
    assert monitor.get("stop", "demo").text == "SUCCESS\n", "the kernel is asked who is local without it, too"
    assert not monitor.processes("demo")
    if is_sanitized():
        monitor.kill()  # to end it well the leak sanitizer needs /proc


@pytest.mark.parametrize("options", ["hidepid=1", "hidepid=2", "hidepid=4"])
def test_where_others_are_hidden_its_own_are_found(monitor, options):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    how = in_a_world_of_its_own(monitor, f"mount -t proc -o {options} proc /proc || exit 77", user=UID)
    monitor.start(**how)
    pid, = monitor.wait_up()
    monitor.kill()
    monitor.start(**how)
    assert monitor.wait_state("demo")["pid"] == pid
    assert monitor.status("demo")["adopted"] is True
    kill(pid)
    monitor.wait_new_pid("demo", pid)
    monitor.restart(Monitor.kill)
    assert monitor.get("restart", "demo").text == "SUCCESS\n"
    wait_until(lambda: len(monitor.processes("demo")) == 1)


def test_who_asks_right_after_a_start_hears_what_runs(monitor):
    """It is not known before the first look at all processes. Who asks meanwhile waits, but not for ever: for 3 s."""
    faults = Faults(monitor)
    stranger = monitor.spawn(["sleep", "1000"])
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start(env=faults.env)
    pid, = monitor.wait_up()

    def start_anew():
        monitor.kill()
        faults.set(f"hang {stranger.pid}/cmdline 1")
        monitor.start(wait=False, env=faults.env)
        wait_until(lambda: monitor.address, what="it listens")
        began = time.monotonic()
        return began, later(monitor.status, "demo")

    began, asked = start_anew()
    wait_until(lambda: time.monotonic() - began > 0.5 or asked.done(), what="it has waited for half a second")
    assert not asked.done()
    faults.set()
    found = asked.result(20)
    assert (found["state"], found["pid"], found["adopted"]) == ("up", pid, True)
    before = time.monotonic()
    asked = start_anew()[1]
    assert asked.result(20)["state"] == "down" and time.monotonic() - before > 2.9
    stop = later(monitor.get, "stop", "demo")
    monitor.wait_event(kind="command", service="demo")
    assert is_alive(pid)
    faults.set()
    assert stop.result(20).text == "SUCCESS\n" and not is_alive(pid), "it is looked for, and stopped"


def test_a_process_that_can_not_be_looked_at_holds_up_nothing(monitor):
    """As the kernel has it with one that hangs while it changes its memory: what reads its command line hangs too."""
    faults = Faults(monitor)
    stranger = monitor.spawn(["sleep", "1000"])
    monitor.script("demo/demo")
    monitor.script("other/other")
    monitor.conf(svrs={"demo": "demo/demo", "other": "other/other"})
    with faults(f"hang {stranger.pid}/cmdline 1"):
        monitor.start(env=faults.env)
        said = f"pid {stranger.pid} hangs in the kernel, so that it can't be looked at; it is passed over"
        demo, other = monitor.wait_up()
        assert monitor.stderr().count(said) == 1
        assert monitor.get("restart", "demo").text == "SUCCESS\n"
        assert not is_alive(demo)
        monitor.restart(Monitor.kill)
        assert monitor.wait_up("other") == [other]
        faults.set(f"hang {stranger.pid}/cmdline 1", f"hang {other}/cmdline 1")
        monitor.restart(Monitor.kill)
        assert monitor.wait_up("other") == [other], "it is known again without that"
        assert monitor.get("restart", "demo").text == "SUCCESS\n"
        assert len(monitor.processes()) == 2
    monitor.wait_up()
    monitor.restart()
    assert monitor.wait_up("other") == [other]
    assert monitor.stderr().count(said) == 3, "it lets itself be looked at again"
