#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUDGET_MS 50

static struct err err;
static char home[] = "/tmp/sandbox_test.XXXXXX";
static struct vm *vm;

static void write_file(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", home, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static bool load(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", home, name);
    memset(&err, 0, sizeof err);
    return sandbox_load(vm, path, &err);
}

/* Runs the text as the script lua/t.lua. */
static bool run(const char *code)
{
    write_file("lua/t.lua", code);
    return load("lua/t.lua") && vm_call(vm_state(vm), 0, 0, &err);
}

static void expect(const char *code)
{
    if (!run(code))
        fail_msg("%s: %s", code, err.text);
}

static void expect_error(const char *code, const char *message)
{
    if (run(code))
        fail_msg("%s: no error", code);
    if (!strstr(err.text, message))
        fail_msg("%s: %s", code, err.text);
}

static int set_up(void **state)
{
    (void)state;
    vm = vm_new(64, &err);
    assert_non_null(vm);
    if (!sandbox_open(vm, home, NULL, &err))
        fail_msg("%s", err.text);
    vm_set_budget(vm, BUDGET_MS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vm_free(vm);
    return 0;
}

static void test_load(void **state)
{
    (void)state;
    write_file("lua/site.lua", "#!/usr/bin/lua\n\nerror('here')");
    assert_true(load("lua/site.lua"));
    assert_false(vm_call(vm_state(vm), 0, 0, &err));
    assert_non_null(strstr(err.text, "lua/site.lua:3: here\nstack traceback:"));
    assert_null(strstr(err.text, home));
    write_file("lua/site.lua", "x = = 1");
    assert_false(load("lua/site.lua"));
    assert_string_equal(err.text, "lua/site.lua:1: unexpected symbol near '='");
    write_file("lua/site.lua", "\x1bLua");
    assert_false(load("lua/site.lua"));
    assert_non_null(strstr(err.text, "attempt to load a binary chunk"));
    assert_false(load("lua/nothing.lua"));
    assert_non_null(strstr(err.text, "lua/nothing.lua: cannot open"));
    assert_false(load("lua"));
    assert_non_null(strstr(err.text, "a directory"));
    char fifo[512];
    snprintf(fifo, sizeof fifo, "%s/lua/fifo.lua", home);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(load("lua/fifo.lua"));
    assert_non_null(strstr(err.text, "no regular file"));
    unlink(fifo);
    write_file("lua/site.lua", "\xef\xbb\xbfreturn 7");
    assert_true(load("lua/site.lua"));
    assert_true(vm_call(vm_state(vm), 0, 1, &err));
    assert_int_equal(lua_tointeger(vm_state(vm), -1), 7);
    lua_settop(vm_state(vm), 0);
}

static void test_file_too_large(void **state)
{
    (void)state;
    char *text = malloc(2 << 20);
    memset(text, ' ', (2 << 20) - 1);
    text[(2 << 20) - 1] = 0;
    assert_false(run(text));
    assert_string_equal(err.text, "lua/t.lua: is larger than 1 MB");
    free(text);
}

/* Compiling is part of a turn too: many labels make it quadratic. */
static void test_slow_to_compile(void **state)
{
    (void)state;
    size_t size = 1000000;
    char *text = malloc(size), *p = text;
    for (int f = 0; f < 2; f++) {
        p += sprintf(p, "local function f%d() ", f);
        for (int i = 0; i < 32000; i++)
            p += sprintf(p, "::a%d::f()", i);
        p += sprintf(p, "end ");
    }
    clock_t before = clock();
    assert_false(run(text));
    clock_t ms = (clock() - before) / (CLOCKS_PER_SEC / 1000);
    free(text);
    const char *traceback = strstr(err.text, "over budget: more than 50 ms in one turn\nstack traceback:\n");
    assert_true(traceback && !strstr(strstr(traceback, "stack") + 1, "stack"));
    assert_true(vm_tripped(vm));
    assert_true(ms < BUDGET_MS * 10);
}

static void test_what_there_is(void **state)
{
    (void)state;
    expect("for _, name in ipairs{'dofile', 'loadfile', 'package', 'cjson'} do assert(_G[name] == nil, name) end\n"
           "for _, name in ipairs{'execute', 'exit', 'setlocale'} do assert(os[name] == nil, name) end\n"
           "for k in pairs(debug) do assert(k == 'traceback') end\n"
           "assert(debug.traceback('x'):find('lua/t.lua:4'))\n"
           "assert(os.time() > 1600000000 and os.date('%Y') >= '2020' and os.clock() and os.getenv('HOME'))\n"
           "assert(os.date('!%H:%M', 3600) == '01:00' and os.time{year = 2020, month = 1, day = 1})\n"
           "assert(not pcall(os.date, ('%c'):rep(1000)))\n"
           "assert(collectgarbage('count') > 10 and collectgarbage() == 0 and collectgarbage('stop') == 0)\n"
           "print('a line of the script', 1, nil) warn('that', 's')\n"
           "assert(not pcall(print, setmetatable({}, {__tostring = function() return {} end})))");
}

static int64_t fixed(void *arg)
{
    (void)arg;
    return 86400LL * 365 * 1000 + 999;
}

static void test_clock(void **state)
{
    (void)state;
    vm_set_clock(vm, fixed, NULL);
    expect("assert(os.time() == 86400 * 365 and os.date('!%Y-%m-%d') == '1971-01-01' and os.date('!*t').year == 1971)");
}

/* What a file does to its globals stays in it. */
static void test_worlds(void **state)
{
    (void)state;
    lua_State *L = vm_state(vm);
    sandbox_globals(L);
    assert_int_equal(luaL_dostring(L, "return {log = {level = 1}, guarded = setmetatable({}, {__metatable = false})}"),
                     0);
    lua_setfield(L, -2, "fm");
    lua_settop(L, 0);
    expect("x = 1 string.upper = nil table.insert = 7 fm.log.level = 2 fm.log.new = true fm.guarded.x = 1\n"
           "print = nil pairs = nil _G.y = 2 os = nil\n"
           "setmetatable(_G, {__index = function() error('mine') end, __newindex = function() error('mine') end})\n"
           "assert(not pcall(function() return undefined end))\n"
           "assert(not pcall(function() undefined = 1 end))");
    expect("assert(x == nil and y == nil and string.upper and table.insert ~= 7 and print and pairs and os)\n"
           "assert(('x'):upper() == 'X' and undefined == nil and _G.undefined == nil and _G._G == _G and _G == _ENV)\n"
           "assert(fm.log.level == 1 and fm.log.new == nil and fm.guarded.x == 1)");
    expect("assert(getmetatable('') == false and not pcall(setmetatable, '', {}))\n"
           "string.upper = function() return 'mine' end assert(('x'):upper() == 'X' and string.upper() == 'mine')\n"
           "_G._G = nil assert(_G == nil) local mt = getmetatable(_ENV) mt.__index = nil setmetatable(_ENV, nil)");
    /* What comes later is found. */
    write_file("lua/late.lua", "return function() late.n = late.n + 1 return late.n end");
    assert_true(load("lua/late.lua") && vm_call(L, 0, 1, &err));
    assert_int_equal(luaL_dostring(L, "late = {n = 1}"), 0);
    lua_pushvalue(L, 1);
    assert_true(vm_call(L, 0, 0, &err) && vm_call(L, 0, 1, &err));
    assert_int_equal(lua_tointeger(L, -1), 3);
    assert_int_equal(luaL_dostring(L, "assert(late.n == 1)"), 0);
    lua_settop(L, 0);
}

static void test_code_from_text(void **state)
{
    (void)state;
    expect("x = 1 assert(load('return x')() == 1) assert(load('return x', 'n', 't', {x = 2})() == 2)\n"
           "assert(load('return _ENV', 'n', 't', nil)() == nil)\n"
           "local f, msg = load('x =', '@file') assert(not f and msg == 'file:1: unexpected symbol near <eof>', msg)\n"
           "f, msg = load('return 1', 'n', 'b') assert(not f and msg:find('only text'))\n"
           "f, msg = load('\\27Lua') assert(not f and msg:find('binary chunk'))\n"
           "local parts, i = {'return ', '40', '+2', ''}, 0\n"
           "assert(load(function() i = i + 1 return parts[i] end)() == 42)\n"
           "assert(not load(function() return 1 == 1 end)) assert(not load(function() error('x') end))\n"
           "assert(not pcall(load))");
    expect_error("load(function() return 'x=1 ' end)", "over budget");
    expect_error("load(('x=1 '):rep(1000000))", "over budget");
}

static void test_require(void **state)
{
    (void)state;
    lua_State *L = vm_state(vm);
    static const char module[] =
        "local M = {list = {}, n = 0} function M.count() M.n = M.n + 1 return M.n end return M";
    static const char user[] = "local m = require 'fm.m' m.n = 10 return {count = m.count}";
    assert_true(sandbox_add_module(vm, "fm.m", module, strlen(module)));
    assert_true(sandbox_add_module(vm, "fm.user", user, strlen(user)));
    write_file("lua/mine.lua", "return {name = ..., x = 1}");
    char path[512];
    snprintf(path, sizeof path, "%s/lua/sub", home);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("lua/sub/deep-er.lua", "n = (n or 0) + 1 return n");
    expect("local m = require 'mine' assert(m.name == 'mine' and require 'mine' == m) m.x = 2\n"
           "assert(require 'sub.deep-er' == 1 and require 'sub.deep-er' == 1 and n == nil)");
    expect("assert(require('mine').x == 2)");
    /* Of an embedded module each file has its own copy; what is behind its functions is one. */
    expect("local m = require 'fm.m' assert(m == require 'fm.m' and m.count() == 1) m.count = nil m.list[1] = 1");
    expect("local m = require 'fm.m' assert(m.count() == 2 and #m.list == 0)");
    expect("assert(require('fm.user').count() == 11)"); /* and among themselves they are one */
    static const char *const outside[] = {
        "..mine", "/etc/passwd", "../conf/conf", "sub/deep-er", "a..b", ".mine", "mine\\0.lua", "", "mine."};
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        char code[128];
        snprintf(code, sizeof code, "require '%s'", outside[i]);
        expect_error(code, "is no name of a module");
    }
    expect_error("require 'nothing'", "lua/t.lua:1: module 'nothing' not found: there is no lua/nothing.lua");
    expect_error("require()", "bad argument #1");
    snprintf(path, sizeof path, "%s/lua/link.lua", home);
    write_file("secret.lua", "return 1");
    assert_int_equal(symlink("../secret.lua", path), 0);
    expect_error("require 'link'", "leads out of the folder lua");
    write_file("lua/broken.lua", "\nerror('broken')");
    expect_error("require 'broken'", "lua/broken.lua:2: broken");
    write_file("lua/broken.lua", "x =");
    expect_error("require 'broken'", "could not be loaded before");
    write_file("lua/loop.lua", "return require 'loop'");
    expect_error("require 'loop'", "module 'loop' requires itself");
    write_file("lua/wrong.lua", "x =");
    expect_error("require 'wrong'", "lua/wrong.lua:1: unexpected symbol");
    assert_int_equal(lua_gettop(L), 0);
}

