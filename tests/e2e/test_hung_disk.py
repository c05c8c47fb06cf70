"""A disk that does not answer holds a thread of the monitor in the kernel: neither its end nor an upgrade is stuck with it."""

import pytest
from harness import is_alive, wait_until
from unkillable import DeafDisk


@pytest.fixture(name="hung")
def fixture_hung(monitor, tmp_path):
    """Up, with the log of one service on such a disk since then."""
    if DeafDisk.why_not():
        pytest.skip(DeafDisk.why_not())
    for name in ("one", "two"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={name: f"{name}/{name}" for name in ("one", "two")}, log={"max_size": "64K"})
    monitor.start()
    monitor.pids = monitor.wait_up()
    folder = tmp_path / "deaf"
    folder.mkdir()
    monitor.disk = DeafDisk(folder)
    log = monitor.root / "one" / "fota_monitor.log"
    try:
        log.rename(log.with_name("kept.log"))
        log.symlink_to(folder / "log")
        event = monitor.wait_event(timeout=40, service="one", kind="log")
        assert event["text"] == "the log can't be reached: its file system does not answer"
        yield monitor
    finally:
        monitor.disk.end()


@pytest.mark.parametrize("how", ["SIGTERM", "-shutdown"])
def test_another_monitor_can_begin(hung, how):
    """The process itself is gone only when the disk answers; its port and its lock are free before."""
    former = hung.process
    if how == "SIGTERM":
        former.terminate()
    else:
        assert hung.cli(how).stdout == "SUCCESS\n"
        assert not any(is_alive(pid) for pid in hung.pids)
    wait_until(lambda: "a thread still waits for a disk that does not answer" in hung.stderr())
    wait_until(lambda: not is_alive(former.pid))
    assert former.poll() is None, "the disk lets it go"
    hung.process = None
    (hung.root / "one" / "fota_monitor.log").unlink()
    hung.start()
    pids = hung.wait_up()
    assert pids == hung.pids if how == "SIGTERM" else not set(pids) & set(hung.pids)
    hung.disk.let_go()
    assert former.wait(20) == 0


def test_an_upgrade_is_refused(hung):
    done = hung.cli("-upgrade")
    assert (done.stdout, done.returncode) == ("", 3)
    assert "Error: work on logs or /proc has been going on for " in done.stderr
    assert "a disk may not answer; the monitor goes on as it was\n" in done.stderr
    assert hung.get("restart", "two").text == "SUCCESS\n"
    hung.disk.let_go()
    wait_until(lambda: hung.cli("-upgrade").returncode == 0)
    assert hung.wait_up("one") == hung.pids[:1]
