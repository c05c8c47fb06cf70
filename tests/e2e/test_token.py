"""Who has no right of his own shows the token; what it opens, and what stays open to everybody."""

import base64
import os
import subprocess

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
NOBODY = 65534
GUARDED = [("stop", "demo"), ("restart", "demo"), ("reload", None), ("log", "demo"), ("history", "demo"), ("why", "demo")]
OPEN = [("status", "all"), ("help", None), ("version", None)]


@pytest.fixture(name="demo")
def fixture_demo(monitor):
    monitor.script("demo/demo")
    monitor.conf(svrs={"demo": "demo/demo"})
    return monitor


def token_of(monitor):
    return (monitor.home / "run" / f"{monitor.env}.token").read_text().strip()


def as_nobody(monitor, command, service=None, headers=()):
    """Exit status of the answer, asked for by a process of user nobody."""
    url = f"http://{monitor.address}/?command={command}" + (f"&service={service}" if service else "")
    words = ["curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]
    for header in headers:
        words += ["-H", header]
    out = subprocess.run([*words, url], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True,
                         timeout=30, check=True)
    return int(out.stdout)


def test_the_token_is_made_once_and_is_private(demo):
    demo.start()
    first = token_of(demo)
    path = demo.home / "run" / f"{demo.env}.token"
    assert len(first) == 64 and path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    demo.restart()
    assert token_of(demo) == first


def test_with_auth_token_everybody_shows_it(demo):
    demo.conf(svrs={"demo": "demo/demo"}, auth="token", http={"refused_delay": 0})
    demo.start()
    pid = demo.wait_up("demo")[0]
    for command, service in GUARDED:
        reply = demo.get(command, service)
        assert reply.status == 401 and reply.exit_code == 5, command
        assert reply.headers["WWW-Authenticate"].startswith("Basic realm=")
    for command, service in OPEN:
        assert demo.get(command, service).status == 200, command
    assert demo.http("/healthz").status == 200
    assert demo.status("demo")["pid"] == pid
    basic = base64.b64encode(f"anybody:{token_of(demo)}".encode()).decode()
    for value in (f"Bearer {token_of(demo)}", f"bearer  {token_of(demo)}", f"Basic {basic}"):
        assert demo.http("/?command=why&service=demo", headers={"Authorization": value}).status == 200, value
    wrong = base64.b64encode(b"anybody:x").decode()
    for value in ("Bearer", "Bearer x", f"Bearer {token_of(demo)}0", f"Bearer {token_of(demo)[:-1]}", f"Basic {wrong}",
                  "Basic !!!", token_of(demo), "Digest x"):
        assert demo.http("/?command=stop&service=demo", headers={"Authorization": value}).status == 401, value
    assert demo.status("demo")["pid"] == pid


def test_the_command_line_shows_it_by_itself(demo, tmp_path):
    demo.conf(svrs={"demo": "demo/demo"}, auth="token")
    demo.start()
    demo.wait_up()
    assert demo.cli("-restart", "demo").stdout == "SUCCESS\n"
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64 + "\n")
    refused = demo.cli("-restart", "demo", "-token-file", str(wrong))
    assert refused.returncode == 5 and refused.stderr.startswith("Error: ")
    missing = demo.cli("-restart", "demo", "-token-file", str(tmp_path / "missing"))
    assert missing.returncode == 2 and "missing: No such file" in missing.stderr


def test_the_token_does_not_help_another_site(demo):
    demo.conf(svrs={"demo": "demo/demo"}, auth="token")
    demo.start()
    pid = demo.wait_up("demo")[0]
    headers = {"Authorization": f"Bearer {token_of(demo)}", "Origin": "http://evil.example"}
    assert demo.http("/?command=restart&service=demo", headers=headers).status == 403
    assert demo.status("demo")["pid"] == pid


@needs_root
def test_another_user_of_this_host_needs_it(demo):
    demo.conf(svrs={"demo": "demo/demo"}, http={"refused_delay": 0})
    demo.start()
    pid = demo.wait_up("demo")[0]
    for command, service in GUARDED:
        assert as_nobody(demo, command, service) == 401, command
    for command, service in OPEN:
        assert as_nobody(demo, command, service) == 200, command
    assert demo.status("demo")["pid"] == pid
    assert as_nobody(demo, "why", "demo", [f"Authorization: Bearer {token_of(demo)}"]) == 200
    assert demo.get("why", "demo").status == 200


def test_a_token_that_is_not_safe_is_not_used(demo):
    demo.start()
    demo.terminate()
    path = demo.home / "run" / f"{demo.env}.token"
    path.chmod(0o644)
    demo.conf(svrs={"demo": "demo/demo"}, auth="token")
    demo.start()
    demo.wait_up()
    assert "others may read or write it" in demo.stderr()
    headers = {"Authorization": f"Bearer {path.read_text().strip()}"}
    assert demo.http("/?command=stop&service=demo", headers=headers).status == 401


def test_a_run_folder_that_others_may_write_is_refused(demo):
    demo.start()
    demo.wait_up()
    demo.terminate()
    run = demo.home / "run"
    run.chmod(0o777)
    demo.start(wait=False)
    assert demo.exit_code() == 2
    assert f"Error: rundir {run}: others may write there" in demo.stderr()
    run.chmod(0o700)
    demo.start()
    demo.wait_up()
