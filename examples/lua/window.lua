-- A maintenance window: a service that ends in it is started again when it is over, and until then nobody starts or
-- restarts it by mistake. In conf.json: "policy": { "name": "window", "from": "02:00", "to": "04:30" } of the service.

local function minutes(text)
  local h, m = text:match("^(%d%d?):(%d%d)$")
  return h and h * 60 + m or error("window: a time such as 02:30 is expected, got " .. text, 0)
end

-- Seconds until the window is over; nil outside of it. One from 23:00 to 01:00 is over tomorrow.
local function remaining(params)
  local from, to, now = minutes(params.from), minutes(params.to), os.date("*t")
  local at = now.hour * 60 + now.min
  local length, since = (to - from) % 1440, (at - from) % 1440
  if since >= length then return nil end
  now.min, now.sec, now.isdst = now.min + length - since, 0, nil -- whatever the clock is changed to
  return os.time(now) - os.time()
end

-- Outside of the window: the core's own.
fm.policy("window", function(_, _, params)
  local left = remaining(params)
  if left then return fm.restart(left, "maintenance until " .. params.to) end
end)

fm.authorize(function(req)
  if not req.command:find("start$") then return end -- start, restart, grestart
  for _, name in ipairs(req.services) do
    local policy = fm.service(name).conf.policy
    if policy and policy.name == "window" and remaining(policy) then
      return false, name .. " is under maintenance until " .. policy.to
    end
  end
end)
