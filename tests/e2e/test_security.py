"""The process itself: what its services get of it, what others may do to its files, and what rights it gives on."""

import contextlib
import os
import shutil
import socket
import ssl
import stat as modes
from pathlib import Path

import pytest
from harness import BINARY, Monitor, cmdline_of, environ_of, fds, is_alive, kill, pids, status_of, wait_asleep, wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534
HERE = Path(__file__).parent
NO_RIGHTS = "0" * 16


def token_of(monitor):
    return (monitor.home / "run" / f"{monitor.env}.token").read_text().strip()


def helpers_of(monitor):
    return [pid for pid in pids() if cmdline_of(pid) == ["sleep", "98765"] and status_of(pid)["PPid"] == str(monitor.pid)]


# ---- what services get


def follow(monitor, path):
    """A connection that goes on and on, once its first bytes are there."""
    host, _, port = monitor.address.replace("https://", "").partition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = context.wrap_socket(socket.create_connection((host, int(port)), timeout=20))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    return sock


def assert_clean(monitor, pid, token, stdio):
    """Nothing but its own: descriptors, environment, signals, rights."""
    assert fds(pid) == stdio
    env = environ_of(pid)
    assert {key for key in env if key.startswith(("FOTA_MONITOR", "NOTIFY_", "WATCHDOG_", "LISTEN_"))} <= {
        "FOTA_MONITOR_SERVICE"}
    assert token not in str(env) and token not in str(cmdline_of(pid))
    assert env["OTHER"] == "kept"
    assert os.readlink(f"/proc/{pid}/exe") != str(BINARY), "it runs its own program"
    assert monitor.alive


def test_nothing_of_the_monitor_reaches_what_it_starts(monitor):
    """With TLS, connections that go on, helpers of scripts, and a reload of all that under way."""
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua/helper.lua").write_text('fm.command{ name = "help_me", help = "-", run = function() '
                                                 'fm.exec{ "sleep", "98765", timeout = 60 } end }\n')
    for part in ("one.pem", "one.key"):
        shutil.copy(HERE / "tls" / part, monitor.home / "conf")
    monitor.script("demo/demo")
    monitor.script("more/more")
    secure = {"cert": "conf/one.pem", "key": "conf/one.key"}
    monitor.conf(svrs={"demo": "demo/demo"}, tls=secure)
    cut = {"FOTA_MONITOR_X": "1", "NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1",
           "LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x", "OTHER": "kept"}
    with open("/etc/passwd", "rb") as leaked, contextlib.ExitStack() as open_now:
        monitor.start(wait=False, env=cut, pass_fds=[leaked.fileno()])
        wait_until(lambda: monitor.address.startswith("https://"), what="it answers")
        wait_until(lambda: monitor.processes("demo"))
        followers = [open_now.enter_context(follow(monitor, path)) for path in ("/events", "/log?service=demo&follow=1")]
        asking = [monitor.spawn([BINARY, "-home", monitor.home, "-env", "test", "-help_me"]) for _ in range(2)]
        wait_until(lambda: len(helpers_of(monitor)) == 2)
        monitor.conf(svrs={"demo": "demo/demo", "more": "more/more"}, tls=secure)
        assert monitor.cli("-reload").returncode == 0
        assert monitor.cli("-restart", "demo").stdout == "SUCCESS\n"
        wait_until(lambda: monitor.processes("more"))
        asking.append(monitor.spawn([BINARY, "-home", monitor.home, "-env", "test", "-help_me"]))
        helpers = wait_until(lambda: len(found := helpers_of(monitor)) == 3 and found)
        token = token_of(monitor)
        for name in ("demo", "more"):
            log = f"{monitor.root}/{name}/fota_monitor.log"
            pid, = monitor.processes(name)
            wait_asleep(pid, 1000)
            assert_clean(monitor, pid, token, {0: "/dev/null", 1: log, 2: log})
            assert environ_of(pid)["FOTA_MONITOR_SERVICE"] == f"{monitor.home}:test/{name}"
        for pid in helpers:
            wait_asleep(pid, 98765)
            found = fds(pid)
            assert set(found) == {0, 1, 2} and found[0] == "/dev/null" and found[1].startswith("pipe:")
            assert_clean(monitor, pid, token, found)
        assert len(followers) == 2 and all(one.poll() is None for one in asking)
    monitor.terminate()
    wait_until(lambda: not any(is_alive(pid) for pid in helpers), what="no helper outlives it")


