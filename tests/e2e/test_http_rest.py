"""The HTTP server is in memory while somebody is connected: it comes for whoever asks, and goes when nobody does."""

import concurrent.futures
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import fds, free_port, is_running, is_sanitized, pss_kb, wait_minds, wait_until

STAYS = pytest.mark.skipif(is_sanitized(), reason="the library stays in memory there, see main.c")
GOES_S = 60  # time enough for it to go, which it does after 20 s


@pytest.fixture(name="quiet")
def fixture_quiet(monitor):
    """A monitor that nobody has asked anything since its start was over."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    wait_until(lambda: not monitor.has_http(), GOES_S, "it has gone")
    return monitor


def ask(monitor, path="/?command=status"):
    return monitor.http(path).status


def connect(address):
    host, port = address.rsplit(":", 1)
    return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=30)


def test_who_comes_first_is_answered(quiet):
    assert ask(quiet) == 200
    assert quiet.has_http()


def test_all_who_come_first_are_answered(quiet):
    """Before it is there; the loop is held up until they have all come."""
    os.kill(quiet.pid, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, quiet) for _ in range(50)]
        port = int(quiet.address.rsplit(":", 1)[1])
        wait_until(lambda: waiting_at(port) >= 50, what="they wait")
        os.kill(quiet.pid, signal.SIGCONT)
        assert {one.result() for one in asked} == {200}


def waiting_at(port):
    """Connections that nobody has taken yet. None: nobody listens there."""
    rows = [line.split() for line in open("/proc/net/tcp", encoding="ascii").read().splitlines()[1:]]
    return next((int(row[4].split(":")[1], 16) for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")), None)


def test_each_address(make_monitor):
    monitor = make_monitor()
    monitor.conf(port=free_port(), bind=["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    monitor.start()
    wait_until(lambda: not monitor.has_http(), GOES_S, "it has gone")
    port = monitor.address.rsplit(":", 1)[1]
    for host in ("127.0.0.3", "127.0.0.2", "127.0.0.1"):
        connection = connect(f"{host}:{port}")
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"


def test_it_goes_when_nobody_is_connected_any_more(quiet):
    """And not before: a connection on which nothing is asked is one too. No descriptor stays."""
    before = len(fds(quiet.pid))
    staying, leaving = connect(quiet.address), connect(quiet.address)
    for connection in (staying, leaving):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
    leaving.close()
    events = socket.create_connection(("127.0.0.1", int(quiet.address.rsplit(":", 1)[1])), 30)
    events.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert events.recv(100).startswith(b"HTTP/1.1 200")
    held = pss_kb(quiet.pid, "Anonymous")
    events.close()
    staying.request("GET", "/healthz")
    assert staying.getresponse().read() == b"ok\n"
    staying.close()
    wait_until(lambda: not quiet.has_http(), GOES_S, "it has gone")
    if not is_sanitized():  # which gives nothing back at once
        wait_until(lambda: b"libmicrohttpd" not in Path(f"/proc/{quiet.pid}/maps").read_bytes(), what="it is not loaded")
        wait_until(lambda: pss_kb(quiet.pid, "Anonymous") < held, what="its memory is given back")
    wait_until(lambda: len(fds(quiet.pid)) == before, what="its descriptors have gone with it")
    assert ask(quiet) == 200


def test_a_command_that_runs_on_keeps_it(monitor):
    """Asked for before the start was over, answered after that."""
    monitor.script("demo/demo", "trap '' TERM\nwhile :; do sleep 0.1; done")
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "stop": {"timeout": 3}}})
    monitor.start()
    wait_minds(*monitor.wait_up())
    assert monitor.get("stop", "demo").text == "SUCCESS\n"


def own_library(monitor):
    """A copy of the library, and where the monitor finds it instead of the host's."""
    folder = monitor.home / "lib"
    folder.mkdir()
    library = folder / "libmicrohttpd.so.12"
    found = next(line.split()[-1] for line in subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout.splitlines()
        if line.split()[:1] == ["libmicrohttpd.so.12"])
    shutil.copy(found, library)
    return library, {"LD_LIBRARY_PATH": str(folder)}


