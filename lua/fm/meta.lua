---@meta
-- What editors with LuaLS (https://luals.github.io) complete and check. Nobody runs this file. In the folder with conf/
-- and lua/ it is found by itself; elsewhere: "workspace.library": [".../lua/fm"] in .luarc.json.

---@alias fm.state "down"|"waiting"|"starting"|"up"|"stopping"|"failed"
---@alias fm.kind fm.state|"exit"|"spawn_fail"|"decision"|"command"|"config"|"adopt"|"signal"|"cleanup"|"audit"|"log"|"monitor"|"*"

---How a process ended: what policies get, and svc.last_exit.
---@class fm.exit
---@field code integer? exit code; nil when a signal ended it, or it is not known
---@field signal string? "SIGSEGV"
---@field core boolean whether it left a core dump
---@field uptime number seconds it ran
---@field at number seconds since 1970
---@field reason string in words
---@field requested boolean somebody has asked for it
---@field started boolean false: it could not be started
---@field tail string[] its last lines
---@field cpu number? seconds of processor time
---@field max_rss integer? bytes of memory at most

---@class fm.service_conf
---@field name string
---@field cmd string
---@field dir string?
---@field environ string?
---@field env table<string, string>
---@field user string?
---@field group string?
---@field umask integer?
---@field autostart boolean
---@field essential boolean
---@field stop { signal: string, timeout: number, scope: "group"|"parent" }
---@field graceful { signal: string, timeout: number }
---@field log string?
---@field policy table? its name and parameters

---@class fm.svc
---@field name string
---@field state fm.state
---@field wanted boolean whether it is to be up
---@field pid integer? nil without a process
---@field uptime number seconds; 0 without a process
---@field restarts integer processes started after one that ended
---@field failures integer ends in a row that nobody asked for
---@field last_exit fm.exit? nil before its first end
---@field conf fm.service_conf
---@field policy string "core" without one
---@field vars table its vars; what a script puts there stays until -reload
---@field cpu number? seconds of processor time of its process
---@field memory integer? bytes its process uses
---@field descriptors integer? files its process has open
local svc = {}

---Starts it and waits until it is up.
---@param timeout number? seconds
---@return true? ok
---@return string? why not
function svc:start(timeout) end

---Stops it and waits until it is down.
---@param timeout number? seconds
---@return true? ok
---@return string? why not
function svc:stop(timeout) end

---Stops and starts it, and waits until it is up.
---@param timeout number? seconds
---@return true? ok
---@return string? why not
function svc:restart(timeout) end

---Lets it restart itself by the signal of "graceful", and waits until it is up.
---@param timeout number? seconds
---@return true? ok
---@return string? why not
function svc:grestart(timeout) end

---@param name string "USR1"
---@return true? ok
---@return string? why not
function svc:signal(name) end

---Waits until it is in that state.
---@param state fm.state
---@param timeout number? seconds
---@return true? ok
---@return string? why not
function svc:wait(state, timeout) end

---The end of its console log; with a place, the whole lines that came since.
---@param lines integer? at most (20; 10000 with a place)
---@param since integer? the second result of an earlier call
---@return string[]? lines
---@return integer|string at the place behind them; why not
function svc:log(lines, since) end

---@class fm.event
---@field kind fm.kind
---@field seq integer
---@field cause integer the seq of what led to it; 0: nothing
---@field time number seconds since 1970
---@field reason string in words; maybe empty
---@field service string? its name
---@field pid integer?
---@field code integer?
---@field signal string?
---@field duration number? seconds it ran, or waits
---@field failures integer? in a row; nil: somebody asked for it

---@class fm.req
---@field command string
---@field args table<string, any>
---@field services fm.svc[]
---@field who string for people
---@field peer string address
---@field principal "local"|"token"|"anyone"
---@field format "text"|"json"
local req = {}

---Sends text to the caller now; formatted when more follows.
---@param text any
---@param ... any
function req:write(text, ...) end

---What fm.authorize asks about.
---@class fm.ask
---@field command string
---@field args table<string, string>
---@field services string[] names
---@field who string
---@field peer string
---@field principal "local"|"token"|"anyone"
---@field format "text"|"json"

---@class fm.argument
---@field help string?
---@field type "string"|"number"|"boolean"|nil
---@field default string|number|boolean|nil
---@field required boolean?
---@field min number?
---@field max number?
---@field choices (string|number)[]?

---@class fm.command_spec
---@field name string
---@field help string?
---@field services "required"|"optional"|"none"|nil
---@field args table<string, string|fm.argument>?
---@field changes boolean? false: it only reads
---@field run fun(req: fm.req): any, any

---@class fm.decision what a policy answers

---@class fm.timer
local timer = {}
---No more. What runs already goes on.
---@return boolean came whether it was still to come
function timer:cancel() end

---@class fm.task
local task = {}
---Its wait raises an error, and each further one.
---@return boolean ran whether it was still there
function task:cancel() end
---Waits for its end.
---@param timeout number? seconds
---@return true? ok
---@return string? why what it raised, or "timeout"
function task:join(timeout) end

---@class fm
---@field env string the env that was chosen
---@field hostname string
---@field home string the folder of conf/ and lua/
---@field version string
---@field vars table "vars" of the env; not while files are run
fm = {}

fm.log = {}
---A line in the monitor's own log; formatted when more follows.
---@param text any
---@param ... any
function fm.log.debug(text, ...) end
---@param text any
---@param ... any
function fm.log.info(text, ...) end
---@param text any
---@param ... any
function fm.log.warn(text, ...) end
---@param text any
---@param ... any
function fm.log.error(text, ...) end

---@class fm.json
---@field null userdata what stands for null
fm.json = {}
---@param value any
---@return string? text
---@return string? why not
function fm.json.encode(value) end
---@param text string
---@return any value nil when it is no JSON
---@return string? why not
function fm.json.decode(text) end

---Seconds on a clock that never jumps.
---@return number
function fm.now() end

---Seconds since 1970, with fractions.
---@return number
function fm.time() end

---Changes the configuration of an env, between conf.json and -conf.
---@param env string
---@param fn fun(conf: table, env: string)
---@overload fun(fn: fun(conf: table, env: string))
function fm.overlay(env, fn) end

---Decides what becomes of a service that has ended.
---@param name string
---@param fn fun(svc: fm.svc, exit: fm.exit, params: table): fm.decision?
function fm.policy(name, fn) end

---Start it again.
---@param after number? seconds
---@param reason string?
---@return fm.decision
function fm.restart(after, reason) end

---Leave it down.
---@param reason string?
---@return fm.decision
function fm.stop(reason) end

---Give up: it is failed, and needs a person.
---@param reason string?
---@return fm.decision
function fm.fail(reason) end

---@param spec fm.command_spec
function fm.command(spec) end

---May narrow who may do what: false, and why.
---@param fn fun(ask: fm.ask): boolean?, string?
function fm.authorize(fn) end

---@param kind fm.kind
---@param fn fun(ev: fm.event)
function fm.on(kind, fn) end

---@param seconds number
---@param fn function
---@return fm.timer
function fm.after(seconds, fn) end

---@param seconds number at least 0.01
---@param fn function
---@return fm.timer
function fm.every(seconds, fn) end

---@param times string "0 3 * * *" or "@daily"
---@param fn function
---@return fm.timer
function fm.cron(times, fn) end

---@param seconds number
function fm.sleep(seconds) end

---Runs fn(...) beside this task.
---@param fn function
---@param ... any
---@return fm.task
function fm.spawn(fn, ...) end

---Runs fn(item) for all items at once and waits for all.
---@generic T
---@param list T[]
---@param fn fun(item: T): any, any
---@return true? ok
---@return string? why the first message
function fm.parallel(list, fn) end

---@param name string
---@return fm.svc?
function fm.service(name) end

---@param filter string|table<string, any>|fun(svc: fm.svc): any name with * and ?, facts, or a function; none: all
---@return fm.svc[]
---@overload fun(): fm.svc[]
function fm.services(filter) end

---@class fm.exec_spec
---@field [integer] string the program and its arguments
---@field timeout number? seconds (30)
---@field max integer? bytes of each output that are kept (1 MiB)
---@field input string? its stdin
---@field dir string? working folder

---@class fm.exec_result
---@field code integer?
---@field signal string?
---@field stdout string
---@field stderr string
---@field timed_out boolean
---@field truncated boolean

---@param spec fm.exec_spec
---@return fm.exec_result? r
---@return string? why it could not be started
function fm.exec(spec) end

---@class fm.http_spec
---@field url string
---@field method string?
---@field headers table? names to values, or a list of lines
---@field body string?
---@field timeout number? seconds (30)
---@field max integer? bytes of the answer (1 MiB)
---@field ca string? PEM file
---@field insecure boolean?

---@class fm.http_result
---@field status integer
---@field body string
---@field headers table<string, string> names in lower case

---@param spec fm.http_spec
---@return fm.http_result? r
---@return string? why there is no answer
function fm.http(spec) end

---A case for `fota_monitor -test`.
---@param name string
---@param fn fun(t: fm.t)
function fm.test(name, fn) end

---At the top of a test file: runs one more script. There is none elsewhere.
---@param path string relative to the file
function fm.load(path) end

---@alias fm.some fm.svc|string a service or its name

---@class fm.behaviour
---@field dies_after number?
---@field code integer?
---@field signal string?
---@field core boolean?
---@field says string?
---@field starts integer? for so many starts
---@field spawn_error string? "ENOENT"
---@field ignores string[]?
---@field hangs boolean?
---@field children integer?
---@field detached boolean?
---@field on table<string, { after: number?, code: integer?, heir: boolean? }>?

---What the cases of fm.test get.
---@class fm.t
local t = {}

---One more service, or a changed one, with the keys it has in conf.json. Waits until it is up.
---@param spec table
---@return fm.svc
function t:service(spec) end

---@param svc fm.some
function t:remove(svc) end

---Sets keys of the env.
---@param conf table
function t:config(conf) end

---@param svc fm.some
---@param timeout number?
---@return true? ok
---@return string? why not
function t:start(svc, timeout) end

---@param svc fm.some
---@param timeout number?
---@return true? ok
---@return string? why not
function t:stop(svc, timeout) end

---@param svc fm.some
---@param timeout number?
---@return true? ok
---@return string? why not
function t:restart(svc, timeout) end

---@param svc fm.some
---@param timeout number?
---@return true? ok
---@return string? why not
function t:grestart(svc, timeout) end

---Its process ends.
---@param svc fm.some
---@param how { code: integer?, signal: string?, core: boolean?, says: string?, cpu: number?, max_rss: integer? }?
function t:crash(svc, how) end

---Only SIGKILL ends its process from now on.
---@param svc fm.some
function t:hang(svc) end

---@param svc fm.some
---@param text string
function t:says(svc, text) end

---What its process needs, as svc.memory and the like tell.
---@param svc fm.some
---@param what { memory: number?, cpu: number?, descriptors: integer? }
function t:uses(svc, what) end

---How its processes are, from the next start on.
---@param svc fm.some
---@param how fm.behaviour
function t:behave(svc, how) end

---Lets time pass.
---@param seconds number
function t:advance(seconds) end

---@param svc fm.some
---@param state fm.state
---@param timeout number?
function t:wait(svc, state, timeout) end

---Until fn() is true.
---@param fn fun(): any
---@param timeout number?
---@param what string?
---@return any
function t:wait_for(fn, timeout, what) end

---@param when string|number "2026-03-29 01:59:00", or seconds since 1970
function t:set_time(when) end

---@param name string "Europe/Berlin"
function t:set_zone(name) end

---@class fm.answer
---@field ok boolean
---@field outcome "done"|"failed"|"bad"|"error"|"timeout"|"cancelled"
---@field text string
---@field json any

---Runs a command to its end; options: services, timeout, format, peer, principal, and its arguments.
---@param command string
---@param options table?
---@return fm.answer
function t:command(command, options) end

---@class fm.running
local running = {}
---@param timeout number?
---@return fm.answer
function running:result(timeout) end
function running:cancel() end
---@return boolean ended
---@return string text so far
function running:has_ended() end

---The same, beside the case.
---@param command string
---@param options table?
---@return fm.running
function t:begin_command(command, options) end

---What fm.authorize says.
---@param command string
---@param options table?
---@return true? ok
---@return string? why not
function t:authorized(command, options) end

---Runs it as a task and returns its results.
---@param fn function
---@param ... any
---@return any ...
function t:run(fn, ...) end

---What fm.exec does from now on.
---@param fn fun(args: fm.exec_spec): table|string|nil, string?
function t:exec(fn) end

---What fm.http does from now on.
---@param fn fun(req: fm.http_spec): table?, string?
function t:http(fn) end

---The last line of the log with that text in it.
---@param pattern string
---@return string?
function t:logged(pattern) end

---@param svc fm.some?
---@param kind fm.kind?
---@return fm.event[]
function t:events(svc, kind) end

---Runs the overlays over a table and judges the outcome.
---@param env string
---@param conf table?
---@return table
function t:overlay(env, conf) end

---@param got any
---@param expected any
---@param what string?
function t:eq(got, expected, what) end

---@param value any
---@param what string?
---@return any value
function t:ok(value, what) end

---@param got number
---@param expected number
---@param eps number?
---@param what string?
function t:near(got, expected, eps, what) end

---@param fn function
---@param pattern string?
---@param what string?
---@return any error
function t:raises(fn, pattern, what) end

---@param svc fm.some
---@param state fm.state
function t:state(svc, state) end

---@param text any
function t:fail(text) end
