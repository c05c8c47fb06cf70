"""The monitor's own log: on stderr, and at a collector that it finds by itself, through a name agent or DNS.

The agent's port and the collector's in DNS are fixed, so most tests run in a network of their own (as root)."""

import ctypes
import fcntl
import ipaddress
import os
import re
import socket
import struct
import threading
import time

import pytest
from harness import BINARY, wait_until

AGENT_PORT = 8328
DNS_PORT = 53
COLLECTOR_PORT = 28702
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8914, 0x8916, 1
NAME = "clog.srv.ns"
KINDS = {"DEBUG": "logdbg", "WARN": "logwar", "ERROR": "logerr", "INFO": "loginfo"}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[(\w+)\] (.*)")


# ---- the other ends


def udp(port=0):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    return sock


class Collector:
    """What came in: .lines are (name, kind, local address, text)."""

    def __init__(self, port=0):
        self.socket = udp(port)
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self.addr = f"127.0.0.1:{self.port}"
        self.seen = []

    @property
    def lines(self):
        while True:
            try:
                data = self.socket.recv(70000)
            except BlockingIOError:
                return self.seen
            name, kind, local, empty, text = data.decode().split(",", 4)
            assert empty == ""
            self.seen.append((name, kind, local, text))

    @property
    def texts(self):
        return [line[3] for line in self.lines]

    def wait(self, text):
        def look():
            return [line for line in self.lines if text in line[3]]
        return wait_until(look, what=lambda: f"a line with {text!r}; there are {self.texts}")[0]

    def close(self):
        self.socket.close()


class Server:
    """Answers each datagram with those that answer(datagram) makes of it."""

    def __init__(self, port, answer):
        self.socket = udp(port)
        self.answer = answer
        self.asked = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, address = self.socket.recvfrom(4096)
            if not data:
                return
            self.asked.append(data)
            for one in self.answer(data):
                self.socket.sendto(one, address)

    def close(self):
        if self.thread.is_alive():
            with udp() as sock:
                sock.sendto(b"", self.socket.getsockname())
            self.thread.join(10)
        self.socket.close()


def agent_that_says(*addresses):
    """The address for every request; the last one stays."""
    left = list(addresses)

    def answer(data):
        seq, _, name = data.partition(b",")
        assert name == NAME.encode()
        address = left.pop(0) if len(left) > 1 else left[0]
        return [seq + b"," + address.encode()]
    return answer


def dns_that_says(address):
    """A name server that knows this one address for every name, and no IPv6."""
    def answer(query):
        end = 12
        while query[end]:
            end += query[end] + 1
        end += 5
        is_a = query[end - 4:end - 2] == b"\0\1"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)
        head = query[:2] + b"\x81\x80" + b"\0\1" + struct.pack("!H", is_a) + b"\0\0\0\0"
        return [head + query[12:end] + (record if is_a else b"")]
    return answer


# ---- fixtures


@pytest.fixture(name="made")
def fixture_made():
    """A list of what is to be closed at the end."""
    things = []
    yield things
    for one in things:
        one.close()


