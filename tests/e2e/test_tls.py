"""The admin port by TLS: who may answer, certificates that change, and all that works without it."""

import base64
import contextlib
import hashlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from harness import BINARY, free_port, wait_until

FILES = Path(__file__).parent / "tls"  # two certificates: one for localhost and 127.0.0.1, two for elsewhere.example


def fingerprint(name):
    """The SHA-256 of the certificate's public key, as the last structure of an EC certificate's that begins so."""
    der = ssl.PEM_cert_to_DER_cert((FILES / f"{name}.pem").read_text(encoding="ascii"))
    begin = der.index(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"))
    return "sha256//" + base64.b64encode(hashlib.sha256(der[begin:begin + 91]).digest()).decode()


class Secure:
    """A monitor that speaks TLS alone."""

    def __init__(self, monitor, cert="one", port=0, **keys):
        self.monitor = monitor
        self.keys = keys
        self.port_in_conf = port
        self.use(cert)
        monitor.script("run")
        self.conf()
        monitor.start(wait=False)
        wait_until(lambda: monitor.address and self.cli("-nothing").returncode == 2, what="it answers")

    def use(self, cert, key=None):
        shutil.copy(FILES / f"{cert}.pem", self.monitor.home / "conf" / "cert.pem")
        shutil.copy(FILES / f"{key or cert}.key", self.monitor.home / "conf" / "key.pem")
        (self.monitor.home / "conf" / "key.pem").chmod(0o600)

    def conf(self, **keys):
        self.monitor.conf(svrs={"alpha": "run alpha"}, port=self.port_in_conf,
                          tls={"cert": "conf/cert.pem", "key": "conf/key.pem"}, **self.keys, **keys)

    @property
    def address(self):
        """(host, port)"""
        host, port = self.monitor.address.removeprefix("https://").split(":")
        return host, int(port)

    def cli(self, *words):
        return self.monitor.cli(*words)

    def far(self, *words, host="127.0.0.1"):
        """The command line on another host: it has the token, and no conf.json."""
        return subprocess.run([BINARY, "-host", f"https://{host}:{self.address[1]}", "-token-file",
                               self.monitor.home / "run" / "test.token", *words], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=30, check=False, cwd="/")

    def connect(self, cert="one"):
        """A connection that trusts that certificate."""
        context = ssl.create_default_context(cafile=FILES / f"{cert}.pem")
        context.check_hostname = cert == "one"
        return http.client.HTTPSConnection(*self.address, context=context, timeout=20)

    def get(self, path, cert="one"):
        with contextlib.closing(self.connect(cert)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()


@pytest.fixture(name="secure")
def fixture_secure(monitor):
    def make(**keys):
        return Secure(monitor, **keys)
    return make


def test_requests_and_answers(secure):
    one = secure()
    assert one.monitor.address.startswith("https://127.0.0.1:")
    assert one.get("/healthz") == "ok\n"
    wait_until(lambda: json.loads(one.get("/?command=status&format=json"))["services"][0]["state"] == "up", what="up")
    assert one.get("/?command=restart&service=alpha") == "SUCCESS\n", "local access needs no token"
    assert one.get("/metrics").endswith("\n")
    with contextlib.closing(one.connect()) as connection:
        for _ in range(5):
            connection.request("POST", "/", "command=help&_=" + "x" * 50_000,
                               {"Content-Type": "application/x-www-form-urlencoded"})
            assert "restart" in connection.getresponse().read().decode()


def test_the_command_line_of_this_host(secure):
    """It trusts the file that conf.json names, whatever host stands in it."""
    one = secure(cert="two")
    wait_until(lambda: one.cli("-status", "alpha").returncode == 0, what="alpha is up")
    done = one.cli("-restart", "alpha")
    assert (done.returncode, done.stdout, done.stderr) == (0, "SUCCESS\n", "")
    assert re.search("alpha: up", one.cli("-events").stdout)
    done = one.cli("-events", "-follow", "-timeout", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    # It gives up after a second, so that nobody has to wait for the line to be completed.
    known = wait_until(lambda: one.cli("-complete", "-home", one.monitor.home, "-env", "test", "-status", "al").stdout)
    assert "alpha\tup\n" in known, "what is asked quietly goes the same way"


def test_whom_a_command_line_elsewhere_trusts(secure):
    one = secure()
    wait_until(lambda: one.cli("-status", "alpha").returncode == 0, what="alpha is up")
    refused = one.far("-status")
    assert refused.returncode == 4 and refused.stdout == ""
    assert "-ca FILE or -fingerprint sha256//BASE64 says whom to trust" in refused.stderr
    for words in (["-ca", FILES / "one.pem"], ["-fingerprint", fingerprint("one")],
                  ["-fingerprint", fingerprint("one").removeprefix("sha256//")],
                  ["-ca", FILES / "one.pem", "-fingerprint", fingerprint("one")]):
        done = one.far("-restart", "alpha", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "SUCCESS\n", ""), words
    for words in (["-ca", FILES / "two.pem"], ["-fingerprint", fingerprint("two")], ["-ca", "/nonexistent"],
                  ["-ca", FILES / "one.pem", "-fingerprint", fingerprint("two")]):
        done = one.far("-restart", "alpha", *words)
        assert done.returncode == 4 and done.stdout == "", words


def test_whom_to_trust_is_not_passed_over_without_tls():
    """Else the token would be shown in clear, to whoever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "127.0.0.1:%d" % server.getsockname()[1]
        for scheme in ("", "http://"):
            for name, value in (("-ca", FILES / "one.pem"), ("-fingerprint", fingerprint("one"))):
                done = subprocess.run([BINARY, "-host", scheme + address, name, value, "-status"], stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=30, check=False, cwd="/")
                assert (done.returncode, done.stdout, done.stderr) == (
                    2, "", f"Error: {name} is for https alone: -host https://{address}\n")
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_name_must_fit(secure):
    one = secure(cert="two")
    assert one.far("-status", "-ca", FILES / "two.pem").returncode == 4
    assert one.far("-status", "-fingerprint", fingerprint("two")).returncode in (0, 1)


def test_plain_requests_are_not_answered(secure):
    one = secure()
    with socket.create_connection(one.address, 20) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"ok" not in sock.recv(4096)
    done = subprocess.run([BINARY, "-host", "127.0.0.1:%d" % one.address[1], "-status"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=30, check=False, cwd="/")
    assert done.returncode == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(secure):
    one = secure()
    context = ssl.create_default_context(cafile=FILES / "one.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(one.address, 20) as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(sock, server_hostname="localhost")
    assert one.get("/healthz") == "ok\n"


def test_streams_and_hanging_up(secure):
    one = secure()
    log = one.monitor.root / "fota_monitor.log"
    wait_until(log.exists, what="it has a log")
    connection = one.connect()
    connection.request("GET", "/log?service=alpha&follow=1&lines=0")
    answer = connection.getresponse()
    got = []

    def read():
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            while block := answer.read1(65536):
                got.append(block)
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    text = b"".join(b"line %d\n" % i for i in range(100_000))
    with open(log, "ab") as file:
        file.write(text)
    wait_until(lambda: b"".join(got) == text, what=lambda: f"all of it comes: {sum(map(len, got))}")
    before = int(re.search(r"\nprocess_open_fds (\d+)", one.get("/metrics"))[1])
    connection.sock.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    answer.close()
    connection.close()
    wait_until(lambda: int(re.search(r"\nprocess_open_fds (\d+)", one.get("/metrics"))[1]) < before,
               what="its descriptor is given back")


def test_certificates_are_read_again_on_reload(secure):
    one = secure(port=free_port())
    stream = one.connect()
    stream.request("GET", "/events")
    events = stream.getresponse()
    assert events.readline() == b"retry: 1000\n"
    one.use("two")
    assert one.cli("-reload", "dry-run=1").returncode == 4, "the command line trusts the file, the monitor has the old one"
    done = one.far("-reload", "-ca", FILES / "one.pem")
    assert done.returncode == 0, done.stderr
    assert one.get("/healthz", cert="two") == "ok\n"
    with pytest.raises(ssl.SSLError):
        one.get("/healthz", cert="one")
    one.get("/?command=restart&service=alpha", cert="two")
    wait_until(lambda: b'"kind":"stopping"' in events.readline(), what="what was begun with the old one goes on")
    events.close()
    stream.close()


def test_what_is_of_no_use_changes_nothing(secure):
    one = secure(port=free_port())
    for spoil, words in [
        (lambda: one.use("one", key="two"), "Error: tls: the certificate and its key are of no use: "),
        (lambda: (one.monitor.home / "conf" / "key.pem").unlink(), "key.pem: No such file or directory"),
        (lambda: (one.monitor.home / "conf" / "cert.pem").write_text("nonsense"), "cert.pem: it is no PEM file of that kind"),
    ]:
        one.use("one")
        spoil()
        done = one.far("-reload", "-ca", FILES / "one.pem")
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert done.stderr.endswith("; nothing was changed\n")
        assert one.get("/healthz") == "ok\n"
    one.use("one")
    assert one.cli("-reload").returncode == 0


def test_from_plain_to_tls_and_back(monitor):
    monitor.script("run")
    port = free_port()
    monitor.conf(port=port, svrs={"alpha": "run alpha"})
    monitor.start()
    monitor.wait_up()
    for name in ("one.pem", "one.key"):
        shutil.copy(FILES / name, monitor.home / "conf" / name)
    monitor.conf(port=port, svrs={"alpha": "run alpha"}, tls={"cert": "conf/one.pem", "key": "conf/one.key"})
    assert "changed: tls: " in monitor.get("reload", **{"dry-run": 1}).text
    assert monitor.get("reload").status == 200
    assert monitor.address == f"https://127.0.0.1:{port}"
    assert monitor.cli("-status", "alpha").returncode == 0
    monitor.conf(port=port, svrs={"alpha": "run alpha"})
    done = monitor.cli("-ca", monitor.home / "conf" / "one.pem", "-reload")
    assert done.returncode == 0, done.stderr
    assert monitor.address == f"127.0.0.1:{port}"
    assert monitor.get("status", "alpha").status == 200


@pytest.mark.parametrize("tls,words", [
    ({"cert": "a"}, 'test.tls.key: is required'),
    ({"cert": "a", "key": "b", "ca": "c"}, 'test.tls.ca: unknown key "ca"'),
    ("a.pem", "test.tls: must be an object"),
])
def test_settings_that_make_no_sense(monitor, tls, words):
    monitor.conf_text(json.dumps({"test": {"tls": tls}}))
    done = monitor.cli("-check")
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_a_start_without_its_files(monitor):
    monitor.conf(tls={"cert": "conf/cert.pem", "key": "conf/key.pem"})
    monitor.start(wait=False)
    assert monitor.exit_code() == 2
    assert "Error: tls: " in monitor.stderr() and "cert.pem: No such file or directory" in monitor.stderr()
