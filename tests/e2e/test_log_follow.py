"""/log and -log -follow: the end of a console log, and what comes after it, as it comes."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
from harness import BINARY, fds, is_alive, is_sanitized, wait_until


class Follower:
    """A client of /log, which reads in a thread of its own."""

    def __init__(self, monitor, **query):
        host, port = monitor.address.split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.connection.request("GET", "/log?" + urllib.parse.urlencode({"follow": 1, **query}))
        self.answer = self.connection.getresponse()
        self.data = bytearray()  # grows in place: many MB come in blocks of a few KB
        self.ended = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            while block := self.answer.read1(65536):
                self.data += block
        self.ended = True

    @property
    def text(self):
        return self.data.decode(errors="replace")

    def wait(self, words, timeout=20):
        wait_until(lambda: words.encode() in self.data, timeout, lambda: f"{words!r} comes; {self.text[-300:]!r}")

    def close(self):
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.answer.close()
        self.connection.close()


@pytest.fixture(name="follow")
def fixture_follow():
    made = []

    def make(*args, **kwargs):
        made.append(Follower(*args, **kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(name="quiet")
def fixture_quiet(monitor):
    """Two services that write nothing; their logs are for the test to write to."""
    monitor.script("demo/demo")
    monitor.script("other/other")
    monitor.conf(svrs={"demo": "demo/demo", "other": "other/other"})
    monitor.start()
    monitor.wait_up()
    return monitor


def append(monitor, data, name="demo"):
    with open(monitor.root / name / "fota_monitor.log", "ab") as log:
        log.write(data if isinstance(data, bytes) else data.encode())


@pytest.mark.alone
def test_the_end_and_what_comes_after(quiet, follow):
    append(quiet, "one\ntwo\nthree\n")
    one = follow(quiet, service="demo", lines=2)
    assert one.answer.status == 200 and one.answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    one.wait("two\nthree\n")
    slowest = 0
    for i in range(10):
        began = time.monotonic()
        append(quiet, f"line {i}\n")
        one.wait(f"line {i}\n")
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.2, "it is told, not found by looking now and then"
    assert one.text == "two\nthree\n" + "".join(f"line {i}\n" for i in range(10))


def test_without_follow_it_is_the_command(quiet):
    append(quiet, "one\ntwo\nthree\n")
    assert quiet.http("/log?service=demo&lines=2").text == "two\nthree\n"
    assert quiet.http("/log?service=demo&lines=1&format=json").json() == {"services": {"demo": ["three"]}}
    assert quiet.http("/log?service=nobody").status == 404
    assert quiet.http("/log").status == 400
    assert quiet.http("/log?service=demo&lines=0").status == 400
    assert quiet.http("/log?service=demo", headers={"Origin": "http://elsewhere.example"}).status == 403


def test_everything_a_busy_service_writes(monitor, follow):
    """200,000 lines at full speed; meanwhile others are served."""
    monitor.script("busy/busy", "seq 1 200000; exec sleep 1000")
    monitor.conf(svrs={"busy": {"cmd": "busy/busy", "autostart": False}})
    monitor.start()
    one = follow(monitor, service="busy", lines=0)
    as_json = follow(monitor, service="busy", lines=0, format="json")
    monitor.get("start", "busy")
    one.wait("\n200000\n", 60)
    assert one.text == "".join(f"{i}\n" for i in range(1, 200001))
    wait_until(lambda: as_json.data.endswith(b'"line":"200000"}\n'), 60, "all of them as JSON, too")
    assert [json.loads(line)["line"] for line in as_json.text.splitlines()[::1000]] == [
        str(i) for i in range(1, 200001, 1000)]


def test_a_log_that_is_moved_emptied_and_removed(quiet, follow):
    log = quiet.root / "demo" / "fota_monitor.log"
    one = follow(quiet, service="demo", lines=0)
    append(quiet, "first\n")
    one.wait("first\n")
    log.rename(log.with_suffix(".old"))
    append(quiet, "of a new file\n")
    one.wait("of a new file\n")
    os.truncate(log, 0)
    append(quiet, "after\n")
    one.wait("after\n")
    log.unlink()
    append(quiet, "again\n")
    one.wait("again\n")
    assert one.text == "first\nof a new file\nafter\nagain\n"


def test_junk_and_a_line_of_ten_megabytes(quiet, follow):
    one = follow(quiet, service="demo", lines=0)
    junk = b"begin" + bytes(range(256)) * 16 + b"\n" + b"x" * 10_000_000 + b"\nend\n"
    append(quiet, junk)
    wait_until(lambda: len(one.data) == len(junk), 60, lambda: f"all has come: {len(one.data)}")
    assert one.data == junk
    assert quiet.get("log", "demo", lines=2).text.endswith("x\nend\n")


def test_several_services(quiet, follow):
    append(quiet, "a\n")
    append(quiet, "b\n", "other")
    one = follow(quiet, service="all", lines=5)
    one.wait("demo:\na\n\nother:\nb\n")
    append(quiet, "c\n")
    one.wait("\n\ndemo:\nc\n")


def test_fifty_at_once(quiet, follow):
    before = quiet.open_fds()
    some = [follow(quiet, service="demo", lines=0) for _ in range(50)]
    for i in range(5):
        append(quiet, f"line {i}\n")
        for one in some:
            one.wait(f"line {i}\n")
    assert {one.text for one in some} == {"".join(f"line {i}\n" for i in range(5))}
    for one in some:
        one.close()
    wait_until(lambda: len(fds(quiet.pid)) <= before + 1, what="their descriptors are given back (inotify's one stays)")


def test_a_slow_reader_costs_only_itself(quiet, follow):
    host, port = quiet.address.split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(30)
        slow.connect((host, int(port)))
        slow.sendall(b"GET /log?service=demo&lines=0&follow=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        one = follow(quiet, service="demo", lines=0)
        with open(f"/proc/{quiet.pid}/statm", encoding="ascii") as statm:
            memory = int(statm.read().split()[1])
        block = "".join(f"{i:09}\n" for i in range(1_000_000))
        append(quiet, block)
        wait_until(lambda: len(one.data) == len(block), 60, "the quick one has all of it")
        with open(f"/proc/{quiet.pid}/statm", encoding="ascii") as statm:
            more = int(statm.read().split()[1]) - memory
            assert more < 2000 or is_sanitized(), "what is not read lies in the log, not in memory"
        # It gets everything, when it comes to it.
        answer = bytearray()
        while not answer.endswith(b"000999999\n\r\n"):
            answer += slow.recv(1 << 20)
    body, at = bytearray(), answer.index(b"\r\n\r\n") + 4
    while at < len(answer):
        chunk = answer.index(b"\r\n", at) + 2
        end = chunk + int(answer[at:chunk], 16)
        body += answer[chunk:end]
        at = end + 2
    assert body.decode() == block


def test_a_service_that_is_removed(quiet, follow):
    one = follow(quiet, service="other", lines=0)
    append(quiet, "before\n", "other")
    one.wait("before\n")
    quiet.conf(svrs={"demo": "demo/demo"})
    assert quiet.get("reload").status == 200
    append(quiet, "after\n", "other")
    one.wait("after\n")


def test_through_rotations(monitor, follow):
    """Lines move to other files while they are followed; one who reads nothing meanwhile gets them from there."""
    monitor.script("busy/busy", "for i in $(seq 0 39); do seq $((i * 5000 + 1)) $((i * 5000 + 5000)); sleep 0.1; done\n"
                                "exec sleep 1000")
    monitor.conf(svrs={"busy": {"cmd": "busy/busy", "autostart": False}}, log={"max_size": "32K"})
    monitor.start()
    append(monitor, "begin\n", "busy")
    one = follow(monitor, service="busy", lines=1)
    one.wait("begin\n")
    with start_follow(monitor, "busy", "-lines", "1") as slow:
        assert slow.stdout.readline() == "begin\n"
        slow.send_signal(signal.SIGSTOP)
        monitor.get("start", "busy")
        one.wait("\n200000\n", 60)
        assert one.text == "begin\n" + "".join(f"{i}\n" for i in range(1, 200001))
        moved = list((monitor.root / "busy").glob("fota_monitor.*.*.log"))
        assert len(moved) >= 2, "it was rotated"
        slow.send_signal(signal.SIGCONT)
        for i in range(1, 200001):
            assert slow.stdout.readline() == f"{i}\n"
        slow.kill()
    assert monitor.get("log", "busy", lines=50000).text == "".join(f"{i}\n" for i in range(150001, 200001))


# ---- the command line


def start_follow(monitor, *words):
    return subprocess.Popen([BINARY, "-home", monitor.home, "-env", "test", "-log", *words, "-follow"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_on_the_command_line(quiet):
    append(quiet, "one\ntwo\n")
    before = quiet.open_fds()
    with start_follow(quiet, "demo", "-lines", "1") as process:
        assert process.stdout.readline() == "two\n"
        append(quiet, "three\n")
        assert process.stdout.readline() == "three\n"
        append(quiet, "no line end")
        assert process.stdout.read(11) == "no line end"
        process.send_signal(signal.SIGINT)
        process.wait(10)
    wait_until(lambda: len(fds(quiet.pid)) <= before + 1, what="its descriptors are given back (inotify's one stays)")


def test_piped_to_one_that_has_enough(quiet):
    append(quiet, "one\n")
    with start_follow(quiet, "demo") as process:
        assert process.stdout.readline() == "one\n"
        process.stdout.close()
        append(quiet, "two\n")
        wait_until(lambda: (append(quiet, "more\n"), not is_alive(process.pid))[1], what="it ends")
        process.wait(10)


def test_for_a_while(quiet):
    append(quiet, "one\n")
    done = quiet.cli("-log", "demo", "-follow", "-timeout", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\n", "")


def test_until_the_monitor_ends(quiet):
    append(quiet, "one\n")
    with start_follow(quiet, "demo") as process:
        assert process.stdout.readline() == "one\n"
        quiet.terminate()
        assert process.stdout.read() == "Error: the monitor is ending; what was asked for goes on\n"
        assert process.wait(10) == 4


def test_until_the_monitor_is_killed(quiet):
    append(quiet, "one\n")
    with start_follow(quiet, "demo") as process:
        assert process.stdout.readline() == "one\n"
        quiet.kill()
        assert process.stdout.read() == ""
        assert process.wait(10) == 4
        assert process.stderr.read().startswith("Error: [fota_monitor maybe down!] 127.0.0.1:")
