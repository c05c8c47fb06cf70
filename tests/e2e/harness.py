"""What the end-to-end tests stand on: a Monitor in a home of its own, and questions about processes.

    def test_a_service_comes_up(monitor):            # fixture of conftest.py: a Monitor, not started yet
        monitor.script("demo/demo", "exec sleep 1000")
        monitor.conf(svrs={"demo": "demo/demo -p 80"})
        monitor.start()
        pid = monitor.wait_state("demo", "up")["pid"]

Fixtures      monitor: one Monitor; make_monitor(env="test"): more of them, each in a home of its own;
              trap: holds a process in the kernel, see unkillable.py.

Monitor       .home .root .env      paths (home is readable for every user; root = home/svc is the rootpath) and a name
  writing     .conf(svrs={}, **keys) writes conf.json with port 0, bind 127.0.0.1, rootpath and these keys
              .conf_text(text)      writes conf.json as it is
              .script(path, body)   an executable shell script below root; returns its path
              .file(path, text)     a plain file below root
  running     .start(*words, wait=True, env={}, **popen)   returns the Monitor, once it answers; without wait at once
              .terminate() .kill()  SIGTERM (checks exit code 0) / SIGKILL, and wait for its end; services stay
              .restart(how)         one of the two, then start() as it was started before
              .exit_code()          waits for the end of a monitor that is expected to end by itself
              .pid .address .alive  of the running monitor; "127.0.0.1:34567"
              .has_http()           does the HTTP server run in it? (When nobody asks, it does not.)
              .open_fds(host=None)  how many descriptors it has while it serves HTTP there, that of the one who asks not
                                    counted; without a host at .address
              .stderr()             all it wrote, over all its starts
  HTTP        .http(path, method="GET", body=None, headers={}, timeout=30) -> Reply
              .get(command, service=None, **args) -> Reply;  .get("stop", "demo", timeout=3, format="json")
              Reply: .status .text .json() .headers .exit_code (X-Exit-Code as int)
  CLI         .cli(*words, timeout=30, **popen) -> subprocess.CompletedProcess (text), with -home and -env in front
  asking      .status(name) -> dict of status format=json; .statuses() -> name: dict
              .wait_state(name, state="up", timeout=20) -> that dict
              .wait_up(*names) -> [pid, …]           (no names: all configured ones)
              .wait_new_pid(name, old) -> pid        up again as another process
              .events(**match) -> journal lines as dicts, e.g. .events(service="demo", kind="exit")
              .wait_event(timeout=20, **match) -> the last such event
              .processes(name=None) -> sorted pids that carry the marker of this home (and service)
              .keep = True          leaves the home where it is at the end
              .wait_log(name_or_path, text)          until the console log is just that
              .log(name_or_path) -> text of a console log; "demo" means root/demo/fota_monitor.log
  by hand     .spawn(argv, **popen) -> Popen, a process of its own session that is ended with the test

Functions     wait_until(predicate, timeout=20, what="") -> its first true value; AssertionError after timeout
              wait_gone(pid, …): the end of these processes (kill() does not wait for it)
              later(function, *args, **kwargs) -> a Future: it is called in a thread of its own
              wait_minds(pid, SIGTERM): until a service's shell has come to its trap
              wait_past(pid, script): the same for all its traps, and for the `exec sleep` it ends with
              wait_asleep(pid, seconds): until it is that `sleep`, and sleeps
              free_port() is_alive(pid) is_running(pid) stat(pid) -> Stat; children(pid) fds(pid) limits(pid)
              environ_of(pid) cmdline_of(pid) pss_kb(pid) cpu_s(pid)
              duration_text(seconds): as the monitor tells it
Tests never sleep: they wait for a state. Everything started here is ended at the test's end, also when it fails, and
then it is checked that no monitor ended by itself, and that none of them had anything to tell from a sanitizer.
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

BINARY = Path(os.environ.get("FOTA_MONITOR_BIN")
              or Path(__file__).resolve().parents[2] / "build" / "fota_monitor").resolve()
MARKER = "FOTA_MONITOR_SERVICE"
TIMEOUT = 20  # for what takes milliseconds: a busy machine is no failure
POLL = 0.01
SANITIZER = re.compile(r"(ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|: runtime error: ).*")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

RESERVED = []  # the sockets of free_port

Stat = collections.namedtuple("Stat", "state ppid pgrp session start_ticks")


def wait_until(predicate, timeout=TIMEOUT, what=""):
    """The first true value of predicate(); `what` (a text, or a function that makes one) says what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what() if callable(what) else what or predicate}")
        time.sleep(POLL)


