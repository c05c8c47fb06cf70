"""The system says no: to processes, programs, files, disks. What is up stays up, what failed is tried again."""

import os
import subprocess
import time

import pytest
from faulty import Faults, fill, small_disk
from harness import Monitor, is_alive, is_running, kill, wait_until

YEAR = 365 * 24 * 3600


def two(monitor, *words, service=None, **keys):
    """demo and other are up, both with these keys of a service; their pids. The faults, not set yet."""
    faults = Faults(monitor)
    monitor.script("demo/demo", "echo started; exec sleep 1000")
    monitor.conf(svrs={name: {"cmd": f"demo/demo {name}", **(service or {})} for name in ("demo", "other")}, **keys)
    monitor.start(*words, env=faults.env)
    return (faults, *monitor.wait_up())


# ---- processes and programs


@pytest.mark.parametrize("error, text", [("EAGAIN", "Resource temporarily unavailable"),
                                         ("ENOMEM", "Cannot allocate memory")])
def test_no_process_can_be_made(monitor, error, text):
    faults, pid, other = two(monitor)
    with faults(f"clone - {error}"):
        kill(pid)
        assert monitor.wait_event(kind="spawn_fail", service="demo")["text"] == f"fork: {text}"
        assert monitor.wait_state("demo", "waiting")["last_exit"]["reason"] == f"could not be started: fork: {text}"
        assert monitor.stderr().count("[ERROR] service[demo] could not be started") == 1
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    assert monitor.processes() == sorted([monitor.status("demo")["pid"], other])


def test_no_program_can_be_run(monitor):
    """ETXTBSY: it is being copied. EAGAIN: the user has too many processes. EIO: the disk is broken."""
    faults, pid, other = two(monitor)
    path = monitor.root / "demo/demo"
    for error, text in (("ETXTBSY", "Text file busy"), ("EAGAIN", "Resource temporarily unavailable"),
                        ("ENOMEM", "Cannot allocate memory"), ("EIO", "Input/output error"),
                        ("E2BIG", "Argument list too long"), ("EPERM", "Operation not permitted")):
        with faults(f"exec demo/demo {error}"):
            reply = monitor.get("restart", "demo")
            assert reply.status == 500 and f"exec {path}: {text}" in reply.text
            assert not monitor.processes("demo")
    wait_until(lambda: monitor.status("demo")["state"] == "up", what="it was tried again")
    assert monitor.status("other")["pid"] == other and not is_alive(pid)


def test_no_file_can_be_opened_on_the_whole_host(monitor):
    faults, pid, other = two(monitor)
    with faults("open - ENFILE"):
        kill(pid)
        failed = monitor.wait_event(kind="spawn_fail", service="demo")
        assert failed["text"].endswith("fota_monitor.log: Too many open files in system")
        assert monitor.status("other")["pid"] == other
    monitor.wait_state("demo")
    assert monitor.status("other")["pid"] == other


def test_one_call_in_three_fails(monitor):
    """Nothing is doubled, lost or forgotten meanwhile, and all is well as soon as the calls are."""
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua/soon.lua").write_text('fm.policy("soon", function() return fm.restart(0.02) end)')
    faults, *pids = two(monitor, service={"policy": "soon", "env": {"LD_PRELOAD": ""}})
    names = ("demo", "other")

    def others():
        found = [monitor.processes(name) for name in names]
        assert all(len(one) <= 1 for one in found), f"doubled: {found}"
        return [] not in found and not set(sum(found, [])) & set(pids) and sum(found, [])

    # One look at the process table opens hundreds of files: with these rules none would ever come to its end.
    with faults("open /proc/ 0", "clone - ENOMEM 3", "exec - EIO 3", "open / ENFILE 3", "write run/ ENOSPC 3"):
        for _ in range(8):
            for pid in pids:
                kill(pid)
            pids = wait_until(others, what=lambda: f"both run again: {monitor.events()[-20:]}")
    assert monitor.events(kind="spawn_fail"), "not every start went well"
    assert pids == monitor.wait_up()
    assert monitor.processes() == sorted(pids)
    seqs = [event["seq"] for event in monitor.events()]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no event is missing"


# ---- files


@pytest.mark.parametrize("error, text", [("ENOSPC", "No space left on device"), ("EROFS", "Read-only file system"),
                                         ("EIO", "Input/output error")])
