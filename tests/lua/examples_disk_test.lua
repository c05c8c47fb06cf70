fm.load("../../examples/lua/disk.lua")

local function begin(t)
  local disk = { used = 50, asked = 0 }
  t:config{ vars = { disk = { path = "/data", full = 95, free = 85 } } }
  t:exec(function(args)
    t:eq({ args[1], args[2], args[3] }, { "df", "-P", "/data" })
    disk.asked = disk.asked + 1
    if not disk.used then return { code = 1, stderr = "df: /data: No such file or directory" } end
    return { stdout = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 1000 " .. disk.used * 10 .. " " ..
      1000 - disk.used * 10 .. " " .. disk.used .. "% /data\n" }
  end)
  disk.a, disk.b = t:service{ name = "a", vars = { yields = true } }, t:service{ name = "b", vars = { yields = true } }
  disk.web = t:service{ name = "web" }
  return disk
end

fm.test("those that yield are stopped when it is full, and started when there is room", function(t)
  local disk = begin(t)
  t:stop(disk.b)
  t:advance(100)
  t:state(disk.a, "up")
  disk.used = 96
  t:advance(40)
  t:eq({ disk.a.state, disk.b.state, disk.web.state }, { "down", "down", "up" })
  t:ok(t:logged("disk: /data is 96 % full, a is stopped"))
  disk.used = 90
  t:advance(100)
  t:state(disk.a, "down")
  disk.used = 80
  t:advance(40)
  t:state(disk.a, "up")
  t:state(disk.b, "down")
end)

fm.test("what a person has started meanwhile is stopped again; a df that fails is said once", function(t)
  local disk = begin(t)
  disk.used = 99
  t:advance(40)
  t:start(disk.a)
  t:advance(40)
  t:state(disk.a, "down")
  disk.used = nil
  t:advance(100)
  t:ok(t:logged("disk: df /data: df: /data: No such file"))
  disk.used = 10
  t:advance(40)
  t:state(disk.a, "up")
end)

fm.test("without a word about it in conf.json nothing is asked", function(t)
  local disk = begin(t)
  t:config{ vars = {} }
  t:advance(100)
  t:eq(disk.asked, 0)
end)