@STAYS
def test_a_library_that_is_missing_later(monitor):
    """It was there at the start. Nobody is answered, which is said; services go on; once it is back all is well."""
    library, env = own_library(monitor)
    folder = library.parent
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start(env=env)
    pid, = monitor.wait_up()
    wait_until(lambda: not monitor.has_http(), GOES_S, "it has gone")
    library.rename(folder / "away")
    library.write_text("this is no library\n" * 100)
    for _ in range(3):
        with pytest.raises(OSError):
            ask(monitor)
    said = ("[ERROR] who asks over HTTP is not answered: libmicrohttpd.so.12 can't be loaded (package libmicrohttpd12): "
            f"{library}: invalid ELF header\n")
    assert monitor.stderr().count("not answered: ") == monitor.stderr().count(said) == 1
    done = monitor.cli("-status")
    assert done.returncode == 4 and done.stderr
    monitor.spawn(["kill", "-KILL", str(pid)])
    wait_until(lambda: len(monitor.events(service="demo", kind="up")) == 2, what="demo is up again")
    (folder / "away").rename(library)
    wait_until(lambda: answers(monitor), what="it answers again")
    assert monitor.status("demo")["pid"] != pid


def answers(monitor):
    with contextlib.suppress(OSError):
        return ask(monitor) == 200
    return False


def passes(seconds):
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, what="time passes")


def test_who_came_to_an_address_that_is_given_up(make_monitor):
    """It came before: while the monitor was held up, which had seen the file change, but not waited for more changes yet."""
    monitor = make_monitor()
    monitor.conf(port=free_port(), lua={"autoreload": True})
    monitor.start()
    wait_until(lambda: not monitor.has_http(), GOES_S, "it has gone")
    while True:
        former = monitor.address
        port = int(former.rsplit(":", 1)[1])
        monitor.conf(port=free_port(), lua={"autoreload": True})
        passes(0.1)
        os.kill(monitor.pid, signal.SIGSTOP)
        wait_until(lambda: not is_running(monitor.pid), what="it is stopped")
        if waiting_at(port) is not None:
            break
        os.kill(monitor.pid, signal.SIGCONT)  # we were too late: once more
        wait_until(lambda: monitor.address != former, what="it listens elsewhere")  # pylint: disable=cell-var-from-loop
    connection = connect(former)
    connection.request("GET", "/healthz")
    wait_until(lambda: waiting_at(port) == 1, what="it waits")
    passes(0.4)
    os.kill(monitor.pid, signal.SIGCONT)
    assert connection.getresponse().read() == b"ok\n"
    wait_until(lambda: monitor.address != former, what="it listens elsewhere")
    assert ask(monitor) == 200


def test_an_upgrade_without_it_is_refused(monitor):
    library, env = own_library(monitor)
    monitor.conf(svrs={})
    monitor.start(env=env)
    connection = connect(monitor.address)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    library.rename(library.with_name("away"))
    library.write_text("this is no library\n" * 100)
    connection.request("GET", "/?command=upgrade")
    answer = connection.getresponse()
    assert answer.status != 200 and "libmicrohttpd.so.12 can't be loaded" in answer.read().decode()
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"


@STAYS
def test_a_start_needs_nothing_of_it(monitor):
    """Of what it is linked with some would stay for ever. That it can be loaded is found out elsewhere."""
    monitor.conf(svrs={})
    monitor.start(wait=False)
    wait_until(lambda: monitor.address, what="it listens")
    began = time.monotonic()

    def is_over():
        maps = Path(f"/proc/{monitor.pid}/maps").read_text(encoding="utf-8")
        assert "libuv" in maps and "libgnutls" not in maps and "libp11" not in maps
        return time.monotonic() - began > 3
    wait_until(is_over, what="the start has long been over")
    assert "[ERROR]" not in monitor.stderr()
