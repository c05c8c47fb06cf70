#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <string.h>
#include <time.h>

static struct err err;

/* Calls a chunk; what it returns is on the stack when it succeeds. */
static bool run(struct vm *vm, const char *code, int nresults)
{
    memset(&err, 0, sizeof err);
    assert_int_equal(luaL_loadbufferx(vm_state(vm), code, strlen(code), "=test", "t"), LUA_OK);
    return vm_call(vm_state(vm), 0, nresults, &err);
}

static void test_call(void **state)
{
    (void)state;
    struct vm *vm = vm_new(0, &err);
    assert_non_null(vm);
    lua_State *L = vm_state(vm);
    lua_pushinteger(L, 42); /* what is below stays */
    assert_true(run(vm, "return 1, 'two', nil", LUA_MULTRET));
    assert_int_equal(lua_gettop(L), 4);
    assert_int_equal(lua_tointeger(L, 2), 1);
    assert_string_equal(lua_tostring(L, 3), "two");
    lua_settop(L, 1);
    luaL_loadstring(L, "local a, b = ... return b, a");
    lua_pushliteral(L, "x");
    lua_pushliteral(L, "y");
    assert_true(vm_call(L, 2, 2, &err));
    assert_string_equal(lua_tostring(L, 2), "y");
    assert_string_equal(lua_tostring(L, 3), "x");
    lua_settop(L, 1);
    assert_true(run(vm, "return 1", 0));
    assert_int_equal(lua_gettop(L), 1);
    assert_int_equal(lua_tointeger(L, 1), 42);
    vm_free(vm);
    vm_free(NULL);
}

static void test_errors(void **state)
{
    (void)state;
    struct vm *vm = vm_new(0, &err);
    assert_non_null(vm);
    assert_false(run(vm, "local function f() error('bad thing') end\nf()", 1));
    assert_non_null(strstr(err.text, "test:1: bad thing\n"));
    assert_non_null(strstr(err.text, "stack traceback:"));
    assert_non_null(strstr(err.text, "test:2:"));
    assert_false(run(vm, "error(setmetatable({}, {__tostring = function() return 'my text' end}))", 1));
    assert_non_null(strstr(err.text, "my text"));
    assert_false(run(vm, "error(nil)", 1));
    assert_true(err.text[0]);
    assert_false(run(vm, "error({})", 1));
    assert_true(err.text[0]);
    assert_false(run(vm, "error(setmetatable({}, {__tostring = function() error('no') end}))", 1));
    assert_true(err.text[0]);
    assert_false(run(vm, "local function f() return f() + 1 end f()", 1));
    assert_non_null(strstr(err.text, "stack overflow"));
    assert_non_null(strstr(err.text, "(many more levels)"));
    assert_int_equal(lua_gettop(vm_state(vm)), 0);
    assert_true(run(vm, "return 1", 0)); /* and on it goes */
    vm_free(vm);
}

static void test_memory(void **state)
{
    (void)state;
    struct vm *vm = vm_new(8, &err);
    assert_non_null(vm);
    const char *hog = "local t = {} for i = 1, 1e7 do t[i] = 'x' .. i end";
    assert_false(run(vm, hog, 0));
    assert_string_equal(err.text, "test:1: out of memory: Lua may use 8 MB");
    assert_true(vm_memory(vm) <= 8u << 20);
    assert_false(run(vm, "return string.rep('x', 16 * 1024 * 1024)", 0)); /* at once too */
    assert_true(run(vm, "return string.rep('x', 1024 * 1024)", 0));
    vm_set_memory(vm, 64);
    assert_true(run(vm, "return string.rep('x', 16 * 1024 * 1024)", 0));
    /* A string is capped as long as there is a budget: no single instruction may take long. */
    vm_set_budget(vm, 1000);
    assert_false(run(vm, "local s = string.rep('x', 3 * 1024 * 1024)\nreturn s .. s", 0));
    assert_string_equal(err.text, "test:2: a string may have up to 4 MB");
    assert_true(
        run(vm, "local s = string.rep('x', 3 * 1024 * 1024) assert(not pcall(function() return s .. s end))", 0));
    vm_set_budget(vm, 0);
    vm_set_memory(vm, 1); /* below what is in use */
    lua_gc(vm_state(vm), LUA_GCCOLLECT);
    assert_true(run(vm, "return 1", 0));
    vm_free(vm);
}

