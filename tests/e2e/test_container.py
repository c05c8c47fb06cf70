"""The monitor as process 1 of a pid namespace, as in a container."""

import os
import shutil
import signal
import subprocess

import pytest
from harness import BINARY, Monitor, children, free_port, kill, wait_until


def can_be_first():
    """Root alone may make a pid namespace with a /proc of its own, and not everywhere."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=20, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not can_be_first(), reason="needs root, for a pid namespace")


class Container(Monitor):
    """It knows pids of its own: those of the answers are of the namespace, outside() tells what they are here."""

    def __init__(self):
        super().__init__()
        self.port = free_port()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, *words, wait=True, env=None, **popen):
        outside = {k: v for k, v in os.environ.items() if not k.startswith("FOTA_MONITOR")}
        with open(self.stderr_file, "ab") as out:
            self.process = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", BINARY, "-home", self.home, "-env", self.env,
                 *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env={**outside, **(env or {})}, **popen)
        if wait:
            wait_until(self._reached, what=lambda: f"it answers; it said {self.stderr()[-3000:]}")
        return self

    def _reached(self):
        try:
            return self.http("/healthz").status == 200
        except OSError:
            return False

    @property
    def first(self):
        return wait_until(lambda: children(self.process.pid))[0]

    def signal(self, sig):
        os.kill(self.first, sig)

    def inside(self, *argv):
        """Runs a program in there."""
        return subprocess.run(["nsenter", "--target", str(self.first), "--pid", "--mount", *argv], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True).stdout

    def end(self):
        if self.alive:
            kill(self.process.pid)
            self.process.wait()
        self.process = None
        super().end()


@pytest.fixture(name="box")
def fixture_box():
    box = Container()
    yield box
    box.end()


def two(box, **keys):
    for name in ("one", "two"):
        box.script(f"{name}/{name}", "trap 'echo got TERM; exit 0' TERM; echo armed; while :; do sleep 0.05; done")
    box.conf(svrs={"one": "one/one", "two": {"cmd": "two/two", **keys}}, port=box.port)
    box.start()
    box.wait_up()
    wait_until(lambda: "armed" in box.log("one") and "armed" in box.log("two"))
    return box


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_its_end_is_that_of_the_services(box, sig):
    two(box)
    first = box.first
    kill(first, sig)
    kill(first, sig)
    assert box.exit_code() == 0
    assert "got TERM" in box.log("one") and "got TERM" in box.log("two")
    assert box.events(kind="command")[0]["text"] == f"shutdown asked for by {sig.name}"
    assert [e["code"] for e in box.events(kind="exit")] == [0, 0]


def zombies(box):
    return [line for line in box.inside("ps", "-e", "-o", "stat=,ppid=,comm=").splitlines() if line.startswith("Z")]


def test_orphans_are_collected_and_ends_of_services_are_not_lost(box):
    """Many strangers end, before and after services do, and every service's exit code is known."""
    box.script("main/main", "for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'sleep 0.1; exit 3' &); done; sleep 0.3; exit 42")
    box.script("still/still")
    box.conf(svrs={"main": "main/main", "still": "still/still"}, port=box.port)
    box.start()
    exits = wait_until(lambda: (found := box.events(service="main", kind="exit")) and len(found) >= 5 and found)
    assert {e.get("code") for e in exits} == {42}
    assert box.get("stop", "main").exit_code == 0
    wait_until(lambda: not zombies(box), what=lambda: f"no zombie: {zombies(box)}")
    assert box.status("still")["restarts"] == 0


def test_helpers_of_scripts_are_no_strangers(box):
    (box.home / "lua").mkdir()
    (box.home / "lua" / "helper.lua").write_text("""
fm.command { name = "helper", run = function(req)
  for _ = 1, 20 do req:write("%d\\n", assert(fm.exec{ "sh", "-c", "(setsid sleep 0.01 &) ; exit 9" }).code) end
end }
""")
    box.conf(port=box.port)
    box.start()
    assert box.get("helper").text == "9\n" * 20
    wait_until(lambda: not zombies(box), what=lambda: f"no zombie: {zombies(box)}")


@pytest.mark.parametrize("how, code", [("exit 5", 5), ("kill -KILL $$", 137)], ids=["exits", "killed"])
def test_the_essential_service_decides_its_exit_code(box, how, code):
    box.script("main/main", f"until [ -e ../one/armed ]; do sleep 0.02; done; sleep 0.4; {how}")
    (box.home / "lua").mkdir()
    (box.home / "lua" / "policies.lua").write_text('fm.policy("once", function() return fm.fail("not again") end)')
    box.script("one/one", "trap 'echo got TERM; exit 0' TERM; touch armed; while :; do sleep 0.05; done")
    box.conf(svrs={"one": "one/one", "main": {"cmd": "main/main", "policy": "once", "essential": True}}, port=box.port)
    box.start(wait=False)
    assert box.exit_code() == code
    assert "got TERM" in box.log("one")


def test_signals_are_handed_on_to_the_essential_services(box):
    box.script("main/main", """import signal, time
for name in "SIGUSR1", "SIGHUP":
    signal.signal(getattr(signal, name), lambda *_, name=name: print("got", name, flush=True))
print("armed", flush=True)
while True:
    time.sleep(1)""", interpreter="/usr/bin/python3")
    box.script("one/one", "trap 'echo got USR1' USR1; echo armed; while :; do sleep 0.05; done")
    box.conf(svrs={"one": "one/one", "main": {"cmd": "main/main", "essential": True}}, port=box.port)
    box.start()
    wait_until(lambda: "armed" in box.log("one") and "armed" in box.log("main"))
    box.signal(signal.SIGUSR1)
    wait_until(lambda: "got SIGUSR1" in box.log("main"))
    box.signal(signal.SIGHUP)
    wait_until(lambda: "got SIGHUP" in box.log("main"))
    box.signal(signal.SIGWINCH)
    wait_until(lambda: len(box.events(service="main", kind="signal")) == 3)
    assert [e["signal"] for e in box.events(service="main", kind="signal")] == ["SIGUSR1", "SIGHUP", "SIGWINCH"]
    assert not box.events(service="one", kind="signal") and "got USR1" not in box.log("one")


def test_it_can_be_upgraded_there(box):
    two(box)
    before = box.wait_up()
    assert box.get("upgrade").text == "SUCCESS\n"
    assert box.wait_up() == before
    assert box.cli("-status", "all").returncode == 0
    box.signal(signal.SIGTERM)
    assert box.exit_code() == 0 and "got TERM" in box.log("one")
