"""The admin port, one polite request at a time: answers in all formats, status codes, ways to ask. Many at once are in
test_http_many.py, the impolite ones in test_http_hostile.py; who may do what is in test_access.py."""

import http.client
import re
import signal
import socket
import time
import unicodedata

import pytest
from harness import Monitor, free_port, is_alive, wait_minds, wait_until

READS = {"status", "history", "why", "version", "help"}
CHANGES = {"start", "stop", "restart", "grestart", "reload"}
NEED_SERVICE = ["start", "stop", "restart", "grestart", "history", "why"]


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


@pytest.fixture(name="one")
def fixture_one(monitor):
    """one(BODY, **keys) starts a monitor with one service, "demo", and waits until it is up."""
    def start(body="exec sleep 1000", **keys):
        monitor.script("demo/demo", body)
        monitor.conf(svrs={"demo": {"cmd": "demo/demo", **keys}})
        monitor.start()
        monitor.wait_up("demo")
        return monitor
    return start


def connect(monitor, timeout=30):
    host, _, port = monitor.address.rpartition(":")
    return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)


# ---- status


def plain(up, down=()):
    return ("\n*****STATUS OK SERVICE LIST*****\n" + "".join(f"{name} PID:{pid}\n" for name, pid in up)
            + "\n*****STATUS FAIL SERVICE LIST*****\n" + "".join(f"{name}\n" for name in down) + "\n")


def test_plain_status_is_byte_exact(shared):
    alpha, beta = shared.status("alpha")["pid"], shared.status("beta")["pid"]
    for args in [{}, {"service": "all"}, {"service": ""}, {"format": "text"}, {"service": "gone,beta,alpha"},
                 {"service": " alpha , beta,,gone,alpha "}]:
        reply = shared.get("status", **args)
        assert (reply.status, reply.exit_code) == (200, 1), args
        assert reply.text == plain([("alpha", alpha), ("beta", beta)], ["gone"]), args
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert reply.headers["Cache-Control"] == "no-store"


def test_status_of_one_service_tells_by_its_exit_code_whether_it_is_up(shared):
    reply = shared.get("status", "alpha")
    assert (reply.text, reply.exit_code) == (plain([("alpha", shared.status("alpha")["pid"])]), 0)
    reply = shared.get("status", "gone")
    assert (reply.text, reply.exit_code, reply.status) == (plain([], ["gone"]), 1, 200)


def test_status_without_services(monitor):
    monitor.conf()
    monitor.start()
    reply = monitor.get("status", "all")
    assert (reply.text, reply.exit_code) == (plain([]), 0)
    assert monitor.get("status", format="json").json() == {"env": "test", "services": []}


def test_names_are_sorted_by_their_bytes(monitor):
    names = ["b", "a10", "a2", "B", "服务", "é", "with blank", "a=b"]
    monitor.script("run")
    monitor.conf(svrs={name: f"run {i}" for i, name in enumerate(names)})
    monitor.start()
    monitor.wait_up()
    in_order = sorted(names, key=str.encode)
    assert re.findall(r"^(.*) PID:\d+$", monitor.get("status").text, re.M) == in_order
    assert [s["name"] for s in monitor.get("status", ",".join(names), format="json").json()["services"]] == in_order
    assert monitor.get("stop", "服务,a=b").text == "SUCCESS\n"
    assert monitor.get("status").text.endswith("LIST*****\na=b\n服务\n\n")


def test_plain_status_follows_every_change(one):
    monitor = one()
    pid = monitor.status("demo")["pid"]
    assert monitor.get("status").text == plain([("demo", pid)])
    assert monitor.get("stop", "demo").status == 200
    assert monitor.get("status").text == plain([], ["demo"])
    assert monitor.get("start", "demo").status == 200
    new = monitor.status("demo")["pid"]
    assert monitor.get("status").text == plain([("demo", new)])
    assert new != pid


SERVICE_KEYS = {"name": str, "state": str, "pid": int, "uptime": float, "since": float, "restarts": int,
                "failures": int, "wanted": bool, "adopted": bool, "policy": str}
EXIT_KEYS = {"code", "signal", "core", "requested", "uptime", "at", "reason", "tail"}


