-- The ready-made policies of lua/policies.lua.

local function crash_n(t, svc, n, how)
  for _ = 1, n do
    t:wait(svc, "up")
    t:crash(svc, how)
  end
end

fm.test("always: again, whatever happens", function(t)
  local web = t:service{ name = "web", policy = "always" }
  crash_n(t, web, 50, { code = 0 })
  t:wait(web, "up")
  t:eq(web.restarts, 50)
end)

fm.test("never: down after a good end, failed after a bad one", function(t)
  local job = t:service{ name = "job", policy = "never" }
  t:crash(job, { code = 0 })
  t:state(job, "down")
  t:start(job)
  t:crash(job, { code = 1 })
  t:state(job, "failed")
  t:advance(3600)
  t:eq(job.pid, nil)
end)

fm.test("on_failure: left down after the codes of success, else as the core does", function(t)
  local job = t:service{ name = "job", policy = { name = "on_failure", success = { 0, 3 } } }
  t:crash(job, { code = 1 })
  t:wait(job, "up")
  t:crash(job, { signal = "SEGV" })
  t:wait(job, "up")
  t:crash(job, { code = 3 })
  t:state(job, "down")
end)

fm.test("backoff: waits longer each time, up to the cap, and begins anew after a good time", function(t)
  local web = t:service{ name = "web", policy = { name = "backoff", base = 1, cap = 8, jitter = 0, reset = 30 } }
  local waits = {}
  for i = 1, 6 do
    t:crash(web)
    local from = fm.now()
    t:wait(web, "starting")
    waits[i] = math.floor(fm.now() - from + 0.5)
    t:wait(web, "up")
  end
  t:eq(waits, { 1, 2, 4, 8, 8, 8 })
  t:advance(31)
  t:crash(web)
  local from = fm.now()
  t:wait(web, "starting")
  t:near(fm.now() - from, 1, 0.01)
end)

fm.test("backoff: jitter spreads the restarts", function(t)
  local seen, different = {}, 0
  for i = 1, 20 do
    local svc = t:service{ name = "s" .. i, policy = { name = "backoff", base = 10, jitter = 0.5 } }
    t:crash(svc)
    local at = t:events(svc, "waiting")
    local wait = at[#at].duration
    t:ok(wait >= 5 and wait <= 15, "within the jitter: " .. wait)
    if not seen[wait] then different = different + 1 end
    seen[wait] = true
  end
  t:ok(different > 10, "they differ")
end)

fm.test("intensity: failed when it ends too often, not when it ends now and then", function(t)
  local web = t:service{ name = "web", policy = { name = "intensity", max = 3, within = 60 } }
  for _ = 1, 10 do
    t:advance(30)
    t:crash(web)
    t:wait(web, "up")
  end
  t:advance(120)
  crash_n(t, web, 3)
  t:wait(web, "up")
  t:crash(web)
  t:state(web, "failed")
  t:start(web)
  t:crash(web)
  t:wait(web, "up")
end)

fm.test("one_for_all: the group is started anew with it, others are left alone", function(t)
  local group = { name = "one_for_all", group = "shop" }
  local a, b = t:service{ name = "a", policy = group }, t:service{ name = "b", policy = group }
  local stopped = t:service{ name = "c", policy = group }
  local other = t:service{ name = "d", policy = { name = "one_for_all", group = "other" } }
  t:stop(stopped)
  local pids = { b = b.pid, other = other.pid }
  t:crash(a)
  t:wait(a, "up")
  t:wait_for(function() return b.pid ~= pids.b and b.state == "up" end)
  t:eq(other.pid, pids.other)
  t:state(stopped, "down")
end)

fm.test("rest_for_one: those behind it in the order are restarted, those before are not", function(t)
  local policy = { name = "rest_for_one", order = { "db", "app", "web" } }
  local db, app = t:service{ name = "db", policy = policy }, t:service{ name = "app", policy = policy }
  local web = t:service{ name = "web", policy = policy }
  local pids = { db = db.pid, web = web.pid }
  t:crash(app)
  t:wait_for(function() return web.pid ~= pids.web and web.state == "up" end)
  t:eq(db.pid, pids.db)
  t:state(app, "up")
end)

fm.test("circuit: holds restarts when many services end together, lets them in one by one", function(t)
  local all = {}
  for i = 1, 20 do
    all[i] = t:service{ name = string.format("s%02d", i), policy = { name = "circuit", limit = 5, hold = 30, gap = 2 } }
  end
  for _, svc in ipairs(all) do t:crash(svc) end
  t:advance(5)
  t:eq(#fm.services{ state = "up" }, 5, "the first ones came back at once")
  t:advance(24)
  t:eq(#fm.services{ state = "up" }, 5, "the others are held")
  t:advance(10)
  local some = #fm.services{ state = "up" }
  t:ok(some > 5 and some < 15, "one by one: " .. some)
  t:advance(60)
  t:eq(#fm.services{ state = "up" }, 20)
end)