static void test_collect(void **state)
{
    (void)state;
    struct vm *vm = vm_new(64, &err);
    assert_non_null(vm);
    vm_collect(vm);
    size_t before = vm_memory(vm);
    assert_true(run(vm, "return #string.rep('garbage ', 10000)", 0));
    assert_true(vm_memory(vm) > before + 80000);
    vm_collect(vm);
    assert_true(vm_memory(vm) < before + 1000);
    /* What would take long is left to Lua. */
    assert_true(run(vm, "kept = string.rep('x', 4 * 1024 * 1024) return #string.rep('garbage ', 10000)", 0));
    before = vm_memory(vm);
    vm_collect(vm);
    assert_int_equal(vm_memory(vm), before);
    vm_free(vm);
}

/* A chain through weak tables that are met in no good order: a tenth of a second each time. */
static void test_collect_what_takes_long(void **state)
{
    (void)state;
    struct vm *vm = vm_new(64, &err);
    assert_non_null(vm);
    assert_true(run(vm,
                    "local weak, key = {__mode = 'k'}, {} head, tables = key, {}\n"
                    "for i = 1, 8000 do\n"
                    "  local t, next = setmetatable({}, weak), {}\n"
                    "  t[key] = next tables[i * 4801 % 8009] = t key = next\n"
                    "end",
                    0));
    assert_true(vm_memory(vm) < VM_COLLECT_MAX);
    vm_collect(vm);
    assert_true(run(vm, "return #string.rep('garbage ', 10000)", 0));
    size_t before = vm_memory(vm);
    vm_collect(vm); /* not once more */
    assert_int_equal(vm_memory(vm), before);
    vm_free(vm);
}

