-- One conf.json for many hosts: what "vars": { "hosts": … } has under the name of this host is laid over the env. A *
-- stands for any letters; of several that fit the longer ones come later. false takes a service out:
--   "vars": { "hosts": { "web-*": { "svrs": { "db": false } }, "web-1": { "port": 8080 } } }

local function fits(glob)
  return fm.hostname:find("^" .. glob:gsub("[%-.%%+]", "%%%0"):gsub("%*", ".*") .. "$")
end

local function lay_over(conf, given)
  for key, value in pairs(given) do
    if type(value) == "table" and #value == 0 and type(conf[key]) == "table" then
      lay_over(conf[key], value)
    else
      conf[key] = value
    end
  end
end

fm.overlay(function(conf)
  local globs = {}
  for glob in pairs(conf.vars and conf.vars.hosts or {}) do
    if fits(glob) then globs[#globs + 1] = glob end
  end
  table.sort(globs, function(a, b) return #a < #b or (#a == #b and a < b) end)
  for _, glob in ipairs(globs) do lay_over(conf, conf.vars.hosts[glob]) end
  for name, svc in pairs(conf.svrs) do
    if svc == false then conf.svrs[name] = nil end
  end
end)
