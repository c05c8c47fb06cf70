"""What goes wrong outside of us: a clear message, an exit code, and the rest goes on."""

import contextlib
import http.client
import os
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import BINARY, Monitor, cpu_s, fds, is_alive, is_sanitized, kill, limits, wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OTHER_UID = 54321 if os.geteuid() == 0 else os.geteuid()
MANY = 10_000
STARTED = 300
NAMES = {"nproc": "Max processes", "nofile": "Max open files"}


def refuses(monitor, *words, code=2, **popen):
    """The monitor does not start; what it said (without the tests' own folder)."""
    monitor.start(*words, wait=False, **popen)
    assert monitor.exit_code() == code
    return monitor.stderr().replace(str(monitor.home), "HOME")


def with_demo(monitor, **svrs):
    """A healthy service beside the others; its pid."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo", **svrs})
    monitor.start()
    return monitor.wait_state("demo")["pid"]


def give_away(monitor):
    """The home and a copy of the program for somebody who is not root; what Popen needs for that."""
    binary = monitor.home / "fota_monitor"
    shutil.copy(BINARY, binary)
    if os.geteuid() != 0:
        return {"binary": binary}
    for folder, _, files in os.walk(monitor.home):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, OTHER_UID, OTHER_UID)
    return {"binary": binary, "user": OTHER_UID, "group": OTHER_UID, "extra_groups": []}


# ---- libraries


def test_a_library_that_can_not_be_loaded(monitor):
    """Without the HTTP server nobody can ask, which the log says before anybody does; services are started all the same."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    (monitor.home / "libmicrohttpd.so.12").write_text("this is no library\n" * 100)
    env = {"LD_LIBRARY_PATH": str(monitor.home)}
    monitor.start(wait=False, env=env)
    pid, = wait_until(lambda: monitor.processes("demo"), what="the service runs")
    why = (f"answered: libmicrohttpd.so.12 can't be loaded (package libmicrohttpd12): "
           f"{monitor.home}/libmicrohttpd.so.12: invalid ELF header\n")
    wait_until(lambda: "[ERROR] who asks over HTTP will not be " + why in monitor.stderr(), what="the log says it")
    assert monitor.cli("-check", env={**os.environ, **env}).returncode == 0
    done = monitor.cli("-status", env={**os.environ, **env})
    assert done.returncode == 4 and "maybe down" in done.stderr
    assert "[ERROR] who asks over HTTP is not " + why in monitor.stderr()
    kill(pid)
    wait_until(lambda: monitor.processes("demo") not in ([], [pid]), what="the service runs again")


def test_a_library_that_can_not_be_loaded_for_tls(monitor):
    """A certificate is judged at the start, and that takes the library."""
    shutil.copytree(Path(__file__).parent / "tls", monitor.home / "tls")
    (monitor.home / "tls" / "one.key").chmod(0o600)
    monitor.conf(svrs={}, tls={"cert": "tls/one.pem", "key": "tls/one.key"})
    (monitor.home / "libmicrohttpd.so.12").write_text("this is no library\n" * 100)
    assert refuses(monitor, env={"LD_LIBRARY_PATH": str(monitor.home)}) == (
        "Error: libmicrohttpd.so.12 can't be loaded (package libmicrohttpd12): "
        "HOME/libmicrohttpd.so.12: invalid ELF header\n")


# ---- conf.json


def test_no_conf(monitor):
    assert refuses(monitor) == "Error: conf.json: cannot open HOME/conf/conf.json: No such file or directory\n"


def test_conf_is_a_directory(monitor):
    monitor.conf_file.mkdir()
    assert refuses(monitor) == "Error: conf.json: HOME/conf/conf.json is a directory\n"


def test_conf_that_may_not_be_read(monitor):
    monitor.conf().chmod(0)
    somebody = {"user": OTHER_UID, "group": OTHER_UID, "extra_groups": []} if os.geteuid() == 0 else {}
    binary = shutil.copy(BINARY, monitor.home / "fota_monitor")
    assert refuses(monitor, binary=binary, **somebody) == (
        "Error: conf.json: cannot open HOME/conf/conf.json: Permission denied\n")


