"""From the command line in conf.json to what really runs: one monitor, a service for each way to write one."""

import json
import os
from collections import namedtuple

import pytest
from harness import Monitor, children, cmdline_of, stat, wait_until

Case = namedtuple("Case", "cmd argv way service env", defaults=({}, {}))

# The shell keeps PWD up to date; a program that is executed directly still sees what the monitor was given.
NO_SHELL = "/not/changed/by/a/shell"

# Writes down what it was given, then waits.
RECORDER = f"""import json, os, signal, sys
name = os.environ["FOTA_MONITOR_SERVICE"].rpartition("/")[2]
out = os.environ["RECORDS"] + "/" + name
with open(out + ".new", "w") as file:
    json.dump({{"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "pid": os.getpid(),
               "direct": os.environ["PWD"] == "{NO_SHELL}"}}, file)
os.rename(out + ".new", out)
print("out", name, flush=True)
print("err", name, file=sys.stderr, flush=True)
signal.pause()
"""

LONG_WORDS = [f"word{i:05}" for i in range(10000)]  # 100 KB in all
LONG_WORD = "x" * 100_000

DIRECT, EXEC, PARENT = "direct", "shell becomes it", "shell stays"
CASES = {
    # no shell
    "alone": Case("rec/rec", [], DIRECT),
    "words": Case("rec/rec a -b --c=d,e:f@% +g ^h ! ] }", ["a", "-b", "--c=d,e:f@%", "+g", "^h", "!", "]", "}"], DIRECT),
    "blanks": Case("  rec/rec \t a   b\t", ["a", "b"], DIRECT),
    "a=b": Case("rec/rec a=b PATH=x", ["a=b", "PATH=x"], DIRECT),
    "absolute": Case("{root}/rec/rec a", ["a"], DIRECT),
    "dots": Case("./rec/../rec//rec a", ["a"], DIRECT),
    "unicode": Case("rec/rec 日本語 ünï 🙂 ́", ["日本語", "ünï", "🙂", "́"], DIRECT),
    "unicode-path": Case("目录/服务 参数", ["参数"], DIRECT),
    "PATH": Case("rec-in-path a", ["a"], DIRECT, {"dir": "rec"}),
    "100KB-words": Case("rec/rec " + " ".join(LONG_WORDS), LONG_WORDS, DIRECT),
    "100KB-word": Case("rec/rec " + LONG_WORD, [LONG_WORD], DIRECT),
    "native-environ": Case("rec/rec a", ["a"], DIRECT, {"environ": "export A='b c'; ulimit -c 0"}, {"A": "b c"}),
    # the shell becomes the service
    "single-quotes": Case("rec/rec 'a  b' '$A' '\"' '\\'", ["a  b", "$A", '"', "\\"], EXEC),
    "double-quotes": Case('rec/rec "a  b" "\'" "\\"" "a\\\\b"', ["a  b", "'", '"', "a\\b"], EXEC),
    "empty-words": Case("rec/rec '' \"\" x", ["", "", "x"], EXEC),
    "backslash": Case("rec/rec a\\ b \\$A \\'", ["a b", "$A", "'"], EXEC),
    "variable": Case('rec/rec $A "$A" ${{A}}x $UNSET "$UNSET"', ["b", "c", "b  c", "b", "cx", ""], EXEC,
                     {"env": {"A": "b  c"}}),
    "substitution": Case('rec/rec $(echo a b) "$(echo a b)" `echo c` $((6*7))', ["a", "b", "a b", "c", "42"], EXEC),
    "glob": Case("rec/rec *.txt '*.txt'", ["1.txt", "2.txt", "*.txt"], EXEC, {"dir": "texts"}),
    "tilde": Case("rec/rec ~/x '~/x'", ["/home/of/x", "~/x"], EXEC, {"env": {"HOME": "/home/of"}}),
    "comment": Case("rec/rec a # b", ["a"], EXEC),
    "assignment": Case("B='1 2' C=$B rec/rec $B", [], EXEC, {}, {"B": "1 2"}),
    "redirect": Case("rec/rec a >>elsewhere.txt 2>&1", ["a"], EXEC),
    "redirect-first": Case("2>/dev/null rec/rec a", ["a"], EXEC),
    "stdin": Case("rec/rec a </dev/zero", ["a"], EXEC),
    "spaces-quoted": Case("'a dir/my rec' x", ["x"], EXEC),
    "spaces-escaped": Case("a\\ dir/my\\ rec x", ["x"], EXEC),
    "unicode-quoted": Case("'目录/服务' \"参 数\"", ["参 数"], EXEC),
    "100KB-quoted": Case(f"rec/rec '{LONG_WORD}'", [LONG_WORD], EXEC),
    "100KB-variable": Case('rec/rec "$LONG"', [LONG_WORD], EXEC, {"env": {"LONG": LONG_WORD}}),
    "exec": Case("exec {root}/rec/rec a", ["a"], EXEC),
    "shell-environ": Case("rec/rec a 'b  c'", ["a", "b  c"], EXEC, {"environ": 'export A="$(echo x  y)"'}, {"A": "x y"}),
    "shell-environ-plain": Case("rec/rec a $$", None, EXEC, {"environ": "[ -d / ]"}),
    "shell-environ-words": Case("rec/rec a *b", ["a", "*b"], EXEC, {"environ": "[ -d / ]", "dir": "rec"}),
    # the shell stays, as the watched parent
    "and": Case("true && rec/rec a", ["a"], PARENT),
    "and-after": Case("rec/rec a && echo never", ["a"], PARENT),
    "or": Case("false || rec/rec 'a b'", ["a b"], PARENT),
    "semicolon": Case("rec/rec a; true", ["a"], PARENT),
    "lines": Case("true\nrec/rec a\ntrue", ["a"], PARENT),
    "pipe": Case("rec/rec a | cat", ["a"], PARENT),
    "background": Case("rec/rec a & wait", ["a"], PARENT),
    "subshell": Case("(rec/rec a); true", ["a"], PARENT),
    "if": Case("if true; then rec/rec a; fi; true", ["a"], PARENT),
    "cd": Case("cd / && {root}/rec/rec a && true", ["a"], PARENT),
    "heredoc": Case("cat >read.txt <<E && rec/rec a; true\nit's a line\nE\n", ["a"], PARENT),
}


