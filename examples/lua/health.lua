-- A service that runs but answers no more is restarted: every ten seconds its page is asked for; three times in a row
-- without an answer below 500 are enough. In conf.json, for the service: "vars": { "health": "http://127.0.0.1:81/ok" }

local FIRST, EVERY, TIMES = 30, 10, 3 -- seconds after its start; seconds; times
local bad = {} -- by service: times in a row

local function check(svc)
  if svc.uptime < FIRST then
    bad[svc.name] = nil
    return
  end
  local r, why = fm.http { url = svc.vars.health, timeout = EVERY / 2 }
  if r and r.status < 500 then
    bad[svc.name] = nil
    return
  end
  bad[svc.name] = (bad[svc.name] or 0) + 1
  if bad[svc.name] < TIMES or svc.state ~= "up" then return end
  fm.log.error("%s: %s; restarted", svc.vars.health, why or "status " .. r.status)
  bad[svc.name] = nil
  svc:restart()
end

fm.every(EVERY, function()
  assert(fm.parallel(fm.services(function(svc) return svc.vars.health and svc.state == "up" end), check))
end)
