-- What the library promises beyond what the ready-made scripts and the examples use.

fm.command { name = "sizes", args = {
  size = { choices = { "small", "large" }, default = "small", help = "of what" },
  count = { type = "number", choices = { 1, 2, 4 } }, flag = { type = "boolean", default = false } },
  run = function(req) return req.args end }

fm.command { name = "returns", args = { what = "what it returns" }, run = function(req)
  if req.args.what == "nil" then return nil, "not today" end
  if req.args.what == "false" then return false, "not today" end
  if req.args.what == "text" then return "done" end
end }

fm.test("svc:log: the end, and what came since", function(t)
  local web = t:service{ name = "web" }
  t:says(web, "one\ntwo\nthree")
  local lines, at = web:log(2)
  t:eq(lines, { "two", "three" })
  local none, same = web:log(nil, at)
  t:eq(none, {})
  t:eq(same, at)
  t:says(web, "four\nfive\nsix")
  lines, at = web:log(2, at)
  t:eq(lines, { "four", "five" })
  lines, at = web:log(nil, at)
  t:eq(lines, { "six" })
  lines, same = web:log(0)
  t:eq(lines, {})
  t:eq(same, at)
  t:eq(#web:log(nil, 0), 6)
  t:raises(function() web:log(-1) end, "from 0 to 10000")
end)

fm.test("t:uses: what a process needs, until it ends", function(t)
  local web = t:service{ name = "web" }
  t:eq(web.memory, nil)
  t:uses(web, { memory = 5e8, descriptors = 7 })
  t:eq({ web.memory, web.descriptors, web.cpu, web.state }, { 5e8, 7, nil, "up" })
  t:restart(web)
  t:eq(web.memory, nil)
  t:stop(web)
  t:raises(function() t:uses(web, { memory = 1 }) end, "has no process")
end)

fm.test("arguments of commands are what they must be", function(t)
  t:eq(t:command("sizes").json, { size = "small", flag = false })
  t:eq(t:command("sizes", { size = "large", count = 2, flag = "yes" }).json, { size = "large", count = 2, flag = true })
  for given, message in pairs{ size = 'size: must be small or large, got "3"', flag = 'flag: must be true or false, got "3"',
    count = 'count: must be 1 or 2 or 4, got "3"' } do
    local r = t:command("sizes", { [given] = "3" })
    t:eq({ r.outcome, r.text }, { "bad", message })
  end
end)

fm.test("a command that returns nil or false, and why, has failed", function(t)
  t:eq(t:command("returns", { what = "nil" }).outcome, "failed")
  t:eq(t:command("returns", { what = "false" }).text, "not today")
  t:eq(t:command("returns", { what = "text" }).text, "done")
  t:ok(t:command("returns").ok)
end)

local wrong = {
  function() fm.log.info("%d", "x") end,
  function(req) req:write("%d", "x") end,
  function() fm.after("x", print) end,
  function() fm.after(-1, print) end,
  function() fm.every(0, print) end,
  function() fm.cron("x", print) end,
  function() fm.service("web"):signal() end,
  function() fm.service("web"):wait("up", "x") end,
  function() fm.service("web"):wait("nowhere") end,
  function() fm.service("web"):start("x") end,
  function() fm.service("web"):log("x") end,
  function() fm.spawn(print):join("x") end,
  function() while true do fm.now() end end,
}

fm.command { name = "wrong", args = { n = { type = "number" } }, run = function(req) wrong[req.args.n](req) end }

fm.test("what is used wrongly is told with the line of the script", function(t)
  t:service{ name = "web" }
  for n in ipairs(wrong) do
    local r = t:command("wrong", { n = n })
    t:eq(r.outcome, "error", n)
    t:ok(r.text:find("^%S*library_test.lua:%d+: "), r.text)
    t:logged(r.text)
  end
end)

fm.test("what a file defines can't be defined later", function(t)
  for call, define in pairs{ ["fm.overlay"] = function() fm.overlay(function() end) end,
    ["fm.policy"] = function() fm.policy("late", function() end) end,
    ["fm.command"] = function() fm.command{ name = "late", run = function() end } end,
    ["fm.authorize"] = function() fm.authorize(function() end) end,
    ["fm.test"] = function() fm.test("late", function() end) end } do
    local message = t:raises(function() t:run(define) end, call .. ": stands at the top of a file, not in what is called later")
    t:ok(message:find("library_test.lua:%d+: "), message)
  end
end)

fm.test("join tells how a task has ended, also afterwards", function(t)
  t:run(function()
    local well, badly = fm.spawn(fm.sleep, 1), fm.spawn(function() error("it broke", 0) end)
    t:eq({ well:join(0.5) }, { nil, "timeout" })
    t:eq({ badly:join() }, { nil, "it broke" })
    t:eq({ well:join() }, { true })
    t:eq({ well:join() }, { true })
    local cancelled = fm.spawn(fm.sleep, 100)
    fm.sleep(1)
    t:eq({ cancelled:cancel(), cancelled:cancel() }, { true, true })
    t:ok(select(2, cancelled:join()):find("cancelled"))
    t:eq(cancelled:cancel(), false)
    local broken = fm.spawn(function() fm.sleep(1); error({}) end)
    t:eq({ broken:join() }, { nil, "(error object is a table value)" })
    local endless = fm.spawn(function() while true do end end)
    fm.sleep(1)
    t:eq({ endless:join() }, { nil, "it was stopped" })
  end)
  t:ok(t:logged("it broke"))
  t:ok(t:logged("error object is a table value"))
  t:ok(t:logged("over budget"))
end)

fm.test("a wait that can't be is refused before it begins", function(t)
  t:service{ name = "a" }
  t:run(function()
    for _, wait in ipairs{ function() fm.sleep(5) end, function() fm.exec{ "true" } end,
      function() fm.service("a"):stop() end } do
      local ok, message = pcall(table.sort, { 2, 1 }, wait)
      t:ok(not ok and message:find("inside a function that table.sort"), message)
      t:ok(not pcall(string.gsub, "x", "x", wait))
    end
    local began = fm.now()
    fm.sleep(10)
    t:near(fm.now() - began, 10, 0.01)
  end)
end)

fm.test("a timeout beyond all times is none", function(t)
  t:run(function()
    t:eq({ fm.spawn(fm.sleep, 100):join(9e15) }, { true })
    t:eq({ fm.spawn(fm.sleep, 100):join(math.huge) }, { true })
    local ok, message = pcall(fm.spawn(fm.sleep, 1).join, fm.spawn(fm.sleep, 1), 0 / 0)
    t:ok(not ok and message:find("not NaN"), message)
  end)
end)

fm.test("fm.parallel tells the first failure, whoever is first to end", function(t)
  t:run(function()
    local began = fm.now()
    t:eq({ fm.parallel({ 3, 1, 2 }, fm.sleep) }, { true })
    t:near(fm.now() - began, 3, 0.01)
    t:eq({ fm.parallel({ 5, 1 }, function(n)
      fm.sleep(n)
      if n == 1 then error("one is bad", 0) end
    end) }, { nil, "one is bad" })
    t:eq({ fm.parallel({ 1, 2 }, function(n) return nil, n .. " is bad" end) }, { nil, "1 is bad" })
    t:eq({ fm.parallel({}, function() end) }, { true })
  end)
end)

fm.test("fm can be looked through and not changed", function(t)
  local seen = {}
  for key, value in pairs(fm) do seen[key] = value end
  t:eq({ type(seen.on), type(seen.log), seen.env, seen.vars }, { "function", "table", "prod", nil })
  for key in pairs(fm.log) do seen[key] = true end
  t:ok(seen.warn)
  t:raises(function() fm.on = nil end, "fm.on can't be set")
  t:raises(function() fm.log.info = nil end, "can't be set")
  t:eq(getmetatable(fm), "fm")
end)

fm.test("fm.json: whole numbers stay whole, null is a value of its own", function(t)
  local value = fm.json.decode('{"port":8080,"half":0.5,"list":[1,[2e3]],"big":1e300,"none":null}')
  t:eq({ value.port .. "", value.list[1] .. "", value.list[2][1] .. "", value.half, value.big },
    { "8080", "1", "2000", 0.5, 1e300 })
  t:ok(value.none == fm.json.null)
  t:eq(fm.json.encode{ a = fm.json.null, b = { 1, 2.0 } }, '{"a":null,"b":[1,2]}')
  t:eq(fm.json.decode("7") .. "", "7")
  t:eq({ fm.json.decode("nul") }, { nil, "at byte 1: expected value but found invalid token" })
  t:eq({ fm.json.encode(print) }, { nil, "a function is no JSON value" })
  local web = t:service{ name = "web", vars = { port = 8080 } }
  t:eq("port " .. web.vars.port, "port 8080")
end)

fm.test("print and warn are lines in the log", function(t)
  print("one", 2, nil)
  warn("be", " careful")
  t:ok(t:logged("one 2 nil"))
  t:ok(t:logged("be careful"))
end)
