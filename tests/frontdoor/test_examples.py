"""The services in examples/, each by itself, and conf/conf.json, which names them. Needs a build, as ctest has one."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
EXAMPLES = TOP / "examples"


@pytest.fixture(name="service")
def fixture_service(tmp_path):
    """service(PROGRAM, ARGUMENTS...): started as the monitor does it, in a session of its own and with HUP ignored. Its
    console is service.console()."""
    started = []

    def start(program, *arguments):
        with open(tmp_path / "console.log", "ab") as console:
            one = subprocess.Popen([EXAMPLES / program, *arguments], cwd=tmp_path, stdin=subprocess.DEVNULL,
                                   stdout=console, stderr=console, start_new_session=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        started.append(one)
        return one

    start.console = lambda: (tmp_path / "console.log").read_text(encoding="utf-8")
    yield start
    for one in started:
        # A session leader that is reaped may have left its group behind.
        try:
            os.killpg(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        one.wait()


def wait_until(question, timeout=20):
    deadline = time.monotonic() + timeout
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
    return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def page(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return answer.read().decode()


def test_http_server(service, tmp_path):
    port = free_port()
    greeting = tmp_path / "greeting.txt"
    greeting.write_text("Grüß Gott\n", encoding="utf-8")
    web = service("http/http_server", "-p", str(port))
    wait_until(lambda: "greeting: Grüß Gott" in service.console())
    assert page(port).startswith(f"Grüß Gott\npid {web.pid}, up for ")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", data=b"x", timeout=5)

    greeting.write_text("你好\n", encoding="utf-8")
    web.send_signal(signal.SIGHUP)
    wait_until(lambda: "greeting: 你好" in service.console())
    assert page(port).startswith(f"你好\npid {web.pid}, ")

    # One that connects and says nothing must not hold the others up for long.
    with socket.create_connection(("127.0.0.1", port)):
        assert "pid" in page(port)

    web.terminate()
    assert web.wait(10) == 0
    assert service.console().endswith("asked to stop: bye\n")


def test_http_server_says_why_it_can_not_start(service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        web = service("http/http_server", "-p", str(port))
        assert web.wait(10) == 1
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in service.console()


def test_ticker(service):
    ticker = service("shell/ticker.sh", "0.1")
    wait_until(lambda: "tick 2" in service.console())
    os.killpg(ticker.pid, signal.SIGTERM)
    assert ticker.wait(10) == 0
    assert "asked to stop after" in service.console()


def test_ticker_ends_at_once_in_a_long_pause(service):
    ticker = service("shell/ticker.sh", "3600")
    wait_until(lambda: "started" in service.console())
    ticker.terminate()
    assert ticker.wait(10) == 0


def test_ticker_without_a_pause_does_not_run_wild(service):
    assert service("shell/ticker.sh", "soon").wait(10) == 2


def children(pid):
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()}


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_are_replaced_and_go_with_the_parent(service):
    parent = service("workers/workers", "-n", "3")
    wait_until(lambda: len(children(parent.pid)) == 3)
    victim = min(children(parent.pid))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in children(parent.pid) and len(children(parent.pid)) == 3)
    assert f"(pid {victim}) was ended by signal 9" in service.console()

    workers = children(parent.pid)
    parent.terminate()
    assert parent.wait(10) == 0
    assert not any(is_alive(worker) for worker in workers)
    assert service.console().endswith("all workers are gone, bye\n")


def test_workers_do_not_outlive_a_killed_parent(service):
    parent = service("workers/workers", "-n", "2")
    workers = wait_until(lambda: len(children(parent.pid)) == 2 and children(parent.pid))
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(is_alive(worker) for worker in workers))


@pytest.mark.parametrize("how, code", [(["-c", "3"], 3), (["-c", "0"], 0), (["-s", "SEGV"], -11), (["-s", "SIGKILL"], -9),
                                       (["-s", "1"], -1), (["-s", "NONE"], 2), (["-c", "256"], 2)])
def test_crasher(service, how, code):
    assert service("crasher/crasher", "-t", "0", *how).wait(10) == code


def test_crasher_lives_as_long_as_asked(service):
    began = time.monotonic()
    assert service("crasher/crasher", "-t", "0.3", "-c", "7").wait(10) == 7
    assert time.monotonic() - began >= 0.3


def shipped_configuration():
    text = (TOP / "conf" / "conf.json").read_text(encoding="utf-8")
    return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda m: m[1] or " ", text, flags=re.DOTALL))


def test_the_shipped_configuration_names_what_is_there():
    envs = shipped_configuration()
    assert list(envs) == ["dev", "test", "prod"]
    for env in envs.values():
        for service in env["svrs"].values():
            command = service if isinstance(service, str) else service["cmd"]
            assert os.access(TOP / env["rootpath"] / command.split()[0], os.X_OK), command


def test_the_shipped_envs_run_side_by_side():
    ports, places = [], []
    for env in shipped_configuration().values():
        ports.append(env["port"])
        for service in env["svrs"].values():
            command, log = (service, None) if isinstance(service, str) else (service["cmd"], service.get("log"))
            ports += re.findall(r"-p (\d+)", command)
            places.append((command.split()[0], log))
    assert len(ports) == len(set(ports))
    assert len(places) == len(set(places)), "two envs would share a console log"
