"""No README lies: every command in the README files runs here, in a copy of the tree with ports of its own. What builds
and installs is stood in for; the binary is the one under test."""

import os
import queue
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from harness import BINARY, MARKER, environ_of, free_port, is_alive, kill, pids, wait_until

TOP = Path(__file__).resolve().parents[2]
PORTS = ("29118", "29119", "29120", "18080", "18081", "18082", "18090")
MARK = "=-=-= code"
# A monitor in the foreground, for which a person would take another terminal.
FOREGROUND = re.compile(r"build/fota_monitor -env \w+( -conf='[^']*')?$")
# Commands that are there to fail, or may be a moment too early.
CODES = {"fm -start web": {1}, "fm -status workers": {0, 1}}


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def indented(text):
    """Blocks of lines with four blanks before them."""
    blocks = re.findall(r"(?:(?<=\n\n)|^)((?:    .*\n|\n(?=    ))+)", text)
    return [re.sub("^    ", "", block, flags=re.M) for block in blocks]


def commands(block):
    """One a line; a backslash goes on with the next."""
    lines = re.sub(r"\\\n\s*", " ", block).splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


class Tree:
    """A copy of what a clone holds after the build."""

    def __init__(self, path):
        self.path = path
        self.ports = {port: str(free_port()) for port in PORTS}
        for name in ("conf", "examples", "lua"):
            shutil.copytree(TOP / name, path / name, ignore=shutil.ignore_patterns("*.log"))
        shutil.copytree(TOP / "tests" / "lua", path / "tests" / "lua")
        shutil.copy(TOP / "fota_monitor.sh", path)
        conf = path / "conf" / "conf.json"
        conf.write_text(self.mine(conf.read_text(encoding="utf-8")), encoding="utf-8")
        (path / "build").mkdir()
        shutil.copy(BINARY, path / "build" / "fota_monitor")
        stubs = path / "stubs"
        stubs.mkdir()
        for name, code in (("cmake", 0), ("apt-get", 1), ("sudo", 1)):
            (stubs / name).write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
            (stubs / name).chmod(0o755)
        for source in path.glob("examples/*/*.c"):
            if not source.with_suffix("").exists():
                subprocess.run(["cc", "-o", source.with_suffix(""), source], check=True, timeout=60)

    def mine(self, text):
        """With the ports of this copy."""
        return re.sub(r"\b(" + "|".join(PORTS) + r")\b", lambda m: self.ports[m[0]], text)

    def check(self, *words):
        return subprocess.run([self.path / "build" / "fota_monitor", *words, "-check"], capture_output=True, text=True,
                              timeout=30, check=False)

    def ours(self):
        """Everything that was started from here: the monitors, and what carries their marker."""
        found = []
        for pid in pids():
            try:
                exe = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                exe = ""
            if exe.startswith(f"{self.path}/") or environ_of(pid).get(MARKER, "").startswith(f"{self.path}:"):
                found.append(pid)
        return [pid for pid in found if is_alive(pid)]

    def end(self):
        def sweep():
            for pid in self.ours():
                kill(pid)
            return not self.ours()
        wait_until(sweep, what="nothing runs any more")


class Terminal:
    """A shell that is typed into, command by command."""

    def __init__(self, tree):
        self.tree = tree
        outside = {k: v for k, v in os.environ.items() if not k.startswith("FOTA_MONITOR") and "proxy" not in k.lower()}
        self.shell = subprocess.Popen(["/bin/bash", "--norc", "--noprofile"], cwd=tree.path, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      start_new_session=True,
                                      env={**outside, "PATH": f"{tree.path}/stubs:{os.environ['PATH']}"})
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        # Of this copy's processes only, whoever else on this machine has some of that name.
        self.run("pkill() { command pkill -s \"$(build/fota_monitor -env dev -status workers |"
                 " sed -n 's/^workers PID://p')\" \"$@\"; }")

    def read(self):
        for line in self.shell.stdout:
            self.lines.put(line)

    def run(self, command, timeout=40):
        """Exit code and output."""
        self.shell.stdin.write(f"{command}\nprintf '\\n{MARK} %d\\n' $?\n")
        self.shell.stdin.flush()
        deadline, said = time.monotonic() + timeout, ""
        while not said.rpartition("\n")[2].startswith(MARK):
            try:
                said += "" if not said else "\n"
                said += self.lines.get(timeout=max(0, deadline - time.monotonic())).rstrip("\n")
            except queue.Empty:
                raise AssertionError(f"{command} has not ended within {timeout} s; it said:\n{said}") from None
        said, _, last = said.rpartition("\n")
        return int(last.split()[-1]), said

    def type(self, block):
        """All commands of a block; what each of them said."""
        answers = []
        for command in commands(self.tree.mine(block)):
            bare = re.sub(r"\s+# .*", "", command)
            if FOREGROUND.match(bare):
                self.run(f"{bare} 2>>foreground.log &")
                wait_until(lambda: self.run("build/fota_monitor -env dev -status")[0] < 2, what=f"{bare} answers")
                continue
            code, said = self.run(command)
            assert code in CODES.get(bare, {0}), f"{command}: exit code {code}\n{said}"
            port = re.search(r"http_server -p (\d+).* &$", bare)
            if port:  # who types the next command is slower than this program
                wait_until(lambda port=port: self.run(f"curl -so /dev/null http://127.0.0.1:{port[1]}/")[0] == 0,
                           what=f"{bare} listens")
            promised = re.search(r"# ((?:changed|added|removed): .*)", command)
            assert not promised or promised[1] in said.splitlines(), f"{command}\n{said}"
            answers.append((bare, said))
        return answers

    def close(self):
        self.shell.stdin.close()
        self.shell.terminate()
        self.shell.wait(10)


