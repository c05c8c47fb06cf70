#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <string.h>

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
    assert_string_equal(err.text, "out of memory: Lua may use 8 MB");
    assert_true(vm_memory(vm) <= 8u << 20);
    assert_false(run(vm, "return string.rep('x', 16 * 1024 * 1024)", 0)); /* at once too */
    assert_true(run(vm, "return string.rep('x', 1024 * 1024)", 0));
    vm_set_memory(vm, 64);
    assert_true(run(vm, "return string.rep('x', 16 * 1024 * 1024)", 0));
    vm_set_memory(vm, 1); /* below what is in use */
    lua_gc(vm_state(vm), LUA_GCCOLLECT);
    assert_true(run(vm, "return 1", 0));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_libraries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