def later(function, *args, **kwargs):
    """Calls it in a thread of its own; .result(timeout) is what it returned."""
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # pylint: disable=broad-except
            future.set_exception(error)
    threading.Thread(target=run, daemon=True).start()
    return future


def free_port():
    """One that nobody listens on, and that nobody else is given: it stays bound until the end of this process. Who has
    SO_REUSEADDR set, as all servers here have, can listen on it all the same."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    RESERVED.append(sock)
    return sock.getsockname()[1]


def is_sanitized():
    """Is the binary built with the address sanitizer (slower, and needs endless address space)?"""
    return b"__asan_init" in BINARY.read_bytes()


# ---- processes


def _proc(pid, name):
    """A file of /proc/PID as bytes; empty when there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (OSError, ProcessLookupError):
        return b""


def stat(pid):
    """State, parent, group, session, start time; None when there is no such process."""
    words = _proc(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
    return Stat(words[0], int(words[1]), int(words[2]), int(words[3]), int(words[19])) if words else None


def is_alive(pid):
    """A zombie that nobody has reaped counts as gone."""
    found = stat(pid)
    return found is not None and found.state not in "ZX"


def is_running(pid):
    """Alive and not stopped by SIGSTOP."""
    found = stat(pid)
    return found is not None and found.state not in "ZXTt"


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid):
    return sorted(p for p in pids() if (found := stat(p)) and found.ppid == pid and found.state not in "ZX")


def raw_environ_of(pid):
    return _proc(pid, "environ").split(b"\0")


def environ_of(pid):
    pairs = _proc(pid, "environ").decode(errors="surrogateescape").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def cmdline_of(pid):
    return _proc(pid, "cmdline").decode(errors="surrogateescape").split("\0")[:-1]


def status_of(pid):
    """/proc/PID/status: name to the rest of the line."""
    lines = _proc(pid, "status").decode(errors="replace").splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


def fds(pid):
    """Open descriptors: number to what it is."""
    found = {}
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
    return found


def duration_text(seconds):
    """How a short one is told: as clock_duration in src/base/clock.c, up to 10 s."""
    ms = round(seconds * 1000)
    return f"{ms} ms" if ms < 100 else f"{ms // 1000}.{ms % 1000 // 100} s"


def cpu_s(pid):
    """Processor time that it has used, in seconds."""
    words = _proc(pid, "stat").decode(errors="replace").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def pss_kb(pid, key="Pss"):
    """Memory that is its own, its share of what it shares included; "Anonymous": without that of files."""
    lines = _proc(pid, "smaps_rollup").decode().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)


def limits(pid):
    """"Max open files" and the like: name to (soft, hard), as texts."""
    found = {}
    for line in _proc(pid, "limits").decode().splitlines()[1:]:
        words = line[26:].split()
        found[line[:26].strip()] = (words[0], words[1])
    return found


