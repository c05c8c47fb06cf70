"""The monitor becomes another program, and nobody notices: neither services nor clients."""

import functools
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from harness import (BINARY, children, environ_of, fds, is_alive, is_sanitized, kill, later, limits, stat,
                     wait_asleep, wait_minds, wait_until)


TLS = Path(__file__).parent / "tls"
KEPT = Path(__file__).parent / "kept"


@pytest.fixture(name="up")
def fixture_up(monitor):
    """A monitor of which the program is a file of its own, with three services."""
    monitor.program = monitor.home / "fota_monitor"
    shutil.copy(BINARY, monitor.program)
    for name in ("one", "two", "three"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={"one": "one/one", "two": "two/two", "three": "three/three"})
    monitor.start(binary=monitor.program)
    monitor.pids = monitor.wait_up()
    return monitor


def replace(monitor, content):
    """As a package manager does it; content: a path or bytes."""
    beside = monitor.home / "fota_monitor.new"
    if isinstance(content, bytes):
        beside.write_bytes(content)
        beside.chmod(0o755)
    else:
        shutil.copy(content, beside)
    os.replace(beside, monitor.program)


def program_of(monitor):
    """The inode of what runs."""
    return os.stat(f"/proc/{monitor.pid}/exe").st_ino


def connections():
    """Sockets of connections: the inodes of what does not listen."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] != "0A"}


def kept_fds(monitor):
    """What it keeps open when nothing is going on: the same for a while, no connection among it, no HTTP server."""
    seen = []
    wait_until(lambda: not monitor.has_http(), 60, "nobody has asked for some time")

    def look():
        found = fds(monitor.pid).values()
        seen.append(None if connections() & set(found) else sorted(what.split("[")[0] for what in found))
        return len(seen) >= 8 and seen[-1] and all(what == seen[-1] for what in seen[-8:]) and seen[-1]
    return wait_until(look, 60, lambda: f"it keeps the same descriptors: {seen[-8:]}")


def test_same_pid_same_children_same_port(up):
    replace(up, BINARY)
    new = up.program.stat().st_ino
    address, pid = up.address, up.pid
    assert program_of(up) != new
    done = up.cli("-upgrade")
    assert (done.stdout, done.stderr, done.returncode) == ("SUCCESS\n", "", 0)
    assert program_of(up) == new
    assert up.address == address and up.pid == pid and up.alive
    found = up.statuses()
    assert [found[name]["pid"] for name in up.names] == up.pids
    assert all(s["state"] == "up" and not s["adopted"] for s in found.values())
    assert set(up.pids) <= set(children(up.pid))
    assert not up.events(kind="adopt") and len(up.events(kind="starting")) == 3
    assert "took over from" in up.events(kind="monitor")[-1]["text"]
    reply = up.get("upgrade", format="json")
    assert reply.status == 200 and reply.json()["ok"] is True and reply.exit_code == 0
    assert up.cli("-restart", "one").returncode == 0
    assert json.loads((up.home / "run" / "test.state.jsonl").read_text().splitlines()[0])["version"] == 1


def test_exit_codes_are_known_afterwards(up):
    up.script("two/two", "trap 'exit 42' TERM; while :; do sleep 0.05; done")
    assert up.get("restart", "two").exit_code == 0
    pid = up.status("two")["pid"]
    wait_minds(pid)
    assert up.get("upgrade").text == "SUCCESS\n"
    os.kill(pid, signal.SIGTERM)
    up.wait_new_pid("two", pid)
    assert up.status("two")["last_exit"]["code"] == 42
    kill(up.pids[2], signal.SIGKILL)
    up.wait_new_pid("three", up.pids[2])
    assert up.status("three")["last_exit"]["signal"] == "SIGKILL"
    wait_until(lambda: not any(stat(p) for p in (pid, up.pids[2])), what="no zombie is left")


def test_one_that_ends_in_between_is_not_missed(up):
    """Its end comes while nobody looks."""
    for _ in range(5):
        before = up.status("one")["pid"]
        killer = threading.Timer(0.03, kill, [before])
        killer.start()
        assert up.get("upgrade").text == "SUCCESS\n"
        killer.join()
        assert up.wait_new_pid("one", before)
        assert up.status("one")["last_exit"]["signal"] == "SIGKILL"


def upgraded_fds(monitor):
    """What it keeps after another upgrade. A second later a helper (not in sanitized builds) finds out whether libmicrohttpd
    can be loaded, and with the first helper libuv opens /dev/null once more, as a reserve."""
    assert monitor.get("upgrade").text == "SUCCESS\n"
    nulls = 3 if is_sanitized() else 4
    wait_until(lambda: list(fds(monitor.pid).values()).count("/dev/null") == nulls, what="its start is over")
    return kept_fds(monitor)


def test_no_descriptor_is_lost_or_left(up):
    before = upgraded_fds(up)
    for _ in range(2):
        assert up.get("upgrade").text == "SUCCESS\n"
    after = upgraded_fds(up)
    assert after == before, f"{after} != {before}"
    # The lock is held by what is being started too, until it can be told for what it is.
    assert before.count(str(up.home / "run" / "test.lock")) == 2
    assert up.get("restart", "one").exit_code == 0
    one = up.wait_up("one")[0]
    wait_asleep(one, 1000)
    held = fds(one)
    assert set(held) == {0, 1, 2}, held
    assert not any(key.startswith("FOTA_MONITOR_STATE") for key in environ_of(one))


@pytest.mark.parametrize("before", [None, "glibc.malloc.tcache_count=0"], ids=["by hand", "by fota_monitor.sh"])
def test_malloc_is_told_to_keep_nothing_for_each_thread(monitor, before):
    """The program that comes is told in its environment, as fota_monitor.sh does it; services are not."""
    monitor.script("one/one")
    monitor.conf(svrs={"one": "one/one"})
    monitor.start(env=before and {"GLIBC_TUNABLES": before})
    assert "GLIBC_TUNABLES" not in environ_of(*monitor.wait_up())
    for _ in range(2):
        assert monitor.get("upgrade").text == "SUCCESS\n"
        assert environ_of(monitor.pid)["GLIBC_TUNABLES"] == "glibc.malloc.tcache_count=0"
        assert monitor.get("restart", "one").exit_code == 0
        assert "GLIBC_TUNABLES" not in environ_of(monitor.status("one")["pid"])


def test_what_the_user_tells_malloc_stays(monitor):
    own = "glibc.malloc.tcache_count=3"
    monitor.script("one/one")
    monitor.conf(svrs={"one": "one/one"})
    monitor.start(env={"GLIBC_TUNABLES": own})
    assert environ_of(*monitor.wait_up())["GLIBC_TUNABLES"] == own
    assert monitor.get("upgrade").text == "SUCCESS\n"
    assert environ_of(monitor.pid)["GLIBC_TUNABLES"] == own
    assert monitor.get("restart", "one").exit_code == 0
    assert environ_of(monitor.status("one")["pid"])["GLIBC_TUNABLES"] == own


def test_services_keep_the_limit_the_monitor_was_started_with(monitor):
    soft, hard = 333, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    monitor.script("one/one")
    monitor.conf(svrs={"one": "one/one"})
    monitor.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
    monitor.wait_up()
    for _ in range(2):
        assert monitor.get("upgrade").text == "SUCCESS\n"
        assert monitor.get("restart", "one").exit_code == 0
        assert limits(monitor.status("one")["pid"])["Max open files"][0] == str(soft)


class Hammer(threading.Thread):
    """Asks for the status as fast as it can; every answer must be the right one."""

    def __init__(self, monitor, keep_alive, expected):
        super().__init__()
        scheme, self.host, port = re.fullmatch(r"(https://|)(.*):(\d+)", monitor.address).groups()
        context = ssl.create_default_context(cafile=TLS / "one.pem") if scheme else None
        make = functools.partial(http.client.HTTPSConnection, context=context) if scheme else http.client.HTTPConnection
        self.connection = make(self.host, int(port), timeout=20)
        self.keep_alive = keep_alive
        self.encrypted = bool(scheme)
        self.expected = expected
        self.count = 0
        self.failed = None
        self.enough = threading.Event()
        self.start()

    def run(self):
        connection = self.connection
        asked = time.monotonic()
        try:
            while not self.enough.is_set():
                before, asked = asked, time.monotonic()
                try:
                    connection.request("GET", "/?command=status&service=all")
                    text = connection.getresponse().read().decode()
                except (ConnectionError, ssl.SSLError):
                    # Encrypted ones can't be handed over: an upgrade ends those on which nothing was asked for 0.3 s.
                    if not self.encrypted or asked - before < 0.3:
                        raise
                    connection.close()
                    asked = time.monotonic()
                    continue
                assert text == self.expected, text
                self.count += 1
                if not self.keep_alive:
                    connection.close()
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.failed = error

    def end(self):
        self.enough.set()
        self.join()
        assert self.failed is None, f"after {self.count} answers: {self.failed!r}"
        return self.count


def test_clients_notice_nothing(up):
    expected = up.get("status", "all").text
    hammers = [Hammer(up, keep_alive, expected) for keep_alive in (True, False, True)]
    for _ in range(5):
        count = [h.count for h in hammers]
        wait_until(lambda: all(h.count > n + 20 or h.failed for h, n in zip(hammers, count)))  # pylint: disable=W0640
        assert up.get("upgrade").text == "SUCCESS\n"
    for h in hammers:
        h.end()
    assert len(up.events(kind="monitor")) == 6


def test_what_is_asked_is_answered_before(up):
    """A restart that takes three seconds."""
    up.script("two/two", "trap 'sleep 3; exit 0' TERM; while :; do sleep 0.05; done")
    assert up.get("restart", "two").exit_code == 0
    wait_minds(up.status("two")["pid"])
    restart = later(up.get, "restart", "two")
    up.wait_state("two", "stopping")
    assert up.get("upgrade").text == "SUCCESS\n"
    assert restart.result(20).text == "SUCCESS\n"


def test_what_takes_too_long_is_answered_and_goes_on(up):
    up.script("two/two", "trap '' TERM; while :; do sleep 0.05; done")
    up.conf(svrs={"one": "one/one", "two": {"cmd": "two/two", "stop": {"timeout": 8}}, "three": "three/three"})
    assert up.get("reload").exit_code == 0
    assert up.get("restart", "two").exit_code == 0
    pid = up.status("two")["pid"]
    wait_minds(pid)
    stop = later(up.get, "stop", "two")
    up.wait_state("two", "stopping")
    assert up.get("upgrade", wait=1).text == "SUCCESS\n"
    reply = stop.result(20)
    assert reply.status == 503 and "what was asked for goes on" in reply.text
    assert up.status("two")["state"] == "stopping"
    assert up.wait_state("two", "down")["last_exit"]["signal"] == "SIGKILL"
    assert not is_alive(pid) and len(up.events(service="two", kind="signal")) == 1


def test_streams_end_cleanly_and_can_be_resumed(up):
    with socket.create_connection(up.address.rsplit(":", 1)) as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.settimeout(20)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert up.get("upgrade").text == "SUCCESS\n"
        got = b""
        while not got.endswith(b"0\r\n\r\n") and b"\r\n0\r\n" not in got:
            piece = sock.recv(65536)
            assert piece, got
            got += piece
    last = up.events()[-1]["seq"]
    assert up.get("restart", "one").exit_code == 0
    with socket.create_connection(up.address.rsplit(":", 1)) as sock:
        sock.sendall(f"GET /events?since={last} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        sock.settimeout(20)
        got = b""
        while b"restart asked for" not in got:
            got += sock.recv(65536)


def test_waits_and_wants_survive(up):
    up.script("two/two", "exit 3")
    assert up.get("stop", "one").exit_code == 0
    kill(up.pids[1])
    failing = up.wait_state("two", "waiting")
    assert up.get("upgrade").text == "SUCCESS\n"
    found = up.statuses()
    assert found["one"]["state"] == "down" and found["three"]["pid"] == up.pids[2]
    assert found["two"]["failures"] >= failing["failures"] and found["two"]["restarts"] >= failing["restarts"]
    assert found["two"]["last_exit"]["code"] == 3
    tries = len(up.events(service="two", kind="exit"))
    wait_until(lambda: len(up.events(service="two", kind="exit")) > tries, what="it is tried again")
    assert up.status("one")["state"] == "down"


def test_what_is_nobodys_child_leaves_no_zombie(up):
    """Helpers of scripts, which end with the old program, and a service that the new one knows nothing of."""
    (up.home / "lua").mkdir()
    (up.home / "lua" / "helper.lua").write_text("""
