fm.load("../../examples/lua/secrets.lua")

local function with_file(t, text)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  file:flush()
  local ok, out = pcall(t.overlay, t, "test", { svrs = { web = { cmd = "bin/web", env = { A = "1" }, vars = { secrets = path } },
    db = "bin/db", api = { cmd = "bin/api" } } })
  os.remove(path)
  return ok, out, path
end

fm.test("the lines of the file are in the environment", function(t)
  local ok, out = with_file(t, "# of the database\nPASSWORD=p w=d \n\n  QUOTED=\"a b\"\nSINGLE='x'\nEMPTY=\n")
  t:ok(ok, out)
  t:eq(out.svrs.web.env, { A = "1", PASSWORD = "p w=d", QUOTED = "a b", SINGLE = "x", EMPTY = "" })
  t:eq({ out.svrs.db, out.svrs.api }, { "bin/db", { cmd = "bin/api" } })
end)

fm.test("a line that is none is told without what is in it", function(t)
  local ok, message, path = with_file(t, "A=b\nhunter2\n")
  t:eq({ ok, message }, { false, "secrets: " .. path .. ":2: NAME=VALUE is expected" })
end)

fm.test("a file that can't be read is an error", function(t)
  t:raises(function() t:overlay("test", { svrs = { web = { cmd = "x", vars = { secrets = "/nonexistent/s" } } } }) end,
    "secrets: /nonexistent/s: No such file or directory")
  t:raises(function() t:overlay("test", { svrs = { web = { cmd = "x", vars = { secrets = "/dev/null" } } } }) end,
    "secrets: /dev/null: no regular file")
end)
