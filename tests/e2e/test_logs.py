"""Console logs: rotated at the start and by size, kept and removed, read as one; nothing is lost whatever happens meanwhile."""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from harness import Monitor, is_alive, wait_until
from unkillable import DeafDisk

# Numbered lines, whole ones, as fast as it goes but for a breath now and then; SIGTERM ends it with how many there were.
WRITER = """
import os, signal, sys, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
name, breath, n = sys.argv[1], float(sys.argv[2]), 0
while not stop:
    os.write(1, b"%s %07d xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\n" % (name.encode(), n))
    n += 1
    if n % 50 == 0:
        time.sleep(breath)
open(sys.argv[3], "w").write(str(n))
"""


def days_ago(days):
    return datetime.now() - timedelta(days=days)


def write(path, text, when):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when.timestamp(), when.timestamp()))


def day_file(path, when, part=None):
    """What the log's lines of that day are in."""
    middle = f".{when.day}" if part is None else f".{when.day}.{part}"
    return path.with_name(path.stem + middle + path.suffix)


def older(path):
    """All the files the log's lines have gone to, in the order of their lines."""
    def key(file):
        parts = file.name[len(path.stem) + 1:-len(path.suffix)].split(".")
        return file.stat().st_mtime_ns, int(parts[1]) if len(parts) > 1 else 1 << 30
    return sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"), key=key)


def lines_of(path):
    """The service's lines in a file, without what the monitor put before them."""
    text = path.read_bytes().lstrip(b"\0").decode(errors="replace")
    return [line for line in text.splitlines() if not line.startswith("--- earlier lines are in ")]


def all_lines(path):
    return [line for file in older(path) + [path] for line in lines_of(file)]


def settled(path):
    """No rotation is under way."""
    return not [file for file in path.parent.glob(f".{path.name}.*")]


def writers(monitor, *names, breath=0.002, log=None, **keys):
    tool = monitor.file("writer.py", WRITER)
    svrs = {}
    for name in names:
        monitor.script(f"{name}/{name}", f'exec /usr/bin/python3 {tool} {name} {breath} {monitor.root}/{name}/count')
        svrs[name] = {"cmd": f"{name}/{name}", **({"log": str(log)} if log else {}), **keys}
    return svrs


def assert_each_once(path, name, count_file):
    count = int(count_file.read_text())
    lines = [line for line in all_lines(path) if line.startswith(f"{name} ")]
    numbers = [int(line.split()[1]) for line in lines]
    assert all(re.fullmatch(rf"{name} \d{{7}} x{{34}}", line) for line in lines)
    assert numbers == list(range(count)), f"{len(numbers)} lines of {count}; {path.parent}"


def stop_writers(monitor, path, limit):
    """When nobody writes any more, and what is left is not enough for another rotation."""
    assert monitor.get("stop", "all").status == 200
    wait_until(lambda: settled(path) and sum(len(line) + 1 for line in lines_of(path)) <= limit and settled(path),
               what=f"{path} has been rotated")


# ---- days


def test_a_midnight_that_was_missed_is_made_up_for(monitor):
    yesterday = days_ago(1)
    monitor.script("demo/demo", "echo new; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    log = monitor.root / "demo" / "fota_monitor.log"
    write(log, "old one\nold two\n", yesterday)
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: day_file(log, yesterday).exists() and settled(log), what="yesterday's lines have moved")
    assert day_file(log, yesterday).read_text() == "old one\nold two\n"
    wait_until(lambda: lines_of(log) == ["new"], what="the log has today's line alone")
    assert monitor.cli("-log", "demo").stdout == "old one\nold two\nnew\n"
    assert monitor.cli("-log", "demo", "-lines", "2").stdout == "old two\nnew\n"
    assert monitor.get("log", "demo", lines=1, format="json").json()["services"]["demo"] == ["new"]


