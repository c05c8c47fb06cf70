"""The monitor dies at any moment: what it knew of its services, its successor knows."""

import json
import os

import pytest
from harness import Monitor, is_alive, kill, wait_gone, wait_until


def state_file(monitor):
    return monitor.home / "run" / f"{monitor.env}.state.jsonl"


@pytest.mark.parametrize("how", [Monitor.kill, Monitor.terminate], ids=["SIGKILL", "SIGTERM"])
def test_what_was_stopped_by_hand_stays_stopped(monitor, how):
    for name in ("one", "two"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={"one": "one/one", "two": {"cmd": "two/two", "autostart": False}})
    monitor.start()
    monitor.wait_up("one")
    assert monitor.get("start", "two").exit_code == 0
    assert monitor.get("stop", "one").exit_code == 0
    pid = monitor.status("two")["pid"]
    kill(pid)
    pid = monitor.wait_new_pid("two", pid)
    before = monitor.status("two")
    how(monitor)
    kill(pid)  # while nobody watches
    wait_gone(pid)
    monitor.start()
    monitor.wait_new_pid("two", pid)
    found = monitor.statuses()
    assert found["one"]["state"] == "down" and found["one"]["wanted"] is False
    assert not monitor.processes("one")
    assert found["two"]["restarts"] == before["restarts"] + 1 and before["restarts"] == 1
    assert found["two"]["last_exit"]["code"] is None and found["two"]["failures"] >= 1
    assert "exit status unknown" in found["two"]["last_exit"]["reason"]


def test_one_that_answers_stop_has_it_written_down(monitor):
    """Even when there was nothing to wait for: the answer comes after what is to be remembered."""
    monitor.script("demo/demo", "exit 1")
    monitor.script("other/other")
    monitor.conf(svrs={"demo": "demo/demo", "other": "other/other"})
    monitor.start()
    for _ in range(5):
        monitor.get("start", "demo", timeout=0.1)
        monitor.wait_state("demo", "waiting")
        assert monitor.get("stop", "demo").exit_code == 0
        monitor.kill()
        monitor.start()
        monitor.wait_state("other")  # it was looked who runs
        assert monitor.status("demo")["state"] == "down"


def test_a_process_that_hides_is_found_again(monitor):
    """Neither its environment nor its command line tell any more whose it is."""
    monitor.file("demo/hide.c", """
#include <string.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv)
{
    char *end = argv[argc - 1];
    for (char **e = environ; *e; e++)
        end = *e;
    memset(argv[0], 'x', (size_t)(end + strlen(end) - argv[0]));
    write(1, "hidden\\n", 7);
    for (;;)
        pause();
}
""")
    built = monitor.spawn(["cc", "-o", str(monitor.root / "demo" / "demo"), str(monitor.root / "demo" / "hide.c")])
    assert built.wait() == 0
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    pid = monitor.wait_state("demo")["pid"]
    wait_until(lambda: "hidden" in monitor.log("demo"))
    try:
        for _ in range(2):
            monitor.restart(Monitor.kill)
            found = monitor.wait_state("demo")
            assert found["pid"] == pid and found["adopted"] is True
        assert monitor.get("stop", "demo").exit_code == 0
        assert not is_alive(pid)
    finally:
        kill(pid)


def test_the_story_goes_on(monitor):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    monitor.start()
    monitor.wait_up()
    assert monitor.cli("-restart", "demo").returncode == 0
    pid = monitor.status("demo")["pid"]
    before = monitor.cli("-history", "demo").stdout.splitlines()
    monitor.restart(Monitor.kill)
    monitor.wait_up()
    after = monitor.cli("-history", "demo").stdout.splitlines()
    assert after[:len(before)] == before and len(after) > len(before)
    why = monitor.cli("-why", "demo").stdout
    assert f"pid {pid} adopted: it ran on while the monitor was away" in why
    assert "restart asked for by the command line" in why
    assert monitor.cli("-history", "demo").stdout.splitlines() == after


def test_a_damaged_file_is_named(monitor):
    for name in ("one", "two"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={"one": "one/one", "two": "two/two"})
    monitor.start()
    pids = monitor.wait_up()
    assert monitor.get("stop", "one").exit_code == 0
    monitor.kill()
    lines = state_file(monitor).read_text().splitlines(keepends=True)
    assert json.loads(lines[0])["version"] == 1
    state_file(monitor).write_bytes(lines[0].encode() + b"\x00\xff rubbish\n" + "".join(lines[1:]).encode() + b'{"serv')
    monitor.start()
    assert monitor.wait_state("two")["pid"] == pids[1]
    assert monitor.status("one")["state"] == "down"
    said = monitor.stderr()
    assert f"{state_file(monitor)}:2: can't be read" in said
    assert f"{state_file(monitor)}:{len(lines) + 2}: ends within a line" in said
    assert os.stat(state_file(monitor)).st_mode & 0o777 == 0o600
    assert b"rubbish" not in state_file(monitor).read_bytes() or monitor.get("restart", "two").exit_code == 0
    assert b"rubbish" not in state_file(monitor).read_bytes()


def test_a_service_taken_out_of_the_configuration_meanwhile_is_left_and_reported(monitor):
    for name in ("one", "two"):
        monitor.script(f"{name}/{name}")
    monitor.conf(svrs={"one": "one/one", "two": "two/two"})
    monitor.start()
    _one, two = monitor.wait_up()
    monitor.kill()
    monitor.conf(svrs={"one": "one/one"})
    monitor.start()
    text = f"service[two] is not configured any more, but runs as pid {two}; it is left alone"
    assert monitor.wait_event(kind="audit")["text"] == text
    assert text in monitor.stderr() and is_alive(two)
