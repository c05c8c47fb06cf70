"""The admin port, asked many things at once: what waits holds up nothing, commands on one service are put in order."""

import concurrent.futures
import json
import socket
import threading
import time

import pytest
from harness import children, free_port, is_alive, later, wait_past, wait_until

# Takes its time to end. The shell waits for a child, as it acts on a signal only between commands.
SLOW = "trap 'sleep {0}; exit 0' TERM; while :; do sleep 1000 & wait; done"
DEAF = "trap '' TERM; while :; do sleep 1000; done"


@pytest.fixture(name="one")
def fixture_one(monitor):
    """one(BODY, **keys) starts a monitor with one service, "demo", and waits until it is up."""
    def start(body="exec sleep 1000", **keys):
        monitor.script("demo/demo", body)
        monitor.conf(svrs={"demo": {"cmd": "demo/demo", **keys}})
        monitor.start()
        pid, = monitor.wait_up("demo")
        wait_past(pid, body)
        return monitor
    return start


def test_a_timeout_is_a_504_and_holds_up_nobody(one):
    monitor = one(DEAF, stop={"timeout": 60})
    waiting = [later(monitor.get, "stop", "demo", timeout=5, format=f) for f in ("text", "json")]
    wait_until(lambda: monitor.status("demo")["state"] == "stopping", what="it is being stopped")
    answered = 0
    while not waiting[0].done():
        assert monitor.http("/healthz").status == monitor.get("why", "demo").status == 200
        answered += 1
    assert answered > 100
    text, as_json = waiting[0].result(), waiting[1].result(10)
    assert (text.status, text.exit_code) == (504, 1)
    assert text.text == "FAIL: demo\ndemo: not done within 5 s; it is stopping\n"
    assert as_json.status == 504
    assert as_json.json() == {"ok": False, "services": {"demo": {
        "ok": False, "pid": monitor.status("demo")["pid"], "error": "not done within 5 s; it is stopping"}}}


def test_what_was_asked_for_goes_on_after_the_timeout(one):
    monitor = one(SLOW.format(3))
    assert monitor.get("stop", "demo", timeout=0.1).status == 504
    monitor.wait_state("demo", "down")


def test_a_newer_opposite_command_supersedes_a_waiting_one(one):
    monitor = one(DEAF, stop={"timeout": 3})
    old = monitor.status("demo")["pid"]
    stop = later(monitor.get, "stop", "demo")
    monitor.wait_state("demo", "stopping")
    start = later(monitor.get, "start", "demo", format="json")
    reply = stop.result(10)
    assert (reply.status, reply.text) == (500, "FAIL: demo\ndemo: superseded by a newer command to start it\n")
    assert monitor.status("demo")["pid"] == old, "the old one has not ended yet"
    reply = start.result(20)
    assert reply.status == 200 and reply.json()["services"]["demo"]["pid"] != old
    assert not is_alive(old)


def test_a_stop_supersedes_a_waiting_start(one):
    monitor = one(DEAF, stop={"timeout": 3})
    restart = later(monitor.get, "restart", "demo")
    monitor.wait_state("demo", "stopping")
    stop = later(monitor.get, "stop", "demo")
    reply = restart.result(10)
    assert (reply.status, reply.text) == (500, "FAIL: demo\ndemo: superseded by a newer command to stop it\n")
    assert stop.result(20).text == "SUCCESS\n"
    assert monitor.status("demo")["state"] == "down"
    wait_until(lambda: not monitor.processes("demo"), what="its child has died of the same signal")


def test_equal_commands_are_answered_together(one):
    monitor = one(SLOW.format(0.3))
    for command in ["restart", "stop", "start"]:
        asked = [later(monitor.get, command, "demo") for _ in range(5)]
        assert [a.result(20).text for a in asked] == ["SUCCESS\n"] * 5
    wait_until(lambda: children(monitor.status("demo")["pid"]), what="the shell has come to its sleep")
    assert len(monitor.processes("demo")) == 2, "one shell and its sleep"