def test_a_restart_of_the_monitor_within_the_day_moves_nothing(monitor):
    monitor.script("demo/demo", "echo line; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    monitor.wait_up()
    monitor.restart(Monitor.kill)
    monitor.wait_up()
    monitor.restart()
    monitor.wait_up()
    assert monitor.log("demo") == "line\n"
    assert not older(monitor.root / "demo" / "fota_monitor.log")


def test_the_configured_day_and_the_one_of_a_month_before(monitor):
    yesterday = days_ago(1)
    monitor.script("a/a")
    monitor.script("b/b")
    monitor.conf(svrs={"a": "a/a", "b": {"cmd": "b/b", "log": "log/{name}.out"}}, log={"day": "%Y-%m-%d"})
    for path in (monitor.root / "a" / "fota_monitor.log", monitor.root / "b" / "log" / "b.out"):
        write(path, "line\n", yesterday)
    monitor.start()
    monitor.wait_up()
    day = yesterday.strftime("%Y-%m-%d")
    wait_until((monitor.root / "a" / f"fota_monitor.{day}.log").exists)
    wait_until((monitor.root / "b" / "log" / f"b.{day}.out").exists)


def test_last_months_file_is_replaced_and_old_ones_are_removed(monitor):
    yesterday = days_ago(1)
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"}, log={"keep_days": 60, "day": "%-d"})
    log = monitor.root / "demo" / "fota_monitor.log"
    write(log, "now\n", yesterday)
    write(day_file(log, yesterday), "a month ago\n", days_ago(32))
    gone = [day_file(log, days_ago(days)) for days in (70, 80)]
    for path, days in zip(gone, (70, 80)):
        if path != day_file(log, yesterday):
            write(path, "long ago\n", days_ago(days))
    kept = [log.with_name("fota_monitor.backup.log"), log.with_name("notes.txt")]
    for path in kept:
        write(path, "mine\n", days_ago(100))
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: day_file(log, yesterday).read_text() == "now\n", what="it is replaced")
    wait_until(lambda: all(path == day_file(log, yesterday) or not path.exists() for path in gone), what="old ones go")
    assert all(path.read_text() == "mine\n" for path in kept)


# ---- sizes


def test_past_max_size_lines_move_in_parts_and_each_is_there_once(monitor):
    monitor.conf(svrs=writers(monitor, "fast", breath=0.0005), log={"max_size": "64K"})
    log = monitor.root / "fast" / "fota_monitor.log"
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: len(older(log)) >= 5, what="five parts are there")
    stop_writers(monitor, log, 65536)
    today = {day_file(log, day, part) for day in (days_ago(0), days_ago(1)) for part in range(1, 1000)}
    assert set(older(log)) <= today | {day_file(log, days_ago(1))}
    assert_each_once(log, "fast", monitor.root / "fast" / "count")
    lines = monitor.cli("-log", "fast", "-lines", "1000").stdout.splitlines()
    assert lines == all_lines(log)[-1000:]
    moved = sum(path.stat().st_size for path in older(log))
    counted = f"fota_monitor_log_rotated_bytes_total {moved}\n"
    metrics = wait_until(lambda: counted in (text := monitor.http("/metrics").text) and text, what=counted)
    assert f"fota_monitor_log_rotations_total {len(older(log))}\n" in metrics
    assert "fota_monitor_log_failures_total 0\n" in metrics
    assert not monitor.events(kind="log")


@pytest.mark.parametrize("parent", ["/tmp", "/dev/shm"])
def test_a_monitor_killed_at_any_moment_loses_nothing(monitor, parent):
    base = Path(tempfile.mkdtemp(prefix="fm-logs-", dir=parent))
    try:
        base.chmod(0o755)
        log = base / "w.log"
        monitor.conf(svrs=writers(monitor, "w", breath=0.0005, log=log), log={"max_size": 5000})
        monitor.start()
        monitor.wait_up()
        broken_off = 0
        for _ in range(12):
            seen = len(older(log))
            wait_until(lambda seen=seen: len(older(log)) > seen or not settled(log), what="it is rotated")
            time.sleep(random.uniform(0, 0.01))  # any moment, not one that was waited for
            monitor.kill()
            broken_off += not settled(log)
            monitor.start(*monitor.started_as[0])
        monitor.wait_up()
        stop_writers(monitor, log, 5000)
        assert_each_once(log, "w", monitor.root / "w" / "count")
        assert monitor.stderr().count("broken off") <= broken_off  # one that came too late is finished by the other
    finally:
        shutil.rmtree(base)


