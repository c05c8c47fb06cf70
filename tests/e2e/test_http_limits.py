"""Limits of the admin port (`http` in conf.json): who is slow, large or too many goes, and nobody else."""

import contextlib
import json
import select
import socket
import statistics
import threading
import time

import pytest
from harness import fds, free_port, is_sanitized, kill, wait_minds, wait_until


def connect(monitor, host=None, room=None):
    """room: bytes that may lie here untaken"""
    address, port = monitor.address.split(":")
    sock = socket.socket()
    if room:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.settimeout(20)
    sock.connect((host or address, int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def is_closed(sock):
    """Has the other side hung up?"""
    if not select.select([sock], [], [], 0)[0]:
        return False
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True


@pytest.fixture(name="start")
def fixture_start(monitor):
    """start(**http) starts a monitor with these limits; start.big() gives it the command `big`, of a large answer."""
    def big():
        (monitor.home / "lua").mkdir()
        (monitor.home / "lua" / "big.lua").write_text(
            'fm.command{ name = "big", run = function() return string.rep("x", 3 * 1024 * 1024) end }', encoding="utf-8")

    def start(**http):
        monitor.script("run")
        monitor.conf(svrs={"alpha": "run alpha"}, http=http)
        monitor.start()
        monitor.wait_up()
        return monitor
    start.big = big
    return start


BIG = b"GET /?command=big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\n", HEAD], ids=["first line", "headers", "body"])
def test_a_request_that_comes_byte_by_byte(start, first):
    """Never silent, never done."""
    monitor = start(idle_timeout=1)
    began = time.monotonic()
    with connect(monitor) as sock:
        sock.sendall(first)

        def drip():
            with contextlib.suppress(OSError):
                sock.send(b"x")
            return is_closed(sock)
        wait_until(drip, 20, "it is hung up on")
        assert 0.9 < time.monotonic() - began < 10
    assert monitor.http("/healthz").status == 200


def test_many_that_drip_hold_up_nobody(start):
    """Each of them sends a byte now and then, and never all."""
    monitor = start(idle_timeout=1)
    before = monitor.open_fds()
    drips = [connect(monitor) for _ in range(200)]
    for sock in drips:
        sock.sendall(b"GET /?command=status HTTP/1.1\r\nX-Slow: ")
    slowest = 0

    def drip():
        nonlocal slowest
        for sock in drips:
            with contextlib.suppress(OSError):
                sock.send(b"x")
        began = time.monotonic()
        assert monitor.get("status").status == 200
        slowest = max(slowest, time.monotonic() - began)
        return all(is_closed(sock) for sock in drips)
    wait_until(drip, 30, "all are hung up on")
    assert slowest < 2
    wait_until(lambda: len(fds(monitor.pid)) <= before, what="theirs are given back")
    for sock in drips:
        sock.close()


def test_who_does_not_take_the_answer_is_hung_up_on(start):
    start.big()
    monitor = start(idle_timeout=3)
    host, port = monitor.address.split(":")

    def connections():
        return sum(what.startswith("socket:") for what in fds(monitor.pid).values()) - 1
    wait_until(lambda: connections() == 0, what="there is none")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect((host, int(port)))
        began = time.monotonic()
        sock.sendall(BIG)
        wait_until(lambda: monitor.events(kind="command") and connections() == 1, what="it is answered")
        wait_until(lambda: connections() == 0, what="it is given up")
        assert 2.9 < time.monotonic() - began < 15
        answer = 0
        with contextlib.suppress(ConnectionError):
            while block := sock.recv(1 << 20):
                answer += len(block)
        assert answer < 3 * 1024 * 1024, "it never had all of it"


@pytest.mark.alone
def test_the_admin_port_never_delays_a_restart(monitor):
    """What it does for its clients, however many there are and whatever they send, goes on beside the supervision."""
    monitor.script("run")
    monitor.conf(svrs={f"s{i:02}": f"run s{i:02}" for i in range(50)})
    monitor.start()
    pids = dict(zip(monitor.names, monitor.wait_up()))
    idle = [connect(monitor) for _ in range(300)]
    over, failed = threading.Event(), []
    form = "command=status&service=all&format=json&_=" + "x" * 900_000

    def load(ask):
        while not over.is_set():
            try:
                assert ask().status == 200
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)
                return
    loads = [lambda: monitor.get("status", "all", format="json"), lambda: monitor.http("/metrics"),
             lambda: monitor.get("history", "all"), lambda: monitor.http("/", "POST", form)]
    clients = [threading.Thread(target=load, args=(ask,)) for ask in loads]
    for client in clients:
        client.start()
    delays = []
    try:
        for name in list(pids)[:20]:
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            kill(pids[name])
            pid = monitor.wait_new_pid(name, pids[name])
            delays.append(monitor.wait_event(service=name, kind="starting", pid=pid)["mono"] - began)
    finally:
        over.set()
        for client in clients:
            client.join(30)
    assert not failed
    assert statistics.median(delays) < (1 if is_sanitized() else 0.15) and max(delays) < 3, sorted(delays)
    for sock in idle:
        sock.close()


