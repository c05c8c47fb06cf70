"""Services that do what a service should not: it stays one process, known, and what is stopped is gone."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from harness import (BINARY, Monitor, children, cmdline_of, environ_of, fds, is_alive, is_running, kill, pids, stat,
                     status_of, wait_minds, wait_until)
from unkillable import wait_started_again

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
BOMBER = 54329  # a user of nobody else: the limit on its processes is for the bomb alone


def build(monitor, name, text):
    """The C program as root/NAME/NAME."""
    if not shutil.which("cc"):
        pytest.skip("needs a compiler")
    source = monitor.file(f"{name}/{name}.c", text)
    subprocess.run(["cc", "-O1", "-o", source.with_suffix(""), source, "-lpthread"], check=True)


def crash_and_look(monitor, pid, name="demo"):
    """The monitor dies; the next one has the same process, and no other."""
    monitor.restart(Monitor.kill)
    assert monitor.wait_state(name)["pid"] == pid
    return monitor.status(name)


def of_user(uid):
    found = []
    for pid in pids():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid and is_alive(pid):
                found.append(pid)
    return found


# ---- many processes


@AS_ROOT
def test_a_fork_bomb_is_stopped_with_all_it_made(monitor):
    """Each child makes two more and ends. The monitor runs as the same user, whose processes are limited for the bomb."""
    binary = shutil.copy(BINARY, monitor.home / "fota_monitor")
    monitor.script("bomb/bomb", "ulimit -u 150\nf() { f & f & wait; }\ntrap : CHLD\nf 2>/dev/null\n"
                                "while :; do f; done 2>/dev/null")
    monitor.script("demo/demo")
    monitor.conf(svrs={"bomb": {"cmd": "bomb/bomb", "autostart": False, "stop": {"timeout": 0.5}}, "demo": "demo/demo"})
    for folder, _, files in os.walk(monitor.home):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, BOMBER, BOMBER)
    monitor.start(binary=binary, user=BOMBER, group=BOMBER, extra_groups=[])
    pid = monitor.wait_state("demo")["pid"]
    monitor.get("start", "bomb", timeout=5)
    try:
        wait_until(lambda: len(of_user(BOMBER)) > 140, what="it has gone off")
        began = time.monotonic()
        assert monitor.get("status", "all").status == 200
        assert time.monotonic() - began < 2
        assert monitor.get("stop", "bomb").text == "SUCCESS\n"
        wait_until(lambda: sorted(of_user(BOMBER)) == sorted([monitor.pid, pid, *children(pid)]), what="nothing is left of it")
        assert monitor.status("demo")["pid"] == pid
        assert monitor.get("restart", "demo").text == "SUCCESS\n", "there is room for processes again"
    finally:
        for left in of_user(BOMBER):
            if left != monitor.pid:
                kill(left)


def test_children_that_come_and_go_and_leave_the_group(monitor):
    """A thousand short ones, some in sessions of their own: none is taken for the service, none outlives its restart."""
    monitor.script("demo/demo", "i=0\nwhile [ $i -lt 300 ]; do true & setsid true & i=$((i+1)); done\nwait\n"
                                "setsid sleep 1000 &\necho done\nexec sleep 2000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_until(lambda: "done" in monitor.log("demo"))
    left = wait_until(lambda: [p for p in monitor.processes("demo") if p != pid])
    assert monitor.get("restart", "demo").text == "SUCCESS\n"
    new = monitor.status("demo")["pid"]
    wait_until(lambda: not any(is_alive(p) for p in left), what="what had left the group is gone")
    assert monitor.status("demo")["restarts"] == 1 and stat(new).session == new


# ---- a service that is not the process that was started


DAEMON = """
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    if (fork())
        usleep(%d), exit(0);
    setsid();
    if (fork())
        exit(0);
    if (%d) {
        setsid();
    }
    for (;;)
        pause();
}
"""


@pytest.mark.parametrize("after_ms, how", [(0, "at once"), (700, "when it was up")], ids=str)
def test_one_that_forks_twice_and_goes_away(monitor, after_ms, how):
    """The daemon it left behind looks like it: that is the service from then on. There is never a second one."""
    build(monitor, "demo", DAEMON % (after_ms * 1000, 1))
    monitor.conf(svrs={"demo": "demo/demo -x"})
    monitor.start()

    def settled():
        found = monitor.status("demo")
        return found["state"] == "up" and found["adopted"] and monitor.processes("demo") == [found["pid"]] and found["pid"]

    pid = wait_until(settled, what=lambda: f"the daemon is the service: {monitor.processes('demo')}, {how}")
    assert stat(pid).ppid != monitor.pid and cmdline_of(pid) == [f"{monitor.root}/demo/demo", "-x"]
    assert crash_and_look(monitor, pid)["adopted"]
    kill(pid)
    wait_until(lambda: settled() not in (False, pid), what=lambda: f"one copy of it, another: {monitor.processes('demo')}")
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    wait_until(lambda: not monitor.processes("demo"), what=lambda: f"all gone: {monitor.processes('demo')}")


def test_one_that_closes_all_its_descriptors(monitor):
    monitor.script("demo/demo", "import os, time\nos.closerange(0, 4096)\nopen('closed', 'w').close()\ntime.sleep(1000)",
                   "/usr/bin/python3")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_until((monitor.root / "demo/closed").exists)
    wait_until(lambda: not fds(pid))
    crash_and_look(monitor, pid)
    kill(pid)
    monitor.wait_new_pid("demo", pid)
    assert monitor.get("stop", "demo").text == "SUCCESS\n"


def test_one_that_takes_another_name(monitor):
    """In `ps` and /proc it is somebody else, with brackets and blanks that /proc/PID/stat does not quote."""
    build(monitor, "demo", """
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    prctl(PR_SET_NAME, ") Z 1 (x");
    memset(argv[0], '-', strlen(argv[0]));
    write(1, "renamed\\n", 8);
    for (;;)
        pause();
}
""")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_until(lambda: "renamed" in monitor.log("demo"))
    assert status_of(pid)["Name"] == ") Z 1 (x"
    assert crash_and_look(monitor, pid)["adopted"]
    (monitor.home / "run/test.state.jsonl").unlink()
    crash_and_look(monitor, pid)  # the marker alone tells
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert not is_alive(pid)


def test_one_that_runs_something_else(monitor):
    """With neither its command line nor its marker: what was written down of it tells."""
    monitor.script("demo/demo", "echo gone; exec env -i sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    try:
        wait_until(lambda: cmdline_of(pid) == ["sleep", "1000"] and not environ_of(pid))
        crash_and_look(monitor, pid)
        assert monitor.get("stop", "demo").text == "SUCCESS\n"
        assert not is_alive(pid)
    finally:
        kill(pid)


def test_one_whose_first_thread_has_ended(monitor):
    """The kernel shows a zombie, but it lives."""
    build(monitor, "demo", """
