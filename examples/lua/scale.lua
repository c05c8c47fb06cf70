-- Several copies of one service: "w": { "cmd": "bin/run -p {port}", "vars": { "copies": 3, "port": 9000 } } becomes w-1
-- to w-3; in its texts {n} is the number of the copy and {port} is port + n - 1. With another number -reload starts or
-- stops some and leaves the others alone.

local function copy(value, names)
  if type(value) == "string" then return (value:gsub("{(%w+)}", names)) end -- what has no value stays as it is
  if type(value) ~= "table" then return value end
  local new = {}
  for key, inner in pairs(value) do new[key] = copy(inner, names) end
  return new
end

fm.overlay(function(conf)
  local many = {}
  for name, svc in pairs(conf.svrs) do
    if type(svc) == "table" and svc.vars and svc.vars.copies then many[name] = svc end
  end
  for name, svc in pairs(many) do
    conf.svrs[name] = nil
    for n = 1, svc.vars.copies do
      local one = copy(svc, { n = n, port = svc.vars.port and svc.vars.port + n - 1 })
      one.log = one.log or "fota_monitor." .. name .. "-" .. n .. ".log" -- they share a folder
      conf.svrs[name .. "-" .. n] = one
    end
  end
end)
