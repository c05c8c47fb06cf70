-- Restart policies ready to use: in conf.json, `"policy": "backoff"` or, with parameters,
-- `"policy": { "name": "backoff", "base": 0.5, "cap": 30 }`. They are meant to be read and
-- changed. Each is asked when a service ends without being told to; svc.failures counts
-- such ends in a row, this one included (being up for 10 s begins a new row).

-- Started again at once, whatever happens, for ever.
fm.policy("always", function() return fm.restart(0) end)

-- Never started again: a job that runs once. failed unless it exited with 0.
fm.policy("never", function(_, exit)
  if exit.code == 0 then return fm.stop("it has done its work") end
  return fm.fail("it is not to be started again")
end)

-- Started again (as the core does) unless it exited with 0, or with a code in `success`.
fm.policy("on_failure", function(_, exit, params)
  for _, code in ipairs(params.success or { 0 }) do
    if exit.code == code then return fm.stop("it ended well") end
  end
end)

-- Waits longer each time: base seconds, twice that, four times ... up to cap; jitter spreads
-- it (0.2: by up to a fifth either way). Up for `reset` seconds begins anew.
local tries = {}
fm.policy("backoff", function(svc, exit, params)
  local n = exit.uptime >= (params.reset or 10) and 0 or tries[svc.name] or 0
  tries[svc.name] = n + 1
  local wait = math.min((params.base or 0.3) * 2.0 ^ n, params.cap or 60)
  local jitter = params.jitter or 0.2
  return fm.restart(wait * (1 + jitter * (2 * math.random() - 1)), "try " .. n + 1)
end)

-- At most `max` ends within `within` seconds, then failed; before that at once, or after `after`.
local ends = {}
fm.policy("intensity", function(svc, _, params)
  local now, recent = fm.now(), {}
  for _, at in ipairs(ends[svc.name] or {}) do
    if at > now - (params.within or 60) then recent[#recent + 1] = at end
  end
  recent[#recent + 1] = now
  ends[svc.name] = recent
  if #recent <= (params.max or 5) then return fm.restart(params.after or 0) end
  ends[svc.name] = nil
  return fm.fail(string.format("it ended %d times within %g s", #recent, params.within or 60))
end)

-- The running services with the same policy and the same `group` parameter, but for svc.
local function siblings(svc, params)
  return fm.services(function(other)
    local policy = other.conf.policy
    return other.name ~= svc.name and other.wanted and policy ~= nil and policy.name == svc.policy
      and policy.group == params.group
  end)
end

-- When one of a group ends, all of it is started anew.
fm.policy("one_for_all", function(svc, _, params)
  local others = siblings(svc, params)
  fm.spawn(function() fm.parallel(others, function(other) other:restart() end) end)
  return fm.restart(params.after or 0, #others .. " others are restarted with it")
end)

-- When one ends, those after it in `order` (a list of names) are restarted too, one by one.
fm.policy("rest_for_one", function(svc, _, params)
  local rest, found = {}, false
  for _, name in ipairs(params.order or {}) do
    local other = found and fm.service(name)
    if other and other.wanted then rest[#rest + 1] = other end
    found = found or name == svc.name
  end
  fm.spawn(function()
    if not svc:wait("up", 60) then return end
    for _, other in ipairs(rest) do other:restart() end
  end)
  return fm.restart(params.after or 0, #rest .. " behind it are restarted")
end)

-- For a whole host: when more than `limit` services with this policy end within `within` seconds
-- something larger is wrong. From then on restarts are held for `hold` seconds and let in one by
-- one, `gap` seconds apart.
local deaths, last_in = {}, 0
fm.policy("circuit", function(_, _, params)
  local now = fm.now()
  while deaths[1] and deaths[1] < now - (params.within or 10) do table.remove(deaths, 1) end
  deaths[#deaths + 1] = now
  if #deaths <= (params.limit or 10) and last_in < now then return nil end
  last_in = math.max(last_in + (params.gap or 1), now + (params.hold or 10))
  return fm.restart(last_in - now, "many services end together")
end)