static void test_coroutines(void **state)
{
    (void)state;
    expect(
        "local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) return c, 2 end)\n"
        "assert(select('#', coroutine.resume(co, 1, 2)) == 2)\n"
        "local ok, c, two = coroutine.resume(co, 7) assert(ok and c == 7 and two == 2)\n"
        "local no, msg = coroutine.resume(co) assert(no == false and msg == 'cannot resume dead coroutine')\n"
        "local f = coroutine.wrap(function(...) local n = 0 while true do n = n + coroutine.yield(n, ...) end end)\n"
        "local a, b = f('x') assert(a == 0 and b == 'x' and f(5) == 5)\n"
        "local closed local w = coroutine.wrap(function()\n"
        "  local t <close> = setmetatable({}, {__close = function(_, e) closed = e end}) error({7}) end)\n"
        "local ok, e = pcall(w) assert(not ok and e[1] == 7 and closed == e)\n"
        "w = coroutine.wrap(function()\n"
        "  local t <close> = setmetatable({}, {__close = function() error('second', 0) end}) error('first') end)\n"
        "ok, e = pcall(w) assert(not ok and e == 'second')\n"
        "co = coroutine.create(function()\n"
        "  local t <close> = setmetatable({}, {__close = function() closed = 1 end}) coroutine.yield() end)\n"
        "coroutine.resume(co) assert(coroutine.close(co) and closed == 1 and coroutine.status(co) == 'dead')\n"
        "assert(coroutine.close(coroutine.create(print)))\n"
        "assert(not pcall(coroutine.close, (coroutine.running())))\n"
        "assert(not pcall(coroutine.resume) and not pcall(coroutine.wrap, 1) and not pcall(coroutine.close, 1))\n"
        "local main = coroutine.running()\n"
        "coroutine.wrap(function() assert(not pcall(coroutine.close, main)) end)()\n"
        "local outer outer = coroutine.create(function() coroutine.wrap(function()\n"
        "  local ok, m = pcall(coroutine.close, outer) assert(m:find('cannot close a normal coroutine')) end)() end)\n"
        "assert(coroutine.resume(outer))\n"
        "assert(coroutine.resume(main) == false)");
}

