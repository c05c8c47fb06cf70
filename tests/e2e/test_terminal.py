"""What a person at a terminal gets beyond the plain answer, that nobody else gets it, and what errors say to do next."""

import os
import pwd
import re
import subprocess
import unicodedata

import pytest
from harness import BINARY, Monitor, free_port, wait_minds, wait_until
from terminal import CONTROL, Terminal

GREEN, RED, YELLOW, DIM, RESET = "\x1b[32m", "\x1b[1;31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
WIDE = "网关服务"
COMBINING = "cafe\u0301"


@pytest.fixture(scope="module", name="shared")
def fixture_shared():
    one = Monitor()
    one.script("run")
    one.conf(svrs={"alpha": "run alpha", WIDE: "run wide", COMBINING: "run combining",
                   "gone": {"cmd": "run gone", "autostart": False}, "bad": "not/there at all",
                   "ends": {"cmd": "run ends"}})
    one.start()
    one.wait_up("alpha", WIDE, COMBINING, "ends")
    yield one
    one.end()


def command(one, *words):
    return [BINARY, "-home", one.home, "-env", "test", *words]


def on_terminal(one, *words, **how):
    with Terminal(command(one, *words), **how) as screen:
        return screen.end()


def columns(text):
    """Display columns, by the tables of Python."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# ---- tables


def test_columns_stand_under_one_another_whatever_the_names(shared):
    lines = shared.cli("-status", "all", "-format", "table").stdout.splitlines()
    assert len(lines) == 7
    state = lines[0].index("STATE")
    for line in lines[1:]:
        name = next(n for n in shared.names if line.startswith(n + " "))
        rest = line[len(name):]
        assert columns(name) + len(rest) - len(rest.lstrip()) == state, line


def test_a_table_is_coloured_on_a_terminal_only(shared):
    wait_until(lambda: shared.status("bad")["state"] == "waiting" and shared.status("bad")["failures"] > 5, what="bad waits")
    plain = shared.cli("-status", "alpha,gone", "-format", "table").stdout
    assert "\x1b" not in plain and "\x1b" not in shared.get("status", "all", format="table").text
    # "bad" is "starting" now and then.
    code, seen, out, err = wait_until(lambda: " starting" not in CONTROL.sub("", (
        shown := on_terminal(shared, "-status", "-format", "table", columns=200))[1]) and shown, what="a row of each")
    assert (code, out, err) == (1, "", "")
    rows = {line.split(" ")[0]: line for line in seen.splitlines()}
    assert f" {GREEN}up{RESET} " in rows["alpha"] and f" {DIM}down{RESET} " in rows["gone"]
    assert f" {YELLOW}waiting{RESET} " in rows["bad"] and f" {GREEN}up{RESET} " in rows[WIDE]
    assert seen.count(RESET) == 6
    assert "\x1b" not in rows["NAME"]


def test_without_its_colours_it_is_the_plain_table(shared):
    figures = re.compile(r"[\d.]+ (s|min|MB)|\d+")

    def both():
        _, seen, _, _ = on_terminal(shared, "-status", "alpha,gone", "-format", "table", columns=200)
        return [figures.sub("N", text) for text in (
            CONTROL.sub("", seen), shared.cli("-status", "alpha,gone", "-format", "table").stdout)]
    # An uptime may grow by a digit in between.
    wait_until(lambda: (found := both())[0] == found[1], what=lambda: f"the same: {both()}")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
def test_no_colours(shared, env):
    _, seen, _, _ = on_terminal(shared, "-status", "-format", "table", env=env)
    assert "alpha" in seen and "\x1b" not in seen


def test_colours_after_all(shared):
    assert GREEN in on_terminal(shared, "-status", "-format", "table", env={"NO_COLOR": ""})[1]


def test_nothing_but_a_table_has_colours(shared):
    for words in (["-status"], ["-status", "-format", "json"], ["-why", "alpha"], ["-history", "alpha"], ["-h"]):
        assert "\x1b" not in on_terminal(shared, *words)[1], words
    code, seen, out, _ = on_terminal(shared, "-status", "-format", "table", only=("stdin", "stderr"))
    assert code == 1 and seen == "" and "\x1b" not in out and "alpha" in out


def test_lines_are_cut_at_the_width_of_the_terminal(shared):
    wait_until(lambda: shared.status("bad")["last_exit"] or shared.status("bad")["failures"], what="bad has failed")

    def look(width):
        """Once none of them is just starting: that word is longer than the others, and so would be all lines."""
        lines = CONTROL.sub("", on_terminal(shared, "-status", "-format", "table", columns=width)[1]).splitlines()
        return not any(" starting " in line for line in lines) and lines

    for width in (30, 60):
        lines = wait_until(lambda width=width: look(width), what="none is starting")
        assert len(lines) == 7 and max(map(columns, lines)) <= width
        assert next(line for line in lines if line.startswith(WIDE)).endswith("…") == (width == 30)
    wide = CONTROL.sub("", on_terminal(shared, "-status", "-format", "table", columns=0)[1])
    assert "…" not in wide


# ---- progress


def slow_ones(monitor, count=12):
    monitor.script("slow", "trap 'sleep 0.$1; exit 0' TERM; while :; do sleep 0.05; done")
    monitor.conf(svrs={f"s{i:02}": f"slow {i % 3 + 4}" for i in range(count)})
    monitor.start()
    for pid in monitor.wait_up():
        wait_minds(pid)


def test_progress_is_shown_and_taken_away(monitor):
    slow_ones(monitor)
    code, seen, out, err = on_terminal(monitor, "-restart", "all", only=("stderr",))
    assert (code, out, err) == (0, "SUCCESS\n", "")
    assert re.fullmatch(r"(\rrestarting \d+/12\x1b\[K)+\r\x1b\[K", seen), seen
    done = [int(n) for n in re.findall(r"(\d+)/12", seen)]
    assert done == sorted(done) and done[-1] > 0
    code, seen, _, _ = on_terminal(monitor, "-stop", "all")
    assert code == 0 and "\rstopping " in seen and seen.endswith("\r\x1b[KSUCCESS\n")


def test_what_fails_is_told_as_ever(monitor):
    monitor.script("deaf", "trap '' TERM; while :; do sleep 1000; done")
    monitor.conf(svrs={"deaf": {"cmd": "deaf", "stop": {"timeout": 60}}})
    monitor.start()
    wait_minds(*monitor.wait_up())
    code, seen, out, err = on_terminal(monitor, "-stop", "deaf", "-timeout", "3", only=("stderr",))
    assert (code, out, err) == (1, "FAIL: deaf\ndeaf: not done within 3 s; it is stopping\n", "")
    assert "stopping 0/1" in seen
    form = "command=stop&service=deaf&timeout=0.5&_progress=1"
    assert monitor.http("/", method="POST", body=form).text.split("\n")[0] == "\x1e0/1", "who asks for it"
    assert monitor.get("stop", "deaf", timeout=0.5).text.startswith("FAIL: deaf\n"), "and nobody else"


def test_what_takes_no_time_shows_none(shared):
    code, seen, _, _ = on_terminal(shared, "-start", "alpha")
    assert (code, seen) == (0, "SUCCESS\n")


@pytest.mark.parametrize("how", [{"only": ("stdin", "stdout")}, {"env": {"TERM": "dumb"}}])
def test_no_progress_where_it_can_not_be_shown(monitor, how):
    slow_ones(monitor, 3)
    code, seen, _, err = on_terminal(monitor, "-restart", "all", **how)
    assert (code, seen, err) == (0, "SUCCESS\n", "")


def test_a_reload_shows_its_plan_and_its_progress(monitor):
    slow_ones(monitor, 3)
    monitor.conf(svrs={f"s{i:02}": "slow 5 again" for i in range(3)})
    code, seen, out, _ = on_terminal(monitor, "-reload", only=("stderr",))
    assert code == 0 and "\rreloading " in seen and out.endswith("\nSUCCESS\n") and "\x1e" not in out
    plain = monitor.cli("-reload", "dry-run=1")
    assert plain.stdout.splitlines()[0] == "nothing has changed"


# ---- what to do next


def test_how_to_start_a_monitor_that_is_down(monitor):
    port = free_port()
    monitor.conf(port=port)
    done = monitor.cli("-status")
    assert done.returncode == 4 and done.stderr.splitlines()[1:] == ["Start it with: fota_monitor.sh start test"]
    done = monitor.cli("-tiemout=5")
    assert done.stderr.splitlines()[1:] == ["-tiemout is no command of the core; did you mean -timeout?",
                                            "Start it with: fota_monitor.sh start test"]
    done = subprocess.run([BINARY, "-host", f"127.0.0.1:{port}", "-status"], capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.stderr.splitlines()[1:] == [
        "Does it run there, and listen at that address? fota_monitor.sh status on that host tells."]


def test_which_token_would_do(monitor, tmp_path):
    monitor.conf(auth="token")
    monitor.start()
    token = monitor.home / "run" / "test.token"
    assert monitor.cli("-reload").returncode == 0
    there = [BINARY, "-host", monitor.address, "-reload"]

    def asked(*words, **popen):
        done = subprocess.run([*there, *words], capture_output=True, text=True, timeout=30, check=False, **popen)
        assert (done.returncode, done.stdout) == (5, "")
        return done.stderr.splitlines()[-1]
    assert asked() == "-token-file FILE shows the token: a copy of run/ENV.token beside that monitor's conf/."
    (tmp_path / "old").write_text("0123\n", encoding="ascii")
    assert asked("-token-file", tmp_path / "old") == (
        f"The token in {tmp_path}/old was shown; it is not that monitor's, or not enough.")
    moved = token.rename(tmp_path / "moved")
    there = command(monitor, "-reload")
    assert asked() == f"The token, {token}: No such file or directory. -token-file FILE names another one."
    moved.rename(token)
    there = command(monitor, "-reload", "-format", "json")
    token.rename(moved)
    assert asked().startswith('{"error":{"code":"unauthorized"'), "for programs nothing stands behind it"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_whose_token_it_is(monitor):
    nobody = pwd.getpwnam("nobody")
    monitor.conf()
    monitor.start()
    (monitor.home / "run").chmod(0o711)
    done = subprocess.run(command(monitor, "-reload"), capture_output=True, text=True, timeout=30, check=False,
                          user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == (
        f"The token in {monitor.home}/run/test.token is for its owner: be that user, or root (sudo).")


def test_every_exit_code(monitor):
    """0 all well · 1 a service · 2 usage · 3 the command · 4 unreachable · 5 refused."""
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua" / "a.lua").write_text(
        'fm.command { name = "boom", help = "", run = function(req) error("no") end }\n', encoding="utf-8")
    monitor.script("run")
    monitor.conf(svrs={"up": "run", "down": {"cmd": "run 2", "autostart": False}}, auth="token")
    monitor.start()
    monitor.wait_up("up")
    (monitor.home / "other").write_text("wrong", encoding="ascii")
    expected = [(["-status", "up"], 0), (["-restart", "up"], 0), (["-status"], 1), (["-status", "none"], 2), (["-status", "-env"], 2),
                (["-check", "-conf", "port=x"], 2), (["-boom"], 3),
                (["-host", f"127.0.0.1:{free_port()}", "-status"], 4),
                (["-token-file", monitor.home / "other", "-stop", "up"], 5)]
    for words, code in expected:
        done = monitor.cli(*map(str, words))
        assert done.returncode == code, (words, done)
        assert (done.stderr == "") == (code <= 1) and (done.stdout == "") == (code > 1), (words, done)
