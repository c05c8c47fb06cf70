fm.load("../../examples/lua/canary.lua")

local function three(t)
  local all, pids = {}, {}
  for i, name in ipairs{ "a", "b", "c" } do
    all[i] = t:service{ name = name }
    t:says(all[i], "ERROR of before")
    pids[i] = all[i].pid
  end
  return all, pids
end

fm.test("the first is watched, then the rest is restarted", function(t)
  local all, pids = three(t)
  local c = t:begin_command("canary", { services = all, watch = 20 })
  t:advance(15)
  t:says(all[1], "all is well")
  t:ok(all[1].pid ~= pids[1])
  t:eq({ all[2].pid, all[3].pid }, { pids[2], pids[3] })
  local r = c:result()
  t:ok(r.ok, r.text)
  t:ok(all[2].pid ~= pids[2] and all[3].pid ~= pids[3])
  t:ok(r.text:find("a is well (1/3)\nb is well (2/3)\nc is well (3/3)\n", 1, true), r.text)
end)

local function fails(t, services, options, message, trouble)
  local all, pids = three(t)
  options.services = services and { all[1], all[2] } or all
  local c = t:begin_command("canary", options)
  t:advance(5)
  trouble(all[1])
  local r = c:result()
  t:eq(r.outcome, "failed")
  t:ok(r.text:find(message, 1, true), r.text)
  t:eq({ all[2].pid, all[3].pid }, { pids[2], pids[3] })
end

fm.test("an error in its log ends it", function(t)
  fails(t, nil, {}, "a: it says: 12:00:05 ERROR no database; 2 not touched", function(a)
    t:says(a, "one\n12:00:05 ERROR no database")
  end)
end)

fm.test("what an error looks like can be said", function(t)
  fails(t, true, { bad = "^E%d+" }, "a: it says: E17; 1 not touched", function(a) t:says(a, "ERROR\nE17") end)
end)

fm.test("so does its end", function(t)
  fails(t, nil, { watch = 10 }, "a: it has ended: ", function(a) t:crash(a, { code = 1 }) end)
end)

fm.test("so does a start that fails", function(t)
  local all, pids = three(t)
  t:behave(all[1], { spawn_error = "EACCES" })
  local r = t:command("canary", { services = all })
  t:ok(r.outcome == "failed" and r.text:find("2 not touched", 1, true), r.text)
  t:eq(all[2].pid, pids[2])
end)