def test_a_log_that_can_not_be_had_keeps_no_service_down(monitor, error, text):
    faults, pid, _other = two(monitor)
    with faults(f"open demo/fota_monitor.log {error}"):
        kill(pid)
        new = monitor.wait_new_pid("demo", pid)
        assert os.readlink(f"/proc/{new}/fd/1") == os.readlink(f"/proc/{new}/fd/2") == "/dev/null"
        assert monitor.wait_event(kind="log", service="demo")["text"].startswith(
            f"open the log {monitor.root}/demo/fota_monitor.log: {text}; what it writes is lost")
    assert monitor.get("restart", "demo").text == "SUCCESS\n"
    assert os.readlink(f"/proc/{monitor.status('demo')['pid']}/fd/1") == f"{monitor.root}/demo/fota_monitor.log"


DISK_TROUBLE = pytest.mark.parametrize("error, text", [("ENOSPC", "No space left on device"), ("EIO", "Input/output error")])


@DISK_TROUBLE
def test_the_run_folder_can_not_be_written(monitor, error, text):
    """What is to be remembered, and the journal: both are there again when the disk is."""
    faults, pid, _other = two(monitor)
    with faults(f"write run/test. {error}", f"open run/test. {error}"):
        assert monitor.get("stop", "demo").text == "SUCCESS\n"
        wait_until(lambda: f"test.events.jsonl: {text}; events are kept in memory" in monitor.stderr())
        assert f"test.state.jsonl: {text}; what is to be remembered" in monitor.stderr()
        assert "stop asked for" in monitor.get("history", "demo").text
        assert not is_alive(pid)
    wait_until(lambda: "test.state.jsonl is written again" in monitor.stderr())
    wait_until(lambda: "test.events.jsonl is written again" in monitor.stderr())
    assert monitor.stderr().count(text) == 2, "each is said once"
    seqs = [event["seq"] for event in monitor.events()]
    assert seqs == list(range(1, len(seqs) + 1)), "no event is missing"
    monitor.restart(Monitor.kill)
    monitor.wait_state("other")
    assert monitor.status("demo")["state"] == "down"


@DISK_TROUBLE
def test_a_token_that_can_not_be_made_is_made_later(monitor, error, text):
    faults = Faults(monitor)
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"}, auth="token")
    with faults(f"write test.token {error}"):
        monitor.start(env=faults.env)
        assert f"the token can't be had: {monitor.home}/run/test.token: {text}" in monitor.stderr()
        pid = monitor.wait_state("demo")["pid"]
        assert monitor.get("stop", "demo").status == 401
        assert not list((monitor.home / "run").glob("*.token*"))
    wait_until(lambda: (monitor.home / "run/test.token").exists(), what="the token")
    assert monitor.stderr().count("the token can't be had") == 1
    assert monitor.cli("-restart", "demo").stdout == "SUCCESS\n"
    assert not is_alive(pid)


def test_an_address_that_can_not_be_written_is_written_later(monitor):
    faults = Faults(monitor)
    monitor.conf()
    with faults("write test.lock ENOSPC"):
        monitor.start(env=faults.env, wait=False)
        wait_until(lambda: "test.lock: No space left on device" in monitor.stderr())
        assert not monitor.address
    wait_until(lambda: monitor.address, what="its address is to be found")
    assert monitor.cli("-status", "all").returncode == 0
    assert monitor.stderr().count("No space left on device") == 1


def test_a_rotation_that_fails_is_tried_again(monitor):
    faults = Faults(monitor)
    monitor.script("demo/demo", "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"}, log={"max_size": "1K"})
    with faults("write .part EIO"):
        monitor.start(env=faults.env)
        pid, = monitor.wait_up()
        event = monitor.wait_event(kind="log", service="demo")
        assert event["text"].endswith("Input/output error; it is tried again")
    monitor.wait_event(timeout=40, kind="log", text="the log is well again")
    text = "".join(path.read_text() for path in (monitor.root / "demo").glob("fota_monitor*.log"))
    assert [line for line in text.splitlines() if line.startswith("line ")] == [f"line {i}" for i in range(300)]
    assert monitor.status("demo")["pid"] == pid


# ---- disks