#include <pthread.h>
#include <unistd.h>
static void *go_on(void *arg)
{
    for (;;)
        pause();
    return arg;
}
int main(void)
{
    pthread_t t;
    pthread_create(&t, NULL, go_on, NULL);
    write(1, "first ends\\n", 11);
    pthread_exit(NULL);
}
""")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    try:
        wait_until(lambda: stat(pid).state == "Z")
        crash_and_look(monitor, pid)
        assert monitor.status("demo")["restarts"] == 0
        assert not monitor.events(kind="exit")
        assert monitor.get("stop", "demo").text == "SUCCESS\n"
        wait_until(lambda: stat(pid) is None or len(os.listdir(f"/proc/{pid}/task")) == 1, what="all of it is gone")
    finally:
        kill(pid)


# ---- a service that does not go


def test_one_that_is_stopped_stays_and_can_be_restarted(monitor):
    """SIGSTOP is no end: it is up, and left alone, also by the next monitor."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    kill(pid, signal.SIGSTOP)
    wait_until(lambda: not is_running(pid))
    crash_and_look(monitor, pid)
    assert not is_running(pid) and monitor.status("demo")["restarts"] == 0
    assert monitor.get("restart", "demo").text == "SUCCESS\n"
    assert not is_alive(pid)


def test_one_in_uninterruptible_sleep(monitor):
    """The parent of a vfork waits in state D. SIGTERM does not reach it there, SIGKILL does."""
    build(monitor, "demo", """
#define _DEFAULT_SOURCE
#include <unistd.h>
int main(void)
{
    if (vfork() == 0)
        for (;;)
            pause();
}
""")
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "stop": {"timeout": 0.3}}})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_until(lambda: stat(pid).state == "D")
    child, = children(pid)
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    wait_until(lambda: not is_alive(pid) and not is_alive(child))


