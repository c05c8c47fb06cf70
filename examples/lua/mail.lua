-- Mails what needs a person: a service that has failed, and that it is up again; what happens within a minute comes in
-- one mail. In conf.json: "vars": { "mail": "ops@example.com" }. It is sent by sendmail, which has to be there.

local GATHER = 60   -- seconds
local lines, failed = {}, {}

local function send()
  local text = table.concat(lines, "\n")
  lines = {}
  local r, why = fm.exec { "/usr/sbin/sendmail", "-t", timeout = 60, input = string.format(
    "To: %s\nSubject: [%s] %s: services need a person\n\n%s\n", fm.vars.mail, fm.hostname, fm.env, text) }
  if not r or r.code ~= 0 then
    fm.log.error("the mail could not be sent (%s); it said:\n%s", why or r.stderr, text)
  end
end

local function tell(ev, text)
  if not fm.vars.mail then return end
  if #lines == 0 then fm.after(GATHER, send) end
  lines[#lines + 1] = os.date("%H:%M:%S ", math.floor(ev.time)) .. ev.service .. " " .. text
end

fm.on("failed", function(ev)
  local svc = fm.service(ev.service)
  local exit = svc and svc.last_exit
  failed[ev.service] = true
  tell(ev, "has failed: " .. ev.reason .. (exit and "\n    " .. table.concat(exit.tail, "\n    ") or ""))
end)

fm.on("up", function(ev)
  if failed[ev.service] then tell(ev, "is up again") end
  failed[ev.service] = nil
end)
