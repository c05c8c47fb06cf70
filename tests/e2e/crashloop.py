"""The monitor killed again and again while services are started, stopped and restarted.

What is known of each service is what was answered last: one that was said to be stopped stays stopped, one that was said
to be up, or that nobody touched, runs on as the same process. Of a command whose answer did not come any more either may
be. Used by test_crash.py for some rounds and by tests/soak/crash for many."""

import random
import socket
import urllib.parse

from harness import Monitor, is_alive, stat, wait_until

WRITER = """import itertools, time
for i in itertools.count(1):
    print(i, flush=True)
    time.sleep(0.002)
"""


class CrashLoop:
    def __init__(self, monitor, seed, count=10):
        self.monitor = monitor
        self.random = random.Random(seed)
        self.names = [f"s{i}" for i in range(count)]
        svrs = {}
        for name in self.names:
            monitor.script(f"{name}/{name}")
            svrs[name] = f"{name}/{name}"
        monitor.script("crasher/crasher", "exec false")
        monitor.script("stubborn/stubborn", "trap '' TERM; while :; do sleep 1000; done")
        monitor.script("writer/writer", WRITER, "/usr/bin/python3")
        svrs["crasher"] = "crasher/crasher"
        svrs["stubborn"] = {"cmd": "stubborn/stubborn", "stop": {"timeout": 0.2}}
        svrs["writer"] = "writer/writer"
        self.names.append("stubborn")
        monitor.conf(svrs=svrs)
        monitor.start()
        self.pids = dict(zip([*self.names, "writer"], monitor.wait_up(*self.names, "writer")))
        self.writer = self.pids.pop("writer")
        self.wanted = dict.fromkeys(self.names, True)  # None: not known
        self.restarts = self.monitor.status("crasher")["restarts"]

    def ask(self, command, name):
        """And hear the answer."""
        reply = self.monitor.get(command, name)
        assert reply.text == "SUCCESS\n", reply
        self.wanted[name] = command != "stop"
        self.pids[name] = self.monitor.status(name)["pid"]

    def throw(self, command, names):
        """And don't wait for the answer."""
        host, port = self.monitor.address.rsplit(":", 1)
        query = urllib.parse.urlencode({"command": command, "service": ",".join(names)})
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(f"GET /?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        for name in names:
            self.wanted[name] = self.pids[name] = None

    def round(self):
        for _ in range(self.random.randrange(3)):
            self.ask(self.random.choice(["start", "stop", "restart"]), self.random.choice(self.names))
        for _ in range(self.random.randrange(3)):
            self.throw(self.random.choice(["start", "stop", "restart"]),
                       self.random.sample(self.names, self.random.randrange(1, 4)))
        for _ in range(self.random.randrange(40)):  # some turns of its loop
            self.monitor.http("/healthz")
        self.monitor.kill()
        self.monitor.start()
        self.check()

    def is_settled(self):
        found = self.monitor.statuses()
        looked = found["writer"]["state"] == "up"  # before that all are down
        return looked and all(found[name]["state"] in ("up", "down") for name in self.names) and found

    def check(self):
        found = wait_until(self.is_settled, what=lambda: f"all is up or down; {self.monitor.statuses()}")
        for name in self.names:
            is_up = found[name]["state"] == "up"
            assert self.wanted[name] in (None, is_up), f"{name}: wanted {self.wanted[name]}, {found[name]}"
            if self.pids[name] and is_up:
                assert found[name]["pid"] == self.pids[name], f"{name} was restarted"
            leaders = [pid for pid in self.monitor.processes(name) if is_leader(pid)]
            assert leaders == ([found[name]["pid"]] if is_up else []), f"{name}: {leaders}, {found[name]}"
            self.wanted[name] = is_up
            self.pids[name] = found[name]["pid"]
        assert found["writer"]["pid"] == self.writer
        crasher = found["crasher"]
        assert crasher["restarts"] >= self.restarts and crasher["failures"] > 0
        self.restarts = crasher["restarts"]

    def end(self):
        """No line is missing."""
        self.monitor.get("stop", "writer")
        lines = self.monitor.log("writer").splitlines()
        assert lines == [str(i) for i in range(1, len(lines) + 1)] and lines
        assert not self.monitor.events(kind="audit")


def is_leader(pid):
    found = stat(pid)
    return found is not None and found.session == pid and is_alive(pid)


def run(rounds, seed, monitor=None):
    own = monitor or Monitor()
    try:
        loop = CrashLoop(own, seed)
        for _ in range(rounds):
            loop.round()
        loop.end()
    finally:
        if monitor is None:
            own.end()
