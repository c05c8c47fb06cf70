"""What happened and why: the journal, -history and -why."""

import json
import re
import signal

import pytest
from harness import Monitor, duration_text, kill, wait_minds, wait_until

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
CLOCK = r"\d\d:\d\d:\d\d"
STATES = {"down", "waiting", "starting", "up", "stopping", "failed"}


def start_one(monitor, body="exec sleep 1000", **service):
    monitor.script("demo/demo", body)
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", **service}})
    return monitor.start()


def sentences(text):
    """The lines of a history without their times."""
    lines = text.splitlines()
    for line in lines:
        assert re.match(TIME + " ", line), line
    times = [line[:23] for line in lines]
    assert times == sorted(times)
    return [line[24:] for line in lines]


def chain(monitor, event):
    """The kinds of an event and of what led to it, the nearest first."""
    by_seq = {e["seq"]: e for e in monitor.events()}
    kinds = [event["kind"]]
    while "cause" in event:
        event = by_seq[event["cause"]]
        kinds.append(event["kind"])
    return kinds


def check_journal(monitor):
    events = monitor.events()
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    seen = {}
    for event in events:
        if event["kind"] in STATES | {"exit", "decision", "adopt", "spawn_fail", "cleanup", "signal"}:
            assert event.get("cause") in seen, f"{event} comes from something that was told before"
        if "cause" in event:
            cause = seen[event["cause"]]
            assert cause.get("service") in (None, event.get("service")), f"{event} comes from another service's {cause}"
        seen[event["seq"]] = event
    for name in {e["service"] for e in events if "service" in e}:
        own = [e["kind"] for e in events if e.get("service") == name and e["kind"] in STATES | {"adopt", "spawn_fail"}]
        assert all(a != b or a in ("starting", "spawn_fail") for a, b in zip(own, own[1:])), f"{name}: {own}"
        # What fails to start was told as "starting" only if there was a process.
        assert all(a in ("waiting", "down", "failed", "starting", "stopping", "spawn_fail") for a, b in zip(own, own[1:])
                   if b == "spawn_fail"), f"{name}: {own}"
    return events


# ---- the journal


def test_every_transition_has_a_number_and_a_cause(monitor):
    monitor.script("bad/bad", "exit 3")
    monitor.script("gone/gone", "sleep 1000 & exec sleep 2000")
    start_one(monitor)
    monitor.conf(svrs={"demo": "demo/demo", "bad": "bad/bad", "no-such": "no/such", "gone": {
        "cmd": "gone/gone", "stop": {"scope": "parent"}}, "off": {"cmd": "demo/demo", "autostart": False}})
    assert monitor.get("reload").text.startswith("added: bad\nadded: gone\nadded: no-such\nadded: off\nFAIL: bad, no-such\n")
    old = monitor.wait_up("demo", "gone")[0]
    monitor.wait_state("bad", "waiting")
    kill(old)
    monitor.wait_new_pid("demo", old)
    for command in ("restart", "stop", "start"):
        assert monitor.get(command, "demo,gone").text == "SUCCESS\n"
    assert monitor.get("stop", "all").text == "SUCCESS\n"
    assert monitor.get("start", "demo").text == "SUCCESS\n"
    monitor.restart(Monitor.kill)
    monitor.wait_up("demo")
    monitor.restart(Monitor.terminate)
    monitor.wait_up("demo")
    kinds = {e["kind"] for e in check_journal(monitor)}
    assert kinds >= {"monitor", "command", "config", "starting", "up", "exit", "decision", "waiting", "stopping", "down",
                     "spawn_fail", "cleanup", "adopt"}


def test_causes_lead_back_to_who_began_it(monitor):
    start_one(monitor)
    pid = monitor.wait_state("demo")["pid"]
    assert chain(monitor, monitor.events(kind="up")[-1]) == ["up", "starting", "monitor"]
    kill(pid)
    monitor.wait_new_pid("demo", pid)
    assert chain(monitor, monitor.events(kind="up")[-1])[:4] == ["up", "starting", "decision", "exit"]
    monitor.get("restart", "demo")
    assert chain(monitor, monitor.events(kind="up")[-1])[:5] == ["up", "starting", "exit", "stopping", "command"]
    monitor.get("stop", "demo")
    assert chain(monitor, monitor.events(kind="down")[-1]) == ["down", "exit", "stopping", "command"]
    monitor.get("start", "demo")
    assert chain(monitor, monitor.events(kind="up")[-1]) == ["up", "starting", "command"]
    monitor.restart(Monitor.kill)
    monitor.wait_up()
    # The story goes on where the monitor of before was killed.
    assert chain(monitor, monitor.events(kind="up")[-1]) == ["up", "adopt", "up", "starting", "command"]


def test_numbers_go_on_after_a_restart_of_the_monitor(monitor):
    start_one(monitor)
    monitor.wait_up()
    for how in (Monitor.kill, Monitor.terminate, Monitor.kill):
        last = monitor.events()[-1]["seq"]
        monitor.restart(how)
        monitor.wait_up()
        told = "the monitor ended by SIGTERM; the services go on" in [e.get("text") for e in monitor.events()[last:]]
        assert told == (how is Monitor.terminate)
    check_journal(monitor)
    assert len([e for e in monitor.events(kind="monitor") if " started, pid " in e["text"]]) == 4


