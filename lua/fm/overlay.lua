-- Configuration overlays: functions over the chosen env as a plain table.
local raw, fm, door = ...

local DEPTH_MAX = 100

local overlays = {}

--- fm.overlay("test", function(conf, env) ... end), or without a name for every env.
function fm.overlay(env, fn)
  if fn == nil then
    env, fn = nil, env
    door.expect("fm.overlay", 1, fn, "function")
  else
    door.expect("fm.overlay", 1, env, "string")
    door.expect("fm.overlay", 2, fn, "function")
  end
  door.loading("fm.overlay")
  overlays[#overlays + 1] = { env = env, fn = fn, where = door.where() }
end

-- For C: the place of overlay i if it is meant for that env, "" if not, nil past the end.
function door.overlay(i, env)
  local o = overlays[i]
  if not o then return nil end
  return (o.env == nil or o.env == env) and o.where or ""
end

function door.overlay_run(i, conf, env)
  door.in_overlay = true -- what raises an error there is the end of these scripts
  overlays[i].fn(conf, env)
  door.in_overlay = nil
end

-- A copy to compare with.
local function copy(value, depth)
  if type(value) ~= "table" then return value end
  if depth > DEPTH_MAX then error("the configuration is nested too deeply, or contains itself", 0) end
  local c = {}
  for key, inner in next, value do c[key] = copy(inner, depth + 1) end
  return c
end

function door.copy(conf) return copy(conf, 0) end

-- Calls changed(path) for each value that differs, the outermost that is new. A path is a
-- text that C makes too: each key with its kind before it and a NUL behind.
local function compare(before, after, path, depth, changed)
  if rawequal(before, after) then return end
  if type(before) ~= "table" or type(after) ~= "table" then
    if before ~= after then changed(path) end
    return
  end
  if depth > DEPTH_MAX then error("the configuration is nested too deeply, or contains itself", 0) end
  local function step(key) -- a key that is a table may have a tostring of its own, which is not asked
    local kind = math.type(key) == "integer" and "i" or "k"
    return path .. kind .. ((type(key) == "string" or math.type(key)) and key or type(key)) .. "\0"
  end
  for key, value in next, after do compare(rawget(before, key), value, step(key), depth + 1, changed) end
  for key in next, before do
    if rawget(after, key) == nil then changed(step(key)) end
  end
end

function door.changes(before, after)
  local paths = {}
  compare(before, after, "", 0, function(path) paths[#paths + 1] = path end)
  table.sort(paths)
  return paths
end
