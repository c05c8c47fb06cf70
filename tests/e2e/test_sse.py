"""/events and -events: what happens, as it happens, and what has happened before, without gap or repetition."""

import http.client
import json
import re
import signal
import socket
import subprocess
import threading

import pytest
from harness import BINARY, fds, is_sanitized, wait_until


class Events:
    """A client of /events, which reads in a thread of its own."""

    def __init__(self, monitor, query="", headers=None):
        host, port = monitor.address.split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=30)
        self.connection.request("GET", "/events" + query, headers=headers or {})
        self.answer = self.connection.getresponse()
        self.lines = []
        self.ended = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for line in self.answer:
                self.lines.append(line.decode().rstrip("\n"))
            self.ended = "whole"
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            self.ended = "broken off"

    @property
    def frames(self):
        """(id, data) of all whole events so far; id None: of another kind."""
        found = []
        for block in "".join(line + "\n" for line in list(self.lines)).split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
            if "data" in fields:
                found.append((int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])))
        return found

    @property
    def ids(self):
        return [seq for seq, _ in self.frames]

    def wait(self, **match):
        def look():
            return [e for _, e in self.frames if all(e.get(k) == v for k, v in match.items())]
        return wait_until(look, what=lambda: f"an event {match}; {self.lines[-20:]}")[-1]

    def close(self):
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.answer.close()
        self.connection.close()


@pytest.fixture(name="events")
def fixture_events(request):
    made = []

    def make(*args, **kwargs):
        made.append(Events(*args, **kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture(name="running")
def fixture_running(monitor):
    monitor.script("run")
    monitor.conf(svrs={"alpha": "run alpha", "beta": "run beta"})
    monitor.start()
    monitor.wait_up()
    return monitor


def test_events_arrive_as_they_happen(running, events):
    stream = events(running)
    assert stream.answer.status == 200
    assert stream.answer.headers["Content-Type"] == "text/event-stream"
    assert stream.answer.headers["Cache-Control"] == "no-store"
    before = running.events()[-1]["seq"]
    assert running.get("restart", "alpha").text == "SUCCESS\n"
    stream.wait(service="alpha", kind="up")
    told, written = stream.frames, [e for e in running.events() if e["seq"] > before]
    assert [data for _, data in told] == written[:len(told)], "the same as in the journal"
    assert [seq for seq, _ in told] == [data["seq"] for _, data in told]
    assert {"command", "stopping", "exit", "starting", "up"} <= {data["kind"] for _, data in told}


def test_all_since_the_beginning(running, events):
    stream = events(running, "?since=0")
    last = running.events()[-1]["seq"]
    wait_until(lambda: len(stream.frames) >= last, what="all have come")
    assert stream.ids == list(range(1, last + 1))
    running.get("stop", "beta")
    stream.wait(service="beta", kind="down")
    assert stream.ids == list(range(1, len(stream.ids) + 1)), "and on, without a gap"


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_resumed_over_restarts_of_the_monitor(running, events, end):
    seen = []
    header = {}
    for _ in range(3):
        stream = events(running, "?since=0", header)
        running.get("restart", "alpha,beta")
        stream.wait(kind="up")
        seen += stream.frames
        header = {"Last-Event-ID": str(seen[-1][0])}
        running.restart(getattr(type(running), end))
        wait_until(lambda s=stream: s.ended, what="the stream has ended")
        assert end == "kill" or stream.ended == "whole"
        running.wait_up()
    last = running.events()[-1]["seq"]
    stream = events(running, "?since=0", header)
    wait_until(lambda: stream.ids and stream.ids[-1] >= last, what="it has caught up")
    seen += stream.frames
    assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1))
    assert [data for _, data in seen][:last] == running.events()[:last]


def test_resumed_while_much_happens(running, events):
    """Whoever comes back again and again misses nothing of what goes on meanwhile."""
    stop = threading.Event()

    def shake():
        while not stop.is_set():
            running.get("start", "alpha,beta")
    thread = threading.Thread(target=shake)
    thread.start()
    try:
        ids = []
        for _ in range(20):
            stream = events(running, f"?since={ids[-1] if ids else 0}")
            wait_until(lambda s=stream: len(s.frames) > 30, what="some have come")
            stream.close()
            ids += stream.ids
    finally:
        stop.set()
        thread.join()
    assert ids == list(range(1, len(ids) + 1))


def test_filters(running, events):
    alpha = events(running, "?service=alpha&since=0")
    ups = events(running, "?kind=up,exit&since=0")
    both = events(running, "?kind=exit&service=beta&since=0")
    running.get("restart", "all")
    for stream in (alpha, ups, both):
        stream.wait(kind="exit")
    alpha.wait(service="alpha", kind="up", cause=alpha.wait(kind="starting")["seq"])
    written = running.events()
    assert {e["service"] for _, e in alpha.frames} == {"alpha"}
    assert {e["kind"] for _, e in ups.frames} == {"up", "exit"}
    assert [e for _, e in both.frames] == [e for e in written if e["kind"] == "exit" and e.get("service") == "beta"]
    assert [e for _, e in alpha.frames] == [e for e in written if e.get("service") == "alpha"][:len(alpha.frames)]


