"""The admin port, asked by those who know no better or mean harm. Whatever comes: the next request is answered,
nothing is done that nobody asked for, and when it is over no descriptor is left behind. All of it is bounded, and comes
from this host."""

import concurrent.futures
import contextlib
import random
import re
import resource
import socket
import struct
import threading
import time

import pytest
from harness import Monitor, cpu_s, fds, is_alive, is_sanitized, status_of, wait_until

DEAF = "trap '' TERM; while :; do sleep 1000; done"
SERVICES = {"alpha": "run alpha", "beta": "run beta", "spare": {"cmd": "run spare", "autostart": False}}
GET = b"GET /?command=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def connect(monitor, timeout=15):
    host, port = monitor.address.split(":")
    sock = socket.create_connection((host, int(port)), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_all(sock):
    """What comes until the other side closes; a reset is an end too."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while block := sock.recv(65536):
            answer += block
    return answer


def talk(monitor, data):
    """Sends it and nothing more; the answer up to the end of the connection, for which the monitor has to see."""
    with connect(monitor) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def talk_all(monitor, messages):
    """Ten at a time; meanwhile others are answered."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(talk, monitor, data) for data in messages]
        while not all(answer.done() for answer in answers):
            assert monitor.http("/healthz", timeout=5).status == 200
        return [answer.result() for answer in answers]


def codes(answer):
    return [int(code) for code in re.findall(rb"^HTTP/1\.\d (\d{3}) ", answer, re.M)]


def reset(sock):
    """Closes it the rude way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture(scope="module", name="shared")
def fixture_shared():
    """One monitor for all of it, with two services and one in reserve."""
    one = Monitor()
    one.script("run")
    one.conf(svrs=SERVICES)
    one.start()
    one.wait_up("alpha", "beta")
    one.services_before = look_at(one)
    one.open_before = one.open_fds()
    yield one
    one.end()


def look_at(monitor):
    return {name: (s["pid"], s["state"], s["restarts"]) for name, s in monitor.statuses().items()}


@pytest.fixture(name="target")
def fixture_target(shared, request):
    """Afterwards it must be as it was before."""
    request.node.monitors = [shared]
    yield shared
    assert shared.alive
    asked = time.monotonic()
    assert shared.http("/healthz").text == "ok\n"
    assert time.monotonic() - asked < 2
    assert look_at(shared) == shared.services_before
    wait_until(lambda: len(fds(shared.pid)) <= shared.open_before,
               what=lambda: f"it has {shared.open_before} descriptors again: {sorted(fds(shared.pid).values())}")
    assert int(status_of(shared.pid)["VmRSS"].split()[0]) < (600_000 if is_sanitized() else 100_000)


NOISE = {
    "nothing": b"",
    "newlines": b"\n" * 1000,
    "line ends": b"\r\n" * 1000,
    "carriage returns": b"\r" * 1000,
    "zeros": b"\0" * 1000,
    "0xff": b"\xff" * 1000,
    "tls hello": bytes.fromhex("16030100a10100009d0303") + b"x" * 150,
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "one word": b"GET\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "version 9.9": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "version nonsense": b"GET / HTTX/1.1\r\nHost: a\r\n\r\n",
    "star": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n",
    "proxy": b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": b"GET /?command=stop&service=alphabet HTTP/1.1\r\n\r\n",
    "header without colon": b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "header without name": b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "nul in a header": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "nul in the path": b"GET /\0?command=stop HTTP/1.1\r\nHost: a\r\n\r\n",
    "nul in the method": b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "odd escapes": b"GET /?%&%%&%zz=%u1234&&&==&=%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "length below zero": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nabcde",
    "length of nonsense": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5x\r\n\r\nabcde",
    "length without end": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabcde",
    "length that is a lie": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\ncommand=stop&service=alpha",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "chunk of nonsense": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "chunk without end": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nabc",
    "chunks that stop": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "unknown encoding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "form of nonsense": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                        b"Content-Length: 12\r\n\r\n&=&%\0=%zz&=\xff",
    "multipart without boundary": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data\r\n"
                                  b"Content-Length: 9\r\n\r\n--x\r\n\r\n--",
    "multipart of nonsense": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                             b"Content-Length: 40\r\n\r\n--x\r\n\r\n\r\n\0\0--x\r\nContent-Disposition: \"\"\"\"",
}


def test_noise_is_refused_or_hung_up_on(target):
    for what, answer in zip(NOISE, talk_all(target, NOISE.values())):
        assert all(code >= 400 for code in codes(answer)), (what, answer)


def test_random_bytes(target):
    dice = random.Random(7)
    noise = [dice.randbytes(dice.choice([1, 10, 100, 1000, 20_000])) for _ in range(100)]
    assert not any(200 in codes(answer) for answer in talk_all(target, noise))


def test_requests_with_a_few_wrong_bytes(target):
    """Origin: whatever else a mutant asks for, it may change nothing."""
    dice = random.Random(11)
    form = b"command=status&service=alpha,beta&timeout=3&format=json"
    seeds = [b"GET /?" + form + b" HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nConnection: close\r\n\r\n",
             b"POST / HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nContent-Type: application/x-www-form-urlencoded\r\n"
             b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(form), form)]
    mutants = []
    for i in range(400):
        data = bytearray(seeds[i % 2])
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(data))
            if dice.random() < 0.3:
                del data[at]
            elif dice.random() < 0.3:
                data[at:at] = dice.choice([b"\r\n", b"\0", b"%00", b"&", b"=", b" ", b":", b"A" * 300])
            else:
                data[at] = dice.randrange(256)
        mutants.append(bytes(data))
    well = sum(200 in codes(answer) for answer in talk_all(target, mutants))
    assert 10 < well < 390, "some still make sense, some do not"


def test_half_requests_wait_and_hold_up_nobody(target):
    whole = b"GET /?command=version HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1\r\n\r\n"
    cuts = [(connect(target), cut) for cut in range(1, len(whole), 3)]
    for sock, cut in cuts:
        sock.sendall(whole[:cut])
    for _ in range(20):
        assert target.get("status").status == 200
    for sock, cut in cuts:
        sock.sendall(whole[cut:])
        assert codes(read_all(sock)) == [200]
        sock.close()


def test_a_request_that_comes_byte_by_byte(target):
    with connect(target) as sock:
        for byte in b"GET /?command=version HTTP/1.1\r\nConnection: close\r\nHost: 127.0.0.1\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert codes(read_all(sock)) == [200]


@pytest.mark.parametrize("name,head", [
    ("one header", b"X-Large: " + b"x" * 200_000 + b"\r\n"),
    ("many headers", b"".join(b"X-%d: y\r\n" % i for i in range(20_000))),
    ("a header's name", b"x" * 200_000 + b": y\r\n"),
    ("cookies", b"Cookie: " + b"a=b; " * 40_000 + b"\r\n"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_huge_headers_are_refused(target, name, head):
    answer = talk(target, b"GET /?command=stop&service=alpha HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n")
    assert set(codes(answer)) <= {431, 413}, name


def test_headers_as_large_as_browsers_send_them_are_fine(target):
    head = b"Cookie: " + (b"a=" + b"b" * 150 + b"; ") * 50 + b"\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(100))
    assert codes(talk(target, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n")) == [200]


def test_a_huge_query_is_refused_and_a_large_one_is_not(target):
    assert codes(talk(target, GET % (b"stop&service=alpha," + b"x" * 1_000_000))) in ([414], [])
    answer = talk(target, GET % (b"status&service=" + b"alpha,beta," * 1800))
    assert codes(answer) == [200] and b"alpha PID:" in answer
    answer = talk(target, GET % (b"stop&service=alpha," + b"x" * 20_000))
    assert codes(answer) == [404]


def test_a_query_of_thousands_of_parameters(target):
    answer = talk(target, GET % (b"stop&service=alpha" + b"&a=b" * 5_000))
    assert set(codes(answer)) <= {400, 414, 431}


def test_a_nul_byte_in_a_form_makes_the_whole_form_wrong(target):
    """Not the part before it, and not the list without it."""
    names = "alpha," * 2000
    for body in [f"command=stop&service={names}%00", f"command=stop&service={names}\0",
                 "command=restart&service=alpha%00,beta", "command=restart&service=alpha&a=%00",
                 f"command=stop&service=alpha&format=json%00{names}"]:
        reply = target.http("/", "POST", body)
        assert (reply.status, reply.exit_code) == (400, 2), body[-30:]


def test_pipelined_requests_are_answered_in_their_order(target):
    asked = b"".join(GET % b"why&service=x%d" % i for i in range(100))
    answer = talk(target, asked)
    assert re.findall(rb"service\[x(\d+)\]", answer) == [b"%d" % i for i in range(100)]
    form = b"command=status&service=y%02d"
    asked = b"".join(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(form % i) + form % i for i in range(50))
    assert re.findall(rb"service\[y(\d+)\]", talk(target, asked)) == [b"%02d" % i for i in range(50)]


def test_pipelined_requests_behind_one_that_waits(target):
    target.script("slow", "trap 'sleep 0.4; exit 0' TERM; while :; do sleep 1000 & wait; done")
    target.conf(svrs={**SERVICES, "slow": "slow"})
    assert target.get("reload").text == "added: slow\nSUCCESS\n"
    asked = [b"why&service=x1", b"stop&service=slow", b"why&service=slow", b"version"]
    answer = talk(target, b"".join(GET % command for command in asked))
    assert codes(answer) == [404, 200, 200, 200]
    assert answer.index(b"SUCCESS") < answer.index(b"slow is down") < answer.rindex(b"fota_monitor ")
    target.conf(svrs=SERVICES)
    assert target.get("reload").status == 200


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["close", "reset"])
def test_clients_that_hang_up_while_they_wait(target, leave):
    target.script("deaf", DEAF)
    target.conf(svrs={**SERVICES, "deaf": {"cmd": "deaf", "stop": {"timeout": 1}}})
    assert target.get("reload").status == 200
    pid = target.status("deaf")["pid"]
    heard = len(target.events(service="deaf", kind="command"))
    waiting = [connect(target) for _ in range(50)]
    for i, sock in enumerate(waiting):
        sock.sendall(GET % (b"stop&service=deaf" if i % 2 else b"stop&service=deaf&timeout=0.3"))
    wait_until(lambda: len(target.events(service="deaf", kind="command")) == heard + 50, what="all have been heard")
    for sock in waiting:
        leave(sock)
    target.wait_state("deaf", "down")
    assert not is_alive(pid)
    target.conf(svrs=SERVICES)
    assert target.get("reload").status == 200


def test_clients_that_hang_up_anywhere(target):
    form = b"command=status&service=alpha"
    whole = (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
             b"Content-Length: %d\r\n\r\n%s" % (len(form), form))
    for cut in range(len(whole)):
        sock = connect(target)
        sock.sendall(whole[:cut])
        (reset if cut % 2 else socket.socket.close)(sock)
    for _ in range(200):
        sock = connect(target)
        sock.sendall(GET % b"status" * 5)
        reset(sock)


def test_a_body_without_end(target):
    """It is read to be thrown away, and then refused."""
    block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with connect(target) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(256):
                sock.sendall(block)
            sock.sendall(b"0\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
        assert codes(read_all(sock)) == [413]


def test_a_client_that_never_reads(target):
    """Its answers pile up in its own socket, not in the monitor, and nobody waits for it."""
    sock = connect(target)
    sock.setblocking(False)
    sent, asked = 0, GET % b"help" * 100
    with contextlib.suppress(BlockingIOError):
        for _ in range(200):
            sent += sock.send(asked)
    assert sent > 0
    for _ in range(50):
        assert target.get("status").status == 200
    reset(sock)


def test_a_thousand_idle_connections_do_not_stop_the_next(target):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip("this test itself may not open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    idle = [connect(target) for _ in range(1000)]
    for sock in idle[::2]:
        sock.sendall(b"GET /?comm")
    began = time.monotonic()
    for _ in range(50):
        assert target.get("status", "all", format="json").status == 200
    assert target.get("start", "spare").text == target.get("stop", "spare").text == "SUCCESS\n"
    assert time.monotonic() - began < 10
    # The youngest of them is still welcome.
    idle[-1].sendall(GET % b"version")
    assert b"200 OK" in idle[-1].recv(4096)
    for sock in idle:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_it_takes(target):
    """Those beyond the limit wait or are hung up on; when the others are gone it answers again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip("this test itself may not open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    idle = []
    with contextlib.suppress(OSError):
        for _ in range(1200):
            idle.append(connect(target, 2))
    assert len(idle) > 1000
    assert target.alive
    for sock in idle:
        sock.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_quick_connects(target):
    def knock(leave):
        for _ in range(4000):
            leave(connect(target))

    def ask(_):
        for _ in range(1000):
            with connect(target) as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert codes(read_all(sock)) == [200]
    failed = []

    def run(function, arg):
        try:
            function(arg)
        except BaseException as error:  # pylint: disable=broad-except
            failed.append(error)
    jobs = [(knock, reset), (knock, socket.socket.close), (ask, 0), (ask, 1)]
    jobs = [threading.Thread(target=run, args=job) for job in jobs]
    used = cpu_s(target.pid)
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert not failed and not any(job.is_alive() for job in jobs)
    assert cpu_s(target.pid) - used < (60 if is_sanitized() else 5), "however long the clients take"


def test_more_connections_than_descriptors_leave_room_for_services(monitor):
    """Nobody is answered any more, but what ends is started again, and nothing turns in circles."""
    monitor.script("run")
    monitor.conf(svrs={"alpha": "run alpha"})
    monitor.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)))
    pid, = monitor.wait_up()
    free = len(fds(monitor.pid))
    idle = []
    with contextlib.suppress(OSError):
        for _ in range(150):
            idle.append(connect(monitor, 2))
    wait_until(lambda: len(fds(monitor.pid)) >= free + 20, what="it has taken what it takes")
    began = cpu_s(monitor.pid)
    monitor.spawn(["kill", "-KILL", str(pid)])
    wait_until(lambda: len(monitor.events(service="alpha", kind="up")) == 2, what="alpha is up again")
    assert not monitor.events(service="alpha", kind="spawn_fail")
    for sock in idle:
        sock.close()
    assert monitor.wait_new_pid("alpha", pid)
    assert cpu_s(monitor.pid) - began < 1