@pytest.mark.parametrize("rest", ['{"seq":99,"time":1', "\x00\x00\x00", '{"seq":'], ids=["torn", "zeros", "barely begun"])
def test_a_torn_last_line_is_no_obstacle(monitor, rest):
    start_one(monitor)
    monitor.wait_up()
    monitor.kill()
    path = monitor.home / "run/test.events.jsonl"
    whole = path.read_text().splitlines()
    path.write_text("\n".join(whole) + "\n" + rest)
    monitor.start()
    monitor.wait_up()
    lines = wait_until(lambda: len(found := path.read_text().splitlines()) > len(whole) + 2 and found)
    assert lines[:len(whole)] == whole and lines[len(whole)].startswith(rest)
    numbers = [json.loads(line)["seq"] for line in lines[len(whole) + 1:]]
    assert numbers[0] > len(whole) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_journal_that_is_gone_begins_anew(monitor):
    start_one(monitor)
    monitor.wait_up()
    monitor.terminate()
    (monitor.home / "run/test.events.jsonl").unlink()
    monitor.start()
    monitor.wait_up()
    assert monitor.events()[0]["seq"] > 1, "the numbers are remembered beside it"


def test_an_event_tells_all_about_an_end(monitor):
    start_one(monitor, "trap 'exit 3' USR1; while :; do sleep 0.02; done")
    pid = monitor.wait_state("demo")["pid"]
    wait_minds(pid, signal.SIGUSR1)
    kill(pid, signal.SIGUSR1)
    ended = monitor.wait_event(kind="exit")
    assert (ended["service"], ended["pid"], ended["code"], ended["count"]) == ("demo", pid, 3, 1)
    assert "signal" not in ended and ended["text"].startswith("exited with code 3 after ")
    new = monitor.wait_new_pid("demo", pid)
    kill(new)
    ended = monitor.wait_event(kind="exit", pid=new)
    assert ended["signal"] == "SIGKILL" and "code" not in ended and ended["count"] == 2
    assert 0.2 < ended["duration"] < 10


# ---- history


def test_a_history_is_told_in_sentences(monitor):
    start_one(monitor)
    one = monitor.wait_state("demo")["pid"]
    kill(one)
    two = monitor.wait_new_pid("demo", one)
    monitor.get("stop", "demo")
    done = monitor.cli("-history", "demo")
    assert done.returncode == 0
    told = sentences(done.stdout)
    patterns = [
        f"started, pid {one}", f"up, pid {one}",
        rf"pid {one} was killed by SIGKILL after \S+ m?s", "the core's policy restarts a service that ends",
        f"started, pid {two}", f"up, pid {two}",
        r"stop asked for by HTTP from 127\.0\.0\.1 \(\w.*\)", f"stopping: SIGTERM to pid {two}",
        rf"pid {two} was killed by SIGTERM after \S+ m?s", "down",
    ]
    assert len(told) == len(patterns), told
    for line, pattern in zip(told, patterns):
        assert re.fullmatch(pattern, line), f"{line} is not {pattern}"


def test_failures_are_counted_in_words(monitor):
    start_one(monitor, "exit 3")
    monitor.wait_state("demo", "waiting")
    told = [line for line in sentences(monitor.get("history", "demo").text) if "exited" in line]
    assert re.fullmatch(r"pid \d+ exited with code 3 after (\d+ ms|\d+\.\d s)", told[0])
    assert [re.search("for the (.*) in a row", line)[1] for line in told[1:]] == [
        f"{n} time" for n in ("2nd", "3rd", "4th", "5th", "6th")]


def test_lines_and_several_services(monitor):
    monitor.script("demo/demo")
    monitor.conf(svrs={"a": "demo/demo", "b": "demo/demo"})
    monitor.start()
    monitor.wait_up()
    assert len(monitor.cli("-history", "a", "-lines", "1").stdout.splitlines()) == 1
    text = monitor.cli("-history", "all").stdout
    assert re.fullmatch(rf"a:\n({TIME} .*\n){{2}}\nb:\n({TIME} .*\n){{2}}", text), text
    for wrong in ("0", "x", "-3"):
        assert monitor.cli("-history", "a", f"-lines={wrong}").returncode == 2


def test_a_history_in_json(monitor):
    start_one(monitor)
    pid = monitor.wait_state("demo")["pid"]
    events = monitor.get("history", "demo", format="json").json()["services"]["demo"]
    assert [e["kind"] for e in events] == ["starting", "up"]
    assert [e["sentence"] for e in events] == [f"started, pid {pid}", f"up, pid {pid}"]
    journal = monitor.events(service="demo")
    assert [{k: v for k, v in e.items() if k != "sentence"} for e in events] == journal


