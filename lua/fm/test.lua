-- Tests of scripts in simulated time: fm.test.
local raw, fm, door = ...
local cases = {}

--- fm.test("it backs off", function(t) ... end): run by `fota_monitor -test FILES`.
function fm.test(name, fn)
  door.expect("fm.test", 1, name, "string")
  door.expect("fm.test", 2, fn, "function")
  cases[#cases + 1] = { name = name, fn = fn, where = door.where() }
end

function door.test_count() return #cases end

door.finish_library()
