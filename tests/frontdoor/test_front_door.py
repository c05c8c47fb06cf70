"""fota_monitor.sh: the verbs of every day, on a fake monitor (see fake_monitor.py)."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent.parent / "fota_monitor.sh"


class Home:
    """A folder with conf/, the script and a fake monitor; `run` calls the script in it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "conf").mkdir(parents=True)
        (folder / "conf" / "conf.json").write_text('{"prod": {}, "dev": {}} // no rundir\n', encoding="utf-8")
        self.script = folder / "fota_monitor.sh"
        shutil.copy(SCRIPT, self.script)
        self.put_binary(folder / "fota_monitor")

    @staticmethod
    def put_binary(path):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec /usr/bin/python3 "{HERE}/fake_monitor.py" "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def run(self, *words, script=None, cwd="/", **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("FOTA_MONITOR", "GLIBC_TUNABLES"))}
        return subprocess.run([script or self.script, *words], cwd=cwd, env={**clean, **env}, text=True, timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def lock(self, env="prod", rundir=None):
        return (rundir or self.folder / "run") / f"{env}.lock"

    def pid(self, env="prod", rundir=None):
        return int(self.lock(env, rundir).read_text(encoding="utf-8").split("\n", maxsplit=1)[0])

    def log(self):
        return (self.folder / "fota_monitor.log").read_text(encoding="utf-8")

    def is_locked(self, env="prod"):
        try:
            with open(self.lock(env), encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def is_alive(pid):
    """A zombie that nobody has reaped counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(question, timeout=20):
    deadline = time.monotonic() + timeout
    while not question():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture(name="home")
def fixture_home(tmp_path):
    home = Home(tmp_path / "a home (with blanks)")
    yield home
    for lock in home.folder.glob("run*/*.lock"):
        pid = home.pid(lock.stem, lock.parent)
        if is_alive(pid) and b"fake_monitor" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def test_start_status_stop(home):
    assert home.run("status").returncode == 4

    started = home.run("start")
    assert started.returncode == 0, started.stderr
    pid = home.pid()
    assert f"pid {pid}" in started.stdout and "http://127.0.0.1:" in started.stdout

    status = home.run("status", "prod")
    assert status.returncode == 0 and "*****STATUS OK SERVICE LIST*****\ndemo PID:1\n" in status.stdout

    stopped = home.run("stop")
    assert stopped.returncode == 0 and "is stopped" in stopped.stdout
    wait_until(lambda: not is_alive(pid))


def test_the_daemon_is_one(home):
    home.run("start")
    pid = home.pid()
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2") == f"{home.folder}/fota_monitor.log"
    ignored = next(line for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
                   if line.startswith("SigIgn"))
    assert int(ignored.split()[1], 16) & 1 << (signal.SIGHUP - 1)
    assert f"fake monitor prod in {home.folder}" in home.log()
    held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert str(home.folder) not in held, "the script's own lock went along"


def test_start_again_and_stop_again(home):
    assert home.run("stop").returncode == 0
    assert "is not running" in home.run("stop").stdout
    home.run("start")
    pid = home.pid()
    again = home.run("start")
    assert again.returncode == 0 and "already running" in again.stdout
    assert home.pid() == pid


def test_restart(home):
    assert home.run("restart").returncode == 0
    first = home.pid()
    assert home.run("restart").returncode == 0
    assert home.pid() != first
    wait_until(lambda: not is_alive(first))


def test_check_is_silent_when_up(home):
    down = home.run("check", "dev")
    assert down.returncode == 0 and "is up" in down.stdout
    pid = home.pid("dev")
    up = home.run("check", "dev")
    assert (up.returncode, up.stdout, up.stderr) == (0, "", "")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not home.is_locked("dev"))
    assert home.run("check", "dev").returncode == 0
    assert home.pid("dev") != pid


def test_malloc_keeps_nothing_for_each_thread(home):
    own = "glibc.malloc.tcache_count=3"
    for given, env in (("glibc.malloc.tcache_count=0", {}), (own, {"GLIBC_TUNABLES": own})):
        home.run("start", **env)
        assert f"GLIBC_TUNABLES={given}".encode() in Path(f"/proc/{home.pid()}/environ").read_bytes().split(b"\0")
        home.run("stop")


def test_two_envs_side_by_side(home):
    home.run("start", "dev")
    home.run("start", "prod")
    dev, prod = home.pid("dev"), home.pid("prod")
    assert dev != prod
    home.run("stop", "dev")
    wait_until(lambda: not is_alive(dev))
    assert is_alive(prod) and home.run("status", "prod").returncode == 0


def test_two_starts_at_once(home):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FOTA_MONITOR")}
    both = [subprocess.Popen([home.script, verb], env=clean, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for verb in ("start", "check", "start", "check")]
    said = [one.communicate(timeout=60)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0, 0, 0], said
    assert "".join(said).count("is up") == 1


def test_a_stale_lock_is_no_obstacle(home):
    # The pid in it is somebody else's: ours.
    home.lock().parent.mkdir()
    home.lock().write_text(f"{os.getpid()}\n127.0.0.1:1\n", encoding="utf-8")
    assert "is not running" in home.run("stop").stdout
    assert home.run("start").returncode == 0
    assert home.pid() != os.getpid()


def test_stop_believes_no_pid_that_does_not_hold_the_lock(home):
    bystander = subprocess.Popen(["sleep", "60"])
    home.lock().parent.mkdir()
    home.lock().write_text(f"{bystander.pid}\n127.0.0.1:1\n", encoding="utf-8")
    with open(home.lock(), encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        stopped = home.run("stop")
    assert stopped.returncode == 1 and "nothing is stopped" in stopped.stderr
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_start_fails_loudly(home):
    (home.folder / "fota_monitor.log").write_text("yesterday\n", encoding="utf-8")
    began = time.monotonic()
    failed = home.run("start", FAKE_MONITOR="die 3")
    assert time.monotonic() - began < 15, "it waited for a dead process"
    assert failed.returncode == 1 and "ended with code 3" in failed.stderr
    shown = failed.stderr.splitlines()
    assert shown[-1] == "last words 29" and "last words 10" in shown and "last words 9" not in shown
    assert "yesterday" in home.log()

    wrong = home.run("start", FAKE_MONITOR="die 2")
    assert wrong.returncode == 2
    assert home.run("check", FAKE_MONITOR="die 2").returncode == 2
    assert home.run("restart", FAKE_MONITOR="die 2").returncode == 2


def test_the_log_of_the_start_before_is_not_shown(home):
    home.run("start", FAKE_MONITOR="die 3")
    home.put_binary(home.folder / "fota_monitor")
    (home.folder / "fota_monitor").write_text("#!/bin/sh\necho only this\nexit 1\n", encoding="utf-8")
    failed = home.run("start")
    assert "only this" in failed.stderr and "last words" not in failed.stderr


def test_start_waits_for_a_slow_one(home):
    assert home.run("start", FAKE_MONITOR="slow 3").returncode == 0
    assert home.run("status").returncode == 0


def test_a_deaf_monitor_is_told_of(home):
    deaf = home.run("start", FAKE_MONITOR="deaf")
    assert deaf.returncode == 1 and f"left running as pid {home.pid()}" in deaf.stderr
    checked = home.run("check")
    assert checked.returncode == 1 and "does not answer" in checked.stderr
    assert home.run("stop").returncode == 0


def test_stop_kills_a_stubborn_one(home):
    home.run("start", FAKE_MONITOR="stubborn")
    pid = home.pid()
    stopped = home.run("stop")
    assert stopped.returncode == 0 and "killing it" in stopped.stderr
    wait_until(lambda: not is_alive(pid))


def test_through_a_symlink_and_from_anywhere(home, tmp_path):
    link = tmp_path / "bin dir" / "fm"
    link.parent.mkdir()
    link.symlink_to(home.script)
    assert home.run("start", script=link, cwd=tmp_path).returncode == 0
    assert home.run("status", script=link, cwd=link.parent).returncode == 0
    assert home.run("status", script="./fota_monitor.sh", cwd=home.folder).returncode == 0
    assert is_alive(home.pid())


def test_where_the_binary_is_looked_for(home, tmp_path):
    (home.folder / "fota_monitor").unlink()
    none = home.run("status")
    assert none.returncode == 2 and "no fota_monitor" in none.stderr

    home.put_binary(tmp_path / "in path" / "fota_monitor")
    path = f"{tmp_path}/in path:{os.environ['PATH']}"
    assert home.run("status", PATH=path).returncode == 4

    (home.folder / "build").mkdir()
    (home.folder / "build" / "fota_monitor").write_text("#!/bin/sh\nexit 33\n", encoding="utf-8")
    (home.folder / "build" / "fota_monitor").chmod(0o755)
    assert home.run("status", PATH=path).returncode == 33


def test_status_hands_on_the_exit_code_and_the_words(home):
    (home.folder / "fota_monitor").write_text('#!/bin/sh\nprintf "<%s>" "$@"\nexit 5\n', encoding="utf-8")
    status = home.run("status", "dev")
    assert status.returncode == 5
    assert status.stdout == f"<-home><{home.folder}><-env><dev><-status><all>"


def test_a_run_folder_elsewhere(home, tmp_path):
    home.run("start", FOTA_MONITOR_RUNDIR=str(home.folder / "run2"))
    pid = home.pid(rundir=home.folder / "run2")
    assert home.run("stop", FOTA_MONITOR_RUNDIR=str(home.folder / "run2")).returncode == 0
    wait_until(lambda: not is_alive(pid))

    (home.folder / "conf" / "conf.json").write_text('{\n "prod": {\n  "rundir": "/x"\n }\n}\n', encoding="utf-8")
    unknown = home.run("stop")
    assert unknown.returncode == 2 and "FOTA_MONITOR_RUNDIR" in unknown.stderr


def test_home_from_the_environment(home, tmp_path):
    other = Home(tmp_path / "other")
    try:
        assert home.run("start", FOTA_MONITOR_HOME=str(other.folder)).returncode == 0
        assert is_alive(other.pid()) and not home.lock().exists()
    finally:
        assert other.run("stop").returncode == 0


@pytest.mark.parametrize("words", [[], ["frobnicate"], ["start", "a", "b"], ["start", ""], ["stop", "../x"],
                                   ["status", "-env"], ["demo", "dev"]])
def test_wrong_use(home, words):
    wrong = home.run(*words)
    assert wrong.returncode == 2 and "usage:" in wrong.stderr and wrong.stdout == ""


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_help(home, word):
    asked = home.run(word)
    assert asked.returncode == 0 and "usage:" in asked.stdout and asked.stderr == ""
