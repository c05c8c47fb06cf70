"""/metrics: what Prometheus reads is well-formed and true."""

import concurrent.futures
import re
import socket
import time
from pathlib import Path

import pytest
from harness import fds, is_sanitized, stat, wait_past, wait_until

NAME = r"[a-z_][a-z0-9_]*"
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?\d+(?:\.\d+)?)")
UNITS = ("_seconds", "_bytes", "_fds", "_code", "_info", "_total", "_up", "_wanted", "_failures", "_services", "_tasks", "_held")


def parse(text):
    """{(name, label value…): number}. Judges as a strict reader would: HELP, TYPE, then all samples of a metric, once."""
    found, described, current = {}, {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current, words = line[7:].split(" ", 1)
            assert current not in described and words[0].isupper() and words.endswith(".")
            described[current] = None
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and kind in ("counter", "gauge")
            assert (kind == "counter") == name.endswith("_total"), name
            assert name.endswith(UNITS), name
            described[name] = kind
        else:
            name, labels, value = SAMPLE.fullmatch(line).groups()
            assert name == current and described[name]
            pairs = LABEL.findall(labels or "")
            assert ",".join(f'{k}="{v}"' for k, v in pairs) == (labels or "")
            values = tuple(re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v) for _, v in pairs)
            assert (name, *values) not in found
            found[name, *values] = float(value)
    assert all(described.values())
    return found