def test_a_file_system_that_takes_no_lines_away_is_told_of_once(monitor):
    """There a log is emptied when nobody has written for a moment; how often is counted."""
    base = Path(tempfile.mkdtemp(prefix="fm-logs-", dir="/dev/shm"))
    try:
        base.chmod(0o755)
        logs = [base / f"{name}.log" for name in "abc"]
        text = "".join(f"{i} 0123456789012345678901234567890123456789\n" for i in range(1000))
        for log in logs:
            write(log, text, days_ago(1))
        monitor.conf(svrs={log.stem: {"cmd": "sleep 1000", "log": str(log)} for log in logs})
        monitor.start()
        monitor.wait_up()
        wait_until(lambda: all(map(settled, logs)) and not any(map(lines_of, logs)), what="all of them are rotated")
        wait_until(lambda: "fota_monitor_log_rotations_total 3\n" in monitor.http("/metrics").text, what="it is known")
        assert [day_file(log, days_ago(1)).read_text() for log in logs] == [text] * 3
        assert "fota_monitor_log_emptied_total 3\n" in monitor.http("/metrics").text
        assert monitor.stderr().count("can't take lines away from the front of a file") == 1
        assert not monitor.events(kind="log")
    finally:
        shutil.rmtree(base)


def test_a_shared_log_moves_once(monitor):
    log = monitor.root / "both.log"
    monitor.conf(svrs=writers(monitor, "a", "b", log=log), log={"max_size": "64K"})
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: len(older(log)) >= 4, what="four parts are there")
    stop_writers(monitor, log, 65536)
    for name in "ab":
        assert_each_once(log, name, monitor.root / name / "count")


def test_a_tail_goes_back_over_a_rotation(monitor):
    monitor.script("demo/demo", """
        i=0; while [ $i -lt 400 ]; do echo "$i 0123456789012345678901234567890123456789"; i=$((i+1)); done
        [ -e stay ] && exec sleep 1000
        touch past
        while [ ! -e die ]; do sleep 0.05; done
        echo last words; exit 3""")
    monitor.conf(svrs={"demo": "demo/demo"}, log={"max_size": "4K"})
    log = monitor.root / "demo" / "fota_monitor.log"
    monitor.start()
    wait_until(lambda: older(log) and settled(log), what="its lines have moved")
    wait_until((monitor.root / "demo" / "past").exists)
    (monitor.root / "demo" / "stay").touch()
    (monitor.root / "demo" / "die").touch()
    found = wait_until(lambda: monitor.status("demo")["last_exit"], what="it ended")
    assert found["code"] == 3
    assert found["tail"] == [f"{i} 0123456789012345678901234567890123456789" for i in range(381, 400)] + ["last words"]


# ---- odd and broken ones


def test_what_cannot_be_rotated_is_told_and_tried_again(monitor):
    monitor.conf(svrs=writers(monitor, "w"), log={"max_size": "16K"})
    log = monitor.root / "w" / "fota_monitor.log"
    obstacle = log.parent / ".fota_monitor.log.rotating"
    obstacle.mkdir(parents=True)
    monitor.start()
    [pid] = monitor.wait_up()
    event = monitor.wait_event(service="w", kind="log")
    assert event["text"] == "the log can't be rotated: .fota_monitor.log.rotating: File exists; it is tried again"
    assert "the log can't be rotated" in monitor.stderr()
    assert "the log can't be rotated" in monitor.cli("-history", "w").stdout
    obstacle.rmdir()
    wait_until(lambda: older(log), timeout=40, what="it is rotated")
    monitor.wait_event(service="w", kind="log", text="the log is well again")
    assert monitor.status("w")["pid"] == pid
    stop_writers(monitor, log, 16384)
    assert_each_once(log, "w", monitor.root / "w" / "count")


