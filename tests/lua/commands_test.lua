-- The ready-made commands of lua/commands.lua.

fm.test("rolling: one after the other, each up before the next", function(t)
  local all, pids = {}, {}
  for _, name in ipairs{ "a", "b", "c" } do all[#all + 1] = t:service{ name = name } end
  for _, svc in ipairs(all) do pids[svc.name] = svc.pid end
  local r = t:command("rolling", { services = all, pause = 5 })
  t:ok(r.ok)
  for _, svc in ipairs(all) do
    t:ok(svc.pid ~= pids[svc.name] and svc.state == "up", svc.name)
    local up = t:events(svc, "up")
    pids[svc.name] = up[#up].time
  end
  t:ok(pids.b >= pids.a + 5 and pids.c >= pids.b + 5, "with the pause between")
end)

fm.test("rolling: stops at the first failure", function(t)
  local a = t:service{ name = "a" }
  local b = t:service{ name = "b" }
  local c = t:service{ name = "c" }
  local pid = c.pid
  t:behave(b, { spawn_error = "EACCES" })
  local r = t:command("rolling", { services = { a, b, c } })
  t:eq(r.outcome, "failed")
  t:ok(r.text:find("b: ", 1, true) and r.text:find("1 not touched", 1, true), r.text)
  t:eq(c.pid, pid)
end)

fm.test("drain: a signal, time to finish, then stop", function(t)
  local web = t:service{ name = "web", behave = { ignores = { "USR1" } } }
  local r = t:command("drain", { services = { web }, grace = 20 })
  t:ok(r.ok)
  t:eq(r.text, "web drained\n")
  local sent, down = t:events(web, "signal")[1], t:events(web, "down")
  t:eq(sent.signal, "SIGUSR1")
  t:near(down[#down].time - sent.time, 20, 0.5)
  t:state(web, "down")
end)

fm.test("drain: without a signal; a negative time makes no sense", function(t)
  local web = t:service{ name = "web" }
  t:eq(t:command("drain", { services = { web }, grace = -1 }).outcome, "bad")
  t:state(web, "up")
  t:ok(t:command("drain", { services = { web }, grace = 0, signal = "" }).ok)
  t:eq(#t:events(web, "signal"), 0)
end)

fm.test("signal: by name, to those that run", function(t)
  local web = t:service{ name = "web", behave = { ignores = { "HUP" } } }
  t:ok(t:command("signal", { services = { web }, name = "HUP" }).ok)
  t:eq(t:events(web, "signal")[1].signal, "SIGHUP")
  t:stop(web)
  local r = t:command("signal", { services = { web }, name = "HUP" })
  t:eq(r.outcome, "failed")
  t:ok(r.text:find("web: it does not run", 1, true))
  t:eq(t:command("signal", { services = { web } }).outcome, "bad")
end)

fm.test("top: a line for each service", function(t)
  local a, b = t:service{ name = "a" }, t:service{ name = "b" }
  local r = t:command("top", { services = { a, b }, over = 0.5 })
  t:ok(r.ok)
  t:ok(r.text:find("^NAME") and r.text:find("\na ") and r.text:find("\nb "), r.text)
  t:eq(#t:command("top", { services = { a, b }, format = "json" }).json.services, 2)
end)