def test_a_disk_that_becomes_full(monitor):
    """What is commanded meanwhile is remembered and in the journal: room was set aside for it."""
    with small_disk() as disk:
        monitor.script("demo/demo")
        monitor.conf(svrs={"demo": "demo/demo 1", "other": "demo/demo 2"}, rundir=str(disk))
        (monitor.home / "run").symlink_to(disk)
        monitor.start()
        monitor.wait_up()
        full = fill(disk)
        for _ in range(8):
            assert monitor.get("restart", "other").text == "SUCCESS\n"
        assert monitor.get("stop", "demo").text == "SUCCESS\n"
        before = monitor.events()
        assert before[-1]["kind"] == "down"
        assert "No space left" not in monitor.stderr()
        other = monitor.status("other")["pid"]
        monitor.restart(Monitor.kill)
        assert monitor.wait_state("other")["pid"] == other
        assert monitor.status("demo")["state"] == "down"
        assert monitor.events()[:len(before)] == before
        full.unlink()
        assert monitor.get("start", "demo").text == "SUCCESS\n"
        monitor.get("stop", "all")
        monitor.terminate()


def test_a_full_disk_from_the_start(monitor):
    with small_disk(size="64k") as disk:
        monitor.script("demo/demo", "exec sleep 1000")
        monitor.conf(svrs={"demo": {"cmd": "demo/demo", "log": str(disk / "demo.log")}}, rundir=str(disk))
        (monitor.home / "run").symlink_to(disk)
        full = fill(disk)
        monitor.start(wait=False)
        wait_until(lambda: "the token can't be had" in monitor.stderr())
        wait_until(lambda: len(monitor.processes("demo")) == 1, what="the service runs all the same")
        wait_until(lambda: "test.state.jsonl: No space left on device" in monitor.stderr())
        full.unlink()
        wait_until(lambda: monitor.address, what="its address is to be found")
        pid = monitor.wait_state("demo")["pid"]
        wait_until(lambda: (disk / "test.token").exists(), what="the token")
        wait_until(lambda: "test.state.jsonl is written again" in monitor.stderr())
        assert {"starting", "up"} <= {event["kind"] for event in monitor.events(service="demo")}
        assert monitor.processes() == [pid]
        monitor.get("stop", "all")
        monitor.terminate()


def test_a_home_that_can_only_be_read(monitor):
    """With the run folder and logs elsewhere all is well; with the run folder in it, it says so."""
    writable = monitor.home
    with small_disk() as disk:
        def remount(how):
            subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)

        try:
            monitor.script("demo/demo")
            (disk / "conf").mkdir()
            monitor.home, monitor.conf_file, monitor.stderr_file = disk, disk / "conf/conf.json", writable / "stderr"
            monitor.conf(svrs={"demo": {"cmd": "demo/demo", "log": "/dev/null"}})
            remount("ro")
            monitor.start(wait=False)
            assert monitor.exit_code() == 2
            assert monitor.stderr() == f"Error: rundir {disk}/run: Read-only file system\n"
            remount("rw")
            (disk / "run").symlink_to(writable / "elsewhere")  # where the tests look
            remount("ro")
            monitor.start("-conf", f"rundir={writable}/elsewhere")
            pid = monitor.wait_state("demo")["pid"]
            monitor.restart(Monitor.kill)
            assert monitor.wait_state("demo")["pid"] == pid
            assert monitor.get("restart", "demo").text == "SUCCESS\n" and not is_alive(pid)
            assert "[ERROR]" not in monitor.stderr()
            monitor.terminate()
        finally:
            for pid in monitor.processes():
                kill(pid)
            monitor.home = writable


# ---- clocks


@pytest.mark.parametrize("jump", [-24 * 3600, YEAR], ids=["a day back", "a year ahead"])
def test_the_clock_is_set(monitor, jump):
    """Only dates follow the wall clock: no service, start or uptime does."""
    faults, pid, other = two(monitor)
    with faults(f"clock - {jump}"):
        found = monitor.statuses()
        assert (found["demo"]["pid"], found["other"]["pid"]) == (pid, other)
        assert 0 <= found["demo"]["uptime"] < 60
        kill(pid)
        new = monitor.wait_new_pid("demo", pid, timeout=3)
        assert 0 <= monitor.status("demo")["last_exit"]["uptime"] < 60
        last = monitor.events()[-1]
        assert abs(last["time"] - time.time() - jump) < 60, "the date is what the clock says"
        monitor.restart(Monitor.kill)
        assert monitor.wait_state("demo")["pid"] == new and monitor.wait_state("other")["pid"] == other
        assert 0 <= monitor.status("demo")["uptime"] < 60
        assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    assert monitor.status("other")["pid"] == other and is_running(other)
    assert monitor.http("/healthz").status == 200