def test_a_full_disk_is_told_and_the_rotation_made_up_for(monitor):
    disk = Path(tempfile.mkdtemp(prefix="fm-disk-"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        disk.rmdir()
        pytest.skip("needs the right to mount")
    try:
        log = disk / "w.log"
        log.write_text("".join(f"old {i:07}\n" for i in range(100000)))  # 1.2 MB: there is no room for a copy
        monitor.script("w/w", "echo new; exec sleep 1000")
        monitor.conf(svrs={"w": {"cmd": "w/w", "log": str(log)}}, log={"max_size": "500K"})
        monitor.start()
        [pid] = monitor.wait_up()
        assert "No space left on device" in monitor.wait_event(service="w", kind="log")["text"]
        assert settled(log) and not older(log)
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        wait_until(lambda: older(log) and settled(log), timeout=40, what="it is rotated")
        assert len(all_lines(log)) == 100001
        assert monitor.status("w")["pid"] == pid
        assert "hole" in monitor.stderr() or "emptied" in monitor.stderr()  # the warning about this file system
    finally:
        monitor.get("stop", "all")
        subprocess.run(["umount", "-l", disk], check=True)
        disk.rmdir()


def test_a_log_that_is_gone_or_a_folder_is_told_and_the_service_left_alone(monitor):
    monitor.script("demo/demo", "echo one; exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"}, log={"max_size": "1M"})
    log = monitor.root / "demo" / "fota_monitor.log"
    monitor.start()
    [pid] = monitor.wait_up()
    os.kill(monitor.pid, signal.SIGSTOP)
    log.unlink()
    log.mkdir()
    os.kill(monitor.pid, signal.SIGCONT)
    monitor.restart()
    monitor.wait_up()
    reload = monitor.cli("-reload")
    assert reload.returncode == 0
    event = monitor.wait_event(timeout=80, service="demo", kind="log")
    assert event["text"] == "the log can't be read: Is a directory"
    assert monitor.status("demo")["pid"] == pid and is_alive(pid)


def test_devices_are_not_rotated(monitor):
    monitor.conf(svrs=writers(monitor, "w", log="/dev/null"), log={"max_size": 1})
    monitor.script("other/other", "echo 123; exec sleep 1000")
    svrs = writers(monitor, "w", log="/dev/null")
    monitor.conf(svrs={**svrs, "other": "other/other"}, log={"max_size": 1})
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: older(monitor.root / "other" / "fota_monitor.log"), what="the other one's line has moved")
    assert Path("/dev/null").is_char_device()
    assert not list(Path("/dev").glob("null.*"))
    assert not monitor.events(kind="log")


def test_links_that_others_planted_are_not_followed(monitor):
    if os.geteuid() != 0:
        pytest.skip("needs another user")
    victim = monitor.file("victim", "precious\n")
    monitor.conf(svrs=writers(monitor, "w"), log={"max_size": "16K"})
    log = monitor.root / "w" / "fota_monitor.log"
    now = datetime.now()
    planted = [day_file(log, now, 1), day_file(log, now, 2), log.parent / ".fota_monitor.log.part",
               log.parent / ".fota_monitor.log.rotating"]
    for path in planted:
        path.symlink_to(victim)
        os.lchown(path, 65534, 65534)
    os.chown(log.parent, 65534, 65534)
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: day_file(log, now, 3).exists() or len(older(log)) > 4, what="its lines have moved past the links")
    stop_writers(monitor, log, 16384)
    assert victim.read_text() == "precious\n"
    for path in planted:
        if path.is_symlink():
            path.unlink()
    assert_each_once(log, "w", monitor.root / "w" / "count")


def test_a_link_of_ours_is_followed_and_older_files_are_beside_it(monitor):
    target = Path(tempfile.mkdtemp(prefix="fm-logs-", dir="/dev/shm"))
    try:
        target.chmod(0o755)
        monitor.conf(svrs=writers(monitor, "w"), log={"max_size": "64K"})
        log = monitor.root / "w" / "fota_monitor.log"
        log.symlink_to(target / "real.log")
        monitor.start()
        monitor.wait_up()
        wait_until(lambda: len(older(log)) >= 3, what="three parts are there")
        stop_writers(monitor, log, 65536)
        assert os.listdir(target) == ["real.log"]
        assert_each_once(log, "w", monitor.root / "w" / "count")
    finally:
        shutil.rmtree(target)


def test_the_logs_of_two_services_may_be_named_alike(monitor):
    """web.1 logs where the first day of web's log would go."""
    yesterday = days_ago(1)
    monitor.script("web/web", "echo web; exec sleep 1000")
    names = ["web", f"web.{yesterday.day}"]
    monitor.conf(svrs={name: {"cmd": "web/web", "dir": ".", "log": "{name}.log"} for name in names})
    live = monitor.root / f"web.{yesterday.day}.log"
    write(monitor.root / "web.log", "old web\n", yesterday)
    monitor.start()
    monitor.wait_up()
    part = monitor.root / f"web.{yesterday.day}.1.log"
    wait_until(part.exists, what="its lines went elsewhere")
    assert part.read_text() == "old web\n"
    wait_until(lambda: live.read_text() == "web\n")


def test_a_reload_changes_the_limit(monitor):
    svrs = writers(monitor, "w")
    monitor.conf(svrs=svrs)
    log = monitor.root / "w" / "fota_monitor.log"
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: log.stat().st_size > 100000)
    assert not older(log)
    monitor.conf(svrs=svrs, log={"max_size": "100K"})
    assert "log" in monitor.cli("-reload").stdout
    wait_until(lambda: older(log), what="it is rotated")
    stop_writers(monitor, log, 102400)
    assert_each_once(log, "w", monitor.root / "w" / "count")