@pytest.mark.parametrize("text, place, what", [
    ('', "1:1", "expected value but found the end"),
    ('{"test": {"port": 0,}}', "1:21", 'test: expected object key'),
    ('{"test": {\n  "port": 0\n  "bind": []}}', "3:3", "expected comma or object end"),
    ('{"test": {"port": 0', "1:", "test.port: expected comma or object end"),
    ('{"test": {}} x', "1:14", "expected the end"),
    ('/* no end {"test": {}}', "1:1", "comment"),
    ('[]', "1:1", "test: there is no such env"),
    ('{"prod": {}, "dev": {}}', "1:1", 'test: there is no such env; there are "dev", "prod"'),
    ('{"test": 5}', "1:2", "test: an env must be an object"),
    ('{"test": {"prot": 1}}', "1:11", 'test.prot: unknown key "prot"; did you mean "port"?'),
    ('{"test": {"port": 65536}}', "1:11", "test.port: must be a whole number from 0 to 65535, got 65536"),
    ('{"test": {"port": "x"}}', "1:11", "test.port: must be a whole number"),
    ('{"test": {\n  "svrs": {\n    "a": {"cmd": "x", "stpo": {}}}}}', "3:23",
     'test.svrs.a.stpo: unknown key "stpo"; did you mean "stop"?'),
    ('{"test": {"svrs": {"a": {}}}}', "1:20", "test.svrs.a.cmd: is required"),
    ('{"test": {"svrs": {"a": ""}}}', "1:20", "test.svrs.a: must not be empty"),
    ('{"test": {"svrs": {"a": "x", "a": "y"}}}', "1:30", "test.svrs.a: duplicate key, the first one is at conf.json:1:20"),
    ('{"test": {"svrs": {"a": "x \\"y"}}}', "1:20", "test.svrs.a: the command line: the \" at character 3 is not closed"),
    ('{"test": {"svrs": {"a": {"cmd": "x", "environ": "a=\'"}}}}', "1:38", "test.svrs.a.environ"),
    ('{"test": {"svrs": {"a": {"cmd": "x", "user": "no-such-user"}}}}', "1:38", 'there is no user "no-such-user"'),
    ('{"test": {"svrs": {"a": {"cmd": "x", "stop": {"signal": "TREM"}}}}}', "1:47", "test.svrs.a.stop.signal"),
    ('{"test": {"svrs": {"a": {"cmd": "x", "umask": "999"}}}}', "1:38", "test.svrs.a.umask"),
])
def test_conf_with_a_mistake(monitor, text, place, what):
    """Where, which key, what: when it is judged, when the monitor is started, and when the running one is to take it."""
    monitor.conf_text(text)
    said = refuses(monitor)
    assert said.startswith(f"Error: conf.json:{place}") and what in said and said.count("\n") == 1, said
    checked = monitor.cli("-check")
    assert (checked.returncode, checked.stderr) == (2, said)


def test_a_mistake_is_refused_by_the_running_one(monitor):
    pid = with_demo(monitor)
    monitor.conf_text('{"test": {"svrs": {"demo": {"cmd": "demo/demo", "stpo": {}}}}}')
    done = monitor.cli("-reload")
    assert done.returncode == 2 and "conf.json:1:49: test.svrs.demo.stpo" in done.stderr
    assert "nothing was changed" in done.stderr
    assert monitor.status("demo")["pid"] == pid


def test_an_override_with_a_mistake(monitor):
    monitor.conf()
    assert "-conf" in (said := refuses(monitor, "-conf", "prot=1")) and "prot" in said
    assert '-conf: port: must be a whole number from 0 to 65535, got "x" (from "port=x")' in refuses(monitor, "-conf=port=x")


