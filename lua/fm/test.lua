-- Tests of scripts in simulated time: fm.test.
local raw, fm, door = ...
local cases = {}

--- fm.test("it backs off", function(t) ... end): run by `fota_monitor -test FILES`.
function fm.test(name, fn)
  door.expect("fm.test", 1, name, "string")
  door.expect("fm.test", 2, fn, "function")
  door.loading("fm.test")
  cases[#cases + 1] = { name = name, fn = fn, where = door.where() }
end

-- For C, in simulations: how many there are; name and place of one; what it runs with.
function door.test_count() return #cases end
function door.test_case(i) return cases[i].name, cases[i].where end
function door.test_run(i) cases[i].fn(door.t) end

-- For C, in simulations: runs lua/fm/sim.lua, which makes door.t.
function door.test_open(chunk, sim) chunk(raw, fm, door, sim) end

door.finish_library()