def kill(pid, sig=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def wait_minds(pid, sig=signal.SIGTERM):
    """Until it has said what is to become of this signal (not SIGHUP, which services ignore from the start): "up" is who is
    alive, whether its shell has come to the trap or not."""
    def minds():
        found = status_of(pid)
        return (int(found.get("SigCgt", "0"), 16) | int(found.get("SigIgn", "0"), 16)) >> (sig - 1) & 1
    wait_until(minds, what=lambda: f"{pid} catches or ignores {signal.Signals(sig).name}")


def wait_asleep(pid, seconds):
    """Until it is a `sleep` that sleeps: before that it still has the files of its own start open."""
    def look():
        return cmdline_of(pid) == ["sleep", str(seconds)] and (found := stat(pid)) and found.state == "S"
    wait_until(look, what=lambda: f"it sleeps {seconds} s; it is {cmdline_of(pid)}, {stat(pid)}")


def wait_past(pid, script):
    """Until a shell that runs this script has set its traps, and sleeps in the `exec sleep` of its last line, if it ends so."""
    for caught in re.findall(r"^trap (?:'[^']*'|\S+) (\w+)", script, re.MULTILINE):
        wait_minds(pid, signal.Signals[f"SIG{caught}"])
    words = script.splitlines()[-1].rpartition(";")[2].split()
    if words[:2] == ["exec", "sleep"]:
        wait_asleep(pid, words[2])


def wait_gone(*pids):
    wait_until(lambda: not any(is_alive(pid) for pid in pids), what=lambda: f"{[p for p in pids if is_alive(p)]} gone")


# ---- the monitor


class Reply:
    """An answer over HTTP."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.text = body.decode(errors="replace")

    @property
    def exit_code(self):
        value = self.headers.get("X-Exit-Code")
        return None if value is None else int(value)

    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"<{self.status} {self.text!r}>"


class Monitor:
    """See the top of this file."""

    def __init__(self, env="test"):
        self.env = env
        self.home = Path(tempfile.mkdtemp(prefix="fm-e2e-")).resolve()
        self.home.chmod(0o755)
        self.root = self.home / "svc"
        self.root.mkdir()
        (self.home / "conf").mkdir()
        self.conf_file = self.home / "conf" / "conf.json"
        self.stderr_file = self.home / "monitor.stderr"
        self.names = []
        self.process = None
        self.started_as = ((), {})
        self.problems = []
        self.by_hand = []
        self.keep = False  # the home, to look at

    # -- writing

    def conf(self, svrs=None, **keys):
        svrs = svrs or {}
        self.names = list(svrs)
        env = {"port": 0, "bind": ["127.0.0.1"], "rootpath": str(self.root), "clog": {"level": 15}, **keys, "svrs": svrs}
        return self.conf_text(json.dumps({self.env: env}, indent=2, ensure_ascii=False))

    def conf_text(self, text):
        self.conf_file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.conf_file

    def file(self, path, text):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text if isinstance(text, bytes) else text.encode())
        return full

    def script(self, path, body="exec sleep 1000", interpreter="/bin/sh"):
        full = self.file(path, f"#!{interpreter}\n{body}\n")
        full.chmod(0o755)
        return full

    # -- running

    def start(self, *words, wait=True, env=None, **popen):
        assert self.process is None, "it runs already"
        self.started_as = (words, {"env": env, **popen})
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("FOTA_MONITOR", "GLIBC_TUNABLES"))}
        with open(self.stderr_file, "ab") as out:
            self.process = subprocess.Popen(
                [popen.pop("binary", BINARY), "-home", self.home, "-env", self.env, *words], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, cwd=popen.pop("cwd", "/"), env={**outside, **(env or {})}, **popen)
        if wait:
            wait_until(self._answers, what=lambda: f"the monitor answers; it said:\n{self.stderr()[-3000:]}")
        return self

    def _answers(self):
        code = self.process.poll()
        assert code is None, f"the monitor ended with code {code}; it said:\n{self.stderr()[-3000:]}"
        try:
            return self.address and self.http("/?command=version").status == 200
        except OSError:  # the address may be the one of before, where the new one has the same number
            return False

    def restart(self, how=None):
        """how: Monitor.terminate (the default) or Monitor.kill."""
        (how or Monitor.terminate)(self)
        words, popen = self.started_as
        return self.start(*words, **popen)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.exit_code()
        assert code == 0, f"after SIGTERM the monitor ended with code {code}"

    def kill(self):
        self.process.kill()
        self.exit_code()

    def exit_code(self, timeout=TIMEOUT):
        process, self.process = self.process, None
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process = process
            raise AssertionError(f"the monitor has not ended within {timeout} s") from None

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def address(self):
        """Where it answers; empty until it has said so in its lock file."""
        try:
            lines = (self.home / "run" / f"{self.env}.lock").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ""
        return lines[1] if len(lines) > 1 and self.process and lines[0] == str(self.process.pid) else ""

    def stderr(self):
        return self.stderr_file.read_text(encoding="utf-8", errors="replace") if self.stderr_file.exists() else ""

    # -- HTTP and command line

    def http(self, path, method="GET", body=None, headers=None, timeout=30):
        request = urllib.request.Request(f"http://{self.address}{path}", method=method, headers=headers or {},
                                         data=body.encode() if isinstance(body, str) else body)
        try:
            with OPENER.open(request, timeout=timeout) as answer:
                return Reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())

    def has_http(self):
        """Beside the loop's and the one of all services, each of its daemons has an epoll descriptor."""
        return sum(what == "anon_inode:[eventpoll]" for what in fds(self.pid).values()) > 2

    def open_fds(self, host=None):
        address, port = self.address.rsplit(":", 1)
        with socket.create_connection((host or address, int(port)), TIMEOUT) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200")
            return len(fds(self.pid)) - 1

    def get(self, command, service=None, **args):
        fields = {"command": command, **({} if service is None else {"service": service}), **args}
        return self.http("/?" + urllib.parse.urlencode(fields), timeout=float(args.get("timeout", 60)) + 10)

    def cli(self, *words, timeout=30, **popen):
        outside = {k: v for k, v in os.environ.items() if not k.startswith("FOTA_MONITOR")}
        done = subprocess.run([BINARY, "-home", self.home, "-env", self.env, *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False,
                              **{"env": outside, "cwd": "/", **popen})
        self.problems += SANITIZER.findall(done.stderr) and [f"fota_monitor {words}:\n{done.stderr}"]
        return done

    # -- asking

    def statuses(self):
        return {s["name"]: s for s in self.get("status", "all", format="json").json()["services"]}

    def status(self, name):
        return self.get("status", name, format="json").json()["services"][0]

    def wait_state(self, name, state="up", timeout=TIMEOUT):
        def look():
            found = self.status(name)
            return found["state"] == state and found
        return wait_until(look, timeout, lambda: f"{name} is {state}; it is {self.status(name)}")

    def wait_up(self, *names, timeout=TIMEOUT):
        names = names or self.names

        def look():
            found = self.statuses()
            return all(found[name]["state"] == "up" for name in names) and [found[name]["pid"] for name in names]
        return wait_until(look, timeout, lambda: f"{names} are up; {self.get('status').text}") if names else []

    def wait_new_pid(self, name, old, timeout=TIMEOUT):
        def look():
            found = self.status(name)
            return found["state"] == "up" and found["pid"] != old and found["pid"]
        return wait_until(look, timeout, lambda: f"{name} is up as another process than {old}; it is {self.status(name)}")

    def _journal(self, match):
        path = self.home / "run" / f"{self.env}.events.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [e for e in found if all(e.get(key) == value for key, value in match.items())]

    def events(self, **match):
        """What the journal says. `service=None` asks for the monitor's own events."""
        if self.alive:
            # It writes its journal once a turn of its loop. With one more answer that turn is over, and what led to
            # the answer before is written.
            with contextlib.suppress(OSError):
                self.http("/?command=version", timeout=5)
        return self._journal(match)

    def wait_event(self, timeout=TIMEOUT, **match):
        return wait_until(lambda: self._journal(match), timeout,
                          lambda: f"an event {match}; {self._journal({})[-20:]}")[-1]

    def wait_log(self, name, text):
        wait_until(lambda: self.log(name) == text, what=lambda: f"{text!r} is all; {self.log(name)!r}")

    def processes(self, name=None):
        wanted = f"{MARKER}={self.home}:{self.env}/{name or ''}".encode()
        found = []
        for pid in pids():
            for item in _proc(pid, "environ").split(b"\0"):
                if item == wanted if name else item.startswith(wanted):
                    if is_alive(pid):
                        found.append(pid)
                    break
        return sorted(found)

    def log(self, name):
        path = self.root / name
        path = path / "fota_monitor.log" if path.is_dir() else path
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # -- by hand

    def spawn(self, argv, **popen):
        outside = {k: v for k, v in os.environ.items() if not k.startswith("FOTA_MONITOR")}
        process = subprocess.Popen(argv, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL,
                                            "stderr": subprocess.DEVNULL, "env": outside, "cwd": "/",
                                            "start_new_session": True, **popen})
        self.by_hand.append(process)
        # Popen returns while the kernel is still at it: for a moment the new program shows no command line.
        wait_until(lambda: cmdline_of(process.pid) or process.poll() is not None, what=f"{argv} runs")
        return process

    # -- the end

    def _end_monitor(self):
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.problems.append(f"the monitor ended by itself with code {self.process.returncode}")
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        try:
            if self.process.wait(TIMEOUT) != 0:
                self.problems.append(f"after SIGTERM the monitor ended with code {self.process.returncode}")
        except subprocess.TimeoutExpired:
            self.problems.append("the monitor did not end after SIGTERM")
            self.process.kill()
            self.process.wait()

    def _end_services(self):
        for process in self.by_hand:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
            process.wait()

        def sweep():
            # Any env of this home: a test may have used several.
            found = [pid for pid in pids() if is_alive(pid)
                     and f"{MARKER}={self.home}:".encode() in _proc(pid, "environ")]
            for pid in found:
                kill(pid)
            return not found
        wait_until(sweep, what=f"every service of {self.home} is gone")

    def end(self):
        """Ends all, then tells what went wrong that the test itself may not have seen."""
        try:
            self._end_monitor()
        finally:
            self._end_services()
        said = self.stderr()
        report = SANITIZER.search(said)
        if report:
            self.problems.append(f"a sanitizer's report:\n{said[report.start():][:6000]}")
        elif self.problems:
            self.problems.append(f"it said at last:\n{said[-3000:]}")
        if not self.keep:
            shutil.rmtree(self.home, ignore_errors=True)
        assert not self.problems, "\n".join(self.problems)
