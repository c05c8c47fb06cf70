-- Services as cron jobs. With "autostart": false, "policy": "never", "vars": { "cron": "0 3 * * *" } in conf.json a
-- service is started at three; the policy (of lua/policies.lua) leaves it down when it has exited with 0, and makes it
-- failed otherwise. One that still runs when its time comes is left alone.

local function start(name)
  local svc = fm.service(name)
  if svc.state ~= "down" and svc.state ~= "failed" then
    return fm.log.warn("job %s still runs, since %.0f s; it is not started again", name, svc.uptime)
  end
  svc:start()
end

-- An overlay that changes nothing: here the services are known. A wrong time is an error of the configuration.
fm.overlay(function(conf)
  for name, svc in pairs(conf.svrs) do
    local times = type(svc) == "table" and svc.vars and svc.vars.cron
    if times then fm.cron(times, function() start(name) end) end
  end
end)
