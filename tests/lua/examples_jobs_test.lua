fm.load("../../examples/lua/jobs.lua")

local function job(t, name, cron, behave)
  local conf = { cmd = "bin/job", autostart = false, policy = "never", vars = { cron = cron } }
  t:overlay("test", { svrs = { [name] = conf, web = "bin/web" } })
  return t:service{ name = name, autostart = false, policy = "never", vars = conf.vars, behave = behave }
end

local function starts(t, svc) return #t:events(svc, "starting") end

fm.test("each runs at its time", function(t)
  local night = job(t, "night", "0 3 * * *", { dies_after = 60, code = 0 })
  local often = job(t, "often", "*/10 * * * *", { dies_after = 5, code = 0 })
  t:advance(3605)
  t:eq({ starts(t, night), starts(t, often) }, { 0, 6 })
  t:advance(23 * 3600)
  t:eq({ starts(t, night), starts(t, often) }, { 1, 144 })
  t:state(night, "down")
end)

fm.test("one that ends badly is failed, and started again at its next time", function(t)
  local often = job(t, "often", "*/10 * * * *", { dies_after = 5, code = 3, starts = 1 })
  t:advance(660)
  t:state(often, "failed")
  t:advance(600)
  t:state(often, "up")
end)

fm.test("one that still runs is left alone", function(t)
  local often = job(t, "often", "*/10 * * * *")
  t:advance(1205)
  t:eq(starts(t, often), 1)
  t:ok(t:logged("job often still runs, since 600 s; it is not started again"))
end)

fm.test("one that is written wrongly is an error of the configuration", function(t)
  t:raises(function() job(t, "bad", "61 * * * *") end, 'lua/jobs.lua:17: fm.cron: "61 * * * *"')
end)
