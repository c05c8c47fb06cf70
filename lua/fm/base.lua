-- The fm table: what all parts of it share. Each file here is called with the functions
-- of C (raw), the table scripts see (fm) and the one through which C comes in (door).
local raw, fm, door = ...

fm.env = raw.env
fm.hostname = raw.hostname
fm.version = raw.version
fm.home = raw.home

-- The place of a call: level 1 is whoever called the function of fm.
function door.where(level)
  return raw.where((level or 1) + 2)
end

-- Raises an error at the caller of the function of fm that was used wrongly.
function door.wrong(text, ...)
  error(string.format(text, ...), 3)
end

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function" or (type(meta) == "table" and meta.__call ~= nil)
end

function door.expect(call, n, value, kind)
  local ok = kind == "function" and is_callable(value) or type(value) == kind
  if not ok then
    error(string.format("bad argument #%d to '%s' (%s expected, got %s)", n, call, kind, type(value)), 3)
  end
end

-- What a file defines is looked at once, when all files are loaded.
function door.loading(call)
  if raw.acting() or door.in_overlay then error(call .. ": stands at the top of a file, not in what is called later", 3) end
end

-- An options table must not have keys that nobody reads: they are typing errors.
function door.keys(call, options, known)
  for key in pairs(options) do
    if type(key) ~= "number" and not known[key] then
      local names = {}
      for name in pairs(known) do names[#names + 1] = name end
      table.sort(names)
      error(string.format("%s: there is no \"%s\"; there are %s", call, tostring(key), table.concat(names, ", ")), 3)
    end
  end
end

--- Seconds on a clock that never jumps: for intervals.
function fm.now() return raw.now() end

--- Seconds since 1970, with fractions: for people and for comparing with dates. May jump.
function fm.time() return raw.time() end

-- For C: what is defined from now on may replace what was.
function door.let_replace() door.may_replace = true end

fm.log = {}
for _, level in ipairs { "debug", "info", "warn", "error" } do
  --- fm.log.info("%s has %d", name, n): a line in the monitor's own log.
  fm.log[level] = function(text, ...)
    raw.log_line(level, select("#", ...) > 0 and string.format(text, ...) or tostring(text))
  end
end

-- print and warn are lines in the log too, where a tab would be shown as \x09.
for name, way in pairs { print = { "info", " " }, warn = { "warn", "" } } do
  door[name] = function(...)
    local texts = table.pack(...)
    for i = 1, texts.n do texts[i] = tostring(texts[i]) end
    raw.log_line(way[1], table.concat(texts, way[2]))
  end
end

fm.json = {
  --- What stands for null in decoded values, and to be encoded.
  null = raw.null,
  --- The value as JSON text; nil and a message when it has no form in JSON.
  encode = function(value) return raw.encode(value) end,
  --- The value of a JSON text; nil and a message when it is none.
  decode = function(text)
    door.expect("fm.json.decode", 1, text, "string")
    return raw.decode(text)
  end,
}

-- What scripts get: a view of fm that can be read and not written to.
local function view(of)
  local shown = {}
  for key, value in pairs(of) do
    shown[key] = type(value) == "table" and getmetatable(value) == nil and view(value) or nil
  end
  return setmetatable({}, {
    __index = function(_, key)
      if shown[key] ~= nil then return shown[key] end
      local value = of[key]
      if value == nil and of == fm and key == "vars" then return raw.vars() end
      return value
    end,
    __newindex = function(_, key) error(string.format("fm.%s can't be set", tostring(key)), 2) end,
    __pairs = function()
      return function(_, key)
        local next_key = next(of, key)
        return next_key, shown[next_key] or of[next_key]
      end, nil, nil
    end,
    __metatable = "fm",
  })
end

-- Called when all parts are there.
function door.finish_library()
  door.fm = view(fm)
end
