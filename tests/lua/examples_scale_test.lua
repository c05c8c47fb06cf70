fm.load("../../examples/lua/scale.lua")

fm.test("as many copies as are asked for, each with its number", function(t)
  local out = t:overlay("test", { svrs = { web = "bin/web", api = { cmd = "bin/api {n}" },
    worker = { cmd = "bin/run -p {port} -n {n}", env = { NAME = "w{n} of {name}" }, log = "run.{n}.log",
      vars = { copies = 2, port = 9000 } } } })
  t:eq({ out.svrs.web, out.svrs.api, out.svrs.worker }, { "bin/web", { cmd = "bin/api {n}" }, nil })
  t:eq(out.svrs["worker-2"], { cmd = "bin/run -p 9001 -n 2", env = { NAME = "w2 of {name}" }, log = "run.2.log",
    vars = { copies = 2, port = 9000 } })
  t:eq(out.svrs["worker-3"], nil)
end)

fm.test("without a log of their own each gets one; none is as good as no service", function(t)
  local out = t:overlay("test", { svrs = { w = { cmd = "bin/w", vars = { copies = 1 } }, v = { cmd = "v", vars = { copies = 0 } } } })
  t:eq(out.svrs, { ["w-1"] = { cmd = "bin/w", log = "fota_monitor.w-1.log", vars = { copies = 1 } } })
end)
