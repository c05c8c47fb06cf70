fm.load("../../examples/lua/hosts.lua")

local conf = { port = 1000, svrs = { web = { cmd = "bin/web", stop = { timeout = 5 } }, db = "bin/db" } }

local function with_hosts(hosts)
  local copy = { port = conf.port, svrs = { web = { cmd = "bin/web", stop = { timeout = 5 } }, db = "bin/db" } }
  copy.vars = { hosts = hosts }
  return copy
end

fm.test("what is meant for this host is laid over", function(t)
  local out = t:overlay("test", with_hosts{
    [fm.hostname] = { port = 2000, svrs = { web = { stop = { signal = "INT" } }, db = { cmd = "bin/db -x" } } } })
  t:eq(out.port, 2000)
  t:eq(out.svrs, { web = { cmd = "bin/web", stop = { timeout = 5, signal = "INT" } }, db = { cmd = "bin/db -x" } })
end)

fm.test("a * stands for letters, longer names come later, false takes out", function(t)
  local first = fm.hostname:sub(1, 1)
  local out = t:overlay("test", with_hosts{ ["*"] = { port = 2000, svrs = { db = false, cron = "bin/cron" } },
    [fm.hostname] = { port = 4000 }, [first .. "*"] = { port = 3000, bind = { "127.0.0.1" } } })
  t:eq({ out.port, out.bind, out.svrs.db, out.svrs.cron }, { 4000, { "127.0.0.1" }, nil, "bin/cron" })
end)

fm.test("what is meant for others is left alone", function(t)
  local out = t:overlay("test", with_hosts{ ["x" .. fm.hostname] = { port = 2000 }, [fm.hostname .. "x*"] = { port = 3000 },
    [fm.hostname:gsub(".", "%%.")] = { port = 4000 }, ["%w*"] = { port = 5000 } })
  t:eq(out.port, 1000)
  t:eq(out.svrs, conf.svrs)
  t:eq(t:overlay("test", { svrs = { web = "bin/web" } }).svrs, { web = "bin/web" })
end)
