-- Services as objects: a name, looked up at each use.
local raw, fm, door = ...

local methods = {}
local objects = {} -- by name; what a script adds to svc.vars stays until the scripts are read again

local service = {
  __index = function(self, key)
    local method = methods[key]
    if method then return method end
    local value = raw.fact(self.name, key)
    if key == "vars" and value ~= nil then rawset(self, "vars", value) end
    return value
  end,
  __newindex = function(_, key) error(string.format("svc.%s can't be set; svc.vars is for scripts", tostring(key)), 2) end,
  __tostring = function(self) return "service[" .. self.name .. "]" end,
  __metatable = "service",
}

function door.object(name)
  local object = objects[name]
  if not object then
    object = setmetatable({ name = name }, service)
    objects[name] = object
  end
  return object
end

local function check(self, call)
  if getmetatable(self) ~= "service" then
    error(string.format("svc:%s is called with a colon", call), 3)
  end
end

for _, what in ipairs { "start", "stop", "restart", "grestart" } do
  -- Waits until it is done: true, or nil and why not. timeout: seconds; without it as long as it takes.
  methods[what] = function(self, timeout)
    check(self, what)
    return raw.act(self.name, what, timeout)
  end
end

-- Any signal to its process, by name: true, or nil and why not.
function methods:signal(name)
  check(self, "signal")
  return raw.signal(self.name, name)
end

-- Waits until it is in that state: true, or nil and "timeout".
function methods:wait(state, timeout)
  check(self, "wait")
  return raw.wait_state(self.name, state, timeout)
end

-- The end of its console log, as a list of lines, and the place behind it. With such a place: what came since, whole
-- lines, the oldest first.
function methods:log(lines, since)
  check(self, "log")
  return raw.log(self.name, lines, since)
end

--- The service of that name, or nil.
function fm.service(name)
  door.expect("fm.service", 1, name, "string")
  return raw.exists(name) and door.object(name) or nil
end

local function pattern_of(glob)
  return "^" .. glob:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$"
end

local function matcher(filter)
  if filter == nil then return function() return true end end
  if type(filter) == "function" then return filter end
  if type(filter) == "string" then filter = { name = filter } end
  if type(filter) ~= "table" then
    error("bad argument #1 to 'fm.services' (a name with * and ?, a table of facts, or a function)", 4)
  end
  local name = filter.name and pattern_of(filter.name)
  return function(svc)
    if name and not svc.name:find(name) then return false end
    for key, value in pairs(filter) do
      if key ~= "name" and svc[key] ~= value then return false end
    end
    return true
  end
end

--- The services that fit, sorted by name: all; those with a name like "web-*"; those with
--- all of these facts, { state = "up" }; those for which a function says true.
function fm.services(filter)
  local fits, found = matcher(filter), {}
  for _, name in ipairs(raw.services()) do
    local svc = door.object(name)
    if fits(svc) then found[#found + 1] = svc end
  end
  return found
end