fm.after(0, function()
  fm.exec{ "sh", "-c", "echo $$ >helper.new; mv helper.new helper; exec sleep 1000", dir = fm.home }
end)
""")
    assert up.get("reload").exit_code == 0
    wait_until((up.home / "helper").exists)
    helper = int((up.home / "helper").read_text())
    up.conf(svrs={"one": "one/one", "two": "two/two"})
    assert up.get("upgrade").text == "SUCCESS\n"
    wait_until(lambda: not stat(helper), what="the helper is gone")
    assert up.names == ["one", "two"] and up.wait_up() == up.pids[:2] and is_alive(up.pids[2])
    kill(up.pids[2])
    wait_until(lambda: not stat(up.pids[2]), what="no zombie is left")
    kill(up.pids[0])
    up.wait_new_pid("one", up.pids[0])
    assert up.status("one")["last_exit"]["signal"] == "SIGKILL", "ends of services are not taken from them"


def test_who_is_taken_out_of_the_configuration_ends_first(up):
    up.script("three/three", "trap 'sleep 3; echo ended; exit 0' TERM; while :; do sleep 0.05; done")
    assert up.get("restart", "three").exit_code == 0
    pid = up.status("three")["pid"]
    wait_minds(pid)
    up.conf(svrs={"one": "one/one", "two": "two/two"})
    assert up.get("reload").exit_code == 0 and is_alive(pid)
    assert up.get("upgrade").text == "SUCCESS\n"
    assert not is_alive(pid) and "ended" in up.log("three")
    assert up.events(service="three", kind="exit")[-1]["code"] == 0


def test_encrypted_connections_are_closed_between_two_requests(up):
    for name in ("pem", "key"):
        shutil.copy(TLS / f"one.{name}", up.home / "conf" / f"cert.{name}")
    up.conf(svrs={name: f"{name}/{name}" for name in up.names}, tls={"cert": "conf/cert.pem", "key": "conf/cert.key"})
    assert up.get("reload").exit_code == 0
    assert up.address.startswith("https://")
    expected = up.cli("-status", "all").stdout
    hammers = [Hammer(up, keep_alive, expected) for keep_alive in (True, False)]
    for _ in range(3):
        count = [h.count for h in hammers]
        wait_until(lambda: all(h.count > n + 5 or h.failed for h, n in zip(hammers, count)))  # pylint: disable=W0640
        done = up.cli("-upgrade")
        assert (done.stdout, done.returncode) == ("SUCCESS\n", 0)
    for h in hammers:
        h.end()


def test_the_port_stays_where_another_one_is_not_to_be_had(up):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up.conf(svrs={name: f"{name}/{name}" for name in up.names}, port=taken.getsockname()[1])
        address = up.address
        assert up.get("upgrade").text == "SUCCESS\n"
    assert up.address == address and up.wait_up() == up.pids
    assert "the admin port stays where it was" in up.stderr()
    assert up.get("reload").exit_code == 0
    assert up.address != address and up.wait_up() == up.pids


# ---- when it can't be


def refused(monitor):
    """The command fails, and all is as before; returns what it said."""
    before, address = monitor.statuses(), monitor.address
    running = program_of(monitor)
    done = monitor.cli("-upgrade", timeout=60)
    assert done.returncode == 3 and "the monitor goes on as it was" in done.stdout + done.stderr, done
    assert program_of(monitor) == running
    after = monitor.statuses()
    assert {n: (s["pid"], s["state"]) for n, s in after.items()} == {n: (s["pid"], s["state"]) for n, s in before.items()}
    assert monitor.address == address
    assert monitor.cli("-restart", "one").returncode == 0
    return done.stdout + done.stderr


@pytest.mark.parametrize("content, why", [
    (b"#!/bin/sh\necho nonsense >&2\nexit 7\n", "nonsense"),
    (b"#!/bin/sh\nexit 0\n", "no word that it would"),
    (b"#!/bin/sh\nkill -SEGV $$\n", "was killed by SIGSEGV"),
    (b"\x7fELF nothing else", ""),
    (BINARY.read_bytes()[:40000], ""),
    (b"", ""),
], ids=["fails", "silent", "crashes", "no program", "truncated", "empty"])
def test_a_broken_program_leaves_the_old_one_running(up, content, why):
    replace(up, content)
    said = refused(up)
    assert why in said
    replace(up, BINARY)
    assert up.get("upgrade").text == "SUCCESS\n"


def test_a_missing_program_leaves_the_old_one_running(up):
    up.program.unlink()
    assert "no such file" in refused(up).lower()


def test_a_bad_configuration_is_no_moment_for_it(up):
    good = up.conf_file.read_text()
    up.conf_text("{ nonsense")
    assert "conf.json:1" in refused(up)
    up.conf_text(good)
    assert up.get("upgrade").text == "SUCCESS\n"


def test_another_run_folder_takes_a_restart(up):
    up.conf(svrs={name: f"{name}/{name}" for name in up.names}, rundir="elsewhere")
    assert "takes a restart of the monitor" in refused(up)


def test_a_state_of_a_newer_format_is_left_to_who_wrote_it(up):
    """The program on the disk is older than the one that runs: it says so, and is not used."""
    replace(up, f"""#!/bin/sh
