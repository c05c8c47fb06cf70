"""Clients that ask all the time, whatever becomes of the monitor: a load, and one that follows the events."""

import http.client
import json
import multiprocessing
import random
import threading
import time

PUT_OFF = b"the monitor is being upgraded; what was asked for goes on"


class Load:
    """Processes that ask as fast as they can. problems: answers that were none."""

    def __init__(self, port, names, count=2):
        self.enough = multiprocessing.Event()
        self.results = multiprocessing.Queue()
        self.processes = [multiprocessing.Process(target=self.run, args=(port, names, i), daemon=True)
                          for i in range(count)]
        self.problems = []
        self.counts = {}
        for process in self.processes:
            process.start()

    def run(self, port, names, seed):
        dice = random.Random(seed)
        counts, problems = {"answers": 0, "lost connections": 0, "put off by an upgrade": 0}, []
        while not self.enough.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                while not self.enough.is_set():
                    path, most = self.question(dice, names)
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    body = answer.read()
                    counts["answers"] += 1
                    # What is answered by a thread is put off by an upgrade that has waited for others too long already.
                    if answer.status == 503 and path.startswith(("/metrics", "/log")) and PUT_OFF in body:
                        counts["put off by an upgrade"] += 1
                    elif answer.status not in most:
                        problems.append(f"{path}: {answer.status} {body[:200]!r}")
            except (OSError, http.client.HTTPException, ValueError):
                counts["lost connections"] += 1
                time.sleep(0.01)
            finally:
                connection.close()
            if len(problems) > 20:
                break
        self.results.put((counts, problems))

    @staticmethod
    def question(dice, names):
        """A path and the status codes that are an answer to it; a service may not be configured just now."""
        name = dice.choice(names)
        return dice.choice((
            ("/?command=status&service=all", (200, 500)),
            ("/?command=status&service=all&format=json", (200,)),
            (f"/?command=status&service={name}", (200, 404, 500)),
            (f"/?command=history&service={name}", (200, 404)),
            (f"/?command=why&service={name}", (200, 404)),
            (f"/log?service={name}&lines=20", (200, 404)),
            ("/metrics", (200,)), ("/healthz", (200,)), ("/?command=help", (200,))))

    def stop(self):
        """What was counted."""
        if not self.enough.is_set():
            self.enough.set()
            for _ in self.processes:
                counts, problems = self.results.get(timeout=90)
                self.problems += problems
                for what, n in counts.items():
                    self.counts[what] = self.counts.get(what, 0) + n
            for process in self.processes:
                process.join()
        return self.counts


class Follower(threading.Thread):
    """Follows /events, and goes on where it was after each loss of the connection."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.heard = []  # (id, data)
        self.refused = []
        self.enough = threading.Event()
        self.start()

    def run(self):
        while not self.enough.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            try:
                last = self.heard[-1][0] if self.heard else 0
                connection.request("GET", f"/events?since={last}")
                answer = connection.getresponse()
                if answer.status == 200:
                    self.follow(answer)
                else:
                    self.refused.append((answer.status, answer.read()[:200]))
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)
            finally:
                connection.close()

    def follow(self, answer):
        number, data = None, None
        while not self.enough.is_set():
            line = answer.readline()
            if not line:
                return
            key, _, value = line.rstrip(b"\n").partition(b": ")
            if key == b"id":
                number = int(value)
            elif key == b"data":
                data = value
            elif not key and number is not None and data is not None:
                self.heard.append((number, data))
                number = data = None

    def stop(self):
        self.enough.set()
        self.join(10)
        return self

    def compare(self, events):
        """What it heard and the journal's events that say something else."""
        written = {e["seq"]: e for e in events if "seq" in e}
        torn = {e["number"] for e in events if "torn" in e}
        problems = [f"/events was refused: {r}" for r in self.refused[:3]]
        before = None
        for number, data in self.heard:
            if before is not None and number != before + (2 if before + 1 in torn else 1):
                problems.append(f"/events: after {before} came {number}")
            before = number
            if written.get(number) != json.loads(data):
                problems.append(f"/events told {data}, but the journal has {written.get(number)}")
            if len(problems) >= 10:
                break
        return problems + ([] if self.heard else ["/events told nothing"])