def test_status_as_json(shared):
    began = time.time()
    reply = shared.get("status", format="json")
    assert reply.headers["Content-Type"] == "application/json"
    answer = reply.json()
    assert set(answer) == {"env", "services"}
    assert answer["env"] == "test"
    assert [s["name"] for s in answer["services"]] == ["alpha", "beta", "gone"]
    for service in answer["services"]:
        assert set(service) == {*SERVICE_KEYS, "last_exit"}
        for key, kind in SERVICE_KEYS.items():
            assert isinstance(service[key], kind) or (key == "pid" and service["state"] == "down"), key
        assert service["last_exit"] is None
        assert began - 600 < service["since"] < began + 5
    alpha, _, gone = answer["services"]
    assert (alpha["state"], alpha["wanted"], alpha["adopted"], alpha["policy"]) == ("up", True, False, "core")
    assert is_alive(alpha["pid"]) and alpha["uptime"] > 0.2
    assert (gone["state"], gone["pid"], gone["wanted"], gone["uptime"]) == ("down", None, False, 0)


def test_last_exit_tells_code_reason_and_last_words(one):
    monitor = one("""[ -e once ] && exec sleep 1000
        touch once; sleep 0.5; echo "first \\"word\\""; echo 'zweites wört\t\001'; exit 3""")
    wait_until(lambda: monitor.status("demo")["restarts"] == 1, what="it was restarted")
    exit_ = monitor.wait_state("demo")["last_exit"]
    assert set(exit_) == EXIT_KEYS
    assert (exit_["code"], exit_["signal"], exit_["core"], exit_["requested"]) == (3, None, False, False)
    assert 0.4 < exit_["uptime"] < 5 and abs(exit_["at"] - time.time()) < 20
    assert re.fullmatch(r"exited with code 3 after \d\.\d s", exit_["reason"])
    assert exit_["tail"] == ['first "word"', "zweites wört\t\x01"]
    assert monitor.status("demo")["failures"] == 1


def test_last_exit_tells_the_signal(one):
    monitor = one("[ -e once ] && exec sleep 1000; touch once; sleep 0.5; kill -SEGV $$")
    wait_until(lambda: monitor.status("demo")["restarts"] == 1, what="it was restarted")
    exit_ = monitor.wait_state("demo")["last_exit"]
    assert (exit_["code"], exit_["signal"]) == (None, "SIGSEGV")
    assert re.match(r"was killed by SIGSEGV after \d\.\d s", exit_["reason"])


def test_a_stop_that_was_asked_for_is_told_as_such(one):
    monitor = one()
    assert monitor.get("stop", "demo").status == 200
    found = monitor.status("demo")
    assert (found["state"], found["wanted"], found["failures"]) == ("down", False, 0)
    assert (found["last_exit"]["requested"], found["last_exit"]["signal"]) == (True, "SIGTERM")


def test_one_that_waits_tells_when_it_will_be_tried_again(monitor):
    monitor.script("bad", "exit 9")
    monitor.conf(svrs={"bad": "bad"})
    monitor.start()
    found = monitor.wait_state("bad", "waiting")
    assert 0 <= found["next_try"] <= 3 and found["pid"] is None and found["wanted"] and found["failures"] >= 6
    assert monitor.get("status").text == plain([], ["bad"])


def test_table(shared):
    reply = shared.get("status", format="table")
    assert reply.headers["Content-Type"] == "text/plain; charset=utf-8" and reply.exit_code == 1
    lines = reply.text.splitlines()
    heads = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "CPU", "MEMORY", "LAST EXIT"]
    assert re.split(r"\s{2,}", lines[0]) == heads
    at = [lines[0].index(head) for head in heads]
    rows = [[line[a:b].strip() for a, b in zip(at, at[1:] + [None])] for line in lines[1:]]
    assert [row[0] for row in rows] == ["alpha", "beta", "gone"]
    assert rows[0][1:3] == ["up", str(shared.status("alpha")["pid"])] and rows[0][7] == "-"
    assert re.fullmatch(r"\d+\.\d MB", rows[0][6]) and re.fullmatch(r"\d+\.\d s", rows[0][5])
    assert rows[2][1:] == ["down", "-", "-", "0", "-", "-", "-"]


