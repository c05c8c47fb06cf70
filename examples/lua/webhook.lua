-- Tells a web hook when a service has crashed, with the last lines of its console. Of one that crashes again and again
-- it tells once in ten minutes, with how often that was. In conf.json: "vars": { "webhook": "https://hooks.example/x" }

local QUIET = 600 -- seconds
local told = {}   -- by service: when, and the crashes since

local function post(url, what)
  local why
  for try = 1, 3 do
    local r, message = fm.http { url = url, body = fm.json.encode(what), timeout = 10,
      headers = { ["Content-Type"] = "application/json" } }
    if r and r.status < 300 then return end
    why = message or "it answers " .. r.status
    if try < 3 then fm.sleep(5 * try) end
  end
  fm.log.error("the web hook was not told of %s: %s", what.service, why)
end

fm.on("exit", function(ev)
  local url = fm.vars.webhook
  if not url or not ev.failures or ev.code == 0 then return end -- without failures somebody has asked for its end
  local t = told[ev.service] or { at = -QUIET, crashes = 0 }
  told[ev.service] = t
  t.crashes = t.crashes + 1
  if fm.now() - t.at < QUIET then return end
  local svc, crashes = fm.service(ev.service), t.crashes
  t.at, t.crashes = fm.now(), 0
  post(url, { host = fm.hostname, env = fm.env, service = ev.service, reason = ev.reason, crashes = crashes,
    console = svc and svc:log(10) })
end)