def test_unknown_env_by_command_line(monitor):
    monitor.conf()
    monitor.start()
    done = monitor.cli("-env", "nowhere", "-status", "all")
    assert done.returncode == 2 and 'nowhere: there is no such env; there are "test"' in done.stderr


def test_no_home(monitor):
    done = monitor.cli("-home", "/no/such/folder", "-check")
    assert (done.returncode, done.stderr) == (2, "Error: -home: /no/such/folder: No such file or directory\n")


# ---- the monitor's own place


def test_port_in_use(monitor):
    monitor.script("demo/demo")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monitor.conf(port=port, svrs={"demo": "demo/demo"})
        said = refuses(monitor)
    assert f"port {port} on 127.0.0.1: Address already in use" in said
    assert not monitor.processes(), "nothing is started before the port is ours"
    monitor.start()
    monitor.wait_up()


def test_address_of_somebody_else(monitor):
    monitor.conf(bind="203.0.113.7")
    assert "203.0.113.7: Cannot assign requested address" in refuses(monitor)


def test_two_monitors_for_one_env(monitor, make_monitor):
    pid = with_demo(monitor)
    second = make_monitor()
    shutil.rmtree(second.home)
    second.home = monitor.home
    second.stderr_file = monitor.home / "second.stderr"
    said = refuses(second)
    assert f"another monitor runs for this env already: pid {monitor.pid}, port {monitor.address} " in said
    assert monitor.wait_state("demo")["pid"] == pid
    assert monitor.processes("demo") == [pid]


def test_rundir_that_is_a_file(monitor):
    monitor.conf(rundir="conf/conf.json")
    assert refuses(monitor) == "Error: rundir HOME/conf/conf.json: Not a directory\n"


@AS_ROOT
def test_rundir_that_may_not_be_made(monitor):
    monitor.conf()
    binary = shutil.copy(BINARY, monitor.home / "fota_monitor")
    said = refuses(monitor, binary=binary, user=OTHER_UID, group=OTHER_UID, extra_groups=[])
    assert said == "Error: rundir HOME/run: Permission denied\n"


def test_a_journal_that_can_not_be_written(monitor):
    (monitor.home / "run/test.events.jsonl").mkdir(parents=True)
    pid = with_demo(monitor)
    assert "[ERROR] journal" in monitor.stderr() and "Is a directory" in monitor.stderr()
    kill(pid)
    monitor.wait_new_pid("demo", pid)
    assert "SIGKILL" in monitor.get("history", "demo").text, "events are kept in memory"


# ---- commands