def test_table_columns_stand_below_each_other_whatever_the_script(monitor):
    names = ["a", "très-long", "服务器", "サービス", "한국어"]
    monitor.script("run")
    monitor.conf(svrs={name: {"cmd": f"run {i}", "autostart": False} for i, name in enumerate(names)})
    monitor.start()

    def width(text):
        return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    lines = monitor.get("status", format="table").text.splitlines()
    assert len({width(line[:line.index(word)]) for line, word in zip(lines, ["STATE"] + ["down"] * 5)}) == 1


# ---- what commands answer


def test_commands_answer_success(one):
    monitor = one("trap : USR1; while :; do sleep 1000 & wait; done", graceful={"signal": "USR1", "timeout": 0.2})
    for command in ["start", "restart", "grestart", "stop", "stop", "start"]:
        if command == "grestart":
            wait_minds(monitor.status("demo")["pid"], signal.SIGUSR1)
        reply = monitor.get(command, "demo")
        assert (reply.status, reply.text, reply.exit_code) == (200, "SUCCESS\n", 0), command
    for command in ["restart", "start", "stop"]:
        answer = monitor.get(command, "all", format="json").json()
        assert set(answer) == {"ok", "services"} and answer["ok"] is True
        pid = monitor.status("demo")["pid"]
        assert answer["services"] == {"demo": {"ok": True, **({"pid": pid} if pid else {})}}, command


def test_a_service_that_fails_is_named_with_its_last_words(monitor):
    monitor.script("bad", "echo no config; echo 'can not go on'; exit 7")
    monitor.script("run")
    monitor.conf(svrs={"bad": {"cmd": "bad", "autostart": False}, "good": {"cmd": "run", "autostart": False}})
    monitor.start()
    reply = monitor.get("start", "all")
    assert (reply.status, reply.exit_code) == (500, 1)
    assert re.fullmatch(r"FAIL: bad\nbad: exited with code 7 after [\d.]+ m?s: can not go on\n", reply.text)
    assert monitor.status("good")["state"] == "up"
    reply = monitor.get("restart", "good,bad", format="json")
    assert reply.status == 500
    answer = reply.json()
    assert answer["ok"] is False
    assert answer["services"]["good"] == {"ok": True, "pid": monitor.status("good")["pid"]}
    assert set(answer["services"]["bad"]) == {"ok", "error"} and "can not go on" in answer["services"]["bad"]["error"]


def test_every_service_that_fails_is_named(monitor):
    for i in (1, 2, 3):
        monitor.script(f"bad{i}", f"exit {i}")
    monitor.conf(svrs={f"bad{i}": {"cmd": f"bad{i}", "autostart": False} for i in (3, 1, 2)})
    monitor.start()
    lines = monitor.get("start", "bad3,bad1,bad2").text.splitlines()
    assert lines[0] == "FAIL: bad1, bad2, bad3"
    assert [line.split(" after")[0] for line in lines[1:]] == [f"bad{i}: exited with code {i}" for i in (1, 2, 3)]


def test_one_that_can_not_be_started_says_why(monitor):
    path = monitor.script("run")
    monitor.conf(svrs={"demo": {"cmd": "run", "autostart": False}})
    monitor.start()
    path.unlink()
    reply = monitor.get("start", "demo")
    assert reply.status == 500
    assert reply.text.startswith("FAIL: demo\ndemo: ") and "No such file or directory" in reply.text


def test_grestart_of_one_that_handles_no_signal_leaves_it_alone(one):
    monitor = one()
    pid = monitor.status("demo")["pid"]
    reply = monitor.get("grestart", "demo")
    assert reply.status == 500
    assert reply.text == ("FAIL: demo\ndemo: it does not handle SIGHUP, so it can't restart gracefully; use restart\n")
    assert monitor.status("demo")["pid"] == pid


def test_history_and_why_in_both_formats(one):
    monitor = one()
    pid = monitor.status("demo")["pid"]
    history = monitor.get("history", "demo").text.splitlines()
    assert history[0].endswith(f"started, pid {pid}") and history[-1].endswith(f"up, pid {pid}")
    assert monitor.get("history", "demo", lines=1).text.splitlines() == history[-1:]
    answer = monitor.get("history", "demo", format="json").json()
    assert [e["kind"] for e in answer["services"]["demo"]] == ["starting", "up"]
    assert all(e["sentence"] in line for e, line in zip(answer["services"]["demo"], history))
    assert re.match(rf"demo is up since \S+, pid {pid}, running for ", monitor.get("why", "demo").text)
    answer = monitor.get("why", "demo", format="json").json()
    assert answer["services"]["demo"]["state"] == "up" and f"pid {pid}" in answer["services"]["demo"]["why"]


