-- fota_monitor -env prod -grep web,api pattern=ERROR follow=60: those lines of several logs that have a pattern, of the
-- last ones of each, and then, for so many seconds, as they come.

fm.command { name = "grep", help = "lines of several logs that have a pattern", changes = false, args = {
    pattern = { required = true, help = "a Lua pattern, or a plain text with plain=1" },
    plain = { type = "boolean", default = false, help = "the pattern is a plain text" },
    lines = { type = "number", default = 1000, min = 0, max = 10000, help = "so many lines back" },
    follow = { type = "number", default = 0, min = 0, max = 86400, help = "seconds to follow" } },
  run = function(req)
    local width, at, found = 0, {}, 0
    for _, svc in ipairs(req.services) do width = math.max(width, #svc.name) end
    local function show(svc, lines)
      for _, line in ipairs(lines) do
        if line:find(req.args.pattern, 1, req.args.plain) then
          found = found + 1
          req:write("%s%s | %s\n", svc.name, (" "):rep(width - #svc.name), line)
        end
      end
    end
    for _, svc in ipairs(req.services) do
      local lines
      lines, at[svc] = svc:log(req.args.lines // 1)
      show(svc, lines)
    end
    local ends = fm.now() + req.args.follow
    while fm.now() < ends do
      fm.sleep(0.2)
      for _, svc in ipairs(req.services) do
        local lines
        lines, at[svc] = svc:log(nil, at[svc])
        show(svc, lines)
      end
    end
    if found == 0 then return false, "no line has it" end
  end }