sed '1s/"upgrade":1,/"upgrade":99,/' | exec {BINARY} "$@"
""".encode())
    assert "the state has format 99" in refused(up)


def test_what_scripts_say_is_not_taken_for_the_reason(up):
    (up.home / "lua").mkdir()
    (up.home / "lua" / "bad.lua").write_text('fm.log.warn("something else") error("the reason")')
    said = refused(up)
    assert "the reason" in said and "something else" not in said


def check_state(monitor, text, **popen):
    return subprocess.run([BINARY, "-home", monitor.home, "-env", "test", "-check-state", "0"], input=text, text=True,
                          capture_output=True, timeout=30, check=False, **popen)


HEAD = '{"upgrade":1,"from":"0.0.9","pid":17,"lock":3,"seq":5}\n'


def test_a_state_is_judged(up):
    service = '{"service":"one","state":"up","want":"up","pid":18,"start":5,"pidfd":9,"child":true}\n'
    for good in (HEAD + service, HEAD + '{"listen":"127.0.0.1","port":1,"fd":4}\n{"peer":5}\n' + service,
                 HEAD + '{"something":"new"}\n' + service, HEAD):
        done = check_state(up, good)
        assert done.returncode == 0 and done.stdout == "this program can take over\n", (good, done)
    for bad, why in (("", "not whole"), (HEAD[:-1], "not whole"), (service, "does not begin"),
                     (HEAD.replace(":1,", ":2,", 1), "format 2"), (HEAD + "rubbish\n", "can't be read"),
                     (HEAD + service.replace('"up"', '"sideways"', 1), "can't be read"),
                     (HEAD.replace('"lock":3,', ""), "lacks something")):
        done = check_state(up, bad)
        assert done.returncode == 2 and why in done.stderr and not done.stdout, (bad, done)


def test_a_foreign_state_is_not_used(monitor):
    """Whoever sets the variable gets nothing for it."""
    monitor.script("one/one")
    monitor.conf(svrs={"one": "one/one"})
    monitor.start(env={"FOTA_MONITOR_STATE": "0"})
    monitor.wait_up()
    monitor.terminate()
    read, write = os.pipe()
    monitor.start(env={"FOTA_MONITOR_STATE": str(read)}, pass_fds=[read])
    os.close(read)
    os.close(write)
    assert monitor.wait_up()


def test_sigterm_right_behind_it_ends_the_monitor_as_ever(up):
    for delay in (0.0, 0.01, 0.03, 0.06):
        killer = threading.Timer(delay, os.kill, [up.pid, signal.SIGTERM])
        asker = threading.Thread(target=ask_and_forget, args=[up.address])
        asker.start()
        killer.start()
        assert up.exit_code() == 0
        asker.join()
        killer.join()
        words, popen = up.started_as
        up.start(*words, **{**popen, "binary": up.program})
        assert up.wait_up() == up.pids


def ask_and_forget(address):
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=10) as sock:
            sock.sendall(b"GET /?command=upgrade HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sock.recv(100)
    except OSError:
        pass


# ---- what earlier versions have left

# A process with all that the kept state speaks of, which then becomes the program.
FORMER = """
import fcntl, os, socket, subprocess, sys, time
kept, home, *program = sys.argv[1:]
listening = socket.create_server(("127.0.0.1", 0))
os.mkdir(home + "/run", 0o700)
lock = os.open(home + "/run/test.lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
one = subprocess.Popen(["sleep", "1000"], start_new_session=True, stdin=subprocess.DEVNULL,
                       env={**os.environ, "FOTA_MONITOR_SERVICE": home + ":test/one"}).pid
values = {"PID": os.getpid(), "HOME": home, "LOCK": lock, "LISTEN": listening.fileno(), "ONE": one,
          "PORT": listening.getsockname()[1], "PIDFD": os.pidfd_open(one),
          "NOW": int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000)}