def test_why_and_history_of_several(shared):
    text = shared.get("why", "beta,alpha").text
    assert text.index("alpha is up") < text.index("beta is up")
    assert set(shared.get("history", "all", format="json").json()["services"]) == {"alpha", "beta", "gone"}
    assert re.findall(r"^(\w+):$", shared.get("history", "all").text, re.M) == ["alpha", "beta", "gone"]


def test_version(shared):
    text = shared.get("version").text
    assert text == f"fota_monitor {shared.get('version', format='json').json()['version']}\n"


def test_help_lists_the_registry(shared):
    listed = {c["name"]: c for c in shared.get("help", format="json").json()["commands"]}
    assert set(listed) >= READS | CHANGES
    for name, command in listed.items():
        assert command["changes"] == (name in CHANGES) or name not in READS | CHANGES
        assert (command["service"] == "required") == (name in NEED_SERVICE) or name not in READS | CHANGES
    assert set(listed["reload"]["args"]) == {"dry-run"}
    text = shared.get("help").text
    for name, command in listed.items():
        assert set(command) == {"name", "help", "changes", "service", "args"}
        assert re.search(rf"^{name} +{re.escape(command['help'])}$", text, re.M)
        for key, meaning in command["args"].items():
            assert f"{key}={meaning}\n" in text
    for name in READS:
        assert shared.get(name, "all" if name in NEED_SERVICE else None).status == 200


# ---- refusals

BAD = [
    ("command=bogus", 404, "unknown_command", "command[bogus] unknown; command=help lists them all"),
    ("command=status&service=x", 404, "unknown_service", "service[x] not configured"),
    ("command=status&service=alpha,x,y", 404, "unknown_service", "service[x] not configured"),
    ("", 400, "bad_argument", "no command given; command=help lists them all"),
    ("service=alpha", 400, "bad_argument", "no command given; command=help lists them all"),
    ("command=version&service=alpha", 400, "bad_argument", "command[version] takes no service"),
    ("command=status&service=,%20,", 400, "bad_argument", "service: there is no name in the list"),
    ("command=status&grace=5", 400, "bad_argument",
     "command[status] has no argument \"grace\"; it takes format, timeout"),
    ("command=reload&dryrun=1", 400, "bad_argument",
     "command[reload] has no argument \"dryrun\"; it takes dry-run, format, timeout"),
    ("command=status&service=al%00pha", 400, "bad_argument", "a parameter with a NUL byte in it"),
    *[(f"command={name}", 400, "bad_argument", f"command[{name}] needs a service: a name, a list a,b, or all")
      for name in NEED_SERVICE],
    *[(f"command=history&service=all&lines={n}", 400, "bad_argument",
       f"lines: must be a number from 1 to 100000, got \"{n}\"") for n in ("0", "-1", "x", "", "1x")],
    *[(f"command=status&timeout={t}", 400, "bad_argument",
       f"timeout: must be a number of seconds, more than 0 and up to 604800, got \"{t}\"")
      for t in ("0", "-1", "x", "", "nan", "inf", "1e9")],
]


@pytest.mark.parametrize("query,status,code,message", BAD, ids=[b[0] or "nothing" for b in BAD])
def test_a_refusal_says_why_in_the_format_asked_for(shared, query, status, code, message):
    expected = {"error": {"code": code, "message": message}}
    for form in (lambda q: shared.http("/?" + q), lambda q: shared.http("/", "POST", q)):
        reply = form(query)
        assert (reply.status, reply.text, reply.exit_code) == (status, f"Error: {message}\n", 2)
        for asked in (query + "&format=json", "format=json&" + query):
            reply = form(asked)
            assert (reply.status, reply.json(), reply.exit_code) == (status, expected, 2)
            assert reply.headers["Content-Type"] == "application/json"