@pytest.mark.parametrize("query,status,words", [
    ("?kind=dance", 400, 'kind: there is no kind "dance" of events; known are down, waiting,'),
    ("?since=x", 400, "since: must be a number from 0 to"),
    ("?since=-1", 400, "since: must be a number from 0 to"),
    ("?lines=1e3", 400, "lines: must be a number from 0 to"),
    ("?service=nobody", 404, "service[nobody] not configured"),
    ("?what=1", 400, 'has no argument "what"'),
])
def test_what_makes_no_sense(running, query, status, words):
    reply = running.http("/events" + query)
    assert reply.status == status and words in reply.text


def test_who_may_not(running):
    assert running.http("/events", headers={"Origin": "http://elsewhere.example"}).status == 403
    assert running.http("/events", headers={"Host": "rebound.example"}).status == 403


def test_numbers_of_another_journal_are_told(running, events):
    stream = events(running, "?since=100000")
    last = running.events()[-1]["seq"]
    wait_until(lambda: len(stream.frames) >= last, what="all have come: they are new to whoever asks so")
    assert stream.ids[0] == 1


def test_what_is_missing_is_told(running, events):
    running.terminate()
    journal = running.home / "run" / "test.events.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:2] + lines[5:]), encoding="utf-8")
    running.start()
    stream = events(running, "?since=1")
    running.wait_up()
    wait_until(lambda: len(stream.frames) > 5, what="some have come")
    assert stream.frames[:2] == [(2, json.loads(lines[1])), (None, {"from": 3, "to": 5})]
    assert stream.ids[2:4] == [6, 7]
    assert "event: missing" in stream.lines


def test_a_hundred_at_once(running, events):
    streams = [events(running, f"?since={i % 5}") for i in range(100)]
    running.get("restart", "all")
    last = running.events()[-1]["seq"]
    for i, stream in enumerate(streams):
        wait_until(lambda s=stream: s.ids and s.ids[-1] >= last, what="it has come to the end")
        assert stream.ids[:last] == list(range(i % 5 + 1, last + 1))
    before = len(fds(running.pid))
    for stream in streams:
        stream.close()
    wait_until(lambda: len(fds(running.pid)) <= before - 100, what="their descriptors are given back")


def test_one_that_does_not_read_is_cut_off(monitor):
    """And costs the others nothing."""
    monitor.script("run")
    names = [f"s{i:02}" for i in range(50)]
    monitor.conf(svrs={name: f"run {name}" for name in names}, http={"backlog_kb": 16})
    monitor.start()
    monitor.wait_up()
    host, port = monitor.address.split(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(30)
        before = set(fds(monitor.pid).values())
        sock.connect((host, int(port)))
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        mine = wait_until(lambda: {what for what in fds(monitor.pid).values() if what.startswith("socket:")} - before,
                          what="it is connected")

        def is_cut():
            assert monitor.get("start", "all").text == "SUCCESS\n"
            return not mine & set(fds(monitor.pid).values())
        wait_until(is_cut, timeout=80 if is_sanitized() else 40, what="it is cut off")
        answer = b""
        try:
            while block := sock.recv(65536):
                answer += block
        except ConnectionResetError:
            pass
    assert answer.startswith(b"HTTP/1.1 200 OK") and b"X-Exit-Code:" not in answer


# ---- the command line


def test_the_last_events_on_the_command_line(running):
    written = running.events()
    done = running.cli("-events", "-lines", "3")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    done = running.cli("-events")
    assert len(done.stdout.splitlines()) == min(20, len(written))
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d\d\d the monitor [\d.]+ started, pid \d+\n",
                    running.cli("-events", "-lines", "1000").stdout)
    done = running.cli("-events", "alpha", "kind=up")
    assert re.fullmatch(r"20[-\d]+ [:.\d]+ alpha: up, pid \d+\n", done.stdout)
    done = running.cli("-events", "-format", "json", "-lines", "1000")
    assert [json.loads(line) for line in done.stdout.splitlines()] == written
    done = running.cli("-events", "-format", "json", "since=3")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()][:2] == [4, 5]
    assert running.cli("-events", "-lines", "0").stdout == ""
    done = running.cli("-events", "kind=dance")
    assert done.returncode == 2 and done.stderr.startswith("Error: kind: there is no kind")


def test_events_of_earlier_monitors(running):
    pid = running.pid
    running.restart()
    running.wait_up()
    assert f"started, pid {pid}\n" in running.cli("-events", "-lines", "1000").stdout


def test_following_on_the_command_line(running):
    open_before = running.open_fds()
    with subprocess.Popen([BINARY, "-home", running.home, "-env", "test", "-events", "alpha", "-follow", "-lines", "1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert re.fullmatch(r".* alpha: up, pid \d+\n", process.stdout.readline())
        running.get("restart", "all")
        line = ""
        while "alpha: up" not in line:
            line = process.stdout.readline()
            assert " alpha: " in line
        process.send_signal(signal.SIGINT)
        process.wait(10)
    wait_until(lambda: len(fds(running.pid)) <= open_before, what="its descriptor is given back")


def test_following_for_a_while(running):
    done = running.cli("-events", "-follow", "-timeout", "0.5")
    assert done.returncode == 0 and "Error" not in done.stdout


def test_following_until_the_monitor_ends(running):
    with subprocess.Popen([BINARY, "-home", running.home, "-env", "test", "-events", "-follow"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        running.terminate()
        assert process.stdout.read().endswith("Error: the monitor is ending; what was asked for goes on\n")
        assert process.wait(10) == 4