# ---- rights


@AS_ROOT
def test_a_service_of_another_user_has_none_of_roots_rights(monitor):
    monitor.script("demo/demo")
    (monitor.root / "demo").chmod(0o755)
    monitor.conf(svrs={"demo": {"cmd": "demo/demo", "user": "nobody"}, "ours": "demo/demo"})
    monitor.start()
    pid, ours = monitor.wait_up("demo", "ours")
    found = status_of(pid)
    assert found["Uid"].split() == [str(NOBODY)] * 4 and len(set(found["Gid"].split())) == 1
    assert "0" not in found["Gid"].split() + found["Groups"].split()
    assert {found[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {NO_RIGHTS}
    assert status_of(ours)["CapEff"] == status_of(monitor.pid)["CapEff"], "one of our own user keeps them"
    # A service may need a program that has rights of its own (ping, sudo): that is its affair.
    assert found["NoNewPrivs"] == status_of(ours)["NoNewPrivs"] == "0"


# ---- files


def everything_made(monitor):
    monitor.script("demo/demo", "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000")
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua/out.lua").write_text(
        'fm.after(0.1, function() local f = io.open(HOME .. "/made", "w") f:write("x") f:close() end)\n'.replace(
            "HOME", f'"{monitor.home}"'))
    monitor.conf(svrs={"demo": "demo/demo"}, log={"max_size": "1K"})


@pytest.mark.parametrize("mask", [0, 0o077, 0o022], ids=lambda mask: f"{mask:03o}")
def test_no_file_is_open_to_everybody_and_the_umask_counts(monitor, mask):
    everything_made(monitor)
    before = {monitor.stderr_file, *monitor.home.rglob("*")}
    monitor.start(umask=mask)
    monitor.wait_up()
    log = monitor.root / "demo"
    wait_until(lambda: len(list(log.glob("fota_monitor.*.log"))) > 0 and not list(log.glob(".*")), timeout=40,
               what="a rotation")
    assert monitor.cli("-restart", "demo").returncode == 0
    wait_until(lambda: (monitor.home / "made").exists())

    def modes_of_all():
        with contextlib.suppress(FileNotFoundError):  # one that was written anew has taken its name
            return {path: path.lstat().st_mode for path in monitor.home.rglob("*") if path not in before}
        return None
    made = wait_until(modes_of_all)
    names = {path.name for path in made}
    assert {"run", "test.token", "test.lock", "test.events.jsonl", "test.state.jsonl", "fota_monitor.log"} <= names
    for path, mode in made.items():
        mine = path != monitor.home / "made"  # what a script makes is as open as the umask has it
        assert not modes.S_IMODE(mode) & mask, path
        assert not mine or not mode & 0o022, path
        if path.parent.name == "run" and path.name != "test.lock" or path.name == "run":
            assert not mode & 0o077, path


@AS_ROOT
@pytest.mark.parametrize("kind", ["folder", "file", "second name"])
def test_no_log_is_opened_through_what_its_user_planted(monitor, kind):
    """As root it would be a way to write to, read, and rotate any file of the host."""
    secret = monitor.home / "secret"
    secret.mkdir()
    precious = secret / "fota_monitor.log"
    precious.write_text("precious\n" * 1000)
    home = monitor.root / "home"
    monitor.script("home/demo", "echo mine; exec sleep 1000")
    os.chown(home, NOBODY, NOBODY)
    monitor.conf(log={"max_size": "1K"}, svrs={
        "demo": {"cmd": "home/demo", "dir": "/", "user": "nobody", "log": str(home / "logs/fota_monitor.log"),
                 "autostart": False}})
    if kind == "folder":
        (home / "logs").symlink_to(secret)
        os.lchown(home / "logs", NOBODY, NOBODY)
    else:
        (home / "logs").mkdir()
        os.chown(home / "logs", NOBODY, NOBODY)
        planted = home / "logs/fota_monitor.log"
        if kind == "file":
            planted.symlink_to(precious)
            os.lchown(planted, NOBODY, NOBODY)
        else:
            planted.hardlink_to(precious)  # the kernel forbids others to, unless told otherwise
    monitor.start()
    reply = monitor.get("start", "demo")
    assert reply.status == 500 and "Operation not permitted (links of other users are not followed)" in reply.text
    assert "precious" not in monitor.get("log", "demo").text
    assert "precious" not in monitor.get("why", "demo").text
    assert monitor.get("stop", "demo").text == "SUCCESS\n"
    assert [path.name for path in secret.iterdir()] == ["fota_monitor.log"], "nothing was rotated there"
    assert precious.read_text() == "precious\n" * 1000


@AS_ROOT
def test_a_layout_of_links_that_a_user_made_for_himself_works(monitor):
    app = monitor.root / "app"
    monitor.script("app/release-7/demo", "echo hello; exec sleep 1000")
    (app / "current").symlink_to("release-7")
    for path in (app, app / "release-7", app / "current"):
        os.lchown(path, NOBODY, NOBODY)
    monitor.conf(svrs={"demo": {"cmd": "app/current/demo", "user": "nobody"}})
    monitor.start()
    monitor.wait_up()
    wait_until(lambda: (app / "release-7/fota_monitor.log").read_text() == "hello\n")
    assert "hello" in monitor.get("log", "demo").text


# ---- the run folder


@AS_ROOT
def test_a_run_folder_of_somebody_else_is_refused(monitor):
    monitor.conf()
    (monitor.home / "run").mkdir(mode=0o700)
    os.chown(monitor.home / "run", NOBODY, NOBODY)
    monitor.start(wait=False)
    assert monitor.exit_code() == 2
    assert f"Error: rundir {monitor.home}/run: others may write there" in monitor.stderr()


@AS_ROOT
def test_a_run_folder_that_others_could_replace_is_told(monitor):
    monitor.conf()
    os.chown(monitor.home, NOBODY, NOBODY)
    monitor.start()
    assert (f"[WARN] rundir {monitor.home}/run: {monitor.home} belongs to user {NOBODY}, who could put another run folder "
            "in the place of ours") in monitor.stderr()


@AS_ROOT
def test_links_in_the_place_of_what_is_in_the_run_folder(monitor):
    """Only root could put them there; they are not followed all the same."""
    run = monitor.home / "run"
    run.mkdir(mode=0o700)
    victim = monitor.file("victim", "precious\n")
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"}, auth="token")
    for name in ("test.token", "test.token.new", "test.state.jsonl.new", "test.logs.new"):
        (run / name).symlink_to(victim)
    monitor.start()
    monitor.wait_up()
    assert "the token can't be had" in monitor.stderr() and "precious" not in monitor.stderr()
    assert monitor.http("/?command=stop&service=demo", headers={"Authorization": "Bearer precious"}).status == 401
    (run / "test.token").unlink()
    wait_until(lambda: (run / "test.token").exists(), what="a token of its own")
    assert monitor.cli("-restart", "demo").stdout == "SUCCESS\n"
    assert victim.read_text() == "precious\n"


def test_another_token_in_its_place_changes_nothing(monitor):
    """What the monitor takes is what it read; who replaces the file locks the command line out, and nobody in."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"}, auth="token")
    monitor.start()
    pid, = monitor.wait_up()
    path = monitor.home / "run/test.token"
    own = token_of(monitor)
    path.unlink()
    path.write_text("0" * 64 + "\n")
    path.chmod(0o600)
    assert monitor.cli("-restart", "demo").returncode == 5
    assert monitor.http("/?command=why&service=demo", headers={"Authorization": f"Bearer {own}"}).status == 200
    assert monitor.status("demo")["pid"] == pid
    kill(pid)
    monitor.restart(Monitor.kill)
    assert monitor.cli("-restart", "demo").stdout == "SUCCESS\n", "the next one takes what is there"
