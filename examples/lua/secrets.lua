-- Secrets stay out of conf.json: "vars": { "secrets": "/etc/web.secrets" } of a service puts the lines NAME=VALUE of
-- that file into its environment. When they have changed, -reload restarts it. The file is for the monitor's user alone
-- (chmod 600); -check shows the values to whoever may read it.

-- The file may have blank lines and # comments; quotes around a value are taken off.
local function read(path)
  local file, why = io.open(path)
  if not file then error("secrets: " .. why, 0) end
  local values, number = {}, 0
  for line in file:lines() do
    number = number + 1
    local name, value = line:match("^%s*([%a_][%w_]*)=(.-)%s*$")
    if name then
      values[name] = value:match('^"(.*)"$') or value:match("^'(.*)'$") or value
    elseif not line:find("^%s*#") and line:find("%S") then
      error(string.format("secrets: %s:%d: NAME=VALUE is expected", path, number), 0) -- the line itself is not told
    end
  end
  file:close()
  return values
end

fm.overlay(function(conf)
  for _, svc in pairs(conf.svrs) do
    local path = type(svc) == "table" and svc.vars and svc.vars.secrets
    if path then
      svc.env = svc.env or {}
      for name, value in pairs(read(path)) do svc.env[name] = value end
    end
  end
end)