with open(kept) as file:
    text = file.read()
for name, value in values.items():
    text = text.replace("@" + name + "@", str(value))
state = os.memfd_create("fota_monitor state")
os.write(state, text.encode())
os.lseek(state, 0, os.SEEK_SET)
for fd in (lock, listening.fileno(), values["PIDFD"], state):
    os.set_inheritable(fd, True)
os.environ["FOTA_MONITOR_STATE"] = str(state)
os.execv(program[0], program)
"""


@pytest.mark.parametrize("kept", sorted(KEPT.glob("upgrade_state_*.jsonl")), ids=lambda path: path.stem)
def test_the_state_of_an_earlier_version_is_taken_over(monitor, kept):
    for name in ("one", "two", "three"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={name: f"{name}/{name}" for name in ("one", "two", "three")})
    former = [sys.executable, "-c", FORMER, kept, monitor.home, BINARY]
    with open(monitor.stderr_file, "ab") as out:
        monitor.process = subprocess.Popen([*former, "-home", monitor.home, "-env", "test"], stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=out, cwd="/")
    wait_until(lambda: monitor.address)
    found = monitor.statuses()
    one = children(monitor.pid)
    assert {n: s["state"] for n, s in found.items()} == {"one": "up", "two": "failed", "three": "down"}
    assert one == [found["one"]["pid"]] and not found["one"]["adopted"]
    assert (found["one"]["restarts"], found["one"]["last_exit"]["signal"]) == (5, "SIGKILL")
    assert (found["two"]["failures"], found["two"]["last_exit"]["code"]) == (3, 3)
    assert found["two"]["last_exit"]["tail"] == ["a last word"]
    first = monitor.events()[0]
    assert first["text"].startswith("the monitor") and "took over from 0.0.9" in first["text"] and first["seq"] == 1420
    kill(one[0], signal.SIGTERM)
    monitor.wait_new_pid("one", one[0])
    assert monitor.status("one")["last_exit"]["signal"] == "SIGTERM"
    assert limits(monitor.status("one")["pid"])["Max open files"][0] == "333"


def tree(folder):
    """All below it: what it is, and when it was written."""
    return {path: (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
            for path in sorted(folder.rglob("*"))}


def test_judging_a_state_touches_nothing(up):
    """Nor what the state speaks of: its numbers are those of somebody else."""
    before = tree(up.home)
    read, write = os.pipe()
    try:
        done = check_state(up, HEAD.replace('"lock":3', f'"lock":{write}') + f'{{"peer":{read}}}\n'
                           + f'{{"service":"one","state":"up","want":"up","pid":{up.pids[0]},"pidfd":{read}}}\n',
                           pass_fds=(read, write))
        assert done.returncode == 0, done
        os.write(write, b"still there")
        assert os.read(read, 100) == b"still there"
    finally:
        os.close(read)
        os.close(write)
    assert tree(up.home) == before and up.wait_up() == up.pids
    up.terminate()
    before = tree(up.home)
    assert check_state(up, HEAD).returncode == 0
    assert tree(up.home) == before and all(is_alive(pid) for pid in up.pids)
