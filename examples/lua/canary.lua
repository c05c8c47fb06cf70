-- fota_monitor -env prod -canary web1,web2,web3 watch=60: restarts the first, watches its log and whether it stays up,
-- and only then restarts the rest, one by one. The first sign of trouble ends it: the rest goes on as it was.

-- What is wrong with a service that was restarted when its log ended at `at`; nil: it is well.
local function trouble(svc, at, args)
  local pid, lines = svc.pid, nil
  for _ = 1, args.watch do
    fm.sleep(1)
    lines, at = svc:log(nil, at)
    for _, line in ipairs(lines) do
      if line:find(args.bad) then return "it says: " .. line end
    end
    if svc.pid ~= pid then return "it has ended: " .. svc.last_exit.reason end
  end
end

fm.command { name = "canary", help = "restart one, watch its log, then the rest", services = "required", args = {
    watch = { type = "number", default = 30, min = 1, help = "seconds to watch the first" },
    bad = { default = "ERROR", help = "a Lua pattern that no line may have" } },
  run = function(req)
    for i, svc in ipairs(req.services) do
      local _, at = svc:log(0)
      local ok, why = svc:restart(60)
      if ok and i == 1 then
        req:write("%s is up, pid %d; watching its log for %g s\n", svc.name, svc.pid, req.args.watch)
        why = trouble(svc, at, req.args)
      end
      if why then return false, string.format("%s: %s; %d not touched", svc.name, why, #req.services - i) end
      req:write("%s is well (%d/%d)\n", svc.name, i, #req.services)
    end
  end }