def error(reply, status, code, message):
    assert (reply.status, reply.exit_code, reply.headers["Content-Type"]) == (status, 2, "application/json")
    assert reply.json() == {"error": {"code": code, "message": message}}


def test_a_name_with_a_nul_byte_in_it_is_not_taken_for_what_stands_before(shared):
    assert shared.http("/?command=status&service%00x=alpha").status == 400
    assert shared.http("/?command=status&format%00=json").status == 400


def test_an_unknown_format_is_refused(shared):
    reply = shared.get("status", format="xml")
    assert (reply.status, reply.text) == (400, "Error: format: must be text, table or json, got \"xml\"\n")


def test_parameters_that_begin_with_an_underscore_are_passed_over(shared):
    assert shared.get("status", "alpha", _="1234567").status == 200


def test_too_many_arguments(shared):
    reply = shared.http("/?command=status&" + "&".join(f"a{i}=1" for i in range(17)))
    assert (reply.status, reply.text) == (400, "Error: too many arguments\n")


@pytest.mark.parametrize("path", ["/x", "/favicon.ico", "//", "/../etc/passwd", "/%2e%2e/", "/healthz/"])
def test_other_paths_are_not_found(shared, path):
    assert shared.http(path + "?command=status").status == 404
    error(shared.http(path + "?format=json"), 404, "unknown_path", "there is nothing at this path")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_not_allowed(shared, method):
    reply = shared.http("/?command=stop&service=alpha", method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")
    reply = shared.http("/?format=json&command=stop&service=alpha", method)
    error(reply, 405, "method", "only GET, HEAD and POST are known here")
    assert reply.headers["Allow"] == "GET, HEAD, POST"
    assert shared.status("alpha")["state"] == "up"


def test_a_body_that_is_too_large(shared):
    reply = shared.http("/", "POST", "command=status&service=" + "a," * 600_000)
    assert (reply.status, reply.text) == (413, "Error: the request is too large\n")
    for path, form in (("/?format=json", ""), ("/", "format=json&")):
        reply = shared.http(path, "POST", form + "command=status&service=" + "a," * 600_000)
        error(reply, 413, "too_large", "the request is too large")


def test_a_list_of_a_megabyte_is_no_obstacle(shared):
    reply = shared.http("/", "POST", "command=status&service=" + "alpha," * 150_000)
    assert reply.text == plain([("alpha", shared.status("alpha")["pid"])])


def test_an_unknown_service_in_a_list_acts_on_none(shared):
    before = shared.statuses()
    for command in ["stop", "restart", "start"]:
        for services in ["alpha,beta,x", "x,alpha", "alpha,gone,all"]:
            reply = shared.get(command, services)
            assert (reply.status, reply.exit_code) == (404, 2)
            assert re.fullmatch(r"Error: service\[(x|all)\] not configured\n", reply.text)
    after = shared.statuses()
    for name, service in before.items():
        assert (after[name]["pid"], after[name]["state"]) == (service["pid"], service["state"])
    assert shared.get("history", "gone").text == ""


# ---- ways to ask


def test_a_posted_form_is_as_good_as_a_query(shared):
    for query in ["command=status", "command=status&service=alpha", "command=version&format=json", "command=help",
                  "command=st%61tus&service=%61lpha%2Cbeta", "command=status&service=alpha+,+beta", "command=bogus"]:
        get, post = shared.http("/?" + query), shared.http("/", "POST", query)
        assert (get.status, get.text, get.exit_code) == (post.status, post.text, post.exit_code), query
        assert get.headers["Content-Type"] == post.headers["Content-Type"]
    both = shared.http("/?command=status", "POST", "service=alpha")
    assert both.text == shared.get("status", "alpha").text
    assert shared.http("/?command=status&service=alpha", "POST", '{"a": 1}',
                       {"Content-Type": "application/json"}).text == both.text


def test_a_multipart_form(shared):
    parts = "".join(f'--XX\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
                    for k, v in [("command", "status"), ("service", "alpha")])
    reply = shared.http("/", "POST", parts + "--XX--\r\n", {"Content-Type": "multipart/form-data; boundary=XX"})
    assert reply.text == shared.get("status", "alpha").text


def test_head_is_a_get_without_its_body(shared):
    for path in ["/?command=status", "/healthz", "/?command=bogus", "/x"]:
        get, head = shared.http(path), shared.http(path, "HEAD")
        assert (head.status, head.text) == (get.status, "")
        for name in ["Content-Type", "Content-Length", "X-Exit-Code"]:
            assert head.headers[name] == get.headers[name]


def test_head_of_a_change_changes_nothing(shared):
    before, story = shared.statuses(), shared.get("history", "alpha").text
    for command in sorted(CHANGES):
        query = f"/?command={command}" + ("&service=alpha" if command in NEED_SERVICE else "")
        for path, body in [(query, None), ("/", query[2:]), (query + "&format=json", None)]:
            head = shared.http(path, "HEAD", body)
            assert (head.status, head.headers["Allow"], head.exit_code, head.text) == (405, "GET, POST", 2, "")
    assert [(s["pid"], s["state"]) for s in shared.statuses().values()] == \
           [(s["pid"], s["state"]) for s in before.values()]
    assert shared.get("history", "alpha").text == story


def test_healthz(shared):
    reply = shared.http("/healthz")
    assert (reply.status, reply.text) == (200, "ok\n")


def test_a_connection_is_kept_for_the_next_request(shared):
    connection = connect(shared)
    connection.connect()
    sock = connection.sock
    asked = [("GET", "/?command=status", None), ("POST", "/", "command=status&service=alpha"),
             ("GET", "/?command=bogus", None), ("HEAD", "/?command=help", None), ("PUT", "/", "x"),
             ("GET", "/none", None), ("POST", "/", "a" * 1_200_000),
             ("GET", "/?command=start&service=alpha", None), ("GET", "/healthz", None)]
    codes = []
    for method, path, body in asked:
        connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"} if body else {})
        answer = connection.getresponse()
        answer.read()
        codes.append(answer.status)
        assert connection.sock is sock, f"closed after {method} {path}"
    assert codes == [200, 200, 404, 200, 405, 404, 413, 200, 200]
    connection.close()


def test_http_1_0_closes_after_the_answer(shared):
    with socket.create_connection(("127.0.0.1", int(shared.address.split(":")[1])), 10) as sock:
        sock.sendall(b"GET /?command=version HTTP/1.0\r\n\r\n")
        answer = b""
        while block := sock.recv(4096):
            answer += block
    assert answer.startswith(b"HTTP/1.") and b" 200 OK\r\n" in answer
    assert answer.decode().endswith(shared.get("version").text)


# ---- addresses


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="there is no ::1 here")
def test_ipv6_beside_ipv4(monitor):
    port = free_port()
    monitor.conf(port=port, bind=["::1", "127.0.0.1"])
    monitor.start()
    assert monitor.address == f"[::1]:{port}"
    assert monitor.http("/healthz").text == "ok\n"
    assert monitor.get("reload").status == 200
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    connection.close()
    assert monitor.cli("-status").returncode == 0
    assert monitor.cli("-status", "-host", f"[::1]:{port}").returncode == 0


