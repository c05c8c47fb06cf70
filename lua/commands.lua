-- Admin commands ready to use: `fota_monitor -env test -rolling all`, or over HTTP
-- `/?command=rolling&service=all`. They are meant to be read and changed.

fm.command { name = "rolling", help = "restart services one after the other, each up before the next",
  services = "required", args = { pause = { type = "number", min = 0, default = 0, help = "seconds between two" } },
  run = function(req)
    for i, svc in ipairs(req.services) do
      if i > 1 then fm.sleep(req.args.pause) end
      local ok, why = svc:restart()
      if not ok then return false, string.format("%s: %s; %d not touched", svc.name, why, #req.services - i) end
      req:write("%s up, pid %d (%d/%d)\n", svc.name, svc.pid, i, #req.services)
    end
  end }

local function size(bytes)
  return bytes and string.format("%.1f M", bytes / 1048576) or "-"
end

-- A column is its title, its width (negative: to the left) and how its value is shown.
local COLUMNS = {
  { "NAME", -20, function(u) return u.name end }, { "PID", 8, function(u) return u.pid or "-" end },
  { "CPU%", 7, function(u) return u.cpu and string.format("%.1f", u.cpu) or "-" end },
  { "MEMORY", 10, function(u) return size(u.memory) end }, { "FDS", 6, function(u) return u.descriptors or "-" end },
}

local function line(cell)
  local cells = {}
  for i, c in ipairs(COLUMNS) do cells[i] = string.format("%" .. c[2] .. "s", cell(c)) end
  return table.concat(cells, " ") .. "\n"
end

fm.command { name = "top", help = "processor, memory and descriptors of services, the busiest first", changes = false,
  args = { over = { type = "number", min = 0.1, max = 60, default = 1, help = "seconds to measure" } },
  run = function(req)
    local before, used = {}, {}
    for _, svc in ipairs(req.services) do before[svc.name] = { pid = svc.pid, cpu = svc.cpu } end
    fm.sleep(req.args.over)
    for i, svc in ipairs(req.services) do
      local was, cpu = before[svc.name], svc.cpu
      local share = cpu and was.cpu and was.pid == svc.pid and (cpu - was.cpu) / req.args.over * 100 or nil
      used[i] = { name = svc.name, pid = svc.pid, cpu = share, memory = svc.memory, descriptors = svc.descriptors }
    end
    table.sort(used, function(a, b)
      local x, y = a.cpu or -1, b.cpu or -1
      if x ~= y then return x > y end
      return a.name < b.name
    end)
    if req.format == "json" then return { services = used } end
    req:write("%s", line(function(c) return c[1] end))
    for _, u in ipairs(used) do req:write("%s", line(function(c) return c[3](u) end)) end
  end }

fm.command { name = "signal", help = "send a signal to services", services = "required",
  args = { name = { required = true, help = "such as USR1" } },
  run = function(req)
    local failed = {}
    for _, svc in ipairs(req.services) do
      local ok, why = svc:signal(req.args.name)
      if not ok then failed[#failed + 1] = svc.name .. ": " .. why end
    end
    if #failed > 0 then return false, table.concat(failed, "; ") end
  end }

fm.command { name = "drain", help = "take services out gently: a signal, time to finish, then stop", services = "required",
  args = { grace = { type = "number", min = 0, default = 5, help = "seconds to wait" },
    signal = { default = "USR1", help = "what tells them to take no more work; \"\": none" } },
  run = function(req)
    local ok, why = fm.parallel(req.services, function(svc)
      if req.args.signal ~= "" and svc.state == "up" then svc:signal(req.args.signal) end
      fm.sleep(req.args.grace)
      assert(svc:stop())
      req:write("%s drained\n", svc.name)
    end)
    if not ok then return false, why end
  end }