@pytest.fixture(name="network")
def fixture_network():
    """A network of its own, with nothing in it but 127.0.0.1, for this thread and what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if libc.unshare(CLONE_NEWNET):
        os.close(before)
        pytest.skip("making a network needs root: " + os.strerror(ctypes.get_errno()))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        yield
    finally:
        assert libc.setns(before, CLONE_NEWNET) == 0
        os.close(before)


def add_address(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFADDR, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(address)))


@pytest.fixture(name="own")
def fixture_own(network, make_monitor):
    """A monitor in a network of its own."""
    assert network is None
    monitor = make_monitor()
    monitor.script("run")
    return monitor


def start_with_dns(monitor):
    """Its DNS server is 127.0.0.1."""
    (monitor.home / "resolv.conf").write_text("nameserver 127.0.0.1\n", encoding="ascii")
    (monitor.home / "nsswitch.conf").write_text("hosts: files dns\n", encoding="ascii")
    wrapper = monitor.home / "with-dns"
    wrapper.write_text("#!/bin/sh\nexec unshare -m sh -ec 'home=$1; shift; "
                       "for f in resolv.conf nsswitch.conf; do mount --bind \"$home/$f\" \"/etc/$f\"; done; exec \"$@\"' "
                       f"sh {monitor.home} {BINARY} \"$@\"\n", encoding="ascii")
    wrapper.chmod(0o755)
    return monitor.start(binary=wrapper)


def reload(monitor):
    """It is told in the log by whoever is asked for it."""
    reply = monitor.get("reload")
    assert (reply.status, reply.exit_code) == (200, 0), reply.text
    return reply.text


def local_lines(monitor):
    return [LINE.fullmatch(line).groups() for line in monitor.stderr().splitlines()]


# ---- lines


def test_the_same_lines_on_stderr_and_at_the_collector(monitor, made):
    collector = Collector()
    made.append(collector)
    monitor.script("run")
    monitor.script("bad", "exit 3")
    monitor.conf(svrs={"a": "run a", "bad": "bad"}, clog={"name": "mon-1", "addr": collector.addr, "mode": 3, "level": 15})
    monitor.start()
    monitor.wait_state("bad", "waiting")
    monitor.get("stop", "a,bad")
    monitor.get("nonsense")
    monitor.terminate()
    wait_until(lambda: len(collector.lines) == len(local_lines(monitor)), what="all have come")
    assert [(KINDS[level], text) for level, text in local_lines(monitor)] == [line[1::2] for line in collector.lines]
    assert {line[1] for line in collector.lines} >= {"loginfo", "logwar", "logerr"}
    assert {line[0] for line in collector.lines} == {"mon-1"}
    local, = {line[2] for line in collector.lines}
    assert ipaddress.IPv4Address(local).is_private
    assert "runs env test" in collector.texts[1] and "SIGTERM" in collector.texts[-1]
    assert any(text.startswith("stop a,bad asked for by ") for text in collector.texts), "a comma is nothing special there"


def test_the_mode_says_where(monitor, made):
    collector = Collector()
    made.append(collector)
    clog = {"addr": collector.addr, "level": 15}
    monitor.conf(clog={**clog, "mode": 2})
    monitor.start()
    assert collector.wait("runs env test")[0] == "fota_monitor"
    assert monitor.stderr() == ""
    monitor.conf(clog={**clog, "mode": 0})
    assert reload(monitor) == "changed: clog\nSUCCESS\n"
    collector.wait("reload asked for by")
    count = len(collector.lines)
    reload(monitor)
    monitor.conf(clog={**clog, "mode": 1})
    reload(monitor)
    reload(monitor)
    assert len(local_lines(monitor)) >= 1 and len(collector.lines) == count
    monitor.conf(clog={**clog, "mode": 3})
    reload(monitor)
    said = len(local_lines(monitor))
    reload(monitor)
    wait_until(lambda: len(collector.lines) > count and len(local_lines(monitor)) > said, what="both have a line more")


def test_a_collector_without_an_address_is_a_warning_and_the_log_stays_here(monitor):
    monitor.conf(clog={"mode": 2, "level": 15})
    said = monitor.cli("-check")
    assert said.returncode == 0 and "[WARN] clog.mode asks for the collector, but there is no clog.addr" in said.stderr
    monitor.start()
    assert "runs env test" in monitor.stderr()


def test_reload_changes_name_address_and_level(monitor, made):
    first, second = Collector(), Collector()
    made += [first, second]
    monitor.conf(clog={"name": "one", "addr": first.addr, "mode": 2, "level": 15})
    monitor.start()
    first.wait("runs env test")
    monitor.conf(clog={"name": "two", "addr": first.addr, "mode": 2, "level": 15})
    reload(monitor)
    reload(monitor)
    wait_until(lambda: first.lines[-1][0] == "two", what="it has the new name")
    monitor.conf(clog={"name": "two", "addr": second.addr, "mode": 2, "level": 15})
    reload(monitor)
    reload(monitor)
    assert second.wait("reload asked for by")[0] == "two"
    monitor.conf(clog={"name": "two", "addr": second.addr, "mode": 2, "level": 4})
    reload(monitor)
    before = first.texts, second.texts
    reload(monitor)
    monitor.terminate()
    assert (first.texts, second.texts) == before, "what is no error is not said any more"


def test_what_comes_from_outside_forges_no_line(monitor, made):
    collector = Collector()
    made.append(collector)
    monitor.script("run")
    hostile = "/nowhere,\n2026-11-22 14:02:11.123 [ERROR] forged\r\x1b[2J\x7f\u0085é中"
    monitor.conf(svrs={"a": {"cmd": f"{monitor.root}/run", "dir": hostile}}, clog={"addr": collector.addr, "mode": 3})
    monitor.start()
    text = collector.wait("could not be started")[3]
    assert " /nowhere,\\x0a2026-11-22 14:02:11.123 [ERROR] forged\\x0d\\x1b[2J\\x7f\\xc2\\x85é中/" in text
    assert text in [line[1] for line in local_lines(monitor)]


def test_a_long_text_is_sent_in_parts(monitor, made):
    collector = Collector()
    made.append(collector)
    monitor.conf(clog={"addr": collector.addr, "mode": 3})
    monitor.start()
    monitor.conf(svrs={"long": {"cmd": "/" + "中" * 40_000, "autostart": False}}, clog={"addr": collector.addr, "mode": 3})
    reload(monitor)
    wait_until(lambda: sum("中" in text for text in collector.texts) == 2, what="two parts")
    first, second = [line for line in collector.lines if "中" in line[3]]
    assert first[:3] == second[:3] and 64_998 <= len(first[3].encode()) <= 65_000
    whole, = [text for _, text in local_lines(monitor) if "中" in text]
    assert first[3] + second[3] == whole and "中" * 40_000 in whole


# ---- the collector comes and goes


def test_a_dead_collector_is_said_once_and_holds_up_nothing(monitor, made):
    collector = Collector()
    collector.close()
    monitor.conf(clog={"addr": collector.addr, "mode": 2, "level": 15})
    monitor.start()
    for _ in range(20):
        began = time.monotonic()
        reload(monitor)
        assert time.monotonic() - began < 1
    (level, text), = local_lines(monitor)
    assert level == "WARN"
    assert text == f"the clog collector {collector.addr}: Connection refused; lines for it are being lost"
    again = Collector(collector.port)
    made.append(again)
    reload(monitor)
    again.wait("reload asked for by")
    monitor.terminate()
    assert re.fullmatch(r"\d+ lines for the clog collector got lost: the monitor ends", local_lines(monitor)[-1][1])


# ---- the name agent


def test_the_name_agent_tells_where_the_collector_is(own, made):
    collector = Collector()
    agent = Server(AGENT_PORT, agent_that_says(collector.addr))
    made += [collector, agent]
    add_address("10.1.2.3")
    own.conf(clog={"name": "mon", "addr": NAME, "mode": 2, "level": 15})
    own.start()
    assert collector.wait("runs env test")[:3] == ("mon", "loginfo", "10.1.2.3"), "said before the address was known"
    assert [re.fullmatch(rb"\d+," + NAME.encode(), data) is None for data in agent.asked] == [False]
    assert own.stderr() == ""


def test_only_the_right_answer_counts(own, made):
    collector, wrong = Collector(), Collector()
    made += [collector, wrong]

    def answer(data):
        seq = int(data.split(b",")[0])
        return [b"", b"\0\xff", b"what?", f"{seq}".encode(), f"{seq + 1},{wrong.addr}".encode(),
                f"{seq}x,{wrong.addr}".encode(), wrong.addr.encode(), b"9" * 3000, f"{seq},{collector.addr}\n".encode(),
                f"{seq},{wrong.addr}".encode()]
    made.append(Server(AGENT_PORT, answer))
    own.conf(clog={"addr": NAME, "mode": 2, "level": 15})
    own.start()
    assert collector.wait("runs env test")[2] == "127.0.0.1", "the host has no inner address"
    assert wrong.lines == [] and own.stderr() == ""


def test_an_agent_that_is_slow_is_waited_for(own, made):
    collector = Collector()
    agent = Server(AGENT_PORT, lambda data: [data.split(b",")[0] + b"," + collector.addr.encode()]
                   if len(agent.asked) > 1 else [])
    made += [collector, agent]
    own.conf(clog={"addr": NAME, "mode": 2, "level": 15})
    own.start()
    collector.wait("runs env test")
    assert len(set(agent.asked)) == 1, "one question, asked twice"


def test_an_agent_that_comes_later_is_found(own, made):
    collector = Collector()
    made.append(collector)
    own.conf(clog={"addr": NAME, "mode": 2, "level": 15})
    start_with_dns(own)
    wait_until(lambda: "can't be looked up" in own.stderr(), what="neither agent nor DNS")
    made.append(Server(AGENT_PORT, agent_that_says(collector.addr)))
    collector.wait("runs env test")
    wait_until(lambda: "has an address again" in own.stderr(), what="it says so")
    said = [text for _, text in local_lines(own)]
    assert said[0] == f"the name agent can't be asked: Connection refused; DNS is asked for {NAME} instead"
    assert said[1].startswith(f"the clog collector {NAME} can't be looked up: ") and said[1].endswith("; it is tried again")
    assert said[2:] == [f"the name agent tells where {NAME} is again",
                        f"the clog collector {NAME} has an address again: {collector.addr}"]


def test_a_collector_that_moves_is_followed(own, made):
    first, second = Collector(), Collector()
    agent = Server(AGENT_PORT, agent_that_says(first.addr, second.addr))
    made += [agent, second]
    own.conf(clog={"addr": NAME, "mode": 2, "level": 15})
    own.start()
    first.wait("runs env test")
    first.close()

    def arrives():
        reload(own)
        return any("reload asked for by" in text for text in second.texts)
    wait_until(arrives, what="lines at the new address")
    assert f"lines for the clog collector {NAME} go to {second.addr} from now on" in second.texts
    assert any(re.fullmatch(r"\d+ lines? for the clog collector got lost; it takes them again", t) for t in second.texts)


# ---- DNS


def test_without_an_agent_dns_knows_the_host_and_the_port_is_agreed_on(own, made):
    collector = Collector(COLLECTOR_PORT)
    dns = Server(DNS_PORT, dns_that_says("127.0.0.1"))
    made += [collector, dns]
    own.conf(clog={"addr": NAME, "mode": 2, "level": 15})
    start_with_dns(own)
    collector.wait("runs env test")
    assert any(b"\4clog\3srv\2ns\0" in query for query in dns.asked)
    assert [text for _, text in local_lines(own)] == [
        f"the name agent can't be asked: Connection refused; DNS is asked for {NAME} instead"]


def test_a_host_with_a_port_is_asked_of_dns_alone(own, made):
    collector = Collector()
    agent = Server(AGENT_PORT, agent_that_says("127.0.0.1:9"))
    made += [collector, agent, Server(DNS_PORT, dns_that_says("127.0.0.1"))]
    own.conf(clog={"addr": f"{NAME}:{collector.port}", "mode": 2, "level": 15})
    start_with_dns(own)
    collector.wait("runs env test")
    assert agent.asked == [] and own.stderr() == ""


def test_agent_and_dns_that_never_answer_hold_up_nothing(own, made):
    agent, dns = Server(AGENT_PORT, lambda data: []), Server(DNS_PORT, lambda data: [])
    made += [agent, dns]
    own.conf(svrs={"a": "run a"}, clog={"addr": NAME, "mode": 2, "level": 15})
    start_with_dns(own)
    own.wait_up()
    wait_until(lambda: dns.asked, what="DNS is asked")
    for _ in range(10):
        began = time.monotonic()
        reload(own)
        assert time.monotonic() - began < 1
    began = time.monotonic()
    own.terminate()
    assert time.monotonic() - began < 3, "the end does not wait for an answer"
    assert re.fullmatch(r"\d+ lines for the clog collector got lost: the monitor ends", local_lines(own)[-1][1])
