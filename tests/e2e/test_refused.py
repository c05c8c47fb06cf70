"""Who tries what he may not: counted, told once, slowed down; and nobody else pays for it. Who did what stands in the
journal."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import fds, free_port, wait_minds, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
NOBODY = 65534
ME = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
WRONG = {"Authorization": "Bearer " + "0" * 64}
FOREIGN = {"Origin": "http://evil.example"}
REASONS = {"no_token", "wrong_token", "cross_site", "foreign_host", "script", "too_many"}
SLOW = 5


@pytest.fixture(name="start")
def fixture_start(monitor):
    """start(auth, **http): a monitor with a service and a script."""
    def start(auth="token", script="", **http):
        (monitor.home / "lua").mkdir(exist_ok=True)
        (monitor.home / "lua" / "site.lua").write_text(script, encoding="utf-8")
        monitor.script("demo/run", "trap : USR1; while :; do sleep 1000 & wait; done")
        write_conf(monitor, auth, **http)
        monitor.start()
        monitor.wait_up()
        return monitor
    return start


def write_conf(monitor, auth="token", **http):
    monitor.conf(svrs={"demo": {"cmd": "demo/run", "graceful": {"signal": "USR1", "timeout": 0.1}}}, auth=auth, http=http)


def slow_down(monitor, seconds, auth="token"):
    """What comes now from who has already tried more than enough takes so long."""
    write_conf(monitor, auth, refused_delay=seconds)
    assert monitor.http("/?command=reload", headers=token_of(monitor)).text == "changed: http\nSUCCESS\n"


def token_of(monitor):
    return {"Authorization": "Bearer " + (monitor.home / "run" / "test.token").read_text().strip()}


def stop(monitor, headers):
    return monitor.http("/?command=stop&service=demo", headers=headers)


def refused(monitor):
    found = re.findall(r'^fota_monitor_refused_total\{reason="(\w+)"\} (\d+)$', monitor.get("metrics").text, re.M)
    return {reason: int(number) for reason, number in found}


def held(monitor):
    return int(re.search(r"^fota_monitor_refused_held (\d+)$", monitor.get("metrics").text, re.M)[1])


def said(monitor):
    return [line for line in monitor.stderr().splitlines() if " refused to " in line]


def begin(monitor, headers, command="stop&service=demo"):
    """Asks and does not wait."""
    host, port = monitor.address.split(":")
    sock = socket.create_connection((host, int(port)), 30)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sock.sendall(f"GET /?command={command} HTTP/1.1\r\nHost: {monitor.address}\r\nConnection: close\r\n{lines}\r\n".encode())
    return sock


def read(sock):
    with sock:
        answer = b""
        while block := sock.recv(65536):
            answer += block
    return answer.decode()


def test_each_reason_is_counted(start):
    m = start("token", script='fm.authorize(function(req) return req.command ~= "start", "not now" end)')
    assert refused(m) == dict.fromkeys(REASONS, 0)
    assert stop(m, {}).status == 401
    assert stop(m, WRONG).status == 401
    assert stop(m, {"Authorization": "Basic eDp5"}).status == 401
    assert stop(m, {**token_of(m), **FOREIGN}).status == 403
    assert m.http("/?command=start&service=demo", headers=token_of(m)).text == "Error: not now\n"
    assert refused(m) == {**dict.fromkeys(REASONS, 0), "no_token": 1, "wrong_token": 2, "cross_site": 1, "script": 1}
    write_conf(m, "local")
    assert m.http("/?command=reload", headers=token_of(m)).status == 200
    assert stop(m, {"Host": "evil.example"}).status == 403
    assert refused(m)["foreign_host"] == 1
    assert m.status("demo")["state"] == "up"


def test_one_line_a_minute_tells_of_it(start):
    m = start(refused_delay=0)
    for _ in range(50):
        assert stop(m, WRONG).status == 401
    assert refused(m)["wrong_token"] == 50
    line, = said(m)
    assert line.endswith(f"stop refused to HTTP from 127.0.0.1 ({ME}): the token is needed (auth: \"token\")")


def test_wrong_ones_are_slowed_down_and_nobody_else(start):
    m = start(refused_delay=0.5)
    began = time.monotonic()
    for _ in range(3):
        stop(m, WRONG)
    assert time.monotonic() - began < 0.5 * SLOW, "a slip costs nothing"
    took = []
    for _ in range(6):
        began = time.monotonic()
        assert stop(m, WRONG).status == 401
        took.append(time.monotonic() - began)
    assert took[0] >= 0.09 and took[1] >= 0.19 and all(0.39 <= t < 0.5 + SLOW for t in took[2:3])
    assert all(0.49 <= t < 0.5 + SLOW for t in took[3:]), "but not for ever"
    slow_down(m, 5)
    sock = begin(m, WRONG)
    wait_until(lambda: held(m) == 1, what="its answer is held back")
    assert m.http("/?command=why&service=demo", headers=token_of(m)).status == 200
    assert m.get("status").status == 200
    assert m.cli("-restart", "demo").stdout == "SUCCESS\n"
    assert held(m) == 1
    assert "401 Unauthorized" in read(sock)
    assert held(m) == 0


def test_no_more_than_a_few_are_held_back(start):
    """The others are not looked at: how ever many come at a time, few are tried in a second."""
    m = start(refused_delay=0)
    for _ in range(20):
        assert stop(m, WRONG).status == 401
    slow_down(m, 60)
    waiting = [begin(m, WRONG) for _ in range(8)]
    wait_until(lambda: held(m) == 8, what="eight wait")
    reply = stop(m, WRONG)
    assert (reply.status, reply.exit_code, reply.headers["Retry-After"]) == (429, 5, "5")
    assert reply.text == "Error: too many wrong tokens from there; try again in some seconds\n"
    assert stop(m, token_of(m)).status == 429, "nor is the right one: that would tell"
    assert stop(m, {}).status == 401, "who shows none has tried none"
    assert refused(m)["too_many"] == 2 and held(m) == 8
    for sock in waiting:
        sock.close()
    wait_until(lambda: held(m) == 0, what="who hangs up is forgotten")
    assert m.http("/?command=why&service=demo", headers=token_of(m)).status == 200
    assert m.status("demo")["state"] == "up"


@needs_root
def test_what_another_user_tries_is_his_own_trouble(start):
    m = start(refused_delay=0)
    url = f"http://{m.address}/?command=stop&service=demo"
    words = ["curl", "-s", "-m", "60", "-o", "/dev/null", "-H", "Authorization: Bearer x"]
    subprocess.run([*words, *[url] * 20], user=NOBODY, group=NOBODY, extra_groups=[], check=True, timeout=30)
    slow_down(m, 60)
    for _ in range(12):
        m.spawn([*words, url], user=NOBODY, group=NOBODY, extra_groups=[])
    wait_until(lambda: held(m) == 8 and refused(m)["too_many"] == 4, what="it is slowed down")
    began = time.monotonic()
    assert m.http("/?command=why&service=demo", headers=token_of(m)).status == 200
    assert stop(m, WRONG).status == 401
    assert m.cli("-restart", "demo").stdout == "SUCCESS\n"
    assert time.monotonic() - began < 10
    assert len(said(m)) == 2 and "(uid 65534)" in said(m)[0]


def test_a_page_in_the_browser_does_not_shut_its_user_out(start):
    m = start("local", refused_delay=0)
    for _ in range(20):
        assert stop(m, FOREIGN).status == 403
    slow_down(m, 60, "local")
    pages = [begin(m, {**FOREIGN, **WRONG}) for _ in range(30)]
    wait_until(lambda: refused(m)["cross_site"] == 50, what="all have come")
    assert held(m) == 8
    began = time.monotonic()
    assert m.cli("-restart", "demo").stdout == "SUCCESS\n"
    assert m.get("restart", "demo").text == "SUCCESS\n"
    assert time.monotonic() - began < 10
    for sock in pages:
        sock.close()


def test_the_monitor_ends_at_once_all_the_same(start):
    m = start(refused_delay=0)
    for _ in range(20):
        stop(m, WRONG)
    slow_down(m, 60)
    waiting = [begin(m, WRONG) for _ in range(3)]
    wait_until(lambda: held(m) == 3, what="they wait")
    began = time.monotonic()
    m.terminate()
    assert time.monotonic() - began < 5
    for sock in waiting:
        assert "401 Unauthorized" in read(sock)


# ---- who did what

COMMAND = 'fm.command{ name = "poke", changes = true, run = function(req) return req.principal end }\n'
CHANGES = ["start&service=demo", "stop&service=demo", "start&service=all", "restart&service=demo",
           "grestart&service=demo", "reload", "poke&service=demo"]
READS = ["status", "help", "version", "metrics", "log&service=demo", "history&service=demo", "why&service=demo",
         "events", "reload&dry-run=1"]


def commands(monitor):
    return [e["text"] for e in monitor.events(kind="command")]


@pytest.mark.parametrize("auth,shows,principal", [("local", False, ME), ("local", True, f"{ME}, token"),
                                                  ("token", True, f"{ME}, token"), ("open", False, f"{ME}, open")])
def test_who_changed_something_stands_in_the_journal(start, auth, shows, principal):
    m = start(auth, script=COMMAND)
    headers = token_of(m) if shows else {}
    for change in CHANGES:
        before = len(commands(m))
        if change.startswith("grestart"):
            wait_minds(m.status("demo")["pid"], signal.SIGUSR1)
        reply = m.http(f"/?command={change}", headers=headers)
        assert reply.status == 200, reply
        what = "poke demo" if change.startswith("poke") else change.partition("&")[0]
        assert commands(m)[before:] == [f"{what} asked for by HTTP from 127.0.0.1 ({principal})"]
    before = len(commands(m))
    for read_only in READS:
        assert m.http(f"/?command={read_only}", headers=headers).status == 200, read_only
    assert len(commands(m)) == before


def test_the_command_line_is_named(start):
    m = start("local", script=COMMAND)
    for words in (("-stop", "demo"), ("-start", "demo"), ("-restart", "demo"), ("-grestart", "demo"), ("-reload",),
                  ("-poke", "demo")):
        if words[0] == "-grestart":
            wait_minds(m.status("demo")["pid"], signal.SIGUSR1)
        before = len(commands(m))
        assert m.cli(*words).returncode == 0, words
        found, = commands(m)[before:]
        assert found.endswith(f" asked for by the command line from 127.0.0.1 ({ME}, token)"), found
    assert f"({ME}, token)" in m.cli("-why", "demo").stdout


def test_who_upgrades_and_who_shuts_down(start):
    m = start("token")
    assert m.http("/?command=upgrade").status == m.http("/?command=shutdown").status == 401
    assert m.cli("-upgrade").returncode == 0
    assert commands(m) == [f"upgrade asked for by the command line from 127.0.0.1 ({ME}, token)"]
    assert m.cli("-shutdown").returncode == 0
    assert m.exit_code() == 0
    assert any(text.startswith("shutdown") and text.endswith(f"by the command line from 127.0.0.1 ({ME}, token)")
               for text in commands(m)), commands(m)


@needs_root
def test_another_user_is_named(start):
    m = start("open")
    url = f"http://{m.address}/?command=stop&service=demo"
    done = subprocess.run(["curl", "-s", "-m", "20", url], user=NOBODY, group=NOBODY, extra_groups=[], check=True,
                          capture_output=True, text=True, timeout=30)
    assert done.stdout == "SUCCESS\n"
    assert commands(m)[-1] == "stop asked for by HTTP from 127.0.0.1 (uid 65534, open)"


def test_what_is_refused_is_no_event(start):
    m = start("token", script=COMMAND)
    before = len(m.events())
    for change in CHANGES:
        assert m.http(f"/?command={change}", headers=FOREIGN | token_of(m)).status == 403
    assert len(m.events()) == before


# ---- what fm.authorize is told

FACTS = """
fm.command{ name = "poke", changes = true, args = { x = "y" }, run = function() return "poked" end }
fm.authorize(function(req)
  return false, string.format("%s by %s from %s on %s", req.command, req.principal, req.peer,
    table.concat(req.services, "+"))
end)
"""


@pytest.mark.parametrize("auth,shows,principal", [("local", False, "local"), ("local", True, "token"),
                                                  ("token", True, "token"), ("open", False, "anyone")])
def test_a_script_is_told_who_asks_for_what(start, auth, shows, principal):
    m = start(auth, script=FACTS, refused_delay=0)
    headers = token_of(m) if shows else {}
    story = len(m.events())
    for query, services in [("stop&service=demo", "demo"), ("start&service=all", "demo"),
                            ("restart&service=demo,demo", "demo"), ("grestart&service=demo", "demo"),
                            ("log&service=demo", "demo"), ("history&service=demo", "demo"), ("why&service=demo", "demo"),
                            ("events", "demo"), ("events&service=demo", "demo"), ("reload", ""),
                            ("reload&dry-run=1", ""), ("poke&service=demo", "demo")]:
        reply = m.http(f"/?command={query}", headers=headers)
        command = query.partition("&")[0]
        assert (reply.status, reply.exit_code) == (403, 5), query
        assert reply.text == f"Error: {command} by {principal} from 127.0.0.1 on {services}\n"
    for query in ("status", "help", "version", "metrics"):
        assert m.http(f"/?command={query}", headers=headers).status == 200, "that is for everybody"
    assert m.http("/events", headers=headers).status == 403
    assert m.http("/log?service=demo", headers=headers).status == 403
    assert len(m.events()) == story


def test_a_script_narrows_and_does_not_widen(start):
    m = start("token", script="fm.authorize(function() return true end)")
    assert stop(m, {}).status == 401
    assert stop(m, token_of(m)).text == "SUCCESS\n"


@pytest.mark.parametrize("script,why", [("return false, 'not now'", "not now"),
                                        ("error('oh')", "fm.authorize failed; the monitor's log tells more")])
def test_what_a_script_refuses_is_not_blamed_on_the_token(start, script, why):
    m = start("local", script=f"fm.authorize(function() {script} end)")
    done = m.cli("-stop", "demo")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (f"Error: {why}\nfm.authorize in the scripts decides that, whatever token is shown; "
                           "fota_monitor.sh restart reads them again.\n")
    assert m.status("demo")["state"] == "up"


def test_the_hook_in_the_readme_does_what_it_says(make_monitor):
    from test_http_limits import own_address
    host = own_address()
    if not host:
        pytest.skip("this host has no address but its loopback's")
    readme = (Path(__file__).resolve().parents[2] / "lua" / "README.md").read_text(encoding="utf-8")
    hook, = re.findall(r"```lua\n(fm\.authorize\(.*?\n)```", readme, re.S)
    m = make_monitor()
    (m.home / "lua").mkdir()
    (m.home / "lua" / "site.lua").write_text(hook, encoding="utf-8")
    m.script("run")
    m.conf(svrs={"demo": "run"}, port=free_port(), bind=["127.0.0.1", host])
    m.start()
    m.wait_up()
    address = f"{host}:{m.address.rpartition(':')[2]}"
    token = m.home / "run" / "test.token"
    done = m.cli("-host", address, "-token-file", token, "-stop", "demo")
    assert (done.returncode, done.stderr.splitlines()[0]) == (5, "Error: only on the host itself")
    assert m.cli("-host", address, "-token-file", token, "-restart", "demo").stdout == "SUCCESS\n"
    assert stop(m, {}).text == "SUCCESS\n"
    assert m.cli("-start", "demo").stdout == m.cli("-stop", "demo").stdout == "SUCCESS\n"


def test_a_script_sees_the_address_of_a_client_from_elsewhere(make_monitor):
    from test_http_limits import own_address
    host = own_address()
    if not host:
        pytest.skip("this host has no address but its loopback's")
    m = make_monitor()
    (m.home / "lua").mkdir()
    (m.home / "lua" / "site.lua").write_text(FACTS, encoding="utf-8")
    m.script("run")
    m.conf(svrs={"demo": "run"}, port=free_port(), bind=["127.0.0.1", host])
    m.start()
    m.wait_up()
    port = int(m.address.rpartition(":")[2])
    with socket.create_connection((host, port), 20) as sock:
        sock.sendall(f"GET /?command=why&service=demo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        with contextlib.suppress(ConnectionError):
            while block := sock.recv(4096):
                answer += block
    assert f"why by local from {host} on demo".encode() in answer
    assert fds(m.pid)
