-- Events, timers and tasks.
local raw, fm, door = ...

local handlers = {} -- by kind

--- fm.on("exit", function(ev) ... end): each time it happens, in a task of its own. "*": everything.
function fm.on(kind, fn)
  door.expect("fm.on", 1, kind, "string")
  door.expect("fm.on", 2, fn, "function")
  raw.subscribe(kind)
  handlers[kind] = handlers[kind] or {}
  table.insert(handlers[kind], { fn = fn, what = string.format("handler of \"%s\" (%s)", kind, door.where()) })
end

local function start(list, ev)
  for _, h in ipairs(list or {}) do
    local own = {}
    for key, value in next, ev do own[key] = value end
    raw.spawn(h.what, h.fn, own)
  end
end

function door.event(ev)
  start(handlers[ev.kind], ev)
  start(handlers["*"], ev)
end

local Timer = { __index = {}, __metatable = "timer" }

--- No more: whether it was still to come. What runs already goes on.
function Timer.__index:cancel() return raw.cancel_timer(self.raw) end

local function timer(made) return setmetatable({ raw = made }, Timer) end

--- Once, in so many seconds.
function fm.after(seconds, fn)
  door.expect("fm.after", 1, seconds, "number")
  door.expect("fm.after", 2, fn, "function")
  return timer(raw.after(seconds, fn, "timer of " .. door.where()))
end

--- Again and again, every so many seconds; left out while the last one still runs.
function fm.every(seconds, fn)
  door.expect("fm.every", 1, seconds, "number")
  door.expect("fm.every", 2, fn, "function")
  return timer(raw.every(seconds, fn, "timer of " .. door.where()))
end

--- fm.cron("0 3 * * *", fn): minute, hour, day of month, month, day of week, in local time.
function fm.cron(text, fn)
  door.expect("fm.cron", 1, text, "string")
  door.expect("fm.cron", 2, fn, "function")
  return timer(raw.cron(text, fn, "cron \"" .. text .. "\" of " .. door.where()))
end

--- fm.sleep(seconds): waits; the monitor goes on meanwhile.
fm.sleep = raw.sleep

local Task = { __index = {}, __metatable = "task" }

-- Its end, and how: nothing is raised in here.
function Task:__close(message)
  self.ended = true
  self.message = message ~= nil and (type(message) == "string" and message or type(message)) or nil
end

local function run(task, fn, ...)
  local ending <close> = task
  fn(...)
end

local function spawn(what, fn, ...)
  local task = setmetatable({}, Task)
  task.id = raw.spawn(what, run, task, fn, ...)
  return task
end

--- It stops at its next wait: whether it was still there.
function Task.__index:cancel() return raw.cancel_task(self.id) end

--- Waits for its end: true, or nil and what it raised, or "timeout".
function Task.__index:join(timeout)
  local ok, message = true, nil
  if not self.ended then ok, message = raw.join(self.id, timeout) end
  if not ok then return nil, message end
  if not self.ended then return nil, "it was stopped" end -- over its budget
  if self.message then return nil, self.message end
  return true
end

--- Runs fn(...) beside this task. A task of a command ends with the command.
function fm.spawn(fn, ...)
  door.expect("fm.spawn", 1, fn, "function")
  return spawn("task of " .. door.where(), fn, ...)
end

--- Runs fn(item) for all items of a list at once and waits for all of them: true, or nil and the first message, of
--- those that raised an error or returned nil (or false) and a message.
function fm.parallel(list, fn)
  door.expect("fm.parallel", 1, list, "table")
  door.expect("fm.parallel", 2, fn, "function")
  local what, tasks, failed, n = "task of " .. door.where(), {}, {}, 0
  for i, item in ipairs(list) do
    n = i
    tasks[i] = spawn(what, function()
      local done, ok, message = pcall(fn, item)
      failed[i] = not done and ok or (not ok and message) or nil
    end)
  end
  for i = 1, n do
    local ok, message = tasks[i]:join()
    failed[i] = failed[i] or (not ok and message) or nil
  end
  for i = 1, n do
    if failed[i] then return nil, failed[i] end
  end
  return true
end
