"""What a service manager is told (the protocol of sd_notify), and the unit file for systemd."""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import BINARY, environ_of, is_running, wait_until

UNIT = Path(__file__).resolve().parents[2] / "conf" / "fota_monitor@.service"


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.name = address.replace("\0", "@")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(20)

    def message(self):
        """The next one, as a dict."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def until(self, *keys):
        """The first message with these keys, and those before it."""
        before = []
        while True:
            message = self.message()
            if all(key in message for key in keys):
                return message, before
            before.append(message)

    def is_silent(self):
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(20)


@pytest.fixture(name="manager")
def fixture_manager(monitor):
    made = Manager(str(monitor.home / "notify"))
    yield made
    made.socket.close()


def start(monitor, manager, **env):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    return monitor.start(env={"NOTIFY_SOCKET": manager.name, **env}, wait=False)


def test_it_is_ready_when_its_port_answers(monitor, manager):
    start(monitor, manager)
    message = manager.message()
    assert monitor.http("/?command=version").status == 200
    assert message == {"READY": "1", "STATUS": f"env test on {monitor.address}, 1 service"}
    monitor.wait_up("demo")
    assert manager.is_silent()


def test_an_abstract_socket_is_one_too(monitor):
    manager = Manager(f"\0fm-test-{os.getpid()}")
    try:
        start(monitor, manager)
        assert manager.message()["READY"] == "1"
    finally:
        manager.socket.close()


@pytest.mark.parametrize("how", ["applied", "shown", "refused"])
def test_a_reload_begins_and_ends(monitor, manager, how):
    start(monitor, manager)
    manager.message()
    monitor.wait_up("demo")
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    monitor.script("more/more")
    monitor.conf(svrs={"demo": "demo/demo", "more": "more/more"})
    if how == "refused":
        monitor.conf_text("{")
    reply = monitor.get("reload", **({"dry-run": "1"} if how == "shown" else {}))
    assert (reply.status == 200) == (how != "refused")
    after = time.clock_gettime(time.CLOCK_MONOTONIC)
    message = manager.message()
    assert message.pop("RELOADING") == "1"
    assert before <= int(message.pop("MONOTONIC_USEC")) / 1e6 <= after
    assert message == {}
    message = manager.message()
    assert message["READY"] == "1"
    assert message["STATUS"].endswith(", 2 services" if how == "applied" else ", 1 service")


def test_an_upgrade_is_reloading_then_ready(monitor, manager):
    start(monitor, manager, WATCHDOG_USEC="1000000")
    manager.until("READY")
    assert monitor.get("upgrade").text == "SUCCESS\n"
    message, _ = manager.until("RELOADING")
    assert int(message["MONOTONIC_USEC"]) <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
    message, before = manager.until("READY")
    assert not before and message["STATUS"] == f"env test on {monitor.address}, 1 service"
    assert manager.message() == {"WATCHDOG": "1"}, "the new program goes on telling"


def test_an_upgrade_that_fails_is_none_to_the_manager(monitor, manager):
    start(monitor, manager)
    manager.until("READY")
    monitor.conf_text("{ nonsense")
    assert monitor.get("upgrade").exit_code == 3
    assert manager.is_silent()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_it_says_that_it_stops(monitor, manager, sig):
    start(monitor, manager)
    manager.message()
    monitor.wait_up("demo")
    monitor.process.send_signal(sig)
    assert monitor.exit_code() == 0
    assert manager.message() == {"STOPPING": "1", "STATUS": "the services go on"}
    assert monitor.processes("demo")


def test_the_watchdog_is_fed_while_the_loop_turns(monitor, manager):
    times = [time.monotonic()]
    start(monitor, manager, WATCHDOG_USEC="200000")
    manager.until("READY")
    for _ in range(8):
        assert manager.message() == {"WATCHDOG": "1"}
        times.append(time.monotonic())
    # Twice in the time it was given, not more often; a busy machine may delay some.
    assert times[8] - times[0] >= 0.8
    assert min(later - time for time, later in zip(times[1:], times[2:])) < 0.19
    monitor.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: not is_running(monitor.pid), what="it is stopped")
    wait_until(manager.is_silent)
    with pytest.raises(socket.timeout):
        manager.socket.settimeout(0.5)
        manager.message()
    manager.socket.settimeout(20)
    monitor.process.send_signal(signal.SIGCONT)
    assert manager.message() == {"WATCHDOG": "1"}


def test_the_watchdog_is_for_the_process_it_is_meant_for(monitor, manager):
    start(monitor, manager, WATCHDOG_USEC="2000", WATCHDOG_PID="1")
    manager.until("READY")
    monitor.wait_up("demo")
    monitor.get("reload")
    assert manager.until("RELOADING")[1] == []
    monitor.terminate()
    # The same in a process that knows its number.
    wrapper = monitor.script("wrapper", f'export WATCHDOG_PID=$$; exec {BINARY} "$@"')
    manager.until("STOPPING")
    monitor.start(binary=wrapper, env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "2000"}, wait=False)
    manager.until("READY")
    assert manager.message() == {"WATCHDOG": "1"}


def test_a_manager_that_does_not_read_holds_nothing_up(monitor, manager):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"X=1", manager.name)
    start(monitor, manager, WATCHDOG_USEC="2000")
    wait_until(lambda: monitor.address and monitor.http("/?command=version").status == 200)
    monitor.wait_up("demo")
    monitor.get("reload")
    # When it reads again all is there, in order; the watchdog has not filled the queue meanwhile.
    message, before = manager.until("READY")
    assert all(m == {"X": "1"} for m in before)
    assert message["READY"] == "1"
    assert manager.message()["RELOADING"] == "1"
    assert manager.message()["READY"] == "1"
    assert manager.message() == {"WATCHDOG": "1"}


@pytest.mark.parametrize("name, why", [
    ("/no/such/socket", "No such file or directory"),
    ("@nobody-listens-here", "Connection refused"),
    ("vsock:2:1234", "it is neither a path nor an abstract name"),
    ("@", "it is neither a path nor an abstract name"),
    ("/" + 200 * "x", "it is neither a path nor an abstract name"),
])
def test_a_manager_that_is_not_there_is_told_of_once(monitor, name, why):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "20000"})
    monitor.wait_up("demo")
    monitor.get("reload")
    assert monitor.stderr().count(f"the service manager at NOTIFY_SOCKET can't be told: {why}") == 1


def test_a_watchdog_time_that_is_none_is_none(monitor, manager):
    start(monitor, manager, WATCHDOG_USEC="soon")
    manager.until("READY")
    monitor.wait_up("demo")
    assert manager.is_silent()


def test_services_do_not_see_who_is_told(monitor, manager):
    start(monitor, manager, WATCHDOG_USEC="1000000", WATCHDOG_PID="1", LISTEN_FDS="1", LISTEN_PID="1", KEPT="yes")
    manager.until("READY")
    [pid] = monitor.wait_up("demo")
    env = environ_of(pid)
    assert env["KEPT"] == "yes"
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"} & set(env)


# ---- the unit file


def read_unit():
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_the_unit_leaves_the_services_alone():
    service = read_unit()["Service"]
    assert service["KillMode"] == "process"
    assert service["Restart"] == "on-failure", "after -shutdown it stays down"
    assert service["Type"] == "notify"


def test_the_commands_of_the_unit_do_what_they_say(monitor, manager):
    """As systemd would: ExecStart until it is ready, ExecReload, SIGTERM."""
    service = read_unit()["Service"]
    start_words, reload_words = (
        service[key].replace("/usr/local/bin/fota_monitor", str(BINARY)).replace("%i", "test").split()
        for key in ("ExecStart", "ExecReload"))
    outside = {**os.environ, "FOTA_MONITOR_HOME": str(monitor.home)}
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    told = dict([service["Environment"].split("=", 1)])
    process = monitor.spawn(start_words, env={**outside, **told, "NOTIFY_SOCKET": manager.name})
    manager.until("READY")
    subprocess.run(reload_words, env=outside, check=True, timeout=30, stdin=subprocess.DEVNULL, capture_output=True)
    manager.until("RELOADING")
    manager.until("READY")
    wait_until(lambda: monitor.processes("demo"))
    process.terminate()
    assert process.wait(20) == 0
    [pid] = monitor.processes("demo")
    assert told and not set(told) & set(environ_of(pid)), "what is for the monitor is kept from the services"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    unit = tmp_path / "fota_monitor@test.service"
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/usr/local/bin/fota_monitor", str(BINARY)),
                    encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], stdin=subprocess.DEVNULL, timeout=60,
                          capture_output=True, text=True, check=False)
    assert str(unit.name) not in done.stderr, done.stderr
