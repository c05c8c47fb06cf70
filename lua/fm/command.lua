-- Admin commands, and who may use them.
local raw, fm, door = ...

local commands = {}
local authorizers = {}

local COMMAND_KEYS = { name = true, help = true, args = true, services = true, changes = true, run = true }
local SERVICES = { required = true, optional = true, none = true }
local TYPES = { string = true, number = true, boolean = true }

-- What must be true of each key of an argument: a Lua type, or a function that says what is wrong.
local ARG_KINDS = { help = "string", min = "number", max = "number", required = "boolean", type = function(value)
  return not TYPES[value] and "must be string, number or boolean" or nil
end, choices = function(value)
  if type(value) ~= "table" or #value == 0 then return "must be a list of texts or numbers" end
  for _, choice in ipairs(value) do
    if type(choice) ~= "string" and type(choice) ~= "number" then return "must be a list of texts or numbers" end
  end
end, default = function(value)
  return not TYPES[type(value)] and "must be a text, a number, true or false" or nil
end }

local function wrong_argument(arg)
  for key, value in pairs(arg) do
    local kind = ARG_KINDS[key]
    if not kind then return key, "there is no such key; there are choices, default, help, max, min, required, type" end
    local message = type(kind) == "function" and kind(value) or nil
    if type(kind) == "string" and type(value) ~= kind then message = "must be a " .. kind end
    if message then return key, message end
  end
  if arg.default ~= nil and type(arg.default) ~= (arg.type or type(arg.default)) then
    return "default", "must be a " .. arg.type
  end
end

-- An argument is its help text, or a table that also says what it must be.
local function argument(call, name, given)
  if type(given) == "string" then given = { help = given } end
  if type(given) ~= "table" then
    error(string.format("%s: args.%s must be a text or a table, got %s", call, name, type(given)), 4)
  end
  local key, message = wrong_argument(given)
  if key then error(string.format("%s: args.%s.%s: %s", call, name, tostring(key), message), 4) end
  return { help = given.help or "", default = given.default, min = given.min, max = given.max, choices = given.choices,
    required = given.required, type = given.type or (given.default ~= nil and type(given.default)) or "string" }
end

local function arguments(call, given)
  local args = {}
  for name, arg in pairs(given or {}) do
    if type(name) ~= "string" or not name:find("^[%w][%w_-]*$") then
      error(string.format("%s: args: \"%s\" can't be an argument's name", call, tostring(name)), 3)
    end
    if name == "service" or name == "command" or name == "format" or name == "timeout" then
      error(string.format("%s: args: \"%s\" is an argument of every command", call, name), 3)
    end
    args[name] = argument(call, name, arg)
  end
  return args
end

--- fm.command{ name =, help =, args = { key = "help" }, services = "required"|"optional"|"none",
---             changes = true, run = function(req) ... end }
function fm.command(given)
  door.expect("fm.command", 1, given, "table")
  door.loading("fm.command")
  door.keys("fm.command", given, COMMAND_KEYS)
  local name = given.name
  if type(name) ~= "string" or not name:find("^[%a][%w_-]*$") then
    door.wrong("fm.command: name: letters, digits, - and _, a letter first")
  end
  local call = string.format("fm.command \"%s\"", name)
  if raw.reserved(name) then door.wrong("%s: the name is reserved: a core command or an option is called so", call) end
  if commands[name] and not door.may_replace then door.wrong("%s is defined already, at %s", call, commands[name].where) end
  if type(given.run) ~= "function" then door.wrong("%s: run must be a function, got %s", call, type(given.run)) end
  if given.help ~= nil and type(given.help) ~= "string" then door.wrong("%s: help must be a text", call) end
  if given.services ~= nil and not SERVICES[given.services] then
    door.wrong("%s: services must be \"required\", \"optional\" (all when none is named) or \"none\"", call)
  end
  commands[name] = { run = given.run, help = given.help or "", args = arguments(call, given.args), where = door.where(),
    services = given.services or "optional", changes = given.changes ~= false }
end