def test_one_that_not_even_sigkill_ends(monitor, trap):
    """The stop fails and says why, everything else goes on, and when it ends at last it is started as somebody wanted."""
    monitor.script("demo/demo")
    monitor.script("stuck/stuck", trap.body)
    monitor.conf(svrs={"demo": "demo/demo", "stuck": {"cmd": "stuck/stuck", "stop": {"timeout": 0.2}}})
    monitor.start()
    pid, stuck = monitor.wait_up("demo", "stuck")
    trap.hold(stuck)
    assert monitor.get("stop", "stuck", timeout=1).text == "FAIL: stuck\nstuck: not done within 1 s; it is stopping\n"
    done = monitor.cli("-stop", "stuck", "-timeout", "6")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "FAIL: stuck\nstuck: not done within 6 s; it is stopping, and hangs in the kernel\n"
    said = f"pid {stuck} has not ended 5 s after SIGKILL; it hangs in the kernel"
    assert f"service[stuck]: {said}\n" in monitor.stderr()
    told, = monitor.events(service="stuck", kind="audit")
    stopping, = monitor.events(service="stuck", kind="stopping")
    assert (told["text"], told["cause"]) == (said, stopping["seq"])
    assert "it hangs in the kernel, not even SIGKILL has ended it" in monitor.cli("-why", "stuck").stdout.splitlines()[0]
    assert stat(stuck).state == "D" and monitor.status("stuck")["state"] == "stopping"
    assert monitor.get("restart", "demo").text == "SUCCESS\n" and not is_alive(pid)
    assert monitor.get("start", "stuck", timeout=0.5).status == 504, "no second copy beside it"
    monitor.restart(Monitor.kill)
    monitor.wait_up("demo")
    assert monitor.get("restart", "stuck", timeout=0.5).status == 504, "nor after the monitor's death"
    assert monitor.processes("stuck") == [stuck]
    trap.let_go()
    wait_until(lambda: not is_alive(stuck))
    wait_started_again(monitor, "stuck", stuck, trap)


# ---- a monitor that is kept from running


def test_a_monitor_that_did_not_run_for_a_while(monitor):
    """What happened meanwhile is found in its order: an end before the time that was up, no kill that was not needed."""
    monitor.script("slow/slow", "trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.02; done")
    monitor.script("bad/bad", "sleep 0.1; exit 7")
    monitor.script("demo/demo")
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua/once.lua").write_text('fm.policy("once", function() return fm.fail("not again") end)')
    monitor.conf(svrs={"slow": {"cmd": "slow/slow", "stop": {"timeout": 0.5, "scope": "parent"}}, "demo": "demo/demo",
                       "bad": {"cmd": "bad/bad", "autostart": False, "policy": "once"}})
    monitor.start()
    slow, pid = monitor.wait_up("slow", "demo")
    wait_minds(slow)
    answers = {}

    def ask(command, service):
        answers[service] = monitor.get(command, service)

    threads = [threading.Thread(target=ask, args=words) for words in (("start", "bad"), ("stop", "slow"))]
    for thread in threads:
        thread.start()
    monitor.wait_event(kind="starting", service="bad")
    monitor.wait_event(kind="stopping", service="slow")
    kill(monitor.pid, signal.SIGSTOP)
    began = time.monotonic()
    kill(pid)
    wait_until(lambda: time.monotonic() - began > 1.5 and not is_alive(slow) and not is_alive(pid) and
               not monitor.processes("bad"), what="all is over")
    kill(monitor.pid, signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert answers["slow"].text == "SUCCESS\n"
    assert not monitor.events(service="slow", kind="signal"), "it had ended in time"
    assert monitor.status("slow")["last_exit"]["code"] == 0
    assert answers["bad"].status == 500 and "exited with code 7" in answers["bad"].text
    assert not monitor.events(service="bad", kind="up")
    monitor.wait_new_pid("demo", pid)
    assert len(monitor.processes("demo")) == 1


def test_a_monitor_that_hardly_gets_any_processor_time(monitor):
    """Beside two that want the same processor all the time, with the least right to it: late, but right."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid, = monitor.wait_up()
    rivals = [monitor.spawn(["taskset", "-c", "0", "sh", "-c", "while :; do :; done"]) for _ in range(2)]
    for thread in os.listdir(f"/proc/{monitor.pid}/task"):
        os.sched_setaffinity(int(thread), {0})
        os.setpriority(os.PRIO_PROCESS, int(thread), 19)
    for _ in range(3):
        kill(pid)
        pid = monitor.wait_new_pid("demo", pid, timeout=60)
    assert len(monitor.processes("demo")) == 1
    assert monitor.get("restart", "demo").text == "SUCCESS\n"
    assert monitor.status("demo")["restarts"] == 4
    assert [e["kind"] for e in monitor.events(service="demo")].count("up") == 5
    for rival in rivals:  # a sanitizer's look for leaks at the end takes a share that they don't leave
        rival.kill()