static int wait(lua_State *L)
{
    return lua_yield(L, 0);
}

/* The thread of a task waits for the monitor; nobody else goes on with it. */
static void test_a_task_is_not_the_scripts(void **state)
{
    (void)state;
    lua_State *task = lua_newthread(vm_state(vm));
    int n = 0;
    sandbox_globals(vm_state(vm));
    lua_pushcfunction(vm_state(vm), wait);
    lua_setfield(vm_state(vm), -2, "wait");
    lua_pop(vm_state(vm), 1);
    write_file("lua/t.lua",
               "local ok, msg = pcall(coroutine.yield) assert(msg:find('yield from outside a coroutine'))\n"
               "require('box').task = coroutine.running() wait() return 7");
    write_file("lua/box.lua", "return {}");
    assert_true(load("lua/t.lua"));
    lua_xmove(vm_state(vm), task, 1);
    assert_int_equal(vm_resume(task, NULL, 0, &n, &err), VM_YIELDED);
    expect("local task = require('box').task\n"
           "local ok, msg = coroutine.resume(task) assert(not ok and msg:find('^a task is no coroutine'))\n"
           "ok, msg = pcall(coroutine.close, task) assert(not ok and msg:find('a task is no coroutine'))\n"
           "assert(coroutine.status(task) == 'suspended')");
    assert_int_equal(vm_resume(task, NULL, 0, &n, &err), VM_DONE);
    assert_int_equal(lua_tointeger(task, -1), 7);
    lua_settop(vm_state(vm), 0);
}

