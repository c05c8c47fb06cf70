"""What the long runs share: workers (services that number their lines), and the journal read as it grows and judged.

    workers = Workers(monitor, folder_for_the_tool, seed)
    svrs = workers.add("a", "crasher")        -> the entry of conf.json; kinds: see worker.c
    workers.pid("a")                          of its last life, told by itself; 0: it never ran
    workers.judge(names, jobs=2)              -> (lines, [complaint, ...]), of their logs; plus doubles that there were

    journal = Journal(monitor); ...; journal.stop()    -> follows the file through its renamings, in a thread
    Judge(journal.events).problems                     what is wrong with numbers, causes and transitions
"""

import concurrent.futures
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness  # noqa: E402  pylint: disable=wrong-import-position

STATES = ("down", "waiting", "starting", "up", "stopping", "failed")
# From a state to the next, within one life of the monitor. "starting" is told once there is a process, so a start that
# was taken back before that is not.
MOVES = {
    "down": {"starting", "up", "stopping", "down"},
    "waiting": {"starting", "down", "up", "failed", "waiting", "stopping"},
    "starting": {"up", "stopping", "waiting", "down", "starting", "failed"},
    "up": {"stopping", "starting", "waiting", "down", "failed", "up"},
    "stopping": {"down", "starting", "stopping"},
    "failed": {"starting", "down", "up", "stopping"},
}


def build_tool(source, folder):
    tool = f"{folder}/{Path(source).stem}"
    subprocess.run(["cc", "-O2", "-o", tool, HERE / source], check=True)
    return tool


def files_in_order(log):
    """The older files by the time of their last line, parts of a day before the day's own, and the log."""
    def key(path):
        words = path.name.split(".")
        return path.stat().st_mtime_ns, int(words[2]) if len(words) == 4 else 1 << 30
    older = [p for p in log.parent.glob("fota_monitor.*.log")]
    return sorted(older, key=key) + [log]


class Workers:
    """Services of worker.c. Each has a folder of its own below the monitor's root."""

    def __init__(self, monitor, folder, seed, period_ms=100):
        self.root = monitor.root
        self.seed = seed
        self.period_ms = period_ms
        self.tool = build_tool("worker.c", folder)
        self.names = []

    def add(self, name, kind="plain", period_ms=None, **keys):
        folder = self.root / name
        folder.mkdir()
        self.names.append(name)
        return {"cmd": f"{self.tool} run {kind} {name} {folder} {period_ms or self.period_ms} {self.seed % 1000000}",
                "dir": str(folder), "log": f"{folder}/fota_monitor.log", **keys}

    def pid(self, name):
        try:
            return struct.unpack("lll", (self.root / name / "count").read_bytes())[2]
        except (OSError, struct.error):
            return 0

    def calm(self):
        """From now on crashers live on."""
        (self.root / "calm").touch()

    def _judge(self, name):
        folder = self.root / name
        if not (folder / "count").exists():
            return 0, ""
        done = subprocess.run([self.tool, "check", name, folder, *files_in_order(folder / "fota_monitor.log")],
                              stdout=subprocess.PIPE, text=True, check=False)
        return (int(done.stdout), "") if done.returncode == 0 else (0, done.stdout.strip() or f"{name}: {done.returncode}")

    def judge(self, names=None, jobs=2):
        doubles = self.root / "doubles"
        problems = doubles.read_text().splitlines() if doubles.exists() else []
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(self._judge, names or self.names))
        return sum(n for n, _ in results), [f"there were two: {p}" for p in problems] + [p for _, p in results if p]

    def wait_rotated(self, limit, names=None):
        """When nobody writes any more: until no rotation is under way, nor due for a log (of these names) of more than
        `limit` bytes. Who judges during one finds lines that are in no file he knows of."""
        def is_under_way(name):
            return any(file.startswith(".") for file in os.listdir(self.root / name))

        def is_due(name):
            log = self.root / name / "fota_monitor.log"
            lines = log.read_bytes().lstrip(b"\0").splitlines(keepends=True) if log.exists() else []
            return sum(len(line) for line in lines if not line.startswith(b"--- earlier lines are in ")) > limit

        def busy():
            return [n for n in self.names
                    if is_under_way(n) or (not names or n in names) and is_due(n) or is_under_way(n)]
        harness.wait_until(lambda: not busy(), timeout=60, what=lambda: f"no rotation is under way or due; {busy()}")

    def moved(self, name):
        """How many files its older lines are in."""
        return len(files_in_order(self.root / name / "fota_monitor.log")) - 1


