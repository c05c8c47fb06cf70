-- Helper processes and HTTP.
local raw, fm, door = ...

local EXEC_KEYS = { timeout = true, max = true, input = true, dir = true }
local HTTP_KEYS = { url = true, method = true, headers = true, body = true, timeout = true, max = true,
  insecure = true, ca = true }

--- fm.exec{ "df", "-h", timeout = 5 }: r.code or r.signal, r.stdout, r.stderr, r.timed_out,
--- r.truncated; nil and a message when it could not be started. No shell is between.
function fm.exec(given)
  door.expect("fm.exec", 1, given, "table")
  door.keys("fm.exec", given, EXEC_KEYS)
  local options = {} -- nothing of the script's own is called while they are read
  for key, value in next, given do options[key] = value end
  return raw.exec(options)
end

local function header_lines(given)
  local lines = {}
  for key, value in pairs(given or {}) do
    lines[#lines + 1] = type(key) == "number" and tostring(value) or key .. ": " .. tostring(value)
  end
  for _, line in ipairs(lines) do
    if line:find("[\r\n]") then error("fm.http: headers: a line break in a header", 3) end
  end
  return lines
end

--- fm.http{ url =, method =, headers = { name = value }, body =, timeout =, max =, insecure =, ca = }:
--- r.status, r.body, r.headers (names in lower case); nil and a message when there is no answer.
function fm.http(given)
  door.expect("fm.http", 1, given, "table")
  door.keys("fm.http", given, HTTP_KEYS)
  local options = {}
  for key, value in next, given do options[key] = value end
  if given.headers ~= nil and type(given.headers) ~= "table" then
    door.wrong("fm.http: headers: a table expected, got a %s", type(given.headers))
  end
  options.headers = header_lines(given.headers)
  return raw.http(options)
end
