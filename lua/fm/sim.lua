-- What the cases of fm.test get as `t`: services that crash when they are told to, and time that
-- passes when it is told to. `sim` has the functions of C; those that let something happen
-- return true; false and why it has not come about; nil and what was wrong with asking.
local raw, fm, door, sim = ...

local LIMIT = 3600 -- seconds that something may take
local MESSAGE_MAX = 1200

local t = {}
door.t = setmetatable({}, { __index = t, __metatable = "t" })

-- Raises an error at the line of the test (or script) that has led to it.
local function wrong(text, ...)
  local place = ""
  for level = 2, 50 do
    local where = raw.where(level)
    if where ~= "?" and not where:find("^lua/fm/") then
      place = where .. ": "
      break
    end
  end
  text = string.format(text, ...)
  error(place .. (#text > MESSAGE_MAX and text:sub(1, MESSAGE_MAX) .. "..." or text), 0)
end

local function name_of(call, svc)
  if getmetatable(svc) == "service" then return svc.name end
  if type(svc) ~= "string" then wrong("%s: a service or its name is expected, got %s", call, type(svc)) end
  return svc
end

-- What C has answered, an error when it was a mistake to ask.
local function done(call, ok, message)
  if ok == nil then wrong("%s: %s", call, message) end
  if ok then return true end
  return nil, message
end

local function check_keys(call, given, known)
  for key in pairs(given) do
    if not known[key] then
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      wrong("%s: there is no \"%s\"; there are %s", call, tostring(key), table.concat(names, ", "))
    end
  end
end

-- ---- values, as messages show them

local function sorted_keys(value)
  local keys = {}
  for key in next, value do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return type(a) < type(b) or (type(a) == type(b) and tostring(a) < tostring(b))
  end)
  return keys
end

local function show(value, depth)
  if type(value) == "string" then return '"' .. value:gsub('[%c"\\]', function(c)
    return ({ ["\n"] = "\\n", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" })[c] or string.format("\\x%02x", c:byte())
  end) .. '"' end
  if type(value) ~= "table" or getmetatable(value) ~= nil then return tostring(value) end
  if (depth or 0) > 4 then return "{...}" end
  local parts, n = {}, 0
  for _, key in ipairs(sorted_keys(value)) do
    local inner = show(value[key], (depth or 0) + 1)
    if key == n + 1 then
      n = key
      parts[#parts + 1] = inner
    else
      parts[#parts + 1] = (type(key) == "string" and key:find("^[%a_][%w_]*$") and key or "[" .. show(key) .. "]")
        .. " = " .. inner
    end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- Adds to `list` where a and b differ.
local function compare(a, b, path, list, depth)
  if rawequal(a, b) or #list >= 6 then return end
  if type(a) ~= "table" or type(b) ~= "table" or getmetatable(a) ~= nil or getmetatable(b) ~= nil or depth > 50 then
    if a ~= b then list[#list + 1] = { path = path, a = a, b = b } end
    return
  end
  local keys = {}
  for key in next, a do keys[key] = true end
  for key in next, b do keys[key] = true end
  for _, key in ipairs(sorted_keys(keys)) do
    local step = type(key) == "string" and key:find("^[%a_][%w_]*$") and "." .. key or "[" .. show(key) .. "]"
    compare(a[key], b[key], path .. step, list, depth + 1)
  end
end

-- ---- saying what should be

local function fail(what, text, ...)
  wrong("%s%s", what and tostring(what) .. ": " or "", string.format(text, ...))
end

--- t:eq(got, expected, what): the same, tables looked into.
function t:eq(got, expected, what)
  local list = {}
  compare(got, expected, "", list, 0)
  if #list == 0 then return end
  if list[1].path == "" then fail(what, "got %s, expected %s", show(got), show(expected)) end
  local parts = {}
  for i, d in ipairs(list) do
    parts[i] = i > 5 and "..." or string.format("%s: got %s, expected %s", d.path:gsub("^%.", ""), show(d.a), show(d.b))
  end
  fail(what, "%s", table.concat(parts, "; "))
end

--- t:ok(value, what): neither false nor nil. Returns the value.
function t:ok(value, what)
  if not value then fail(what, "got %s, expected something true", show(value)) end
  return value
end

--- t:near(got, expected, eps, what): a number, give or take eps (0.001).
function t:near(got, expected, eps, what)
  if type(got) ~= "number" or math.abs(got - expected) > (eps or 0.001) then
    fail(what, "got %s, expected %s, give or take %s", show(got), show(expected), show(eps or 0.001))
  end
end

--- t:raises(fn, pattern, what): fn raises an error with that text in it. Returns the error.
function t:raises(fn, pattern, what)
  local ok, message = pcall(fn)
  if ok then fail(what, "no error was raised, expected one like %s", show(pattern)) end
  local text = tostring(message)
  if pattern and not (text:find(pattern, 1, true) or text:find(pattern)) then
    fail(what, "the error %s was raised, expected one like %s", show(text), show(pattern))
  end
  return message
end

--- t:fail(text): it has.
function t:fail(text) fail(nil, "%s", tostring(text)) end

--- t:state(svc, "up"): it is in that state now.
function t:state(svc, state)
  local name = name_of("t:state", svc)
  local got = door.object(name).state
  if got ~= state then fail(nil, "service[%s] is %s, expected %s", name, tostring(got), tostring(state)) end
end

-- ---- services

local conf = { svrs = {} }

local function encode(call, value)
  local text, message = raw.encode(value)
  if not text then wrong("%s: %s", call, message) end
  return text
end

local function configure(call, next_conf)
  local ok, message = sim.configure(encode(call, next_conf))
  if not ok then wrong("%s: %s", call, message) end
  conf = next_conf
end

local function with(table_, key, value)
  local copy = {}
  for k, v in pairs(table_) do copy[k] = v end
  copy[key] = value
  return copy
end

--- t:service{ name = "web", policy = "backoff", ... }: one more service, or a changed one, with the
--- keys it has in conf.json; cmd may be left out, no program is ever started. behave: see
--- t:behave. Waits until it is up, or has failed to start, and returns it.
function t:service(given)
  door.expect("t:service", 1, given, "table")
  if type(given.name) ~= "string" then wrong("t:service: name: a text is expected, got %s", type(given.name)) end
  local name, entry = given.name, {}
  for key, value in pairs(given) do
    if key ~= "name" and key ~= "behave" then entry[key] = value end
  end
  local file = name:gsub("[^%w._-]", "_")
  entry.cmd = entry.cmd or "/srv/" .. file .. "/" .. file -- a folder, and so a console, of its own
  if given.behave then t.behave(self, name, given.behave) end
  configure("t:service", with(conf, "svrs", with(conf.svrs, name, entry)))
  if entry.autostart ~= false then sim.order(name, "wait", LIMIT) end
  return door.object(name)
end

--- t:remove(svc): from the configuration; it is stopped.
function t:remove(svc)
  local name = name_of("t:remove", svc)
  configure("t:remove", with(conf, "svrs", with(conf.svrs, name, nil)))
end

--- t:config{ vars = {...}, lua = {...}, environ = "..." }: keys of the env.
function t:config(given)
  door.expect("t:config", 1, given, "table")
  local next_conf = conf
  for key, value in pairs(given) do next_conf = with(next_conf, key, value) end
  configure("t:config", next_conf)
end

for _, what in ipairs { "start", "stop", "restart", "grestart" } do
  --- t:stop(svc, timeout): as a person who waits for it: true, or nil and why it did not come about.
  t[what] = function(_, svc, timeout)
    return done("t:" .. what, sim.order(name_of("t:" .. what, svc), what, timeout or LIMIT))
  end
end

-- ---- what their processes do

local CRASH_KEYS = { code = true, signal = true, core = true, says = true, cpu = true, max_rss = true }

--- t:crash(svc, { code = 1 }): its process ends, with that code or { signal = "SEGV", core = true };
--- says: its last lines; cpu (seconds), max_rss (bytes): what it had used.
function t:crash(svc, how)
  local name = name_of("t:crash", svc)
  how = how or {}
  door.expect("t:crash", 2, how, "table")
  check_keys("t:crash", how, CRASH_KEYS)
  if how.says then t.says(self, svc, how.says) end
  done("t:crash", sim.crash(name, how.code or 1, how.signal, how.core, how.cpu, how.max_rss))
end

--- t:hang(svc): from now on only SIGKILL ends its process.
function t:hang(svc) done("t:hang", sim.hang(name_of("t:hang", svc))) end

--- t:says(svc, text): onto its console.
function t:says(svc, text)
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  done("t:says", sim.say(name_of("t:says", svc), text))
end

local USES_KEYS = { memory = true, cpu = true, descriptors = true }
local used = {} -- by name, with the pid

--- t:uses(svc, { memory = 300e6, cpu = 12.5, descriptors = 40 }): what svc.memory and the like say of the process that
--- runs now. Without it, and of others, nil.
function t:uses(svc, what)
  local name = name_of("t:uses", svc)
  door.expect("t:uses", 2, what, "table")
  check_keys("t:uses", what, USES_KEYS)
  local pid = door.object(name).pid
  if not pid then wrong("t:uses: service[%s] has no process", name) end
  used[name] = with(what, "pid", pid)
end

local fact = raw.fact

function raw.fact(name, key)
  local u = USES_KEYS[key] and used[name]
  if u and u.pid == fact(name, "pid") then return u[key] end
  return fact(name, key)
end

local BEHAVE_KEYS = { dies_after = true, code = true, signal = true, core = true, says = true, starts = true,
  spawn_error = true, ignores = true, hangs = true, children = true, detached = true, on = true }

--- t:behave(svc, { dies_after = 0.5, code = 1 }): how its processes are, from the next start on.
function t:behave(svc, how)
  local name = name_of("t:behave", svc)
  door.expect("t:behave", 2, how, "table")
  check_keys("t:behave", how, BEHAVE_KEYS)
  if how.says and how.says:sub(-1) ~= "\n" then how = with(how, "says", how.says .. "\n") end
  sim.behave(name, how)
end

-- ---- time

--- t:advance(seconds): lets time pass, with all that happens on the way.
function t:advance(seconds)
  door.expect("t:advance", 1, seconds, "number")
  done("t:advance", sim.advance(seconds))
end

local function wait_for(call, fn, timeout)
  local last = fm.now() + timeout
  while true do
    local value = fn()
    if value then return value end
    local more = sim.step(last)
    if more == nil then done(call, sim.step(last)) end
    if not more then return fn() end
  end
end

--- t:wait(svc, "up", timeout): until it is in that state; fails the case if that does not come about.
function t:wait(svc, state, timeout)
  local object = door.object(name_of("t:wait", svc))
  local ok = wait_for("t:wait", function() return object.state == state end, timeout or LIMIT)
  if not ok then
    fail(nil, "service[%s] has not become %s within %s s; it is %s", object.name, tostring(state),
      tostring(timeout or LIMIT), object.state)
  end
end

--- t:wait_for(fn, timeout, what): until fn() is true, asked each time something happened. Returns what it said.
function t:wait_for(fn, timeout, what)
  door.expect("t:wait_for", 1, fn, "function")
  local value = wait_for("t:wait_for", fn, timeout or LIMIT)
  if not value then fail(what, "has not come about within %s s", tostring(timeout or LIMIT)) end
  return value
end

local function seconds_of(when)
  if type(when) == "number" then return when end
  local y, mo, d, h, mi, s = tostring(when):match("^(%d%d%d%d)-(%d%d)-(%d%d)[ T](%d%d):(%d%d):?(%d*)$")
  if not y then wrong("t:set_time: seconds since 1970 or \"2026-03-29 01:59:00\" is expected, got %s", show(when)) end
  return os.time { year = tonumber(y), month = tonumber(mo), day = tonumber(d), hour = tonumber(h), min = tonumber(mi),
    sec = tonumber(s) or 0 }
end

--- t:set_time("2026-03-29 01:59:00"): what the clock on the wall shows (local time, or seconds since
--- 1970). At first it is 2026-01-05 12:00:00, a Monday.
function t:set_time(when) done("t:set_time", sim.set_wall(seconds_of(when))) end

--- t:set_zone("Europe/Berlin"): where local time is. The clock goes on: t:set_time comes after it.
function t:set_zone(name)
  door.expect("t:set_zone", 1, name, "string")
  sim.set_zone(name)
end

-- ---- commands and tasks

local CALL_KEYS = { services = true, timeout = true, format = true, peer = true, principal = true }

local function names_of(call, services)
  if services == "all" then return raw.services() end
  local names = {}
  for i, svc in ipairs(type(services) == "table" and getmetatable(services) == nil and services or { services }) do
    names[i] = getmetatable(svc) == "service" and svc.name or tostring(svc)
    if not raw.exists(names[i]) then wrong("%s: service[%s] not configured", call, names[i]) end
  end
  return names
end

local function ask(call, command, options)
  door.expect(call, 1, command, "string")
  options = options or {}
  door.expect(call, 2, options, "table")
  local keys, values = {}, {}
  for _, key in ipairs(sorted_keys(options)) do
    if not CALL_KEYS[key] then
      keys[#keys + 1] = tostring(key)
      values[#values + 1] = tostring(options[key])
    end
  end
  return names_of(call, options.services or {}), keys, values, options.format or "text", options.peer or "127.0.0.1",
    options.principal or "local"
end

local Command = { __index = {}, __metatable = "command" }

local function begin(call, command, options)
  local kind = sim.command(command)
  if not kind then wrong("%s: no script defines a command \"%s\"", call, tostring(command)) end
  local names, keys, values, format, peer, principal = ask(call, command, options)
  if kind == "required" and #names == 0 then wrong("%s: command[%s] needs services = {...}", call, command) end
  if kind == "none" and #names > 0 then wrong("%s: command[%s] takes no service", call, command) end
  if kind == "optional" and #names == 0 then names = raw.services() end
  local id, message = sim.begin(command, names, keys, values, format, peer, principal)
  if not id then wrong("%s: %s", call, message) end
  return setmetatable({ id = id }, Command)
end

--- Waits for its end (or cancels it after timeout): { ok =, outcome = "done"|"failed"|"bad"|"error"|
--- "timeout"|"cancelled", text = what it wrote and answered, json = the table it returned }.
function Command.__index:result(timeout)
  local outcome, text, json = sim.wait(self.id, timeout or LIMIT)
  return { ok = outcome == "done", outcome = outcome, text = text, json = json ~= "" and raw.decode(json) or nil }
end

--- Its client hangs up.
function Command.__index:cancel() done("cancel", sim.cancel(self.id)) end

--- Whether it has ended; what it has written so far.
function Command.__index:has_ended() return sim.has_ended(self.id) end

--- t:begin_command("drain", { services = { "web" }, grace = 5 }): it runs while time passes.
function t:begin_command(command, options) return begin("t:begin_command", command, options) end

--- t:command("drain", { services = { "web" }, grace = 5, timeout = 60 }): runs it to its end.
function t:command(command, options)
  return begin("t:command", command, options):result(options and options.timeout)
end

--- t:authorized("stop", { services = {...}, peer =, principal = }): true, or nil and why fm.authorize says no.
function t:authorized(command, options)
  return done("t:authorized", sim.authorize(command, ask("t:authorized", command, options)))
end

--- t:run(fn, ...): runs it as a task, where it may wait, and returns what it returns.
function t:run(fn, ...)
  door.expect("t:run", 1, fn, "function")
  local results
  raw.spawn("t:run", function(...) results = table.pack(pcall(fn, ...)) end, ...)
  wait_for("t:run", function() return results end, LIMIT)
  if not results then wrong("t:run: it has not ended within %d s", LIMIT) end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- ---- the world outside

local fakes = {}

-- A function without its fake is a mistake of the case, whatever the script makes of the error.
local function outside(what, fake, given)
  sim.must_wait("fm." .. what)
  if not fakes[what] then
    local message = string.format("fm.%s is called, and the test says nothing about it: t:%s(%s)", what, what, fake)
    sim.complain(message)
    wrong("%s", message)
  end
  raw.sleep(0)
  return fakes[what](given)
end

function raw.exec(given)
  for i = 1, math.max(#given, 1) do
    if type(given[i]) ~= "string" then error("fm.exec: argument " .. i .. " is no string", 0) end
  end
  local result, message = outside("exec", "function(args) return { code = 0, stdout = \"...\" } end", given)
  if result == nil then return nil, message or "the test lets it fail" end
  if type(result) == "string" then result = { stdout = result } end
  return { code = result.code or (not result.signal and 0 or nil), signal = result.signal, stdout = result.stdout or "",
    stderr = result.stderr or "", timed_out = result.timed_out or false, truncated = result.truncated or false }
end

function raw.http(given)
  local headers = {}
  for _, line in ipairs(given.headers) do
    local name, value = line:match("^(.-):%s*(.*)$")
    if name then headers[name:lower()] = value end
  end
  given.headers = headers
  given.method = given.method or (given.body and "POST" or "GET")
  local result, message = outside("http", "function(req) return { status = 200, body = \"...\" } end", given)
  if result == nil then return nil, message or "the test lets it fail" end
  return { status = result.status or 200, body = result.body or "", headers = result.headers or {} }
end

for _, what in ipairs { "exec", "http" } do
  --- t:exec(function(args) return { code = 0, stdout = "..." } end): what fm.exec does from now on; nil and a
  --- message: it could not be started. t:http(function(req) return { status = 200 } end) likewise. They may wait.
  t[what] = function(_, fn)
    door.expect("t:" .. what, 1, fn, "function")
    fakes[what] = fn
  end
end

-- ---- what happened

--- t:logged(pattern): the last line of fm.log, or error of a callback, with that text (or pattern) in it; nil.
--- An error that no t:logged asks for fails the case.
function t:logged(pattern)
  door.expect("t:logged", 1, pattern, "string")
  local found
  for i = 1, math.huge do
    local text = sim.line(i)
    if not text then return found end
    if text:find(pattern, 1, true) or text:find(pattern) then
      found = text
      sim.seen(i)
    end
  end
end

--- t:events(svc, kind): what happened to it, as handlers see it, oldest first; without a service to all.
function t:events(svc, kind)
  local all, list = sim.events(svc and name_of("t:events", svc)), {}
  for _, ev in ipairs(all) do
    if kind == nil or ev.kind == kind then list[#list + 1] = ev end
  end
  return list
end

--- t:overlay(env, conf): runs the overlays over a copy of it, as for that env, judges the outcome as
--- conf.json is, and returns it.
function t:overlay(env, given)
  door.expect("t:overlay", 1, env, "string")
  local out = door.copy(given or {})
  for _, key in ipairs { "svrs", "vars" } do out[key] = out[key] or {} end
  local i = 1
  for where in function() return door.overlay(i, env) end do
    if where ~= "" then door.overlay_run(i, out, env) end
    i = i + 1
  end
  local ok, message = sim.judge(encode("t:overlay", out))
  if not ok then wrong("t:overlay: %s", message) end
  return out
end

--- fm.load("../x.lua"), at the top of a test file: runs one more script, as if it were in lua/. The path is
--- relative to the file.
function fm.load(path) sim.load(path) end
