fm.load("../../examples/lua/mail.lua")

local function post(t, code)
  local mails = {}
  t:config{ vars = { mail = "ops@example.com" } }
  t:exec(function(args)
    t:eq({ args[1], args[2] }, { "/usr/sbin/sendmail", "-t" })
    mails[#mails + 1] = args.input
    return { code = code or 0, stderr = "no way out" }
  end)
  return mails
end

fm.test("services that have failed within a minute come in one mail, with their last words", function(t)
  local a = t:service{ name = "a", policy = "never" }
  local b = t:service{ name = "b", policy = "never" }
  local mails = post(t)
  t:crash(a, { code = 3, says = "no database" })
  t:advance(30)
  t:eq(#mails, 0)
  t:crash(b, { code = 4 })
  t:start(a)
  t:advance(31)
  t:eq(#mails, 1)
  for _, text in ipairs{ "To: ops@example.com\n", ": services need a person\n\n", "12:00:00 a has failed: ", "\n    no database\n",
    " b has failed: ", " a is up again\n" } do
    t:ok(mails[1]:find(text, 1, true), mails[1])
  end
  t:advance(600)
  t:eq(#mails, 1)
  t:restart(a)
  t:advance(100)
  t:eq(#mails, 1, "it had not failed")
end)

fm.test("a mail that can't be sent is in the log; without an address there is none", function(t)
  local a = t:service{ name = "a", policy = "never" }
  t:crash(a)
  t:advance(100)
  t:start(a)
  local mails = post(t, 75)
  t:crash(a)
  t:advance(100)
  t:eq(#mails, 1)
  t:ok(t:logged("could not be sent (no way out); it said:"))
end)