# ---- disks that refuse or hang


def test_a_folder_that_is_read_only_is_told_and_the_rotation_made_up_for(monitor):
    monitor.conf(svrs=writers(monitor, "w"), log={"max_size": "16K"})
    log = monitor.root / "w" / "fota_monitor.log"
    monitor.start()
    [pid] = monitor.wait_up()
    wait_until(lambda: older(log), what="it is rotated")
    os.kill(monitor.pid, signal.SIGSTOP)  # so that it is in the middle of none
    if os.geteuid() == 0 and subprocess.run(["chattr", "+i", log.parent], capture_output=True, check=False).returncode:
        os.kill(monitor.pid, signal.SIGCONT)
        pytest.skip("root may write everywhere, and this file system has no immutable folders")
    if os.geteuid():
        log.parent.chmod(0o555)
    try:
        os.kill(monitor.pid, signal.SIGCONT)
        event = monitor.wait_event(service="w", kind="log")
        assert re.search("can't be rotated: .*(Permission denied|Operation not permitted); it is tried again", event["text"])
        size = log.stat().st_size
        wait_until(lambda: log.stat().st_size > size, what="the service goes on writing")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", log.parent], check=True)
        else:
            log.parent.chmod(0o755)
    monitor.wait_event(timeout=40, service="w", kind="log", text="the log is well again")
    assert monitor.status("w")["pid"] == pid
    stop_writers(monitor, log, 16384)
    assert_each_once(log, "w", monitor.root / "w" / "count")


def test_a_disk_that_does_not_answer_holds_up_its_own_logs_alone(monitor, tmp_path):
    """The folder behind the link is a file system whose server is there and never says a word."""
    if DeafDisk.why_not():
        pytest.skip(DeafDisk.why_not())
    lively = Path(tempfile.mkdtemp(prefix="fm-logs-", dir="/dev/shm"))
    lively.chmod(0o755)
    monitor.conf(svrs={**writers(monitor, "a"), **writers(monitor, "b", log=lively / "b.log")}, log={"max_size": "64K"})
    log = monitor.root / "a" / "fota_monitor.log"
    monitor.start()
    pids = monitor.wait_up()
    wait_until(lambda: older(log) and older(lively / "b.log"), what="both are rotated")
    disk = DeafDisk(tmp_path)
    try:
        log.rename(log.with_name("kept.log"))
        log.symlink_to(tmp_path / "log")
        event = monitor.wait_event(timeout=40, service="a", kind="log")
        assert event["text"] == "the log can't be reached: its file system does not answer"
        before = len(older(lively / "b.log"))
        wait_until(lambda: len(older(lively / "b.log")) > before, what="the other one is rotated as ever")
        assert monitor.get("status", "all").status == 200
        log.unlink()
        log.with_name("kept.log").rename(log)
    finally:
        disk.end()
    monitor.wait_event(timeout=40, service="a", kind="log", text="the log is well again")
    assert not monitor.events(service="b", kind="log") and monitor.wait_up() == pids
    stop_writers(monitor, lively / "b.log", 65536)
    stop_writers(monitor, log, 65536)
    for path, name in ((log, "a"), (lively / "b.log", "b")):
        assert_each_once(path, name, monitor.root / name / "count")
    shutil.rmtree(lively)


# ---- last words


def test_the_last_lines_are_kept_with_the_end_but_no_more_than_4_kb(monitor):
    words = "".join(f"{i:02} {'x' * 396}\n" for i in range(30))
    text = monitor.file("words", words)
    monitor.script("bad/bad", f"[ -e {monitor.root}/go ] || exec sleep 1000\ncat {text}; exit 3")
    monitor.conf(svrs={"bad": {"cmd": "bad/bad", "autostart": False}})
    monitor.start()
    (monitor.root / "go").touch()
    done = monitor.cli("-start", "bad")
    assert done.returncode == 1 and f": 29 {'x' * 100}" in done.stdout
    tail = wait_until(lambda: monitor.status("bad")["last_exit"], what="it ended")["tail"]
    assert tail[-1] == words.splitlines()[-1] and tail[1:] == words.splitlines()[-len(tail) + 1:]
    assert 3500 < sum(len(line) + 1 for line in tail) <= 4096
    wait_until(lambda: "29 xxxx" in monitor.cli("-why", "bad").stdout, what="the reason has its last line")