static void test_libraries(void **state)
{
    (void)state;
    struct vm *vm = vm_new(0, &err);
    assert_non_null(vm);
    assert_true(run(vm,
                    "for _, name in ipairs{'io', 'os', 'package', 'debug', 'require', 'dofile', 'loadfile', 'load',\n"
                    "                      'cjson'} do assert(_G[name] == nil, name) end\n"
                    "assert(string.format and table.concat and math.floor and utf8.char and coroutine.wrap)",
                    0));
    luaL_getsubtable(vm_state(vm), LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    assert_int_equal(lua_getfield(vm_state(vm), -1, "cjson"), LUA_TTABLE);
    vm_free(vm);
}

static int64_t fixed_clock(void *arg)
{
    return *(int64_t *)arg;
}

static void test_error_objects(void **state)
{
    (void)state;
    struct vm *vm = vm_new(0, &err);
    assert_non_null(vm);
    static const char *const cases[][2] = {
        {"error({code = 1})", "(error object is a table value)\n"},
        {"error()", "(error object is a nil value)\n"},
        {"error(42)", "42\n"},
        {"error(setmetatable({}, {__tostring = function() error('no') end}))",
         "(error object is a table whose __tostring fails: test:1: no)\n"},
        {"error(setmetatable({}, {__tostring = function() return {} end}))",
         "(error object is a table whose __tostring fails: '__tostring' must return a string)\n"},
        {"local mt = {} mt.__tostring = function() error(setmetatable({}, mt)) end error(setmetatable({}, mt))",
         "(error object is a table whose __tostring fails)\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(run(vm, cases[i][0], 0));
        if (strncmp(err.text, cases[i][1], strlen(cases[i][1])) != 0)
            fail_msg("%s: %s", cases[i][0], err.text);
        assert_non_null(strstr(err.text, "stack traceback:"));
    }
    assert_int_equal(lua_gettop(vm_state(vm)), 0);
    vm_free(vm);
}

/* Each would go on for ever. */
static void test_budget(void **state)
{
    (void)state;
    static const char *const endless[] = {
        "while true do end",
        "while true do pcall(error) end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) return f() end f()",
        "repeat until coroutine.wrap(function() while true do end end)()",
        "local co = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) while true do co() end",
        ("local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end})\n"
         "while true do pcall(function() return t[1] end) end"),
        "local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "table.sort({1, 2, 3}, function() while true do end end)",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
    };
    struct vm *vm = vm_new(8, &err);
    assert_non_null(vm);
    vm_set_budget(vm, 5);
    for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
        int64_t before = vm_spent_us(vm);
        assert_false(run(vm, endless[i], 0));
        assert_true(vm_tripped(vm));
        if (!strstr(err.text, "over budget: more than 5 ms in one turn"))
            fail_msg("%s: %s", endless[i], err.text);
        assert_true(vm_spent_us(vm) - before >= 4000);
    }
    assert_true(run(vm, "return 1", 0)); /* the next turn has a budget of its own */
    assert_false(vm_tripped(vm));
    vm_set_budget(vm, 0);
    assert_true(run(vm, "for i = 1, 1e6 do end", 0));
    vm_free(vm);
}

static int sleep_ms(lua_State *L)
{
    struct timespec t = {.tv_nsec = luaL_checkinteger(L, 1) * 1000000};
    nanosleep(&t, NULL);
    return 0;
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Whoever has to wait is not blamed, up to a point: as long as the loop may be held up, whoever holds it up. */
static void test_waiting(void **state)
{
    (void)state;
    struct vm *vm = vm_new(8, &err);
    assert_non_null(vm);
    lua_register(vm_state(vm), "sleep_ms", sleep_ms);
    vm_set_budget(vm, 20);
    assert_true(
        run(vm, "for i = 1, 10 do sleep_ms(10) for j = 1, 1000 do end end", 0)); /* long, but with little work */
    int64_t before = cpu_us();
    assert_false(run(vm, "while true do sleep_ms(10) end", 0));
    assert_non_null(strstr(err.text, "over budget"));
    assert_true(cpu_us() - before < 10000); /* not by its budget of processor time */
    assert_false(run(vm, "sleep_ms(50) while true do end", 0));
    assert_true(vm_tripped(vm));
    vm_free(vm);
}

/* Instructions that take milliseconds each: the clock is looked at after each one. */
static void test_heavy_instructions(void **state)
{
    (void)state;
    static const char *const heavy[] = {
        "local a = ('\\0'):rep(4000000) local b = a .. 'x' while true do local _ = a < b end",
        "local a = ('1'):rep(4000000) while true do local _ = a + 1 end",
        "local a = ('x'):rep(3000000) while true do pcall(function() return a .. a end) end",
        "local t = {} for i = 1, 100000 do t[i] = i end for i = 1, 100000 do t[i] = nil end while true do next(t) end",
        "local t = {} t.__call = setmetatable(t, t) t()",
        ("local t, c = {}, coroutine.wrap(function() local a = ('\\0'):rep(4000000) local b = a .. 'x'\n"
         "  while true do coroutine.yield(a < b) end end) while true do c() end"),
    };
    struct vm *vm = vm_new(64, &err);
    assert_non_null(vm);
    vm_set_budget(vm, 20);
    for (size_t i = 0; i < ARRAY_LEN(heavy); i++) {
        clock_t before = clock(); /* processor time, as a budget is */
        assert_false(run(vm, heavy[i], 0));
        int us = (int)(clock() - before);
        if (!strstr(err.text, "over budget") || us > 500000)
            fail_msg("%s: %d us: %s", heavy[i], us, err.text);
        assert_true(run(vm, "local s = 0 for i = 1, 1000 do s = s + i end", 0));
    }
    vm_free(vm);
}

static int call_again(lua_State *L)
{
    bool ok = vm_call(L, lua_gettop(L) - 1, 0, &err);
    lua_pushboolean(L, ok);
    return 1;
}

/* Only the outermost entry begins a turn. */
static void test_nested_budget(void **state)
{
    (void)state;
    struct vm *vm = vm_new(8, &err);
    assert_non_null(vm);
    vm_set_budget(vm, 5);
    lua_register(vm_state(vm), "again", call_again);
    assert_true(run(vm, "assert(again(function() end)) assert(not again(error, 'x'))", 0));
    assert_false(run(vm, "while true do again(function() while true do end end) end", 0));
    assert_true(vm_tripped(vm));
    vm_free(vm);
}

static lua_State *coroutine(struct vm *vm, const char *code)
{
    lua_State *co = lua_newthread(vm_state(vm));
    assert_int_equal(luaL_loadbufferx(co, code, strlen(code), "=task", "t"), LUA_OK);
    return co;
}

static void test_resume(void **state)
{
    (void)state;
    struct vm *vm = vm_new(8, &err);
    assert_non_null(vm);
    int n = 0;
    lua_State *co = coroutine(vm, "local a, b = ... local c = coroutine.yield(a + b) return c, c * 2");
    lua_pushinteger(co, 1);
    lua_pushinteger(co, 2);
    assert_int_equal(vm_resume(co, NULL, 2, &n, &err), VM_YIELDED);
    assert_int_equal(n, 1);
    assert_int_equal(lua_tointeger(co, -1), 3);
    lua_pop(co, n);
    lua_pushinteger(co, 21);
    assert_int_equal(vm_resume(co, NULL, 1, &n, &err), VM_DONE);
    assert_int_equal(n, 2);
    assert_int_equal(lua_tointeger(co, -1), 42);
    lua_pop(co, n);
    assert_int_equal(vm_resume(co, NULL, 0, &n, &err), VM_FAILED);
    assert_string_equal(err.text, "cannot resume dead coroutine\nstack traceback:");

    co = coroutine(vm, "local t <close> = setmetatable({}, {__close = function() closed = true end})\n"
                       "local function f() error('bad thing') end\n coroutine.yield() f()");
    assert_int_equal(vm_resume(co, NULL, 0, &n, &err), VM_YIELDED);
    assert_int_equal(vm_resume(co, NULL, 0, &n, &err), VM_FAILED);
    assert_non_null(strstr(err.text, "task:2: bad thing\nstack traceback:"));
    assert_non_null(strstr(err.text, "task:2: in local 'f'"));
    assert_int_equal(lua_gettop(co), 0);
    assert_int_equal(n, 0);
    assert_true(run(vm, "assert(closed)", 0));
    assert_int_equal(lua_gettop(vm_state(vm)), 2);
    vm_free(vm);
}

static void test_resume_budget(void **state)
{
    (void)state;
    static const char *const endless[] = {
        "while true do end",
        "local t <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "local t <close> = setmetatable({}, {__close = function() while true do end end}) error('x')",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "while true do pcall(function() while true do end end) end",
    };
    struct vm *vm = vm_new(8, &err);
    assert_non_null(vm);
    vm_set_budget(vm, 5);
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
        assert_int_equal(vm_resume(coroutine(vm, endless[i]), NULL, 0, &n, &err), VM_FAILED);
        assert_true(vm_tripped(vm));
        assert_non_null(strstr(err.text, "stack traceback:"));
    }
    /* Time is counted by the turn, not by the life of the coroutine. */
    vm_set_budget(vm, 60);
    lua_State *co = coroutine(vm, "for i = 1, 100 do for j = 1, 1e5 do end coroutine.yield() end");
    for (int i = 0; i < 100; i++)
        assert_int_equal(vm_resume(co, NULL, 0, &n, &err), VM_YIELDED);
    assert_int_equal(vm_resume(co, NULL, 0, &n, &err), VM_DONE);
    co = coroutine(vm, "local t = {} for i = 1, 1e7 do t[i] = 'x' .. i end");
    vm_set_budget(vm, 0);
    assert_int_equal(vm_resume(co, NULL, 0, &n, &err), VM_FAILED);
    assert_string_equal(err.text, "task:1: out of memory: Lua may use 8 MB");
    vm_free(vm);
}

static void test_clock_and_seed(void **state)
{
    (void)state;
    struct vm *vm = vm_new(0, &err), *other = vm_new(0, &err);
    assert_true(vm && other);
    int64_t now = 12345;
    assert_true(vm_wall_ms(vm) > 1600000000000);
    vm_set_clock(vm, fixed_clock, &now);
    assert_int_equal(vm_wall_ms(vm), 12345);
    vm_set_clock(vm, NULL, NULL);
    assert_true(vm_wall_ms(vm) > 1600000000000);
    const char *draw = "return math.random(0)";
    assert_true(run(vm, draw, 1) && run(other, draw, 1));
    assert_true(lua_tointeger(vm_state(vm), -1) != lua_tointeger(vm_state(other), -1));
    vm_seed(vm, 7);
    vm_seed(other, 7);
    assert_true(run(vm, draw, 1) && run(other, draw, 1));
    assert_int_equal(lua_tointeger(vm_state(vm), -1), lua_tointeger(vm_state(other), -1));
    vm_free(vm);
    vm_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_collect),
        cmocka_unit_test(test_collect_what_takes_long),
        cmocka_unit_test(test_libraries),
        cmocka_unit_test(test_error_objects),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_heavy_instructions),
        cmocka_unit_test(test_nested_budget),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_resume_budget),
        cmocka_unit_test(test_clock_and_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
