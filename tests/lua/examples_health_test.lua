fm.load("../../examples/lua/health.lua")

local function web(t)
  local answer = { status = 200 }
  t:http(function(req)
    t:eq(req.url, "http://127.0.0.1:81/ok")
    answer.asked = (answer.asked or 0) + 1
    if answer.why then return nil, answer.why end
    return { status = answer.status }
  end)
  return t:service{ name = "web", vars = { health = "http://127.0.0.1:81/ok" } }, answer
end

fm.test("three times without an answer are enough", function(t)
  local svc, answer = web(t)
  t:advance(600)
  t:eq(svc.restarts, 0)
  answer.why = "timeout"
  t:advance(25)
  t:eq(svc.restarts, 0)
  t:advance(10)
  t:wait(svc, "up")
  t:eq(svc.restarts, 1)
  t:ok(t:logged("http://127.0.0.1:81/ok: timeout; restarted"))
  t:advance(40)
  t:eq(svc.restarts, 1, "it gets time to begin")
end)

fm.test("twice and well again are not; 404 is an answer, 500 is none", function(t)
  local svc, answer = web(t)
  t:advance(35)
  for _ = 1, 10 do
    answer.status = 500
    t:advance(20)
    answer.status = 404
    t:advance(10)
  end
  t:eq(svc.restarts, 0)
  answer.status = 503
  t:advance(35)
  t:eq(svc.restarts, 1)
  t:ok(t:logged("status 503; restarted"))
end)

fm.test("who does not run is not asked", function(t)
  local svc, answer = web(t)
  t:stop(svc)
  t:advance(600)
  t:eq(answer.asked, nil)
end)