local function sorted(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function help_of(arg)
  local text = arg.help
  if arg.choices then text = text .. " [" .. table.concat(arg.choices, "|") .. "]" end
  if arg.default ~= nil then text = text .. " (" .. tostring(arg.default) .. ")" end
  if arg.required then text = text .. " (required)" end
  return text
end

-- For C: what there is, sorted by name.
function door.command_list()
  local list = {}
  for _, name in ipairs(sorted(commands)) do
    local c, args = commands[name], {}
    for _, key in ipairs(sorted(c.args)) do args[#args + 1] = { name = key, help = help_of(c.args[key]) } end
    list[#list + 1] = { name = name, help = c.help, services = c.services, changes = c.changes, args = args }
  end
  return list
end

local BOOLEANS = { ["1"] = true, ["true"] = true, yes = true, on = true, [""] = true,
  ["0"] = false, ["false"] = false, no = false, off = false }

local function number_of(text, arg)
  local n = tonumber(text)
  if not n or n ~= n then return nil, "must be a number, got \"" .. text .. "\"" end
  if arg.min and n < arg.min then return nil, string.format("must be at least %s, got %s", arg.min, text) end
  if arg.max and n > arg.max then return nil, string.format("must be at most %s, got %s", arg.max, text) end
  return n
end

local function boolean_of(text)
  local value = BOOLEANS[text:lower()]
  if value == nil then return nil, "must be true or false, got \"" .. text .. "\"" end
  return value
end

local function value_of(text, arg)
  local value, message = text, nil
  if arg.type == "number" then value, message = number_of(text, arg) end
  if arg.type == "boolean" then value, message = boolean_of(text) end
  if value == nil or not arg.choices then return value, message end
  for _, choice in ipairs(arg.choices) do
    if value == choice or text == tostring(choice) then return value end
  end
  return nil, string.format("must be %s, got \"%s\"", table.concat(arg.choices, " or "), text)
end

-- The arguments as the command wants them; nil and a message when one makes no sense.
local function check(command, given)
  local args = {}
  for key, text in pairs(given) do
    local arg = command.args[key]
    if not arg then return nil, string.format("there is no argument \"%s\"", key) end
    local value, message = value_of(text, arg)
    if value == nil then return nil, key .. ": " .. message end
    args[key] = value
  end
  for key, arg in pairs(command.args) do
    if args[key] == nil then
      if arg.required then return nil, key .. ": is required" end
      args[key] = arg.default
    end
  end
  return args
end

local Request = { __index = {}, __metatable = "request" }

--- Sends text to the caller now. Waits while he has yet to take a lot. An answer in JSON is kept until the end: 4 MB at
--- most.
function Request.__index:write(text, ...)
  local id = rawget(self, "id")
  raw.write(id, select("#", ...) > 0 and string.format(text, ...) or tostring(text))
end

-- What a command returns: false (or nil) and why it failed, a table, or whatever a person may read.
local function finish(id, ok, value)
  if ok == false or (ok == nil and value ~= nil) then
    raw.finish(id, "failed", value == nil and "failed" or tostring(value), false)
  elseif type(ok) == "table" then
    local text, message = raw.encode(ok)
    if not text then error("the table it returned has no form in JSON: " .. message, 0) end
    raw.finish(id, "done", text .. "\n", true)
  else
    raw.finish(id, "done", ok ~= nil and ok ~= true and tostring(ok) or "", false)
  end
end

-- For C: starts a command; returns the number of its task.
function door.command(id, ask)
  local c = commands[ask.command]
  local args, message = check(c, ask.args)
  if not args then
    return raw.spawn("command " .. ask.command, function() raw.finish(id, "bad", message, false) end)
  end
  local services = {}
  for i, name in ipairs(ask.services) do services[i] = door.object(name) end
  local req = setmetatable({ id = id, command = ask.command, args = args, services = services, who = ask.who,
    peer = ask.peer, principal = ask.principal, format = ask.format }, Request)
  return raw.spawn(string.format("command %s (%s)", ask.command, c.where), function() finish(id, c.run(req)) end)
end

--- fm.authorize(function(req) return false, "not at night" end): may narrow who may do what;
--- req.command, req.peer, req.principal, req.services (names).
function fm.authorize(fn)
  door.expect("fm.authorize", 1, fn, "function")
  door.loading("fm.authorize")
  authorizers[#authorizers + 1] = fn
end

function door.authorizers() return #authorizers end

function door.authorize(ask)
  for _, fn in ipairs(authorizers) do
    local ok, reason = fn(ask)
    if ok == false then return false, reason and tostring(reason) end
  end
  return true
end
