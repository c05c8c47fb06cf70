"""Every answer as JSON is as its schema in src/admin/schema says, and says it by names that stay."""

import json
import re
from pathlib import Path

import pytest
import schema
from harness import Monitor, wait_until

SCRIPT = """
fm.command { name = "hello", help = "says so", args = { n = "times" }, run = function(req) req:write("hello\\n") end }
fm.command { name = "boom", help = "fails", run = function(req) error("no") end }
fm.overlay("test", function(conf) conf.vars.seen = { 1, 2 } end)
"""


@pytest.fixture(scope="module", name="shared")
def fixture_shared():
    """Services in every state that lasts, and some that have a past."""
    one = Monitor()
    one.script("run")
    one.script("ends", "echo bye; exit 3")
    one.script("shot", "kill -SEGV $$")
    (one.home / "lua").mkdir()
    (one.home / "lua" / "site.lua").write_text(SCRIPT, encoding="utf-8")
    one.conf(svrs={"up": "run", "名": "run 2", "off": {"cmd": "run 3", "autostart": False}, "ends": "ends", "shot": "shot",
                   "missing": "not/there"}, vars={"a": {"b": 1}})
    one.start()
    one.wait_up("up", "名")
    wait_until(lambda: all(one.status(name)["failures"] > 5 for name in ("ends", "shot", "missing")), what="they failed")
    yield one
    one.end()


def get(one, name, *args, **more):
    return schema.check(name, one.get(*args, format="json", **more).text)


def test_the_checker_finds_what_is_wrong():
    """Or every other test here would say nothing."""
    good = {"env": "x", "services": []}
    assert schema.check("status", good) == good
    for bad in ({}, [], {"env": "x"}, {"env": 1, "services": []}, {**good, "more": 1}, {**good, "services": [{}]},
                {**good, "services": {}}, {"env": True, "services": []}):
        with pytest.raises(AssertionError):
            schema.check("status", bad)
    for name, bad in (("version", '{"version":"x"}'), ("error", '{"error":{"code":"A b","message":""}}'),
                      ("check", '{"ok":false,"path":"","env":"","services":1,"scripts":0,"warnings":[],"values":[]}'),
                      ("why", '{"services":{"a":{"state":"odd","why":""}}}'), ("log", '{"services":{"a":[1]}}'),
                      ("event", '{"seq":0,"time":1,"mono":1,"kind":"up"}')):
        with pytest.raises(AssertionError):
            schema.check(name, bad)


def test_every_schema_is_closed_and_used():
    """No object takes keys that nobody has written down."""
    def closed(node):
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert "additionalProperties" in node
            for value in node.values():
                closed(value)
    text = Path(__file__).read_text(encoding="utf-8")
    for path in schema.FOLDER.glob("*.json"):
        closed(schema.load(path.stem))
        assert f'"{path.stem}"' in text, path


def test_status(shared):
    services = {s["name"]: s for s in get(shared, "status", "status", "all")["services"]}
    assert {s["state"] for s in services.values()} >= {"up", "down"}
    assert services["ends"]["last_exit"]["code"] == 3 and services["ends"]["last_exit"]["tail"] == ["bye"]
    assert services["shot"]["last_exit"]["signal"] == "SIGSEGV" and services["shot"]["last_exit"]["code"] is None
    assert services["up"]["last_exit"] is None
    assert get(shared, "status", "status", "up")["services"][0]["name"] == "up"


def test_outcomes(shared):
    for command in ("start", "restart", "stop", "start"):
        assert get(shared, "outcome", command, "名")["ok"] is True
    assert get(shared, "outcome", "grestart", "up")["services"]["up"]["ok"] is False
    failed = get(shared, "outcome", "restart", "ends,up")
    assert failed["ok"] is False and "code 3" in failed["services"]["ends"]["error"] and failed["services"]["up"]["pid"]