def test_a_connection_that_is_used_stays(start):
    monitor = start(idle_timeout=2)
    with connect(monitor) as sock:
        began = time.monotonic()
        while time.monotonic() - began < 5:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
            select.select([], [], [], 0.3)
        wait_until(lambda: is_closed(sock), what="but not for ever")


def test_one_that_waits_for_its_answer_may_wait(start):
    monitor = start(idle_timeout=1)
    monitor.script("deaf", "trap '' TERM; while :; do sleep 1000; done")
    monitor.conf(svrs={"deaf": {"cmd": "deaf", "stop": {"timeout": 3}}}, http={"idle_timeout": 1})
    assert monitor.get("reload").status == 200
    wait_minds(*monitor.wait_up("deaf"))
    assert monitor.get("stop", "deaf").text == "SUCCESS\n"


def test_sizes(start):
    monitor = start(header_kb=16, body_kb=2)
    assert monitor.http("/?command=version", headers={"X-Much": "x" * 20_000}).status == 431
    assert monitor.http("/?command=version", headers={"X-Much": "x" * 5_000}).status == 200
    assert monitor.http("/", "POST", "command=version&_=" + "x" * 3000).status == 413
    assert monitor.http("/", "POST", "command=version&_=" + "x" * 1000).status == 200
    monitor.conf(svrs={"alpha": "run alpha"}, http={"header_kb": 128, "body_kb": 10})
    assert "changed: http\n" in monitor.get("reload").text
    assert monitor.http("/?command=version", headers={"X-Much": "x" * 60_000}).status == 200
    assert monitor.http("/", "POST", "command=version&_=" + "x" * 3000).status == 200


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\n", HEAD + b"command=", BIG],
                         ids=["nothing", "headers", "body", "untaken"])
def test_who_does_not_go_on_makes_room(start, begun):
    """Else a few connections, which need no right to anything, would keep everybody out."""
    start.big()
    monitor = start(max_connections=10)
    before = set(fds(monitor.pid).values())
    held = [connect(monitor, room=4096) for _ in range(10)]
    for sock in held:
        sock.sendall(begun)
    theirs = wait_until(lambda: len(found := set(fds(monitor.pid).values()) - before) >= 10 and found, what="all have come")
    began = time.monotonic()
    assert monitor.get("status").status == 200
    assert time.monotonic() - began < 5
    wait_until(lambda: theirs - set(fds(monitor.pid).values()), what="one of them had to go")
    for sock in held:
        sock.close()


def test_who_is_waited_for_by_the_client_stays(start):
    """However full it is."""
    monitor = start(max_connections=10)
    with connect(monitor) as events:
        events.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert events.recv(4096).startswith(b"HTTP/1.1 200 OK")
        held = [connect(monitor) for _ in range(30)]
        wait_until(lambda: sum(is_closed(sock) for sock in held) >= 15, what="many had to go")
        monitor.get("restart", "alpha")
        told = b""
        while b'"kind":"up"' not in told:
            told += events.recv(4096)
        for sock in held:
            sock.close()


def test_one_host_does_not_take_all(make_monitor):
    host = own_address()
    if not host:
        pytest.skip("this host has no address but its loopback's")
    monitor = make_monitor()
    monitor.conf(port=free_port(), bind=["127.0.0.1", host], http={"max_per_client": 5})
    monitor.start()
    before = monitor.open_fds(host)
    wait_until(lambda: len(fds(monitor.pid)) <= before, what="the connection that asked is not one of the five any more")
    some = [connect(monitor, host) for _ in range(12)]
    wait_until(lambda: sum(is_closed(sock) for sock in some) == 7, what="seven are hung up on")
    wait_until(lambda: len(fds(monitor.pid)) <= before + 5, what="theirs are given back")
    assert monitor.http("/healthz").status == 200, "and nobody else"
    for sock in some:
        sock.close()

    def is_served_again():
        with contextlib.suppress(OSError), connect(monitor, host) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            return sock.recv(100).startswith(b"HTTP/1.1 200")
    wait_until(is_served_again, what="it may come again")


def own_address():
    """One of this host's, as a packet to elsewhere would carry it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("198.51.100.1", 9))
        own = probe.getsockname()[0]
        return None if own.startswith("127.") else own
    return None


@pytest.mark.parametrize("http,words", [
    ({"idle_timeout": 0}, "http.idle_timeout: must be a whole number from 1 to 86400, got 0"),
    ({"header_kb": 1}, "http.header_kb: must be a whole number from 16 to 1024, got 1"),
    ({"timeout": 1}, 'http.timeout: unknown key "timeout"; known are "idle_timeout", "backlog_kb",'),
])
def test_limits_that_make_no_sense(monitor, http, words):
    monitor.conf_text(json.dumps({"test": {"http": http}}))
    done = monitor.cli("-check")
    assert done.returncode == 2 and words in done.stderr
