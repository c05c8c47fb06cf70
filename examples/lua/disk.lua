-- Before a disk is full, services that write much and can be done without are stopped, and started again when there is
-- room. In conf.json: "vars": { "disk": { "path": "/data", "full": 95, "free": 85 } } (percent used), and of each such
-- service "vars": { "yields": true }. After a -reload in between they are to be started by hand.

local stopped = {} -- by name
local failing = false

local function percent_used(path)
  local r, why = fm.exec { "df", "-P", path, timeout = 10 }
  local used = r and r.stdout:match("(%d+)%%")
  if used then return tonumber(used) end
  if not failing then fm.log.error("disk: df %s: %s", path, why or r.stderr) end -- said once
end

local function yields(svc) return svc.vars.yields and svc.wanted end

fm.every(30, function()
  local disk = fm.vars.disk
  if not disk then return end
  local used = percent_used(disk.path)
  failing = not used
  if used and used >= disk.full then
    for _, svc in ipairs(fm.services(yields)) do
      fm.log.error("disk: %s is %d %% full, %s is stopped", disk.path, used, svc.name)
      stopped[svc.name] = true
      svc:stop(60)
    end
  elseif used and used < disk.free then
    for name in pairs(stopped) do
      stopped[name] = nil
      local svc = fm.service(name)
      if svc and not svc.wanted then svc:start(60) end
    end
  end
end)