static void test_xpcall(void **state)
{
    (void)state;
    expect("local function id(...) return ... end\n"
           "assert(select('#', xpcall(id, print, 1, nil, nil)) == 4)\n"
           "local ok, m = xpcall(error, function(e) return e .. '!' end, 'x') assert(not ok and m == 'x!')\n"
           "ok, m = xpcall(error, debug.traceback, 'x', 0) assert(m:find('^x\\nstack traceback:'))\n"
           "assert(xpcall(error, function(...) return select('#', ...) end) == false)\n"
           "assert(not pcall(xpcall, id) and not pcall(xpcall))\n"
           "local co = coroutine.wrap(function() return xpcall(function() coroutine.yield(1) error('e', 0) end,\n"
           "                                                  function(e) return e .. '!' end) end)\n"
           "assert(co() == 1) local no, e = co() assert(no == false and e == 'e!')\n"
           "co = coroutine.wrap(function() return xpcall(coroutine.yield, print, 1) end) co()\n"
           "ok, m = co(5) assert(ok == true and m == 5)\n"
           "ok, m = xpcall(error, error, 'x') assert(not ok)");
}

static void test_finalizers(void **state)
{
    (void)state;
    expect("local mt = {__gc = function() while true do end end, __index = {x = 1}}\n"
           "local t = setmetatable({}, mt) assert(t.x == 1 and getmetatable(t) == mt and mt.__gc)\n"
           "setmetatable({}, {__gc = function() error('x') end}) setmetatable({}, {__gc = true})\n"
           "local later = {} setmetatable({}, later) later.__gc = mt.__gc t = nil");
    lua_gc(vm_state(vm), LUA_GCCOLLECT);
    expect("assert(not pcall(setmetatable, {}) and not pcall(setmetatable, 1, {}) and not pcall(setmetatable, {}, 1))\n"
           "local t = setmetatable({}, {__metatable = 1}) assert(not pcall(setmetatable, t, nil))\n"
           "t = setmetatable({}, {}) assert(setmetatable(t, nil) == t and getmetatable(t) == nil)");
}

/* Each goes on for ever, or for very long, and holds on to its turn as well as it can. */
static const char *const endless[] = {
    "while true do end",
    "while true do pcall(error) end",
    "while true do pcall(function() while true do end end) end",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "xpcall(error, function() while true do end end)",
    "while true do coroutine.wrap(function() while true do end end)() end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do coroutine.wrap(function() end)() end",
    "local function f() pcall(coroutine.wrap(f)) return f() end f()",
    "local co = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) while true do co() end",
    "coroutine.wrap(function() local t <close> = setmetatable({}, {__close = function() while true do end end})\n"
    "  while true do end end)()",
    "local co = coroutine.create(function()\n"
    "  local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end end)\n"
    "coroutine.resume(co) coroutine.close(co) kept = co while true do end",
    "local co = coroutine.create(function()\n"
    "  local t <close> = setmetatable({}, {__close = function() while true do end end}) coroutine.yield() end)\n"
    "coroutine.resume(co) coroutine.close(co) while true do end",
    "local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
    "local t = setmetatable({}, {__gc = function() while true do end end}) t = nil while true do local x = {} end",
    "error(setmetatable({}, {__tostring = function() while true do end end}))",
    "for _ in setmetatable({}, {__call = function() return 1 end}) do end",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return "
    "t[1] end) end",
    "table.sort({1, 2, 3}, function() while true do end end)",
    "local f = load('while true do end') while true do pcall(f) end",
    "goto a ::a:: goto a",
    "local function f() pcall(f) return f() end f()",
};