def test_unknown_service(monitor):
    pid = with_demo(monitor)
    reply = monitor.get("stop", "demo,nobody")
    assert (reply.status, reply.text) == (404, "Error: service[nobody] not configured\n")
    done = monitor.cli("-restart", "nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: service[nobody] not configured\nfota_monitor -status lists the services.\n"
    assert monitor.status("demo")["pid"] == pid, "nothing was done to the known one"


def test_unknown_command(monitor):
    with_demo(monitor)
    assert monitor.get("strat", "demo").status == 404
    done = monitor.cli("-strat", "demo")
    assert done.returncode == 2 and "strat" in done.stderr


def test_no_monitor_there(monitor):
    monitor.conf()
    done = monitor.cli("-status", "all")
    assert done.returncode == 4 and done.stderr.startswith("Error: [fota_monitor maybe down!] ")


# ---- services that can't run


def place(monitor, kind):
    """What stands where the executable should be."""
    path = monitor.root / "bad/bad"
    if kind == "directory":
        path.mkdir(parents=True)
    elif kind == "not executable":
        monitor.file("bad/bad", "#!/bin/sh\nexec sleep 1000\n")
    elif kind == "not a program":
        monitor.file("bad/bad", "\x7fELF no, it is not").chmod(0o755)
    elif kind == "interpreter missing":
        monitor.script("bad/bad", "", interpreter="/no/such/interpreter")
    elif kind == "dangling link":
        path.parent.mkdir()
        path.symlink_to("nowhere")


@pytest.mark.parametrize("kind, error", [
    ("directory", "Permission denied"), ("not executable", "Permission denied"), ("not a program", "Exec format error"),
    ("interpreter missing", "No such file or directory"), ("dangling link", "No such file or directory"),
    ("nothing", "No such file or directory"),
])
def test_what_can_not_be_executed(monitor, kind, error):
    place(monitor, kind)
    pid = with_demo(monitor, bad={"cmd": "bad/bad", "autostart": False})
    done = monitor.cli("-start", "bad")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL: bad\n") and f"exec {monitor.root}/bad/bad: {error}" in done.stdout
    assert f"[ERROR] service[bad] could not be started: exec {monitor.root}/bad/bad: {error}" in monitor.stderr()
    assert monitor.status("bad")["last_exit"]["reason"].endswith(error)
    assert monitor.status("demo")["pid"] == pid


def test_a_missing_executable_is_told_beforehand(monitor):
    with_demo(monitor, bad={"cmd": "bad/bad", "autostart": False})
    assert f"[WARN] service[bad]: {monitor.root}/bad/bad does not exist" in monitor.stderr()


@pytest.mark.parametrize("service, said", [
    ({"dir": "/no/such/dir", "log": "/dev/null"}, "chdir /no/such/dir: No such file or directory"),
    ({"dir": "/no/such/dir"}, "open the log /no/such/dir/fota_monitor.log: No such file or directory"),
    ({"log": "/no/such/dir/x.log"}, "open the log /no/such/dir/x.log: No such file or directory"),
    ({"log": "/tmp"}, "open the log /tmp: Is a directory"),
    ({"environ": "ulimit -n 2000000000"}, "ulimit (open files) to 2000000000: Operation not permitted"),
    ({"environ": "[ -d / ]; ulimit -n 2000000000"}, "ulimit: error setting limit"),
    ({"environ": "false"}, "exited with code 1"),
], ids=["dir", "dir and log", "log", "log is a directory", "ulimit", "ulimit in a shell", "environ fails"])
def test_a_service_that_can_not_be_started(monitor, service, said):
    pid = with_demo(monitor, bad={"cmd": "demo/demo", "autostart": False, **service})
    reply = monitor.get("start", "bad")
    assert reply.status == 500 and reply.exit_code == 1
    assert reply.text.startswith("FAIL: bad\n") and said in reply.text
    assert monitor.status("demo")["pid"] == pid


def test_a_fifo_as_log_does_not_block_the_monitor(monitor):
    monitor.script("demo/demo")
    os.mkfifo(monitor.root / "fifo")
    pid = with_demo(monitor, bad={"cmd": "demo/demo", "log": str(monitor.root / "fifo"), "autostart": False})
    reply = monitor.get("start", "bad")
    assert reply.status == 500 and f"open the log {monitor.root}/fifo" in reply.text
    assert monitor.status("demo")["pid"] == pid


@pytest.mark.alone
def test_services_that_die_at_once_for_ever_bother_nobody(monitor):
    monitor.script("bad/bad", "exit 1")
    count = 30
    pid = with_demo(monitor, **{f"bad{i}": "bad/bad" for i in range(count)})

    def all_waiting():
        return sum(s["state"] == "waiting" for s in monitor.statuses().values()) == count
    wait_until(all_waiting, what="all wait for the next try")
    slowest = 0.0
    second_burst = time.monotonic() + 10
    while min(s["failures"] for n, s in monitor.statuses().items() if n != "demo") < 12:
        assert time.monotonic() < second_burst, "the second burst comes"
        began = time.monotonic()
        monitor.get("status", "all")
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5
    assert monitor.status("demo")["pid"] == pid


# ---- too many, too few


@pytest.mark.alone
def test_ten_thousand_services(monitor):
    monitor.script("demo/demo")
    monitor.conf(svrs={f"service-{i:05}": {"cmd": f"demo/demo {i}", "autostart": False} for i in range(MANY)})
    began = time.monotonic()
    monitor.start()
    up = time.monotonic() - began
    began = time.monotonic()
    text = monitor.get("status", "all").text
    answer = time.monotonic() - began
    assert text.count("\n") == MANY + 5 and "service-09999\n" in text
    assert len(monitor.get("status", format="json").json()["services"]) == MANY
    one = monitor.get("start", "service-05000")
    assert one.text == "SUCCESS\n"
    if not is_sanitized():
        assert up < 5 and answer < 0.5, (up, answer)


def test_three_hundred_started_stopped_and_found_again(monitor):
    shutil.copy("/usr/bin/sleep", monitor.root / "demo")
    monitor.conf(svrs={f"s{i:03}": f"demo {1000 + i}" for i in range(STARTED)})
    monitor.start()
    pids = monitor.wait_up(timeout=60)
    assert len(set(pids)) == STARTED
    monitor.restart(Monitor.kill)
    assert monitor.wait_up() == pids
    assert monitor.processes() == sorted(pids)
    for pid in pids[::3]:
        kill(pid)
    wait_until(lambda: [s["restarts"] for s in monitor.statuses().values()] == [1, 0, 0] * (STARTED // 3))
    monitor.wait_up()
    reply = monitor.get("restart", "all")
    assert reply.text == "SUCCESS\n"
    assert len(monitor.processes()) == STARTED
    assert monitor.get("stop", "all").text == "SUCCESS\n"
    assert monitor.processes() == []


@contextlib.contextmanager
def limited(pid, what, number):
    """The soft limit of that process is so low for a while. Done as its own user, who may always do that."""
    def set_limit(soft):
        subprocess.run(["prlimit", f"--pid={pid}", f"--{what}={soft}:"], check=True,
                       **({"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}))
    uid = os.stat(f"/proc/{pid}").st_uid
    set_limit(number)
    yield
    set_limit("unlimited" if what == "as" else limits(pid)[NAMES[what]][1])


def test_fork_fails(monitor):
    """No process more for this user: the others go on, and so does it as soon as there is room."""
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo 1", "other": "demo/demo 2"})
    monitor.start(**give_away(monitor))
    pid, other = monitor.wait_up()
    with limited(monitor.pid, "nproc", 1):
        kill(pid)
        failed = monitor.wait_event(kind="spawn_fail")
        assert failed["service"] == "demo" and failed["text"] == "fork: Resource temporarily unavailable"
        assert monitor.wait_state("demo", "waiting")["last_exit"]["reason"] == (
            "could not be started: fork: Resource temporarily unavailable")
        began, used = time.monotonic(), cpu_s(monitor.pid)
        wait_until(lambda: monitor.status("demo")["failures"] >= 12, what="the second burst")
        assert cpu_s(monitor.pid) - used < 0.5 * (time.monotonic() - began), "it does not spin"
        assert monitor.status("other")["pid"] == other
    monitor.wait_state("demo")
    assert monitor.status("other")["pid"] == other


def lowest_free(pid):
    used = fds(pid)
    return next(fd for fd in range(len(used) + 1) if fd not in used)


def test_no_descriptors(monitor):
    """The same for descriptors: who is connected is still served, all is well afterwards."""
    pid = with_demo(monitor, other="demo/demo 2")
    other = monitor.wait_state("other")["pid"]
    host, _, port = monitor.address.partition(":")
    connected = http.client.HTTPConnection(host, int(port), timeout=20)

    def ask(command, service):
        connected.request("GET", f"/?command={command}&service={service}")
        answer = connected.getresponse()
        return answer.status, answer.read().decode()

    assert ask("status", "all")[0] == 200
    with limited(monitor.pid, "nofile", lowest_free(monitor.pid)):
        kill(pid)
        failed = monitor.wait_event(kind="spawn_fail")
        assert failed["service"] == "demo" and "Too many open files" in failed["text"]
        status, text = ask("status", "all")
        assert status == 200 and f"other PID:{other}\n" in text and text.endswith("\ndemo\n\n")
    monitor.wait_state("demo")
    assert monitor.status("other")["pid"] == other
    assert ask("restart", "demo") == (200, "SUCCESS\n")
    connected.close()


def test_a_start_that_can_not_look_waits_and_doubles_nothing(monitor):
    path = monitor.script("demo/demo", "while :; do sleep 1000; done")
    monitor.conf(auth="open",  # it takes a descriptor to see who asks
                 svrs={"demo": {"cmd": "demo/demo 1", "autostart": False}, "other": "demo/demo 2"})
    monitor.start()
    monitor.wait_state("other")
    by_hand = monitor.spawn([path, "1"])
    host, _, port = monitor.address.partition(":")
    connected = http.client.HTTPConnection(host, int(port), timeout=20)
    connected.connect()
    assert monitor.get("version").status == 200  # so that the connection above has been accepted
    with limited(monitor.pid, "nofile", lowest_free(monitor.pid)):
        connected.request("GET", "/?command=start&service=demo")
        monitor.wait_event(kind="command", service="demo")
        wait_until(lambda: "the process table can't be looked at: Too many open files; starts that must look first wait"
                   in monitor.stderr())
    answer = connected.getresponse()
    assert (answer.status, answer.read()) == (200, b"SUCCESS\n")
    assert monitor.status("demo")["pid"] == by_hand.pid and not monitor.processes("demo")
    connected.close()


@pytest.mark.parametrize("asleep, free", [(False, 0), (True, 0), (True, 1), (True, 2), (True, 3)])
def test_who_connects_while_there_are_no_descriptors_waits(monitor, asleep, free):
    """Or too few of them; asleep: none for the HTTP server either, which is not in memory yet."""
    with_demo(monitor)
    host, _, port = monitor.address.partition(":")
    wait_until(lambda: sum("socket" in what for what in fds(monitor.pid).values()) == 1, what="nobody is connected")
    wait_until(lambda: not asleep or not monitor.has_http(), 60, "nobody has asked for some time")
    with limited(monitor.pid, "nofile", lowest_free(monitor.pid) + free):
        waiting = http.client.HTTPConnection(host, int(port), timeout=20)
        waiting.request("GET", "/?command=status")
        began, used = time.monotonic(), cpu_s(monitor.pid)
        wait_until(lambda: time.monotonic() - began > 1, what="a second has passed")
        assert cpu_s(monitor.pid) - used < 0.5, "it does not spin"
    assert waiting.getresponse().status == 200
    waiting.close()


def test_more_services_than_descriptors(monitor):
    """As many as there is room for; the others wait, and say why. The admin port keeps its share."""
    monitor.script("demo/demo")
    monitor.conf(svrs={f"s{i:02}": f"demo/demo {i}" for i in range(60)})
    monitor.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    wait_until(lambda: {s["state"] for s in monitor.statuses().values()} == {"up", "waiting"})
    found = monitor.statuses()
    up = [name for name, s in found.items() if s["state"] == "up"]
    assert 5 < len(up) < 60
    assert {s["last_exit"]["reason"].rpartition(": ")[2] for s in found.values() if s["state"] == "waiting"} == {
        "Too many open files"}
    gone, stay = up[:4], up[4:]
    assert monitor.get("stop", ",".join(gone)).text == "SUCCESS\n"
    wait_until(lambda: any(s["state"] == "up" and n not in up for n, s in monitor.statuses().items()), what="another is up")
    assert [monitor.status(name)["pid"] for name in stay] == [found[name]["pid"] for name in stay]


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer needs more address space than that")
def test_no_memory(monitor):
    pid = with_demo(monitor)
    size = int(open(f"/proc/{monitor.pid}/statm", encoding="utf-8").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    with limited(monitor.pid, "as", size):
        for command in ("status", "why", "history", "version", "help") * 5:
            with contextlib.suppress(OSError):
                monitor.get(command, None if command in ("version", "help") else "all", format="json")
        kill(pid)
        wait_until(lambda: not is_alive(pid))
        assert monitor.alive
    monitor.wait_new_pid("demo", pid)
