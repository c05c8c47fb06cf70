"""The end of the monitor together with its services, by command, by a second SIGINT, and for want of an essential one."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from harness import BINARY, is_alive, kill, later, stat, wait_until
from unkillable import wait_started_again

SCRIPT = Path(__file__).resolve().parents[2] / "fota_monitor.sh"
SLOW = """trap 'while [ ! -e go ]; do sleep 0.02; done; exit 0' TERM  # until it may
echo armed
while :; do sleep 0.05; done"""
STUBBORN = "trap '' TERM; echo armed; while :; do sleep 0.05; done"


@pytest.fixture(name="up")
def fixture_up(monitor):
    for name in ("one", "two", "three"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={name: f"{name}/{name}" for name in ("one", "two", "three")})
    monitor.start()
    monitor.pids = monitor.wait_up()
    return monitor


def test_services_end_and_then_the_monitor(up):
    done = up.cli("-shutdown")
    assert (done.stdout, done.stderr, done.returncode) == ("SUCCESS\n", "", 0)
    assert up.exit_code() == 0
    assert not any(is_alive(pid) for pid in up.pids)
    asked = up.events(service=None, kind="command") or up.events(kind="command")
    assert asked[0]["text"].startswith("shutdown asked for by the command line from 127.0.0.1")
    for name, pid in zip(up.names, up.pids):
        told = up.events(service=name, kind="command")
        assert told[-1]["text"] == asked[0]["text"] and told[-1]["cause"] == asked[0]["seq"]
        assert up.events(service=name)[-1]["kind"] == "down" and up.events(service=name, kind="exit")[-1]["pid"] == pid
    assert up.events()[-1]["text"] == "the monitor ended, with all services down"


def test_the_next_start_begins_with_autostart(up):
    up.conf(svrs={"one": "one/one", "two": "two/two", "three": {"cmd": "three/three", "autostart": False}})
    assert up.get("reload").exit_code == 0
    assert up.get("stop", "one").exit_code == 0
    assert up.get("shutdown", format="json").json() == {"ok": True, "services": {n: {"ok": True} for n in sorted(up.names)}}
    assert up.exit_code() == 0
    up.start()
    up.wait_up("one", "two")
    assert up.status("three")["state"] == "down"


def test_they_are_stopped_side_by_side_within_their_timeouts(up):
    for name in ("one", "two", "three"):
        up.script(f"{name}/{name}", STUBBORN)
    up.conf(svrs={n: {"cmd": f"{n}/{n}", "stop": {"timeout": t}} for n, t in (("one", 1), ("two", 1), ("three", 0.2))})
    assert up.get("reload").exit_code == 0
    assert up.get("restart", "all", timeout=30).exit_code == 0
    wait_until(lambda: all("armed" in up.log(name) for name in up.names))
    assert up.get("shutdown").text == "SUCCESS\n"
    assert up.exit_code() == 0
    killed = {name: up.events(service=name, kind="signal")[-1] for name in up.names}
    assert {e["signal"] for e in killed.values()} == {"SIGKILL"}
    first_kill, last_stop = min(e["seq"] for e in killed.values()), max(e["seq"] for e in up.events(kind="stopping"))
    assert last_stop < first_kill, "all were told before one was waited for"


def test_one_that_not_even_sigkill_ends_is_named(up, trap):
    """The monitor does not wait for it for ever, and the next one makes no second copy of it."""
    up.script("stuck/stuck", trap.body)
    up.conf(svrs={name: {"cmd": f"{name}/{name}", "stop": {"timeout": 0.3}} for name in ("one", "stuck", "two")})
    assert up.get("reload").exit_code == 0
    one, stuck, two = up.wait_up()
    trap.hold(stuck)
    done = up.cli("-shutdown")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "FAIL: stuck\nstuck: it has not ended after SIGKILL; it hangs in the kernel\n"
    assert up.exit_code() == 1
    assert "the monitor ends; 1 could not be stopped: stuck\n" in up.stderr()
    asked, ended = up.events(kind="command", service="stuck")[-1], up.events()[-1]
    assert (ended["kind"], ended["text"]) == ("monitor", "the monitor ended; could not be stopped: stuck")
    assert 6.3 <= ended["mono"] - asked["mono"] < 16
    assert stat(stuck).state == "D" and not is_alive(one) and not is_alive(two)
    up.start()
    up.wait_up("one", "two")
    assert up.processes("stuck") == [stuck]
    trap.let_go()
    wait_until(lambda: not is_alive(stuck))
    wait_started_again(up, "stuck", stuck, trap)


def test_nothing_is_started_any_more(up):
    up.script("two/two", SLOW)
    assert up.get("restart", "two").exit_code == 0
    wait_until(lambda: "armed" in up.log("two"))
    shutdown = later(up.get, "shutdown")
    up.wait_state("two", "stopping")
    for command, service in (("start", "one"), ("restart", "all"), ("reload", None), ("upgrade", None), ("shutdown", None)):
        reply = up.get(command, service)
        assert (reply.status, reply.exit_code) == (503, 4), command
        assert reply.text == "Error: the monitor is shutting down\n", command
    assert up.status("one")["state"] == "down"
    up.file("two/go", "")
    assert shutdown.result(20).text == "SUCCESS\n" and up.exit_code() == 0
    assert len(up.events(kind="starting")) == 4


def test_who_waits_for_a_start_is_told(up):
    up.script("two/two", SLOW)
    assert up.get("restart", "two").exit_code == 0
    wait_until(lambda: "armed" in up.log("two"))
    restart = later(up.get, "restart", "two")
    up.wait_state("two", "stopping")
    shutdown = later(up.get, "shutdown")
    wait_until(lambda: up.events(kind="command")[-1]["text"].startswith("shutdown asked for"), what="it has come")
    up.file("two/go", "")
    assert shutdown.result(20).text == "SUCCESS\n"
    reply = restart.result(20)
    assert reply.exit_code == 1 and "superseded" in reply.text
    assert up.exit_code() == 0


def test_it_goes_on_when_who_asked_hangs_up(up):
    host, port = up.address.rsplit(":", 1)
    up.script("two/two", SLOW)
    assert up.get("restart", "two").exit_code == 0
    wait_until(lambda: "armed" in up.log("two"))
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"GET /?command=shutdown HTTP/1.1\r\nHost: localhost\r\n\r\n")
        up.wait_state("two", "stopping")
    up.file("two/go", "")
    assert up.exit_code() == 0 and not up.processes()


def test_sigterm_meanwhile_ends_the_monitor_alone(up):
    up.script("two/two", STUBBORN)
    assert up.get("restart", "two").exit_code == 0
    wait_until(lambda: "armed" in up.log("two"))
    pid = up.status("two")["pid"]
    reply = up.get("shutdown", timeout=0.2)
    assert reply.status == 504 and "it is stopping" in reply.text
    up.terminate()
    assert is_alive(pid)


def test_it_is_for_who_may_change_things(monitor):
    monitor.script("one/one")
    monitor.conf(svrs={"one": "one/one"}, auth="token")
    monitor.start()
    pid = monitor.wait_up()[0]
    assert monitor.get("shutdown").status == 401 and monitor.alive and is_alive(pid)
    reply = monitor.get("shutdown", "one")
    assert reply.status == 401


def test_it_takes_no_services(up):
    reply = up.get("shutdown", "one")
    assert reply.status == 400 and "takes no service" in reply.text
    assert up.wait_up() == up.pids


def test_by_the_script_that_started_it(up):
    shutil.copy(SCRIPT, up.home)
    (up.home / "fota_monitor").symlink_to(BINARY)

    def run():
        return subprocess.run([up.home / SCRIPT.name, "shutdown", "test"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=30, check=False)
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "SUCCESS\nfota_monitor (test) is stopped, and its services with it\n"
    assert up.exit_code() == 0 and not up.processes()
    done = run()
    assert (done.returncode, done.stdout) == (0, "fota_monitor (test) is not running\n")


# ---- SIGINT on a terminal


class Terminal:
    """What the monitor has for its stderr."""

    def __init__(self, monitor):
        self.monitor = monitor
        self.ours, theirs = pty.openpty()
        for name in ("one", "two"):
            monitor.script(f"{name}/{name}")
        monitor.conf(svrs={name: f"{name}/{name}" for name in ("one", "two")})
        monitor.start(preexec_fn=lambda: os.dup2(theirs, 2))
        os.close(theirs)
        self.said = b""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.pids = monitor.wait_up()

    def read(self):
        try:
            while piece := os.read(self.ours, 4096):
                self.said += piece
        except OSError:
            pass

    def interrupt(self):
        self.monitor.process.send_signal(signal.SIGINT)

    def close(self):
        self.reader.join()
        os.close(self.ours)


def test_sigint_twice_on_a_terminal_stops_the_services_too(monitor):
    terminal = Terminal(monitor)
    terminal.interrupt()
    wait_until(lambda: b"Once more stops them too." in terminal.said)
    assert monitor.wait_up() == terminal.pids
    terminal.interrupt()
    assert monitor.exit_code() == 0
    terminal.close()
    assert not monitor.processes()
    assert monitor.events(kind="command")[0]["text"] == "shutdown asked for by SIGINT, twice"


def test_sigint_once_on_a_terminal_ends_the_monitor_alone(monitor):
    terminal = Terminal(monitor)
    terminal.interrupt()
    assert monitor.exit_code() == 0
    terminal.close()
    assert monitor.processes() == sorted(terminal.pids)


def test_sigint_elsewhere_ends_it_at_once(up):
    up.process.send_signal(signal.SIGINT)
    up.process.send_signal(signal.SIGINT)
    assert up.exit_code() == 0
    assert up.processes() == sorted(up.pids) and "Once more" not in up.stderr()


# ---- essential services


def essential(monitor, body, **policy):
    """One that is essential, with `body`, and two others; until it is over. The exit code."""
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua" / "policies.lua").write_text("""
fm.policy("once", function(svc, exit) return exit.code == 0 and fm.stop("done") or fm.fail("not again") end)
""")
    for name in ("one", "two"):
        monitor.script(f"{name}/{name}")
    if body:
        monitor.script("main/main", body)
    monitor.conf(svrs={"one": "one/one", "two": "two/two", "main": {"cmd": "main/main", "essential": True, **policy}})
    monitor.start(wait=False)
    return monitor.exit_code()


@pytest.mark.parametrize("body, code", [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", 128 + signal.SIGSEGV), ("", 127)],
                         ids=["finished", "failed", "killed", "no program"])
def test_without_an_essential_service_all_end_with_its_code(monitor, body, code):
    assert essential(monitor, body and "sleep 0.4\n" + body, policy="once") == code
    assert not monitor.processes()
    text = "shutdown, as service[main] is essential and has ended for good"
    assert text in monitor.stderr()
    command = [e for e in monitor.events(kind="command") if e["text"] == text][0]
    decision = [e for e in monitor.events(service="main", kind="decision") if e["seq"] == command["cause"]]
    assert decision, "-why goes on to the reason"
    assert monitor.events()[-1]["text"] == "the monitor ended, with all services down"


def test_an_essential_service_that_is_started_again_is_no_reason(monitor):
    monitor.script("main/main")
    monitor.conf(svrs={"main": {"cmd": "main/main", "essential": True}})
    monitor.start()
    pid = monitor.wait_up()[0]
    kill(pid)
    monitor.wait_new_pid("main", pid)
    assert monitor.get("stop", "main").exit_code == 0, "nor is one that is stopped by hand"
    assert monitor.status("main")["state"] == "down" and monitor.alive


def test_others_may_end_for_good(monitor):
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua" / "p.lua").write_text('fm.policy("never", function() return fm.fail("not again") end)')
    monitor.script("one/one", "exit 1")
    monitor.conf(svrs={"one": {"cmd": "one/one", "policy": "never"}})
    monitor.start()
    monitor.wait_state("one", "failed")
    assert monitor.get("start", "one").exit_code == 1 and monitor.alive


def test_essential_is_a_truth_value(monitor):
    monitor.conf_text(json.dumps({"test": {"svrs": {"main": {"cmd": "main/main", "essential": "yes"}}}}))
    done = monitor.cli("-check")
    assert done.returncode == 2 and "test.svrs.main.essential" in done.stderr