def test_a_long_history_keeps_the_end(monitor):
    start_one(monitor)
    for _ in range(15):
        assert monitor.get("restart", "demo").text == "SUCCESS\n"
        assert monitor.get("stop", "demo").text == "SUCCESS\n"
    told = sentences(monitor.get("history", "demo").text)
    assert 30 <= len(told) <= 64 and told[-1] == "down"


# ---- why


def test_why_it_is_up(monitor):
    start_one(monitor)
    pid = monitor.wait_state("demo")["pid"]
    done = monitor.cli("-why", "demo")
    assert done.returncode == 0
    assert re.fullmatch(rf"demo is up since {CLOCK}, pid {pid}, running for \S+ m?s\n"
                        rf"  now     {TIME} up, pid {pid}\n"
                        rf"  because {TIME} started, pid {pid}\n"
                        rf"  because {TIME} the monitor \S+ started, pid {monitor.pid}\n", done.stdout), done.stdout


@pytest.mark.alone  # who takes 300 ms for its 20 was up
def test_why_it_waits(monitor):
    start_one(monitor, "echo no database; sleep 0.02; exit 3")
    monitor.wait_state("demo", "waiting")
    seconds = monitor.events(kind="exit")[-1]["duration"]
    assert seconds >= 0.02
    took = re.escape(duration_text(seconds))
    lines = monitor.cli("-why", "demo").stdout.splitlines()
    assert re.fullmatch(rf"demo is down since {CLOCK}: it exited with code 3 after {took}, for the 6th time; "
                        r"next try in (\d\.\d s|\d+ ms)", lines[0]), lines[0]
    assert re.fullmatch(f"  now     {TIME} waiting 3.0 s for the next try", lines[1])
    assert re.fullmatch(f"  because {TIME} the core's policy waits 3 s after 6 failures in a row", lines[2])
    assert re.fullmatch(rf"  because {TIME} pid \d+ exited with code 3 after {took}, for the 6th time in a row", lines[3])
    assert lines[4:] == ["            | no database"]  # of the last instance, not of the five before it


def last_words(monitor):
    """What -why shows of the console of the instance that has to go now."""
    pid = monitor.wait_state("demo")["pid"]
    wait_until(lambda: f"this is {pid}\n" in monitor.log("demo"))
    kill(pid)
    monitor.wait_new_pid("demo", pid)
    return pid, re.findall(r"^ +\| (.*)$", monitor.get("why", "demo").text, re.MULTILINE)


def test_the_console_that_why_shows_is_that_of_the_instance(monitor):
    start_one(monitor, "echo this is $$; exec sleep 1000")
    for _ in range(2):
        pid, words = last_words(monitor)
        assert words == [f"this is {pid}"]
    now = monitor.status("demo")["pid"]
    wait_until(lambda: f"this is {now}\n" in monitor.log("demo"))
    monitor.file("demo/fota_monitor.log", f"this is {now}\n")  # shorter now than it was at the start
    assert last_words(monitor) == (now, [f"this is {now}"])
    monitor.restart(Monitor.kill)
    pid, words = last_words(monitor)
    assert words == [f"this is {pid}"]  # where it began is remembered over the monitor's death


def test_why_it_is_down(monitor):
    start_one(monitor)
    monitor.wait_up()
    monitor.cli("-stop", "demo")
    lines = monitor.cli("-why", "demo").stdout.splitlines()
    assert re.fullmatch(f"demo is down since {CLOCK}: it was stopped", lines[0])
    assert re.fullmatch(f"  because {TIME} stop asked for by .*127.0.0.1 .*", lines[-1])


def test_why_it_was_never_started(monitor):
    start_one(monitor, autostart=False)
    text = monitor.get("why", "demo").text
    assert re.fullmatch(rf"demo is down since {CLOCK}: it has not been started \(autostart is off\)\n", text)


def test_why_it_can_not_be_started(monitor):
    """However long the path is: the reason stands at the end."""
    long = "/".join(["a-rather-long-name-of-a-folder"] * 6)
    monitor.conf(svrs={"demo": f"{long}/demo"})
    monitor.start()
    monitor.wait_state("demo", "waiting")
    first, *rest = monitor.get("why", "demo").text.splitlines()
    error = re.escape(f"exec {monitor.root}/{long}/demo: No such file or directory")
    assert re.fullmatch(rf"demo is down since {CLOCK}: it could not be started: {error}, for the 6th time; next try in .*",
                        first), first
    assert re.search(f"because {TIME} could not be started: {error}, for the 6th time in a row", "\n".join(rest))


def test_why_after_a_takeover(monitor):
    start_one(monitor)
    pid = monitor.wait_state("demo")["pid"]
    monitor.restart(Monitor.kill)
    monitor.wait_up()
    lines = monitor.get("why", "demo").text.splitlines()
    assert lines[0].startswith("demo is up since ") and f"pid {pid}" in lines[0]
    assert lines[2].endswith(f" pid {pid} adopted: it ran on while the monitor was away")


def test_why_in_json(monitor):
    start_one(monitor)
    monitor.wait_up()
    found = monitor.get("why", "demo", format="json").json()["services"]["demo"]
    assert found["state"] == "up" and found["why"].startswith("demo is up since ")
