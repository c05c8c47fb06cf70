"""Run by test_pid_reuse.py in a pid namespace of its own, where numbers are given again at once.

Strangers come and go by the thousand, each the leader of a session and group, so that a signal to its number or to the
group of that number would reach it. Meanwhile services crash, are stopped, started, adopted and swept, and helpers of
scripts run into their timeouts. Every stranger must end by itself."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import Monitor

STRANGERS = 3000
LONGEST = 50  # seconds, where the host has other things to do

SCRIPT = """
fm.every(0.05, function() fm.exec{ "sh", "-c", "sleep 0.03 & sleep 5 & exec sleep 6", timeout = 0.04 } end)
"""


def kill_some_of(monitor, name):
    """Not by number alone: what had it may have ended since it was looked for."""
    for pid in monitor.processes(name)[:2]:
        with contextlib.suppress(ProcessLookupError), open(os.pidfd_open(pid), "rb") as process:
            if pid in monitor.processes(name):
                signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)


def trouble(monitor, seconds, is_enough):
    """Everything that has something signalled, for so long, and until is_enough() (but not for ever)."""
    chance, begin = random.Random(7), time.monotonic()
    third = begin + seconds / 3
    while (past := time.monotonic() - begin) < seconds or (past < LONGEST and not is_enough()):
        name = chance.choice(["kind", "family", "stubborn", "away"])
        action = chance.choice(["restart", "stop", "kill", "kill", "kill"])
        if action == "kill":
            kill_some_of(monitor, name)
        else:
            monitor.get(action, name, timeout=5)
        if action == "stop":
            monitor.get("start", name, timeout=5)
        if time.monotonic() > third:  # adopted ones are no children: their numbers are free as soon as they end
            third = time.monotonic() + seconds / 3
            monitor.restart(Monitor.kill)


def main(seconds):
    monitor = Monitor()
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua/helpers.lua").write_text(SCRIPT)
    monitor.script("kind/kind")
    monitor.script("short/short", "exec sleep 0.02")
    monitor.script("family/family", "sleep 1000 &\nsleep 0.05 &\nexec sleep 1000")
    monitor.script("stubborn/stubborn", "trap '' TERM\nsleep 1000 &\nwhile :; do sleep 0.05; done")
    monitor.script("away/away", "setsid sleep 1000 &\nsetsid sleep 0.05 &\nexec sleep 1000")
    svrs = {name: f"{name}/{name}" for name in ("kind", "short", "family", "away")}
    monitor.conf(svrs={**svrs, "stubborn": {"cmd": "stubborn/stubborn", "stop": {"timeout": 0.1}}})
    program, counts = monitor.home / "strangers", monitor.home / "counts"
    subprocess.run(["cc", "-O1", "-o", program, Path(__file__).with_name("strangers.c")], check=True)
    begun = monitor.home / "begun"
    with open(begun, "wb") as told, subprocess.Popen([program, counts], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                     stderr=told, text=True) as strangers:
        try:
            monitor.start()
            trouble(monitor, seconds, lambda: begun.stat().st_size >= STRANGERS)
            monitor.wait_up("kind", "family", "away", "stubborn")
            assert monitor.get("stop", "all", timeout=20).status == 200
            hit = strangers.communicate(timeout=20)[0]
            used = {int(line.split()[0]): int(line.split()[1]) for line in counts.read_text().splitlines()}
            ours = {event["pid"] for event in monitor.events() if "pid" in event}
            again = sum(used.values()) - len(used)
            print(f"{sum(used.values())} strangers on {len(used)} numbers, {len(ours & set(used))} of them services' too")
            assert strangers.returncode == 0 and not hit, hit
            assert again > 2000 and len(ours & set(used)) > 20, "numbers were used again and again"
        finally:
            strangers.kill()
            monitor.end()


if __name__ == "__main__":
    main(float(sys.argv[1]))
