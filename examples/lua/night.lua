-- Restarts services at night whose memory has grown past what they should need, one after the other, and stops doing
-- so when one does not come back. In conf.json: "web": { "cmd": …, "vars": { "memory_mb": 500 } }

local function grown(svc)
  local limit, used = svc.vars.memory_mb, svc.memory -- memory: of its process; nil when it has none
  return limit and used and used > limit * 1048576
end

fm.cron("30 3 * * *", function()
  for _, svc in ipairs(fm.services(grown)) do
    fm.log.info("%s uses %.0f MB and is restarted", svc.name, svc.memory / 1048576)
    local ok, why = svc:restart(120)
    if not ok then return fm.log.error("%s: %s; the others are left alone tonight", svc.name, why) end
    fm.sleep(30) -- for whatever hangs on it
  end
end)