class Journal(threading.Thread):
    """The journal of a monitor and of those after it, as it is written."""

    def __init__(self, monitor):
        super().__init__(daemon=True)
        self.path = monitor.home / "run" / f"{monitor.env}.events.jsonl"
        self.lines = []
        self.enough = threading.Event()
        self.start()

    def run(self):
        current, rest = None, b""
        while True:
            last = self.enough.is_set()
            if current is None and self.path.exists():
                current = open(self.path, "rb")  # pylint: disable=consider-using-with
            if current:
                renamed = self._is_renamed(current)  # before the last look: then nothing comes to it any more
                rest = self._take(rest + current.read())
                if renamed:
                    current.close()
                    current = None
                    continue
            if last:
                return
            time.sleep(0.05)

    def _is_renamed(self, current):
        try:
            return os.fstat(current.fileno()).st_ino != os.stat(self.path).st_ino
        except FileNotFoundError:
            return False

    def _take(self, data):
        *lines, rest = data.split(b"\n")
        self.lines.extend(lines)
        return rest

    def stop(self):
        self.enough.set()
        self.join()
        return self

    @property
    def events(self):
        """All of them. A line that a kill tore off while it was written has two keys: "torn", and "number", which was its
        event's and is not given again (None: it was torn off before that)."""
        found = []
        for line in self.lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                number = re.match(rb'\{"seq":(\d+)', line)
                found.append({"torn": line, "number": number and int(number[1])})
        return found

    def excerpt(self, service, count=40):
        """The last lines about a service, and those of the monitor itself in between."""
        found = [e for e in self.events if e.get("service") in (service, None)]
        return "\n".join(json.dumps(e, default=repr) for e in found[-count:])


def is_new_monitor(event):
    return event["kind"] == "monitor" and " started, pid " in event["text"]


class Judge:
    """Do the events explain everything? problems: (service or None, text), at most `most` of them."""

    def __init__(self, events, most=20, loose=()):
        """loose: services that nobody looks after now and then."""
        self.problems = []
        self.most = most
        self.loose = loose
        self.state = {}  # of each service, in the life of this monitor
        self.last = {}  # the same, whichever monitor told it
        self.pid = {}  # its process, until that one's end is told
        self.known = {}  # number: kind
        self.number = 0
        self.torn = False
        for event in events:
            if len(self.problems) >= most:
                break
            self.judge(event)

    def complain(self, event, text):
        self.problems.append((event.get("service"), f"{text}: {json.dumps(event, default=repr)}"))

    def judge(self, event):
        if "torn" in event:
            self.torn = True
            if event["number"] == self.number + 1:  # else it is a part of the number
                self.number += 1
            return
        seq, kind, name, cause = event["seq"], event["kind"], event.get("service"), event.get("cause", 0)
        if self.torn and not is_new_monitor(event):
            self.complain(event, "behind a torn line there is no new monitor")
        self.torn = False
        if seq != self.number + 1:
            self.complain(event, f"comes after number {self.number}")
        self.number = seq
        if cause and (cause >= seq or cause not in self.known):
            self.complain(event, "its cause is none")
        self.known[seq] = kind
        if is_new_monitor(event):
            self.state = {}
        if kind in STATES:
            self.judge_move(event, kind, name, cause)
        self.judge_process(event, kind, name)

    def judge_move(self, event, kind, name, cause):
        if not name or not cause:
            self.complain(event, "it has no cause")
        before = self.state.get(name)
        if before and kind not in MOVES[before]:
            self.complain(event, f"it was {before}")
        self.state[name] = kind
        self.last[name] = kind

    def judge_process(self, event, kind, name):
        """One ends before the next is there, but for a graceful restart; a monitor that dies may have told less."""
        pid = event.get("pid")
        if kind in ("exit", "down"):
            self.pid.pop(name, None)
        elif kind == "starting" and pid:
            if self.pid.get(name) and name not in self.loose:
                self.complain(event, f"the end of {self.pid[name]} was not told")
            self.pid[name] = pid
        elif kind == "adopt" and pid:
            self.pid[name] = pid