@pytest.fixture(name="tree")
def fixture_tree(tmp_path):
    tree = Tree(tmp_path / "fota_monitor")
    yield tree
    tree.end()


@pytest.fixture(name="demo")
def fixture_demo(tree):
    """A terminal in which ./fota_monitor.sh demo has been run, as every README begins with it."""
    terminal = Terminal(tree)
    code, said = terminal.run("./fota_monitor.sh demo")
    assert code == 0, said
    assert f"http://127.0.0.1:{tree.ports['29118']}/" in said and "*****STATUS OK SERVICE LIST*****" in said
    yield terminal
    terminal.close()


def said_to(answers, start):
    return [said.strip() for command, said in answers if command.startswith(start)]


def readme(part):
    """The English or the Chinese half."""
    english, _, chinese = (TOP / "README.md").read_text(encoding="utf-8").partition("\n# 中文\n")
    return {"english": english, "chinese": chinese}[part]


@pytest.mark.parametrize("part", ["english", "chinese"])
def test_every_command_of_the_readme(demo, tree, part):
    blocks = fenced(readme(part), "sh")
    assert len(blocks) >= 2
    before = demo.run("build/fota_monitor -env dev -status ticker,workers")[1]
    answers = [answer for block in blocks for answer in demo.type(block)]
    why, = said_to(answers, "build/fota_monitor -env dev -why web")
    assert "was killed by SIGKILL" in why and why.startswith("web is up since ")
    assert "was killed by SIGKILL" in said_to(answers, "build/fota_monitor -env dev -status ticker,web")[0]
    after = said_to(answers, "build/fota_monitor -env dev -status web,workers")[0]
    assert re.search(r"workers PID:\d+", after)[0] in before, "it outlived the monitor"
    restarted, state = said_to(answers, "curl")
    assert restarted == "SUCCESS" and '"state":"up"' in state
    check, = said_to(answers, "build/fota_monitor -env dev -conf=")
    assert check.startswith(f"{tree.path}/conf/conf.json: env dev is well: 5 services, 2 scripts\n")
    # Children of adopted services were told to end with them and may take a moment longer.
    wait_until(lambda: not tree.ours(), what="the README ends with everything stopped")


def test_every_command_of_the_cookbook(demo):
    text = (TOP / "examples" / "README.md").read_text(encoding="utf-8")
    answers = [answer for block in indented(text) for answer in demo.type(block)]
    pages = said_to(answers, "curl")
    pid = [re.search(r"pid\D*(\d+)", page)[1] for page in pages]
    assert pid[0] != pid[1] == pid[2], "another pid after restart, the same after grestart"
    assert "Good evening." in pages[2] and "Good evening." not in pages[1]
    taken, = said_to(answers, "fm -start web")
    assert "FAIL: web\nweb: exited with code 1" in taken and "Address already in use" in taken
    assert "hopeless" in said_to(answers, "fm -why hopeless")[0]
    assert "web    | " in said_to(answers, "fm -grep")[0] and "listening on" in said_to(answers, "fm -grep")[0]
    assert said_to(answers, "fm -canary")[0].endswith("workers is well (2/2)")
    assert said_to(answers, "build/fota_monitor -test")[0].endswith(" passed, 0 failed")
    wait_until(lambda: "was killed by SIGSEGV" in demo.run("fm -why hopeless")[1], what="it has ended once")


@pytest.mark.parametrize("part", ["english", "chinese"])
def test_the_error_that_is_shown_is_the_one_that_comes(tree, part):
    shown, = [block.strip() for block in fenced(readme(part), "text") if block.startswith("Error: ")]
    conf = tree.path / "conf" / "conf.json"
    text = conf.read_text(encoding="utf-8")
    conf.write_text(text.replace('"cmd"', '"cmdd"', 1), encoding="utf-8")
    done = tree.check("-env", "dev")
    assert (done.returncode, done.stderr.strip()) == (2, shown)


def test_the_configuration_that_is_shown_is_well(tree):
    shown = fenced((TOP / "README.md").read_text(encoding="utf-8"), "json")
    assert shown
    for text in shown:
        (tree.path / "conf" / "conf.json").write_text(text, encoding="utf-8")
        done = tree.check()
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("env", ["dev", "test", "prod"])
def test_the_shipped_configuration_is_well(tree, env):
    done = tree.check("-env", env)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [str(p.relative_to(TOP)) for p in sorted(TOP.glob("**/README.md"))
                                  if not p.relative_to(TOP).parts[0].startswith(("build", "."))])
def test_links_lead_somewhere(name):
    text = (TOP / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (TOP / name).parent.joinpath(target).exists(), target