def test_two_hundred_requests_at_once(monitor):
    monitor.script("run")
    monitor.conf(svrs={"alpha": "run alpha", "beta": "run beta"})
    monitor.start()
    monitor.wait_up()
    asked = [("status", {}), ("status", {"format": "json"}), ("history", {"service": "all"}), ("help", {}),
             ("start", {"service": "alpha"}), ("why", {"service": "beta"}), ("status", {"format": "table"})]
    gate = threading.Barrier(200)

    def ask(i):
        command, args = asked[i % len(asked)]
        gate.wait(30)
        return monitor.get(command, **args)
    pids = {name: s["pid"] for name, s in monitor.statuses().items()}
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(ask, range(200)))
    assert {r.status for r in replies} == {200}
    assert len({r.text for r in replies[::7]}) == 1 and all(json.loads(r.text) for r in replies[1::7])
    assert {name: s["pid"] for name, s in monitor.statuses().items()} == pids


def test_two_hundred_services_are_commanded_in_parallel(monitor):
    """One after the other would take 200 times the 0.3 s each of them needs to be called up."""
    monitor.script("run")
    names = [f"s{i:03}" for i in range(200)]
    monitor.conf(svrs={name: {"cmd": f"run {name}", "autostart": False} for name in names})
    monitor.start()
    seen = set()
    for command, state in [("start", "up"), ("restart", "up"), ("stop", "down")]:
        began = time.monotonic()
        waiting = later(monitor.get, command, "all", format="json")
        slowest = 0
        while not waiting.done():
            asked = time.monotonic()
            assert monitor.http("/healthz").status == 200
            slowest = max(slowest, time.monotonic() - asked)
        answer = waiting.result().json()
        assert time.monotonic() - began < 20 and slowest < 2
        assert answer["ok"] and sorted(answer["services"]) == names
        assert {s["state"] for s in monitor.statuses().values()} == {state}
        pids = {s["pid"] for s in answer["services"].values() if "pid" in s}
        assert len(pids) == (200 if state == "up" else 0) and not pids & seen
        seen |= pids
    assert not monitor.processes()


def test_slow_ends_are_waited_for_side_by_side(monitor):
    monitor.script("slow", SLOW.format(1))
    names = [f"s{i:02}" for i in range(20)]
    monitor.conf(svrs={name: f"slow {name}" for name in names})
    monitor.start()
    monitor.wait_up()
    began = time.monotonic()
    assert monitor.get("stop", "all").text == "SUCCESS\n"
    assert 1 <= time.monotonic() - began < 10


def test_waiting_requests_are_told_when_the_monitor_ends(one):
    monitor = one(DEAF, stop={"timeout": 60})
    pid = monitor.status("demo")["pid"]
    stop = later(monitor.get, "stop", "demo")
    monitor.wait_state("demo", "stopping")
    monitor.terminate()
    reply = stop.result(10)
    assert (reply.status, reply.exit_code) == (503, 4)
    assert reply.text == "Error: the monitor is ending; what was asked for goes on\n"
    assert is_alive(pid)


def test_a_stop_that_comes_with_the_start_holds(make_monitor):
    """The port is open before it is known what runs already; what is asked there waits for that."""
    monitor = make_monitor()
    monitor.script("run")
    port = free_port()
    monitor.conf(port=port, svrs={"demo": "run demo"})
    monitor.start(wait=False)

    def early():
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(f"GET /?command=stop&service=demo HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            return sock.recv(4096).decode()

    def try_early():
        try:
            return early()
        except ConnectionRefusedError:
            return None
    assert wait_until(try_early, what="the port is open").endswith("SUCCESS\n")
    wait_until(lambda: monitor.address, what="it says where it listens")
    found = monitor.status("demo")
    assert (found["state"], found["wanted"]) == ("down", False)
    assert not monitor.processes("demo")