def test_stories(shared):
    assert set(get(shared, "history", "history", "all")["services"]) == set(shared.names)
    assert get(shared, "why", "why", "all")["services"]["off"]["state"] == "down"
    assert get(shared, "log", "log", "ends")["services"]["ends"][-1] == "bye"
    lines = shared.get("events", lines=200, format="json").text.splitlines()
    kinds = {schema.check("event", line)["kind"] for line in lines}
    assert {"exit", "decision", "waiting", "spawn_fail"} <= kinds, kinds
    done = shared.cli("-log", "ends", "-follow", "-lines", "2", "-timeout", "2", "-format", "json")
    assert schema.check("log_line", done.stdout.splitlines()[0])["service"] == "ends"
    for line in (shared.home / "run" / "test.events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # else it is being written
            schema.check("event", line)


def test_what_it_knows(shared):
    listed = get(shared, "help", "help")["commands"]
    assert next(c for c in listed if c["name"] == "hello")["args"] == {"n": "times"}
    version = get(shared, "version", "version")
    assert schema.check("version", shared.cli("-version", "-format", "json").stdout) == version


def test_errors(shared):
    for query, code in [("command=why&service=nobody", "unknown_service"), ("command=nothing", "unknown_command"),
                        ("command=start", "bad_argument"), ("command=status&timeout=x", "bad_argument"),
                        ("command=boom", "script")]:
        reply = shared.http(f"/?{query}&format=json")
        assert schema.check("error", reply.text)["error"]["code"] == code, reply.text
    shared.conf_file.rename(shared.home / "gone")
    try:
        assert schema.check("error", shared.get("reload", format="json").text)["error"]["code"] == "configuration"
        done = shared.cli("-check", "-format", "json")
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot open" in schema.check("error", done.stderr)["error"]["message"]
    finally:
        (shared.home / "gone").rename(shared.conf_file)


def test_check(shared):
    done = shared.cli("-check", "-format", "json", "-conf", "port=1234")
    assert (done.returncode, done.stderr) == (0, "")
    answer = schema.check("check", done.stdout)
    assert (answer["services"], answer["scripts"], answer["env"]) == (6, 1, "test")
    values = {v["path"]: v for v in answer["values"]}
    assert values["port"] == {"path": "port", "value": 1234, "from": "-conf"}
    assert values["vars.seen"]["value"] == [1, 2] and re.match(r"lua/site\.lua:\d+$", values["vars.seen"]["from"])
    assert values["svrs.up"] == {"path": "svrs.up", "value": "run", "from": "conf.json"}
    assert len(answer["warnings"]) == 1 and "not/there does not exist" in answer["warnings"][0]
    plain = shared.cli("-check", "-conf", "port=1234").stdout.splitlines()[1:]
    assert [line.split(" = ")[0] for line in plain] == [v["path"] for v in answer["values"]]


# ---- the plan of a reload


def test_a_plan_as_a_person_wants_to_read_it(monitor):
    monitor.script("run")
    monitor.conf(svrs={"a": {"cmd": "run a", "env": {"A": "1"}}, "b": {"cmd": "run b", "stop": {"timeout": 3}}, "c": "run c",
                       "d": "run d", "e": {"cmd": "run e", "autostart": False}}, log={"keep_days": 7})
    monitor.start()
    monitor.wait_up("a", "b", "c", "d")
    assert get(monitor, "outcome", "reload", **{"dry-run": 1})["plan"] == {
        "services": [], "settings": [], "same": 5, "scripts": []}
    monitor.conf(svrs={"a": {"cmd": "run a2", "env": {"A": "1", "B": "x y"}}, "b": {"cmd": "run b", "stop": {"timeout": 4.5}},
                       "d": "run d", "n": "run n", "o": {"cmd": "run o", "autostart": False}},
                 log={"keep_days": 8}, auth="open")
    assert monitor.cli("-reload", "dry-run=1").stdout == (
        'removed: c (stop)\n'
        'changed: a (restart)\n    cmd: "run a" -> "run a2"\n    env: "A=1" -> "A=1 B=x y"\n'
        'added: n (start)\n    cmd: run n\n'
        'changed: b\n    stop: "TERM to the group, KILL after 3 s" -> "TERM to the group, KILL after 4.5 s"\n'
        'removed: e\n'
        'added: o (autostart is false)\n    cmd: run o\n'
        'changed: log: "keep_days 7, max_size 0, day %-d" -> "keep_days 8, max_size 0, day %-d"\n'
        'changed: auth: "local" -> "open"\n'
        'services: 1 to be stopped, 1 to be restarted, 1 to be started, 3 without an effect now, 1 to stay as they are\n')
    plan = get(monitor, "outcome", "reload", **{"dry-run": 1})["plan"]
    assert [(s["name"], s["change"], s["action"]) for s in plan["services"]] == [
        ("a", "changed", "restart"), ("b", "changed", "none"), ("c", "removed", "stop"), ("e", "removed", "none"),
        ("n", "added", "start"), ("o", "added", "none")]
    assert plan["services"][0]["changes"] == [{"key": "cmd", "from": "run a", "to": "run a2"},
                                              {"key": "env", "from": "A=1", "to": "A=1 B=x y"}]
    assert plan["settings"][1] == {"key": "auth", "from": "local", "to": "open"} and plan["same"] == 1
    (monitor.home / "lua").mkdir()
    (monitor.home / "lua" / "new.lua").write_text("-- nothing\n", encoding="utf-8")
    assert "\nadded: lua/new.lua\nservices: 1 to be stopped" in monitor.cli("-reload", "dry-run=1").stdout
    plan = get(monitor, "outcome", "reload", **{"dry-run": 1})["plan"]
    assert plan["scripts"] == [{"name": "lua/new.lua", "change": "added"}]
    assert monitor.statuses()["a"]["state"] == "up" and "n" not in monitor.statuses()
    done = get(monitor, "outcome", "reload")
    assert done["plan"] == plan and set(done["services"]) == {"a", "n"} and done["ok"] is True


def test_a_plan_names_every_setting_and_field(monitor):
    monitor.script("run")
    monitor.conf(svrs={"a": "run a", "b": "run b"})
    monitor.start()
    monitor.wait_up()
    before = json.loads(monitor.conf_file.read_text(encoding="utf-8"))["test"]
    (monitor.home / "other").mkdir()
    everything = {"cmd": "run a", "dir": str(monitor.root), "environ": "X=1", "env": {"Y": "2"}, "user": "root", "group": "root",
                  "umask": "027", "autostart": False, "policy": {"name": "core"}, "log": "x.log", "vars": {"v": 1},
                  "stop": {"signal": "INT", "scope": "parent"}, "graceful": {"signal": "USR1", "timeout": 2}}
    monitor.conf(svrs={"a": everything, "b": "run b"}, port=0, environ="Z=9", vars={"k": "网" * 60},
                 lua={"budget_ms": 60}, http={"body_kb": 99}, clog={"level": 14, "addr": "127.0.0.1:9"},
                 rundir=str(monitor.home / "other"), rootpath=f"{before['rootpath']}/.")
    lines = monitor.cli("-reload", "dry-run=1").stdout.splitlines()
    text = "\n".join(lines)
    for part in ('dir: (none) -> ', 'environ: (none) -> "X=1"', 'env: (none) -> "Y=2"', 'user: (none) -> "root"',
                 'group: (none) -> "root"', 'umask: (none) -> "027"', 'autostart: "true" -> "false"',
                 'log: (none) -> "x.log"', 'vars: (none) -> "{\\"v\\":1}"', '-> "INT to the parent, KILL after 10 s"',
                 'graceful: "HUP, within 10 s" -> "USR1, within 2 s"', 'changed: environ: (none) -> "Z=9"',
                 '"budget_ms 50, ', 'body_kb 1024', "addr 127.0.0.1:9",
                 "changed: rundir (takes effect when the monitor is started again): ",
                 "changed: b (restart)\n    environ: by rootpath or environ of the env"):
        assert part in text, (part, text)
    assert any("网" in line and line.endswith('"...') for line in lines), "long values are cut, and not within a character"
    plan = get(monitor, "outcome", "reload", **{"dry-run": 1})["plan"]
    assert {s["key"] for s in plan["settings"]} >= {"environ", "clog", "lua", "http", "vars", "rundir"}
