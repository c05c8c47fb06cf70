fm.load("../../examples/lua/night.lua")

local function three(t)
  local all = {}
  for i, name in ipairs{ "a", "b", "c" } do
    all[i] = t:service{ name = name, vars = { memory_mb = 100 } }
    t:uses(all[i], { memory = name == "b" and 90e6 or 200e6 })
  end
  return table.unpack(all)
end

fm.test("at half past three those that have grown are restarted, one after the other", function(t)
  local a, b, c = three(t)
  local free = t:service{ name = "free" }
  t:uses(free, { memory = 9e9 })
  t:advance(15.4 * 3600)
  t:eq(a.restarts + c.restarts, 0)
  t:advance(600)
  t:eq({ a.restarts, b.restarts, c.restarts, free.restarts }, { 1, 0, 1, 0 })
  local first, second = t:events(a, "up")[2].time, t:events(c, "starting")[2].time
  t:ok(second >= first + 30, "with a pause between")
  t:ok(t:logged("c uses 191 MB and is restarted"))
  t:advance(86400)
  t:eq(a.restarts, 1, "what they use now is not known")
end)

fm.test("one that does not come back ends it", function(t)
  local a, _, c = three(t)
  t:behave(a, { spawn_error = "ENOENT" })
  t:advance(16 * 3600)
  t:eq(c.restarts, 0)
  t:ok(t:logged("the others are left alone tonight"))
end)