def scrape(monitor):
    reply = monitor.http("/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(reply.text)


ODD = 'ü "o\\dd"'


@pytest.fixture(name="running")
def fixture_running(monitor):
    monitor.script("run", "exec 7>/dev/null 8>/dev/null; exec sleep 1000")
    monitor.script("crash", "exit 3")
    monitor.conf(svrs={"alpha": "run alpha", ODD: "run odd", "spare": {"cmd": "run spare", "autostart": False}})
    monitor.start()
    for pid in monitor.wait_up("alpha", ODD):
        wait_past(pid, "exec sleep 1000")
    return monitor


def test_services(running):
    pid = running.status("alpha")["pid"]
    found = scrape(running)
    for name, up in {"alpha": 1, ODD: 1, "spare": 0}.items():
        assert found["fota_monitor_service_up", name] == found["fota_monitor_service_wanted", name] == up
        assert found["fota_monitor_service_restarts_total", name] == 0
        assert ("fota_monitor_service_uptime_seconds", name) in found if up else True
        assert ("fota_monitor_service_open_fds", name) in found if up else True
    assert found["fota_monitor_services", "up"] == 2 and found["fota_monitor_services", "down"] == 1
    assert found["fota_monitor_service_open_fds", "alpha"] == len(fds(pid)) == 5
    pages = int(open(f"/proc/{pid}/statm", encoding="ascii").read().split()[1])
    assert 0.5 < found["fota_monitor_service_resident_memory_bytes", "alpha"] / (pages * 4096) < 2
    assert found["fota_monitor_service_uptime_seconds", "alpha"] < 60
    assert not any(key[1:] == ("spare",) and "seconds" in key[0] for key in found)


def test_what_happens_is_counted(running):
    before = scrape(running)
    assert ("fota_monitor_service_last_exit_code", "alpha") not in before
    running.spawn(["kill", "-KILL", str(running.status("alpha")["pid"])])
    running.wait_event(kind="exit", service="alpha")
    running.wait_up("alpha", ODD)
    running.get("stop", ODD)
    after = scrape(running)
    assert after["fota_monitor_service_last_exit_code", "alpha"] == 137
    assert after["fota_monitor_service_restarts_total", "alpha"] == 1
    assert after["fota_monitor_service_failures", "alpha"] == 1
    assert after["fota_monitor_service_up", ODD] == after["fota_monitor_service_wanted", ODD] == 0
    for name in ("requests", "events", "probes"):
        key = (f"fota_monitor_{name}_total",)
        assert after[key] > before[key]
    assert after["fota_monitor_events_total",] == running.events()[-1]["seq"]


def test_the_cpu_time_of_one_that_works(running):
    running.script("busy", "while :; do :; done")
    running.conf(svrs={"busy": "busy"})
    assert running.get("reload").status == 200
    key = ("fota_monitor_service_cpu_seconds_total", "busy")
    wait_until(lambda: scrape(running).get(key, 0) > 0.2, what="its CPU time goes up")
    running.get("stop", "busy")
    assert key not in scrape(running)


def test_the_monitor(running):
    with socket.create_connection(running.address.rsplit(":", 1)):  # so that the HTTP server does not go in between
        found = scrape(running)
        assert found["process_open_fds",] in range(len(fds(running.pid)) - 2, len(fds(running.pid)) + 3)
    assert found["process_max_fds",] > 0 and found["process_resident_memory_bytes",] > 1_000_000
    ticks = float(open("/proc/stat", encoding="ascii").read().split("btime ")[1].split()[0])
    started = ticks + stat(running.pid).start_ticks / 100
    assert abs(found["process_start_time_seconds",] - started) < 3
    assert found["fota_monitor_loop_busy_seconds_total",] > 0
    assert 0 < found["fota_monitor_loop_lag_seconds",] < 10
    assert 0 < found["fota_monitor_loop_lag_cpu_seconds",] < 10
    assert found["fota_monitor_info", "0.1.0", "test"] == 1


def test_everybody_may(running):
    assert running.http("/metrics", headers={"Origin": "http://elsewhere.example", "Host": "x.example"}).status == 200
    assert running.http("/metrics", "POST", "").status == 200
    assert running.get("metrics").status == 200
    reply = running.get("metrics", format="json")
    assert (reply.status, reply.json()["error"]["code"]) == (400, "bad_argument")
    parse(running.cli("-metrics").stdout)


def test_many_scrapes_while_the_configuration_changes(running):
    running.script("run")
    some = {f"s{i:03}": f"run {i}" for i in range(100)}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for svrs in [some, {"alpha": "run alpha"}, some]:
            running.conf(svrs=svrs)
            reload = pool.submit(running.get, "reload", timeout=30)
            scrapes = [pool.submit(scrape, running) for _ in range(50)]
            assert reload.result().status == 200
            for found in scrapes:
                names = {key[1] for key in found.result() if key[0] == "fota_monitor_service_up"}
                assert names in ({"alpha", ODD, "spare"}, set(some), {"alpha"})
    # Each is itself, whoever stood at its place before.
    wait_until(lambda: scrape(running).get(("fota_monitor_service_open_fds", "s050")) == 3, what="s050")


def spent(pid):
    """Milliseconds of processor time: of the loop, and of all other threads."""
    times = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        times[int(path.parent.name)] = int(path.read_text(encoding="ascii").split()[0]) / 1e6
    return times.pop(pid), sum(times.values())


@pytest.mark.alone
@pytest.mark.skipif(is_sanitized(), reason="times of a sanitizer say nothing")
def test_a_thousand_services_are_read_in_time_and_beside_the_loop(monitor):
    monitor.script("run", "exec sleep 1000")
    monitor.conf(svrs={f"s{i:04}": f"run {i}" for i in range(1000)})
    monitor.start()
    wait_until(lambda: scrape(monitor)["fota_monitor_services", "up"] == 1000, timeout=90, what="all are up")
    took = []
    for _ in range(5):
        began = time.monotonic()
        wait_until(lambda b=began: time.monotonic() - b > 1.05, what="the facts are not fresh any more")
        before = spent(monitor.pid)
        found = scrape(monitor)
        took.append([b - a for a, b in zip(before, spent(monitor.pid))])
        assert sum(key[0] == "fota_monitor_service_open_fds" for key in found) == 1000
    loop, others = map(min, zip(*took))
    assert others > loop, "the processes are looked at by threads"
    assert loop < 10 and loop + others / 2 < 20, took


def test_scripts(running):
    (running.home / "lua").mkdir()
    (running.home / "lua" / "a.lua").write_text("fm.on('exit', function() for i = 1, 1e6 do end error('no') end)",
                                                encoding="utf-8")
    assert running.get("reload").status == 200
    before = scrape(running)
    assert before["fota_monitor_script_errors_total",] == 0 and before["fota_monitor_script_memory_bytes",] > 10_000
    running.get("restart", "alpha")
    after = wait_until(lambda: (s := scrape(running))["fota_monitor_script_errors_total",] and s, what="an error")
    assert after["fota_monitor_script_errors_total",] == 1
    assert after["fota_monitor_script_seconds_total",] > before["fota_monitor_script_seconds_total",]


def test_what_scripts_leave_behind_is_collected_when_it_is_quiet(running):
    """Not only when there is as much garbage as there is in use."""
    (running.home / "lua").mkdir()
    (running.home / "lua" / "a.lua").write_text(
        "fm.command{name = 'waste', help = 'makes garbage', run = function() return #('x'):rep(100000) end}", encoding="utf-8")
    assert running.get("reload").status == 200

    def memory():
        return scrape(running)["fota_monitor_script_memory_bytes",]

    def wasted():
        before = memory()
        assert running.get("waste").status == 200
        now = memory()
        return now > before + 60_000 and now

    most = wait_until(wasted, what="garbage that Lua has not collected by itself")
    running.get("restart", "alpha")  # the last that there is to do is the look that comes with it
    wait_until(lambda: memory() < most - 60_000, what="the garbage is gone")
