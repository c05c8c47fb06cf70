"""Completion: what the program offers, and that real shells show it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import BINARY, Monitor
from terminal import Terminal

CLI = Path(__file__).resolve().parents[2] / "src" / "cli"
SCRIPT = """
fm.command { name = "drain", help = "take services out", args = { grace = "seconds (5)" }, run = function(req) end }
fm.command { name = "dress", help = "nothing", run = function(req) end }
"""
ZSH = shutil.which("zsh")


@pytest.fixture(scope="module", name="shared")
def fixture_shared():
    one = Monitor()
    one.script("run")
    one.conf(svrs={**{name: f"run {i}" for i, name in enumerate(["alpha", "alps", "beta", "a b", "x:y", "网关"])},
                   "gone": {"cmd": "run gone", "autostart": False}})
    (one.home / "lua").mkdir()
    (one.home / "lua" / "site.lua").write_text(SCRIPT, encoding="utf-8")
    one.start()
    one.wait_up("alpha", "alps", "beta", "a b", "x:y", "网关")
    yield one
    one.end()


def ask(*words):
    """What kind of thing fits, and the words that do with what they are."""
    done = subprocess.run([BINARY, "-complete", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, ""), words
    kind, *lines = done.stdout.splitlines()
    return kind, dict(line.split("\t") for line in lines)


def test_what_the_running_monitor_knows(shared):
    at = ("-home", shared.home, "-env", "test")
    assert ask(*at, "-status", "al") == ("words", {"all": "every service", "alpha": "up", "alps": "up"})
    assert ask(*at, "-restart", "beta,al") == ("words", {"beta,alpha": "up", "beta,alps": "up"})
    assert ask(*at, "-start=g") == ("words", {"-start=gone": "not up"})
    assert ask(*at, "-log", "网")[1] == {"网关": "up"}
    assert set(ask(*at, "-status", "")[1]) == {"all", "alpha", "alps", "beta", "a b", "x:y", "网关", "gone"}
    assert ask(*at, "-dr") == ("words", {"-drain": "take services out", "-dress": "nothing"})
    assert ask(*at, "--dra") == ("words", {"--drain": "take services out"})
    assert ask(*at, "-drain", "alpha", "g") == ("words", {"grace=": "seconds (5)"})
    assert ask(*at, "-drain", "be")[1] == {"beta": "up"}
    assert ask("-host", shared.address, "-status", "alp")[1] == {"alpha": "up", "alps": "up"}


def test_what_the_program_knows(shared):
    at = ("-home", shared.home)
    assert list(ask(*at, "-sta")[1]) == ["-status", "-start"]
    assert list(ask(*at, "-token")[1]) == ["-token-file"]
    assert "-complete" not in ask(*at, "-")[1] and {"-env", "-restart", "-reload", "-h"} <= set(ask(*at, "")[1])
    assert ask(*at, "-reload", "") == ("words", {"dry-run=": "1: only show what would change"})
    assert ask(*at, "-format", "")[1].keys() == {"text", "table", "json"}
    assert ask(*at, "-format=t")[1].keys() == {"-format=text", "-format=table"}
    assert ask(*at, "-env", "")[1].keys() == ask(*at, "-env=")[1].keys() ^ {"-env=test", "test"} == {"test"}
    assert ask(*at, "-help", "rel")[1].keys() == {"reload"}
    for words in (["-test", ""], ["-test", "a", "b"], ["-token-file", "x"], ["-ca=x"], ["-simulate", "x"]):
        assert ask(*words) == ("files", {}), words
    assert ask("-home", "/e") == ("folders", {})
    assert ask("-stat", "-env", "x", "-star")[1] == {}, "one command at a time"


def test_envs_are_those_of_the_file(monitor):
    monitor.conf_text('{ // "no"\n "dev": {"svrs": {"x": {"cmd": "\\"{"}}}, /* "nor" : */ "t\\u00e9st" : {}, "prod": {"port": 1}}')
    assert list(ask("-home", monitor.home, "-env", "")[1]) == ["dev", "tést", "prod"]


def test_without_a_monitor_there_is_nothing_to_say(monitor):
    assert ask("-home", monitor.home, "-env", "test", "-status", "a")[1] == {"all": "every service"}
    monitor.conf()
    assert ask("-home", monitor.home, "-env", "test", "-status", "x") == ("words", {})
    assert ask("-home", "/nonexistent", "-dra") == ("words", {})
    assert ask("-home", "/nonexistent", "-env", "") == ("words", {})
    assert ask("-host", "nowhere.invalid:1", "-stop", "x") == ("words", {})
    monitor.conf_text("{")
    assert ask("-home", monitor.home, "-env", "test", "-restart", "x") == ("words", {})


# ---- bash


def bash(line, breaks=" \t\n\"'@><=;|&(:", cwd="/"):
    """What bash would put in for the last word, as its completion function says."""
    code = ('source "$1"; COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$3; _fota_monitor "$4"; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "--norc", "-c", code, "bash", CLI / "completion.bash", line, breaks, BINARY], cwd=cwd,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


def test_bash_function(shared, tmp_path):
    at = f"fota_monitor -home {shared.home} -env test"
    assert bash(f"{at} -status al") == ["all", "alpha", "alps"]
    assert bash(f"{at} -status beta,al") == ["beta,alpha", "beta,alps"]
    assert bash(f"{at} -status=alp") == ["alpha", "alps"], "bash keeps what stands before ="
    assert bash(f"{at} -status=alp", breaks=" ") == ["-status=alpha", "-status=alps"]
    assert bash(f"{at} -status x:") == ["y"] and bash(f"{at} -status x:", breaks=" ") == ["x:y"]
    assert bash(f"{at} -status a\\ ") == ["a\\ b"]
    assert bash(f"{at} -status 网") == ["网关"]
    assert bash(f"{at} -drain alpha g") == ["grace="]
    assert bash(f"{at} -dr") == ["-drain", "-dress"]
    assert bash(f"{at} -nothing-like-it") == [""]
    (tmp_path / "one.lua").touch()
    (tmp_path / "other").mkdir()
    assert sorted(bash("fota_monitor -test o", cwd=tmp_path)) == ["one.lua", "other"]
    assert bash("fota_monitor -ca=on", cwd=tmp_path) == ["one.lua"]
    assert bash("fota_monitor -home o", cwd=tmp_path) == ["other"]


@pytest.fixture(name="bin_folder")
def fixture_bin_folder(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fota_monitor").symlink_to(BINARY)
    return {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path), "PS1": "> "}


def test_a_real_bash(shared, bin_folder):
    with Terminal(["bash", "--norc", "--noprofile", "-i"], columns=200, env=bin_folder) as shell:
        shell.type(f"source {CLI}/completion.bash; echo rea''dy\n")
        shell.wait_for("ready")
        shell.type(f"fota_monitor -home {shared.home} -env test -why bet\t")
        shell.wait_for("-why beta ")
        shell.type("\025fota_monitor -rel\tdr\t")
        shell.wait_for("-reload dry-run=")
        shell.type("\025exit\n")
        shell.end()


# ---- zsh


@pytest.mark.skipif(not ZSH, reason="there is no zsh")
def test_a_real_zsh(shared, bin_folder, tmp_path):
    assert subprocess.run([ZSH, "-n", CLI / "completion.zsh"], check=False).returncode == 0
    (tmp_path / "functions").mkdir()
    shutil.copy(CLI / "completion.zsh", tmp_path / "functions" / "_fota_monitor")
    with Terminal([ZSH, "-f", "-i"], columns=200, env=bin_folder) as shell:
        shell.type(f"fpath=({tmp_path}/functions $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\n")
        shell.wait_for("ready")
        shell.type(f"fota_monitor -home {shared.home} -env test -why bet\t")
        shell.wait_for("-why beta ")
        shell.type("\025fota_monitor -rel\tdr\t")
        shell.wait_for("dry-run=")
        shell.type(f"\025fota_monitor -home {shared.home} -env test -stop al\t")
        shell.wait_for("all  every service")
        shell.wait_for("alps  up")
        shell.type(f"\025fota_monitor -home={shared.home.parent}/{shared.home.name[:-1]}\t")
        shell.wait_for(f"-home={shared.home}/")
        shell.type("\025exit\n")
        shell.end()