static void test_endless(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
        clock_t before = clock(); /* processor time, as a budget is */
        if (run(endless[i]))
            fail_msg("%s: ended", endless[i]);
        if (!vm_tripped(vm))
            fail_msg("%s: %s", endless[i], err.text);
        clock_t ms = (clock() - before) / (CLOCKS_PER_SEC / 1000);
        if (ms > BUDGET_MS * 10) /* much less without a sanitizer */
            fail_msg("%s: %d ms", endless[i], (int)ms);
        expect("local s = 0 for i = 1, 1000 do s = s + i end assert(s == 500500)");
    }
}

/* Each fails at once or when the memory is used up, and leaves the state usable. */
static void test_hogs(void **state)
{
    (void)state;
    static const char *const hogs[] = {
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t = {t} end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local function f() return f() + 1 end f()",
        "local function f(...) return f(1, ...) end f()",
        "return string.rep('x', 1e10)",
        "return string.rep('x', 1 << 62)",
        "return ('x'):rep(1e8)",
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(print) end",
        "local function f() local s = {} s[1] = function() return s end return f() and s end f()",
        "error(nil)",
        "error({})",
        "error(setmetatable({}, {__tostring = function() error('x') end}))",
        "error(setmetatable({}, {__tostring = function() return nil end}))",
        "local t = setmetatable({}, {__tostring = function(t) error(t) end}) error(t)",
        "local co co = coroutine.wrap(function() co() end) co()",
        "string.rep()",
        "local t <close> = setmetatable({}, {__close = function() error('x') end}) error('y')",
        "return ('x'):rep(1000, ('y'):rep(1000000))",
    };
    vm_set_memory(vm, 16);
    for (size_t i = 0; i < ARRAY_LEN(hogs); i++) {
        if (run(hogs[i]))
            fail_msg("%s: no error", hogs[i]);
        assert_true(vm_memory(vm) < 17u << 20);
        expect("local t = {} for i = 1, 1000 do t[i] = {i} end assert(#t == 1000)");
    }
    lua_gc(vm_state(vm), LUA_GCCOLLECT);
    assert_true(vm_memory(vm) < 1u << 20);
}

/* Closing a coroutine that closes one that closes one… each with a C stack as deep as Lua allows. */
static void test_closing_chain(void **state)
{
    (void)state;
    expect("local function deep(n, f) if n == 0 then return f() end\n"
           "  return (string.gsub('x', 'x', function() return deep(n - 1, f) end)) end\n"
           "local last = coroutine.create(print)\n"
           "for i = 1, 200 do local inner = last\n"
           "  last = coroutine.create(function()\n"
           "    local t <close> = setmetatable({}, {__close = function()\n"
           "      pcall(deep, 60, function() coroutine.close(inner) end) end})\n"
           "    coroutine.yield() end)\n"
           "  coroutine.resume(last) end\n"
           "coroutine.close(last)");
}

static int make_home(void **state)
{
    (void)state;
    char path[512];
    if (!mkdtemp(home))
        return -1;
    snprintf(path, sizeof path, "%s/lua", home);
    return mkdir(path, 0700);
}

static int remove_home(void **state)
{
    (void)state;
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", home);
    return system(command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_load),
        TEST(test_file_too_large),
        TEST(test_slow_to_compile),
        TEST(test_what_there_is),
        TEST(test_clock),
        TEST(test_worlds),
        TEST(test_code_from_text),
        TEST(test_require),
        TEST(test_coroutines),
        TEST(test_xpcall),
        TEST(test_a_task_is_not_the_scripts),
        TEST(test_finalizers),
        TEST(test_endless),
        TEST(test_hogs),
        TEST(test_closing_chain),
    };
    return cmocka_run_group_tests(tests, make_home, remove_home);
}
