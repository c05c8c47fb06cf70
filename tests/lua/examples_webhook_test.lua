fm.load("../../examples/lua/webhook.lua")

local function hook(t, answers)
  local told = {}
  t:config{ vars = { webhook = "https://hooks.example/x" } }
  t:http(function(req)
    t:eq({ req.url, req.timeout }, { "https://hooks.example/x", 10 })
    told[#told + 1] = fm.json.decode(req.body)
    local answer = table.remove(answers or {}, 1) or 200
    if type(answer) == "string" then return nil, answer end
    return { status = answer }
  end)
  return told
end

fm.test("a crash is told with its reason and the last lines", function(t)
  local web = t:service{ name = "web" }
  local told = hook(t)
  t:crash(web, { code = 3, says = "no database" })
  t:advance(1)
  t:eq(#told, 1)
  t:eq({ told[1].service, told[1].host, told[1].crashes, told[1].console[1] }, { "web", fm.hostname, 1, "no database" })
  t:ok(told[1].reason:find("exited with code 3", 1, true), told[1].reason)
end)

fm.test("a crash loop is told once in ten minutes, with how often", function(t)
  local web = t:service{ name = "web", policy = "always", behave = { dies_after = 60 } }
  local told = hook(t)
  t:advance(1230)
  local counts = {}
  for i, what in ipairs(told) do counts[i] = what.crashes end
  t:eq(counts, { 1, 10 })
  t:ok(web.restarts > 18)
end)

fm.test("a stop, a restart and an exit with 0 are no crashes; without a hook nothing is told", function(t)
  local web = t:service{ name = "web" }
  t:crash(web)
  t:advance(1)
  local told = hook(t)
  t:restart(web)
  t:stop(web)
  t:start(web)
  t:crash(web, { code = 0 })
  t:advance(10)
  t:eq(told, {})
end)

fm.test("a hook that fails is tried three times", function(t)
  local web = t:service{ name = "web" }
  local told = hook(t, { 503, "connection refused" })
  t:crash(web)
  t:advance(60)
  t:eq(#told, 3)
  local db = t:service{ name = "db" }
  told = hook(t, { 503, "no route", 404 })
  t:crash(db)
  t:advance(60)
  t:eq(#told, 3)
  t:ok(t:logged("the web hook was not told of db: it answers 404"))
end)
