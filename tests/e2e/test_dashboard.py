"""The page that a browser gets, run by Node over as much of a browser as it needs (dashboard/dom.js)."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from harness import free_port

DOM = Path(__file__).parent / "dashboard" / "dom.js"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def page(monitor, tmp_path):
    """Runs steps in the page of a monitor with three services and returns what they return."""
    monitor.script("web/web", "echo hello from web; exec sleep 1000")
    monitor.script("crash/crash", "echo 'no <b>bold</b> end'; exit 3")
    monitor.conf(port=free_port(), svrs={"web": "web/web", "crash": {"cmd": "crash/crash", "policy": "never"},
                       "数据": {"cmd": "web/web", "autostart": False}})
    lua = monitor.home / "lua"
    lua.mkdir(exist_ok=True)
    (lua / "mine.lua").write_text("""
        fm.policy("never", function() return fm.fail("once is enough") end)
        fm.command{ name = "greet", help = "says hello", args = { word = "what to say (hello)" },
          run = function(req)
            for _, svc in ipairs(req.services) do req:write((req.args.word or "hello") .. " " .. svc.name .. "\\n") end
          end }""")
    monitor.start()
    monitor.wait_state("web")
    monitor.wait_state("crash", "failed")

    def run(steps, *meanwhile):
        """One of `meanwhile` is called for each line that the steps print."""
        file = tmp_path / "steps.js"
        file.write_text(steps)
        with subprocess.Popen(["node", DOM, f"http://{monitor.address}/", file], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as node:
            for act in meanwhile:
                assert node.stdout.readline()
                act()
            out, err = node.communicate(timeout=60)
        assert node.returncode == 0, err
        return json.loads(out)
    return run


def test_who_gets_the_page(monitor):
    monitor.conf(auth="token")
    monitor.start()
    reply = monitor.http("/", headers=HTML)
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'" and policy["script-src"] == "'self'"
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=|https?://", reply.text), "nothing that the policy forbids"
    for path in re.findall(r'(?:src|href)="([^":]+)"', reply.text):
        assert monitor.http("/" + path).status == 200, path
    assert monitor.http("/").status == 400, "no browser, no page"
    assert monitor.http("/?command=status", headers=HTML).text.startswith("\n*****STATUS OK"), "commands go on"
    assert monitor.http("/page.cmake", headers=HTML).status == 404
    assert monitor.http("/", headers=HTML, method="HEAD").text == ""


def test_the_table(page, monitor):
    found = page("""
        await page.until(() => page.names().length == 3 && page.cells("web")[5]);
        const before = { names: page.names(), web: page.cells("web"), crash: page.cells("crash"), counts: page.$("counts").textContent };
        page.$("filter").value = "FAILED";
        page.$("filter").oninput();
        return { ...before, failed: page.names(), none: page.$("none").hidden };""")
    web = monitor.status("web")
    assert found["names"] == ["crash", "web", "数据"]
    assert found["web"][:2] == ["up", str(web["pid"])] and found["web"][4].endswith(" s") and found["web"][5].endswith(" MB")
    assert found["crash"][0] == "failed" and "exited with code 3" in found["crash"][-1]
    assert "1 up" in found["counts"] and "1 down" in found["counts"] and "1 failed" in found["counts"]
    assert found["failed"] == ["crash"] and found["none"]


def test_the_story_of_a_service(page):
    found = page("""
        await page.until(() => page.names().length == 3);
        page.show("crash");
        const why = await page.until(() => page.$("output").textContent.includes("once is enough") && page.$("output").textContent);
        page.press("tabs", "log");
        const log = await page.until(() => page.$("output").textContent.includes("bold") && page.$("output").textContent);
        page.press("tabs", "history");
        await page.until(() => page.$("output").textContent.includes("exited with code 3"));
        page.key("Escape");
        return { why, log, closed: page.$("panel").hidden, children: page.$("output").children.length };""")
    assert found["why"].startswith("crash has failed since")
    assert "no <b>bold</b> end" in found["log"] and found["children"] == 0, "a log is text, whatever is in it"
    assert found["closed"]


def test_commands_on_what_was_chosen(page, monitor):
    old = monitor.status("web")["pid"]
    found = page("""
        await page.until(() => page.names().length == 3 && page.$("actions").children.length == 4);
        const idle = page.$("actions").children.every((b) => b.disabled);
        page.choose("web");
        page.choose("数据");
        page.press("actions", "restart");
        await page.until(() => page.$("output").textContent == "SUCCESS\\n");
        await page.until(() => page.cells("数据")[0] == "up");
        return { idle, posts: page.posts };""")
    assert found["idle"], "with nothing chosen there is nothing to restart"
    assert len(found["posts"]) == 1 and "command=restart" in found["posts"][0]
    assert monitor.status("web")["pid"] != old and monitor.status("数据")["state"] == "up"


def test_commands_of_scripts_have_forms(page):
    found = page("""
        await page.until(() => page.$("more").children.some((o) => o.textContent == "greet"));
        await page.until(() => page.names().length == 3);
        page.choose("web");
        page.pick("greet");
        const label = page.$("form").children[0];
        label.children[0].value = "salut";
        page.$("form").onsubmit({ preventDefault() {} });
        await page.until(() => page.$("output").textContent.includes("salut web"));
        return { label: label.textContent, title: page.$("title").textContent };""")
    assert found == {"label": "word: what to say (hello)", "title": "greet web"}


def test_a_monitor_that_is_away_is_told_and_comes_back(page, monitor):
    assert page("""
        await page.until(() => page.names().length == 3);
        console.log("ready");
        const told = await page.until(() => !page.$("trouble").hidden && page.$("trouble").textContent);
        console.log("told");
        await page.until(() => page.$("trouble").hidden);
        return told;""", monitor.terminate, monitor.start).startswith("The monitor does not answer: ")
