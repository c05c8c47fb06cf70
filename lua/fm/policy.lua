-- Restart policies: asked each time a service ends without being told to.
local raw, fm, door = ...

local policies = {}
local parameters = {} -- decoded, by their JSON text

--- fm.policy("name", function(svc, exit, params) return fm.restart(1) end)
function fm.policy(name, fn)
  door.expect("fm.policy", 1, name, "string")
  door.expect("fm.policy", 2, fn, "function")
  door.loading("fm.policy")
  if policies[name] and not door.may_replace then
    door.wrong("fm.policy: \"%s\" is defined already, at %s", name, policies[name].where)
  end
  if name == "" or name == "core" then door.wrong("fm.policy: \"%s\" can't be a policy's name", name) end
  policies[name] = { fn = fn, where = door.where() }
end

-- The answers are made in C, which knows the line they are given on.

--- fm.restart(after, reason): start it again, after so many seconds (0: at once).
fm.restart = raw.restart

--- fm.stop(reason): leave it down.
fm.stop = raw.stop

--- fm.fail(reason): give up; it is failed, and needs a person.
fm.fail = raw.fail

function door.policy_names()
  local names = {}
  for name in pairs(policies) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function params_of(text)
  if text == "" then return {} end
  local value = parameters[text]
  if not value then
    value = raw.decode(text)
    parameters[text] = value
  end
  return value
end

function door.decide(policy, name, exit, params)
  local p = policies[policy]
  if not p then return nil end
  local d = p.fn(door.object(name), exit, params_of(params))
  if d == nil then return nil end
  if getmetatable(d) ~= "decision" then
    error(string.format("%s: policy \"%s\" must return fm.restart(...), fm.stop(...), fm.fail(...) or nil, not %s",
      p.where, policy, type(d)), 0)
  end
  return d.kind, d.after, d.reason, d.where
end
