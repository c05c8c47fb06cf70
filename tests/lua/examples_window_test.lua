fm.load("../../examples/lua/window.lua")

local function db(t, from, to)
  return t:service{ name = "db", policy = { name = "window", from = from, to = to } }
end

fm.test("what ends in the window is started again when it is over", function(t)
  local svc = db(t, "02:00", "04:30")
  t:set_time("2026-01-06 03:00:00")
  t:crash(svc)
  t:advance(5390)
  t:state(svc, "waiting")
  t:advance(20)
  t:state(svc, "up")
end)

fm.test("outside of it the core decides", function(t)
  local svc = db(t, "02:00", "04:30")
  for _, time in ipairs{ "2026-01-06 01:59:59", "2026-01-06 04:30:00" } do
    t:set_time(time)
    t:crash(svc)
    t:wait(svc, "up", 5)
  end
end)

fm.test("it may end tomorrow", function(t)
  local svc = db(t, "23:00", "01:00")
  t:set_time("2026-01-31 23:30:00")
  t:crash(svc)
  t:advance(89 * 60)
  t:state(svc, "waiting")
  t:wait(svc, "up", 70)
  t:set_time("2026-02-01 00:59:00")
  t:crash(svc)
  t:wait(svc, "up", 70)
end)

fm.test("the clock may be changed in it", function(t)
  local svc = db(t, "01:00", "05:00")
  t:set_zone("Europe/Berlin")
  t:set_time("2026-03-29 01:30:00")
  t:crash(svc)
  t:advance(2.4 * 3600)
  t:state(svc, "waiting")
  t:wait(svc, "up", 600)
  t:eq(os.date("%H:%M"), "05:00")
end)

fm.test("nobody starts it by mistake", function(t)
  local svc, web = db(t, "02:00", "04:30"), t:service{ name = "web" }
  t:set_time("2026-01-06 03:00:00")
  t:eq({ t:authorized("restart", { services = { web, svc } }) }, { nil, "db is under maintenance until 04:30" })
  t:ok(t:authorized("restart", { services = { web } }))
  t:ok(t:authorized("stop", { services = { svc } }))
  t:advance(2 * 3600)
  t:ok(t:authorized("start", { services = { svc } }))
end)