def own_private_addresses():
    """Private IPv4 addresses of this host, by what the kernel's table of local addresses says."""
    with open("/proc/net/fib_trie", encoding="ascii") as trie:
        found = re.findall(r"\|-- (\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL", trie.read())
    return {a for a in found if re.match(r"10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.", a)}


def test_inner_is_a_private_address_and_left_out_where_there_is_none(monitor):
    port = free_port()
    monitor.conf(port=port, bind=["127.0.0.1", "inner"])
    monitor.start()
    for address in sorted(own_private_addresses())[:1]:
        connection = http.client.HTTPConnection(address, port, timeout=10)
        connection.request("GET", "/?command=version")
        assert connection.getresponse().status == 200
        connection.close()
    with open(f"/proc/{monitor.pid}/net/tcp", encoding="ascii") as table:
        bound = [line for line in table if re.match(rf"\s*\d+: [0-9A-F]+:{port:04X} \S+ 0A ", line)]
    assert len(bound) == 1 + bool(own_private_addresses())


@pytest.mark.skipif(bool(own_private_addresses()), reason="this host has a private address")
def test_inner_alone_where_there_is_none(monitor):
    monitor.conf(bind=["inner"])
    monitor.start(wait=False)
    assert monitor.exit_code() == 2
    assert "bind: there is no address to listen on" in monitor.stderr()
