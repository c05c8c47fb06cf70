"""The command line: how words are read, what is printed where, and the exit codes scripts rely on."""

import fcntl
import http.server
import os
import re
import socket
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest
from harness import BINARY, Monitor, free_port, wait_minds, wait_until

TOP = Path(__file__).resolve().parents[2]
DEAF = "trap '' TERM; while :; do sleep 1000; done"


@pytest.fixture(scope="module", name="shared")
def fixture_shared():
    """One monitor for all tests that only read: alpha and beta are up, gone was never started."""
    one = Monitor()
    one.script("run")
    one.conf(svrs={"beta": "run beta", "alpha": "run alpha", "gone": {"cmd": "run gone", "autostart": False}})
    one.start()
    one.wait_up("alpha", "beta")
    yield one
    one.end()


def run(*words, env=None, timeout=30, **popen):
    """The binary with exactly these words and no home but what they say."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith("FOTA_MONITOR")}
    return subprocess.run([BINARY, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False, env={**outside, **(env or {})}, **{"cwd": "/", **popen})


def said(done):
    return done.returncode, done.stdout, done.stderr


def plain(up, down=()):
    return ("\n*****STATUS OK SERVICE LIST*****\n" + "".join(f"{name} PID:{pid}\n" for name, pid in up)
            + "\n*****STATUS FAIL SERVICE LIST*****\n" + "".join(f"{name}\n" for name in down) + "\n")


class Fake:
    """Something that listens and is no monitor. It answers what it is told to, and keeps what it was asked."""

    def __init__(self, status=200, body=b"well\n", headers=None):
        self.asked = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                form = self.rfile.read(int(self.headers["Content-Length"]))
                fake.asked.append((self.path, dict(self.headers), dict(urllib.parse.parse_qsl(form.decode(), True))))
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


# ---- output


def test_status_is_byte_exact(shared):
    alpha, beta = shared.status("alpha")["pid"], shared.status("beta")["pid"]
    text = plain([("alpha", alpha), ("beta", beta)], ["gone"])
    assert said(shared.cli("-status", "all")) == (1, text, "")
    assert said(shared.cli("-status")) == (1, text, "")
    assert said(shared.cli("-status", "beta")) == (0, plain([("beta", beta)]), "")
    assert said(shared.cli("-status", "gone,alpha")) == (1, plain([("alpha", alpha)], ["gone"]), "")


def test_commands_print_success_or_what_failed(monitor):
    monitor.script("good")
    monitor.script("bad", "echo last words; exit 5")
    monitor.conf(svrs={name: {"cmd": name, "autostart": False} for name in ("good", "bad")})
    monitor.start()
    assert said(monitor.cli("-start", "good")) == (0, "SUCCESS\n", "")
    assert said(monitor.cli("-restart", "good")) == (0, "SUCCESS\n", "")
    assert said(monitor.cli("-stop", "good")) == (0, "SUCCESS\n", "")
    done = monitor.cli("-start", "all")
    assert (done.returncode, done.stderr) == (1, "")
    assert re.fullmatch(r"FAIL: bad\nbad: exited with code 5 after [\d.]+ m?s: last words\n", done.stdout)
    assert said(monitor.cli("-grestart", "good"))[:2] == (
        1, "FAIL: good\ngood: it does not handle SIGHUP, so it can't restart gracefully; use restart\n")
    assert said(monitor.cli("-reload")) == (0, "nothing has changed\nSUCCESS\n", "")


def test_formats(shared):
    assert shared.cli("-status", "-format", "json").stdout.startswith('{"env":"test","services":[{"name":"alpha"')
    assert shared.cli("-status", "-format", "table").stdout.startswith("NAME   STATE")
    assert shared.cli("-status", "-format", "text").stdout.startswith("\n*****STATUS OK")
    assert said(shared.cli("-status", "-format", "xml")) == (
        2, "", 'Error: format: must be text, table or json, got "xml"\n')
    assert said(shared.cli("-why", "x", "-format", "json")) == (
        2, "", '{"error":{"code":"unknown_service","message":"service[x] not configured"}}\n')


LIST = "fota_monitor -status lists the services.\n"


def test_unknown_names(shared):
    for words, message, hint in [
            (("-status", "x"), "service[x] not configured", LIST),
            (("-stop", "alpha,x"), "service[x] not configured", LIST),
            (("-why", "alhpa"), "service[alhpa] not configured", "Did you mean alpha?\n"),
            (("-why", "gon,alpha"), "service[gon] not configured", "Did you mean gone?\n"),
            (("-why", "al"), "service[al] not configured", "Did you mean alpha?\n"),
            (("-bogus", "alpha"), "command[bogus] unknown; command=help lists them all",
             "fota_monitor -h lists the commands.\n"),
            (("-restrat", "alpha"), "command[restrat] unknown; command=help lists them all", "Did you mean -restart?\n"),
            (("-stauts",), "command[stauts] unknown; command=help lists them all", "Did you mean -status?\n"),
            (("-tokenfile=x",), "command[tokenfile] unknown; command=help lists them all", "Did you mean -token-file?\n"),
            (("-stop",), "command[stop] needs a service: a name, a list a,b, or all", ""),
    ]:
        assert said(shared.cli(*words)) == (2, "", f"Error: {message}\n{hint}"), words
    assert said(shared.cli("-version=1", "-status", "x"))[0] == 2
    assert shared.http("/?command=why&service=alhpa").text == "Error: service[alhpa] not configured\n", "over HTTP as ever"


def test_whatever_a_name_contains_arrives_as_it_is(shared):
    for name in ["a&b", "a=b", "a b", "a%20b", "a+b", "é", "服务", "a;b", "'\"", "\\", "x" * 1000]:
        assert said(shared.cli(f"-status={name}")) == (2, "", f"Error: service[{name}] not configured\n{LIST}")


def test_a_list_longer_than_a_query_may_be(shared):
    done = shared.cli("-status", ",".join(["alpha", "beta"] * 10_000))
    assert (done.returncode, done.stdout.count("PID:")) == (0, 2)


def test_arguments_of_a_command(shared):
    assert len(shared.cli("-history", "alpha", "-lines", "1").stdout.splitlines()) == 1
    assert len(shared.cli("-history", "alpha", "lines=1").stdout.splitlines()) == 1
    assert len(shared.cli("-history", "alpha").stdout.splitlines()) == 2
    assert said(shared.cli("-status", "grace=5")) == (
        2, "", 'Error: command[status] has no argument "grace"; it takes format, timeout\n')
    done = shared.cli("-history", "alpha", *[f"a{i}=b" for i in range(30)])
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("Error: more than ")


def test_timeout(monitor):
    monitor.script("deaf", DEAF)
    monitor.conf(svrs={"deaf": {"cmd": "deaf", "stop": {"timeout": 60}}})
    monitor.start()
    wait_minds(*monitor.wait_up())
    assert said(monitor.cli("-stop", "deaf", "-timeout", "0.3")) == (
        1, "FAIL: deaf\ndeaf: not done within 0.3 s; it is stopping\n", "")
    assert said(monitor.cli("-stop", "deaf", "-timeout", "soon")) == (
        2, "", 'Error: timeout: must be a number of seconds, more than 0 and up to 604800, got "soon"\n')


def test_output_that_can_not_be_written_is_no_success(shared):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BINARY, "-home", shared.home, "-env", "test", "-status", "alpha"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (3, "Error: the answer can't be written: No space left on device\n")


# ---- words


def forms(name, value):
    return [[f"-{name}", value], [f"-{name}={value}"], [f"--{name}", value], [f"--{name}={value}"]]


def test_every_way_to_write_an_option(shared):
    expected = shared.cli("-status", "alpha").stdout
    assert "alpha PID:" in expected
    for home in forms("home", str(shared.home)):
        for env in forms("env", "test"):
            assert said(run(*home, *env, "-status", "alpha")) == (0, expected, "")
    for status in forms("status", "alpha"):
        assert said(run("-home", shared.home, "-env", "test", *status)) == (0, expected, "")
        assert said(run(*status, "-env=test", f"--home={shared.home}")) == (0, expected, ""), "the order does not count"
    for host in forms("host", shared.address):
        assert said(run(*host, "-status", "alpha")) == (0, expected, "")
    for form in forms("format", "json"):
        assert shared.cli(*form, "-version_", "x").stderr.startswith('{"error"')
    for timeout in forms("timeout", "-1"):
        assert shared.cli("-status", *timeout).stderr.startswith("Error: timeout: ")
    for lines in forms("lines", "1"):
        assert len(shared.cli("-history", "alpha", *lines).stdout.splitlines()) == 1
    for conf in forms("conf", "bogus=1"):
        assert "bogus" in shared.cli("-check", *conf).stderr
    for flag in ("-check", "--check"):
        assert shared.cli(flag).returncode == 0
    for flag in ("-version", "--version"):
        assert run(flag).returncode == 0
    for flag in ("-h", "--h", "-help", "--help"):
        assert run(flag).stdout.startswith("fota_monitor supervises")


def test_the_last_one_wins(shared):
    assert shared.cli("-env", "nowhere", "-env", "test", "-status", "alpha").returncode == 0


@pytest.mark.parametrize("words,message", [
    (["-env"], "-env needs a value"),
    (["-status", "all", "-host"], "-host needs a value"),
    (["-"], '"-" stands where an option (-name) or an argument (key=value) is expected'),
    (["--"], '"--" is no option'),
    (["-=x"], '"-=x" is no option'),
    (["status"], '"status" stands where an option (-name) or an argument (key=value) is expected'),
    (["-status", "a", "b"], '"b" stands where an option (-name) or an argument (key=value) is expected'),
    (["-status", "a", "-stop", "b"], "-status and -stop: one command at a time"),
    (["-evn", "test", "-status"], "-evn and -status: one command at a time; did you mean -env by -evn?"),
    (["-status", "a", "-fromat=json"], "-status and -fromat: one command at a time; did you mean -format by -fromat?"),
    (["dry-run=1"], '"dry-run=1": arguments go with a command, such as -reload dry-run=1'),
    (["-check", "a=b"], '"a=b": arguments go with a command, such as -reload dry-run=1'),
    (["-env", "", "-status"], '-env: "" can\'t be the name of an env'),
    (["-env", "../x", "-status"], '-env: "../x" can\'t be the name of an env'),
])
def test_words_that_make_no_sense(words, message):
    assert said(run(*words)) == (2, "", f"Error: {message}\nfota_monitor -h tells more.\n")


def test_version():
    cmake = (TOP / "CMakeLists.txt").read_text(encoding="utf-8")
    version = re.search(r"project\(fota_monitor VERSION ([\d.]+)", cmake)[1]
    assert said(run("-version")) == (0, f"fota_monitor {version}\n", "")


# ---- homes and hosts


def test_where_home_is(shared, tmp_path):
    expected = shared.cli("-status", "alpha").stdout
    assert run("-env", "test", "-status", "alpha", env={"FOTA_MONITOR_HOME": str(shared.home)}).stdout == expected
    assert run("-env", "test", "-status", "alpha", "-home", shared.home.name, cwd=shared.home.parent).stdout == expected
    (tmp_path / "link").symlink_to(shared.home)
    assert run("-env", "test", "-status", "alpha", "-home", tmp_path / "link").stdout == expected
    assert said(run("-home", tmp_path / "none", "-status")) == (
        2, "", f"Error: -home: {tmp_path}/none: No such file or directory\n")
    assert said(run("-home", BINARY, "-status")) == (2, "", f"Error: -home: {BINARY} is no folder\n")
    done = run("-home", tmp_path, "-env", "test", "-status")
    assert done.returncode == 2 and done.stderr.startswith(f"Error: conf.json: cannot open {tmp_path}/conf/conf.json")


def test_a_monitor_elsewhere_needs_no_home(shared):
    port = shared.address.split(":")[1]
    for host in (shared.address, f"http://{shared.address}", f"localhost:{port}", f"http://localhost:{port}"):
        done = run("-host", host, "-start", "alpha", env={"FOTA_MONITOR_HOME": "/nonexistent"})
        assert said(done) == (0, "SUCCESS\n", ""), host


def test_no_proxy_stands_between(shared):
    proxy = f"http://127.0.0.1:{free_port()}"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        assert run("-host", shared.address, "-status", "alpha", env={name: proxy}).returncode == 0


def test_a_monitor_that_is_not_there(monitor):
    port = free_port()
    monitor.conf(port=port)
    for words in (["-status"], ["-stop", "all"], ["-bogus"]):
        done = monitor.cli(*words)
        assert (done.returncode, done.stdout) == (4, "")
        assert re.match(rf"Error: \[fota_monitor maybe down!\] 127\.0\.0\.1:{port}: .+\n", done.stderr)
    done = run("-host", f"127.0.0.1:{port}", "-status")
    assert done.returncode == 4 and done.stderr.startswith(f"Error: [fota_monitor maybe down!] 127.0.0.1:{port}: ")
    for host in ("nowhere.invalid:1", "127.0.0.1:99999", "[::1", "::", "", "http://"):
        done = run("-host", host, "-status")
        assert done.returncode == 4 and done.stderr.startswith("Error: [fota_monitor maybe down!] "), host


def test_a_monitor_that_was_killed(monitor):
    monitor.conf()
    monitor.start()
    assert monitor.cli("-status").returncode == 0
    monitor.kill()
    done = monitor.cli("-status")
    assert done.returncode == 4 and done.stderr.startswith("Error: [fota_monitor maybe down!] 127.0.0.1:")


def test_one_that_listens_and_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run("-host", f"127.0.0.1:{silent.getsockname()[1]}", "-status", "-timeout", "0.1")
    assert done.returncode == 4 and done.stderr.startswith("Error: [fota_monitor maybe down!] ")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 nonsense\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"],
                         ids=["nothing", "ssh", "nonsense", "cut"])
def test_one_that_speaks_something_else(answer):
    with socket.create_server(("127.0.0.1", 0)) as other:
        def serve():
            sock, _ = other.accept()
            with sock:
                sock.recv(4096)
                sock.sendall(answer)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = run("-host", f"127.0.0.1:{other.getsockname()[1]}", "-status")
        thread.join(10)
    assert done.returncode == 4 and done.stderr.startswith("Error: [fota_monitor maybe down!] ")


@pytest.mark.parametrize("status,headers,code", [
    (200, {}, 0), (500, {}, 3), (503, {}, 3), (404, {}, 2), (400, {}, 2), (401, {}, 5), (403, {}, 5),
    (200, {"X-Exit-Code": "1"}, 1), (500, {"x-exit-code": "1"}, 1), (500, {"X-Exit-Code": "3"}, 3),
    (403, {"X-Exit-Code": "5"}, 5),
])
def test_exit_codes(status, headers, code):
    with Fake(status, headers=headers) as fake:
        done = run("-host", fake.address, "-status")
    assert done.returncode == code
    hint = "-token-file FILE shows the token: a copy of run/ENV.token beside that monitor's conf/.\n"
    assert (done.stdout, done.stderr) == (("well\n", "") if code in (0, 1) else ("", "well\n" + (hint if code == 5 else "")))


def test_what_is_asked_and_with_which_token(tmp_path):
    (tmp_path / "token").write_text("s3cret\n", encoding="ascii")
    with Fake() as fake:
        done = run("-host", fake.address, "-token-file", tmp_path / "token", "-drain", "a,b", "grace=5&x=1",
                   "-timeout", "7")
        assert done.returncode == 0
        (path, headers, form), = fake.asked
        assert (path, form) == ("/", {"command": "drain", "service": "a,b", "grace": "5&x=1", "timeout": "7"})
        assert headers["Authorization"] == "Bearer s3cret" and "Expect" not in headers
        assert headers["User-Agent"].startswith("fota_monitor/")
        assert run("-host", fake.address, "-status").returncode == 0
        assert "Authorization" not in fake.asked[1][1]
        assert said(run("-host", fake.address, "-token-file", tmp_path / "none", "-status")) == (
            2, "", f"Error: -token-file {tmp_path}/none: No such file or directory\n")
        assert len(fake.asked) == 2


def test_the_token_of_this_env_is_shown_to_its_monitor_alone(monitor):
    """While it is down anybody may listen on its port."""
    with Fake() as fake:
        monitor.conf(port=int(fake.address.split(":")[1]))
        run_folder = monitor.home / "run"
        run_folder.mkdir()
        (run_folder / "test.token").write_text("t0ken", encoding="ascii")
        lock = run_folder / "test.lock"
        lock.write_text(f"{os.getpid()}\n{fake.address}\n", encoding="ascii")
        for words in (["-status"], ["-stop", "all"], ["-h"]):
            assert monitor.cli(*words).returncode == 0
        run("-complete", "-env", "test", "-status", "", env={"FOTA_MONITOR_HOME": str(monitor.home)})
        wait_until(lambda: len(fake.asked) >= 4, what="all four have asked")  # -h and -complete wait a second at most
        assert len(fake.asked) == 4 and not any("Authorization" in headers for _, headers, _ in fake.asked)
        assert monitor.cli("-status", "-token-file", run_folder / "test.token").returncode == 0
        assert fake.asked[-1][1]["Authorization"] == "Bearer t0ken", "who names it knows what he does"
        with open(lock, encoding="ascii") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert monitor.cli("-status").returncode == 0
        assert fake.asked[-1][1]["Authorization"] == "Bearer t0ken"


# ---- check


def test_check_of_a_good_file(monitor):
    path = monitor.conf(svrs={"demo": "demo/demo -p 80"})
    monitor.script("demo/demo")
    code, out, err = said(monitor.cli("-check"))
    assert (code, err) == (0, "") and out.startswith(f"{path}: env test is well: 1 service\n")
    assert 'svrs.demo = "demo/demo -p 80"  # conf.json\n' in out
    assert not (monitor.home / "run").exists() and not monitor.processes()
    out = monitor.cli("-check", "-conf", "svrs.more=demo/demo -p 81").stdout
    assert "is well: 2 services\n" in out and 'svrs.more = "demo/demo -p 81"  # -conf\n' in out


def test_check_of_a_good_file_beside_a_running_monitor(shared):
    code, out, err = said(shared.cli("-check"))
    assert (code, err) == (0, "") and out.startswith(f"{shared.conf_file}: env test is well: 3 services\n")


def test_check_of_bad_files(monitor):
    for text, message in [
            ("{", "conf.json:1:2: "),
            ('{"test": {"prot": 1}}', 'conf.json:1:11: test.prot: unknown key "prot"; did you mean "port"?'),
            ('{\n  "test": {\n    "port": "x"}}',
             'conf.json:3:5: test.port: must be a whole number from 0 to 65535, got "x"'),
            ('{"prod": {}}', 'conf.json:1:1: test: there is no such env; there are "prod"'),
            ("", "conf.json:1:1: "), ("\xff\xfe", "conf.json:1:1: ")]:
        monitor.conf_text(text)
        code, out, err = said(monitor.cli("-check"))
        assert (code, out) == (2, "") and err.startswith(f"Error: {message}"), err
        assert monitor.cli().stderr == err, "the monitor itself says the same"
    monitor.conf_file.unlink()
    assert said(monitor.cli("-check")) == (
        2, "", f"Error: conf.json: cannot open {monitor.conf_file}: No such file or directory\n")


def test_check_warns_of_what_may_be_there_later(monitor):
    monitor.conf(svrs={"demo": "not/here -p 80"})
    done = monitor.cli("-check")
    assert done.returncode == 0 and "is well: 1 service\n" in done.stdout
    assert done.stderr.endswith(f"[WARN] service[demo]: {monitor.root}/not/here does not exist\n")


# ---- -conf


def test_conf_overrides_at_start(monitor):
    port = free_port()
    monitor.script("run")
    monitor.conf(svrs={"old": "run old", "gone": "run gone", "slow": {"cmd": "run slow", "stop": {"timeout": 20}}})
    monitor.start("-conf", f'port={port};svrs.new=run new; svrs."dotted.name".cmd = run dotted ;'
                           'svrs.off={"cmd":"run off","autostart":false};svrs.gone=null;;clog.level=15;'
                           'svrs.slow.stop.timeout=1.5;vars.a="b;c"')
    assert monitor.address == f"127.0.0.1:{port}"
    monitor.wait_up("old", "new", "dotted.name", "slow")
    assert sorted(monitor.statuses()) == ["dotted.name", "new", "off", "old", "slow"]
    assert not monitor.status("off")["wanted"]
    # They are not forgotten when conf.json is read again.
    assert monitor.get("reload").text == "nothing has changed\nSUCCESS\n"


@pytest.mark.parametrize("text,message", [
    ("port=99999", 'Error: -conf: port: must be a whole number from 0 to 65535, got 99999 (from "port=99999")\n'),
    ("prot=1", 'Error: -conf: prot: unknown key "prot"; did you mean "port"? (from "prot=1")\n'),
    ("port", None), ("=1", None), ("svrs.a", None), ("svrs.a..b=1", None), ("port={", None),
    ("svrs.a={\"cmd\":5}", None),
])
def test_conf_overrides_that_make_no_sense(monitor, text, message):
    monitor.conf()
    for words in (["-check"], []):
        done = monitor.cli(*words, "-conf", text)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == message if message else done.stderr.startswith("Error: -conf: ")


def test_commands_find_a_monitor_that_was_started_with_overrides(monitor):
    monitor.conf(port=free_port())
    other = free_port()
    monitor.start("-conf", f"port={other}")
    assert monitor.cli("-version").returncode == monitor.cli("-status").returncode == 0
    monitor.terminate()
    monitor.started_as = ((), {})
    rundir = monitor.home / "elsewhere"
    monitor.start("-conf", f"port={other};rundir={rundir}", wait=False)
    wait_until(lambda: (rundir / "test.lock").exists()
               and monitor.cli("-status", "-conf", f"rundir={rundir}").returncode == 0, what="it answers")
    assert monitor.cli("-status", "-conf", f"port={other}").returncode == 0
    assert monitor.cli("-status").returncode == 4
