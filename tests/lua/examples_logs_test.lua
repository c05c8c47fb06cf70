fm.load("../../examples/lua/logs.lua")

local function two(t)
  local web, api = t:service{ name = "web" }, t:service{ name = "api-2" }
  t:says(web, "one ERROR\ntwo\n100% ERROR")
  t:says(api, "three\nfour ERROR")
  return web, api
end

fm.test("the lines that have it, of all logs", function(t)
  two(t)
  t:eq(t:command("grep", { pattern = "ERR" }).text, "api-2 | four ERROR\nweb   | one ERROR\nweb   | 100% ERROR\n")
  t:eq(t:command("grep", { pattern = "o", lines = 1 }).text, "api-2 | four ERROR\n")
  t:eq(t:command("grep", { pattern = "^%d+%%" }).text, "web   | 100% ERROR\n")
  t:eq(t:command("grep", { pattern = "0% E", plain = 1 }).text, "web   | 100% ERROR\n")
end)

fm.test("those that come are followed", function(t)
  local web, api = two(t)
  local c = t:begin_command("grep", { pattern = "ERROR", lines = 0, follow = 60 })
  t:advance(10)
  t:says(api, "ERROR 5\nsix")
  t:advance(10)
  t:says(web, "ERROR 7")
  t:advance(1)
  t:eq({ c:has_ended() }, { false, "api-2 | ERROR 5\nweb   | ERROR 7\n" })
  t:ok(c:result(60).ok)
end)

fm.test("none that has it is a failure; a pattern must be given and be one", function(t)
  two(t)
  local r = t:command("grep", { pattern = "nothing" })
  t:eq({ r.outcome, r.text }, { "failed", "no line has it" })
  t:eq(t:command("grep").outcome, "bad")
  t:eq(t:command("grep", { pattern = "[" }).outcome, "error")
end)
