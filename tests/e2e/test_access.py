"""Who may do what: a page of another site, open in a browser on this host, can make that browser send us anything. It
must never change something here, and reading is open to everybody who reaches the port."""

import http.client
import socket

import pytest
from harness import Monitor

CHANGES = ["command=stop&service=demo", "command=restart&service=demo", "command=start&service=demo",
           "command=grestart&service=all", "command=reload", "command=reload&dry-run=1"]
READS = ["command=status", "command=status&format=json", "command=help", "command=version"]

FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://{host}.evil.example"},
    {"Origin": "http://{host}/"},
    {"Origin": "{host}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"},
    # An image, as browsers ask for one; over plain HTTP to another name than localhost some leave out Sec-Fetch-*.
    {"User-Agent": "Mozilla/5.0", "Accept": "image/avif,*/*", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors",
     "Sec-Fetch-Site": "cross-site", "Referer": "http://evil.example/"},
    {"User-Agent": "Mozilla/5.0", "Accept": "image/avif,*/*", "Referer": "http://evil.example/"},
    {"User-Agent": "Mozilla/5.0", "Referer": "http://{host}.evil.example/"},
    # A form that is posted, and one that is sent by a page without an origin.
    {"User-Agent": "Mozilla/5.0", "Origin": "http://evil.example", "Referer": "http://evil.example/a",
     "Upgrade-Insecure-Requests": "1"},
    {"User-Agent": "Mozilla/5.0", "Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    # A link somebody is made to follow.
    {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"},
]
UNKNOWN = [{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0", "Accept": "image/*"}]
REBOUND = [
    {"Host": "evil.example"},
    {"Host": "evil.example:{port}"},
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}", "Sec-Fetch-Site": "same-origin"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "evil.localhost"},
    {"Host": "x" * 5000},
    {"Host": "[::1"},
    {"Host": ""},
]
OWN = [
    {},
    {"Host": "127.0.0.1"},
    {"Host": "localhost:{port}"},
    {"Host": "LocalHost"},
    {"Host": "[::1]:{port}"},
    {"Host": "192.168.1.2:{port}"},
    {"Host": socket.gethostname() + ":{port}"},
    {"Origin": "http://{host}", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"User-Agent": "Mozilla/5.0", "Referer": "http://{host}/"},
    {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
    {"User-Agent": "Mozilla/5.0", "Origin": "http://{host}", "Referer": "http://{host}/"},
]


def start(auth):
    one = Monitor()
    one.script("demo/demo", "trap : USR1; while :; do sleep 1000 & wait; done")
    one.conf(auth=auth, http={"refused_delay": 0},
             svrs={"demo": {"cmd": "demo/demo", "graceful": {"signal": "USR1", "timeout": 0.1}}})
    one.start()
    one.wait_up()
    return one


@pytest.fixture(scope="module", name="local")
def fixture_local():
    one = start("local")
    yield one
    one.end()


@pytest.fixture(scope="module", name="opened")
def fixture_opened():
    one = start("open")
    yield one
    one.end()


def ask(monitor, query, headers, method="GET"):
    """As http.client does it, but with exactly these headers, Host included."""
    host, port = monitor.address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    body = query.encode() if method == "POST" else b""
    connection.putrequest(method, "/" if method == "POST" else "/?" + query, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value.format(host=monitor.address, port=port))
    if body:
        connection.putheader("Content-Type", "application/x-www-form-urlencoded")
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["X-Exit-Code"], text


def show(headers):
    return " ".join(f"{name}={value[:40] or 'empty'}" for name, value in headers.items()) or "nothing"


@pytest.mark.parametrize("headers", FOREIGN + REBOUND + UNKNOWN, ids=show)
def test_a_page_of_another_site_changes_nothing(local, headers):
    before, story = local.status("demo")["pid"], len(local.events())
    for method in ("GET", "POST", "HEAD"):
        for query in CHANGES:
            status, code, text = ask(local, query, headers, method)
            assert (status, code) == (403, "5"), (method, query)
            assert text.startswith("Error: ") or method == "HEAD"
    assert ask(local, "format=json&" + CHANGES[0], headers)[2].startswith('{"error":{"code":"refused","message":')
    after = local.status("demo")
    assert (after["pid"], after["state"]) == (before, "up")
    assert len(local.events()) == story


@pytest.mark.parametrize("headers", FOREIGN + REBOUND + UNKNOWN, ids=show)
def test_reading_is_open_to_all(local, headers):
    for method in ("GET", "POST", "HEAD"):
        for query in READS:
            assert ask(local, query, headers, method)[0] == 200, (method, query)


@pytest.mark.parametrize("headers", OWN, ids=show)
def test_who_is_on_this_host_may_change_things(local, headers):
    assert ask(local, "command=start&service=demo", headers) == (200, "0", "SUCCESS\n")


def test_a_client_that_names_no_host_is_no_browser(local):
    """HTTP/1.0 needs no Host."""
    connection = http.client.HTTPConnection(*local.address.split(":"), timeout=30)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    connection.putrequest("GET", "/?command=start&service=demo", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 200
    connection.close()


def test_the_command_line_says_that_it_was_refused(monitor):
    wrong = monitor.home / "wrong.token"
    wrong.write_text("nothing that was ever given out\n", encoding="ascii")
    monitor.script("demo/demo", "exec sleep 1000")
    monitor.conf(svrs={"demo": "demo/demo"}, auth="token")
    monitor.start()
    monitor.wait_up("demo")
    done = monitor.cli("-stop", "demo", "-token-file", wrong)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("Error: the token is needed")
    assert monitor.status("demo")["state"] == "up"


@pytest.mark.parametrize("headers", OWN + UNKNOWN + [{"Host": "fota.example.com:{port}"}], ids=show)
def test_open_means_everybody(opened, headers):
    assert ask(opened, "command=start&service=demo", headers) == (200, "0", "SUCCESS\n")


@pytest.mark.parametrize("headers", FOREIGN, ids=show)
def test_open_does_not_mean_every_page_in_a_browser(opened, headers):
    before = opened.status("demo")["pid"]
    for query in CHANGES:
        assert ask(opened, query, headers)[:2] == (403, "5"), query
    assert opened.status("demo")["pid"] == before


def test_reload_changes_who_may(monitor):
    headers = {"Host": "fota.example.com"}
    monitor.conf(auth="local")
    monitor.start()
    assert ask(monitor, "command=reload", headers)[0] == 403
    monitor.conf(auth="open")
    assert monitor.get("reload").text == "changed: auth\nSUCCESS\n"
    assert ask(monitor, "command=reload", headers)[0] == 200
    monitor.conf(auth="local")
    assert ask(monitor, "command=reload", headers)[0] == 200
    assert ask(monitor, "command=reload", headers)[0] == 403