def name_of(case):
    return f"case-{list(CASES).index(case):02}"


@pytest.fixture(name="shown", scope="module")
def fixture_shown():
    """The monitor with all of them, up."""
    monitor = Monitor()
    try:
        for path in ("rec/rec", "目录/服务", "a dir/my rec", "bin/rec-in-path"):
            monitor.script(path, RECORDER, interpreter="/usr/bin/python3 -BS")
        for path in ("texts/1.txt", "texts/2.txt", "records/none"):
            monitor.file(path, "")
        svrs = {name_of(key): {"cmd": case.cmd.replace("{root}", str(monitor.root)).replace("{{", "{").replace("}}", "}"),
                               **case.service} for key, case in CASES.items()}
        monitor.conf(svrs=svrs)
        monitor.start(env={"PWD": NO_SHELL, "RECORDS": str(monitor.root / "records"),
                           "PATH": f"{monitor.root}/bin:{os.environ['PATH']}"})
        monitor.wait_up(timeout=60)
        yield monitor
    finally:
        monitor.end()


def record_of(monitor, case):
    path = monitor.root / "records" / name_of(case)
    wait_until(path.exists, what=f"{case} has written down what it was given; {monitor.get('why', name_of(case)).text}")
    return json.loads(path.read_text())


@pytest.mark.parametrize("case", CASES)
def test_it_gets_its_words(shown, case):
    wanted, record = CASES[case], record_of(shown, case)
    if wanted.argv is None:
        assert record["argv"] == ["a", str(record["pid"])], "the process that was the shell"
    else:
        assert record["argv"] == wanted.argv
    assert {key: record["env"].get(key) for key in wanted.env} == wanted.env


@pytest.mark.parametrize("case", CASES)
def test_it_is_executed_the_simplest_way(shown, case):
    wanted, record = CASES[case], record_of(shown, case)
    pid = shown.status(name_of(case))["pid"]
    assert record["direct"] == (wanted.way == DIRECT)
    if wanted.way == PARENT:
        assert record["pid"] != pid and cmdline_of(pid)[:2] == ["/bin/sh", "-c"]
        assert stat(record["pid"]).session == pid
    else:
        assert record["pid"] == pid and not children(pid)


@pytest.mark.parametrize("case, folder", [
    ("alone", "rec"), ("single-quotes", "rec"), ("and-after", "rec"), ("spaces-quoted", "a dir"), ("unicode-path", "目录"),
    ("glob", "texts"), ("PATH", "rec"), ("and", ""), ("cd", None),
])
def test_it_runs_in_the_folder_of_its_executable(shown, case, folder):
    """Where the first command is none of the service's own files, that is rootpath."""
    assert record_of(shown, case)["cwd"] == ("/" if folder is None else str(shown.root / folder).rstrip("/"))


def test_redirections(shown):
    name = name_of("redirect")
    record_of(shown, "redirect")
    wait_until(lambda: shown.log("rec/elsewhere.txt") == f"out {name}\nerr {name}\n", what=shown.log("rec/elsewhere.txt"))
    record_of(shown, "redirect-first")
    out = f"out {name_of('redirect-first')}\n"
    console = wait_until(lambda: (text := shown.log("rec")).count(name_of("stdin")) == 2 and out in text and text)
    assert f"err {name_of('redirect-first')}\n" not in console
    assert os.readlink(f"/proc/{record_of(shown, 'stdin')['pid']}/fd/0") == "/dev/zero"
    record_of(shown, "heredoc")
    assert shown.log("read.txt") == "it's a line\n"


def test_all_are_found_again(shown):
    before = {name: s["pid"] for name, s in shown.statuses().items()}
    shown.restart(Monitor.kill)
    shown.wait_up()
    assert {name: s["pid"] for name, s in shown.statuses().items()} == before


def test_a_name_that_is_nowhere(monitor):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo", "lost": "no-such-program a", "lost-path": "no/such/program 'a'"})
    monitor.start()
    monitor.wait_up("demo")
    for name, word in (("lost", "no-such-program"), ("lost-path", "no/such/program")):
        found = monitor.wait_state(name, "waiting")["last_exit"]
        said = found["reason"] + " ".join(found["tail"])
        assert word in said and ("No such file" in said or "not found" in said), said
    assert monitor.status("demo")["restarts"] == 0


@pytest.mark.parametrize("make", [
    lambda: "demo/demo " + "x" * 200_000,
    lambda: "demo/demo '" + "x" * 200_000 + "'",
    lambda: "demo/demo " + "1234567 " * 1_000_000,
], ids=["one word", "shell", "all words"])
def test_a_command_line_longer_than_the_kernel_takes(monitor, make):
    monitor.script("demo/demo")
    monitor.conf(svrs={"huge": make(), "other": "demo/demo"})
    monitor.start()
    other = monitor.wait_state("other")["pid"]
    reply = monitor.get("start", "huge")
    assert reply.status == 500 and "Argument list too long" in reply.text and len(reply.text) < 1000
    assert monitor.status("other")["pid"] == other
    assert len(monitor.get("why", "huge").text) < 10_000
    assert len(monitor.stderr()) < 100_000, "the log names it, and does not repeat it"
