#include "clog.h"
#include "lib.h"
#include "vm.h"
#include "vmerror.h"

#include <lua.h>

#include <lauxlib.h>

#include <limits.h>
#include <string.h>

static const char gc_told_key; /* its address: that a __gc was ignored has been said */

/* All arguments as one line, as print would show them. */
static const char *joined(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_checkstack(L, 2, "too many arguments");
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    return lua_tostring(L, -1);
}

static int base_print(lua_State *L)
{
    clog_info("%s", joined(L));
    return 0;
}

static int base_warn(lua_State *L)
{
    luaL_checkany(L, 1);
    clog_warn("%s", joined(L));
    return 0;
}

/* The script's message handler, but not for a turn that is over its budget: that error is raised in a hook, where no
 * other hook would ever stop the handler. */
static int base_on_error(lua_State *L)
{
    if (vm_tripped(vm_of(L)))
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* Below the results: the handler and `true`. */
static int xpcall_end(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - 1;
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return 2;
}

static int base_xpcall(lua_State *L)
{
    int nargs = MAX(lua_gettop(L) - 2, 0);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_insert(L, 3); /* function, handler, function, arguments… */
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, base_on_error, 1);
    lua_replace(L, 1);
    lua_pushboolean(L, true);
    lua_replace(L, 2); /* our handler, true, function, arguments… */
    return xpcall_end(L, lua_pcallk(L, nargs, LUA_MULTRET, 1, 0, xpcall_end), 0);
}

static void tell_gc(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &gc_told_key) == LUA_TNIL) {
        luaL_where(L, 1);
        clog_warn("lua: %sa __gc of a script is never called; __close is (told once)", lua_tostring(L, -1));
        lua_pop(L, 1);
        lua_pushboolean(L, true);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &gc_told_key);
    }
    lua_pop(L, 1);
}

/* Lua runs finalizers with hooks off, so one that loops would never be stopped. Whether an object has one is settled
 * when its metatable is set: without __gc in it at that moment there is none, whatever is put there later. */
static int base_setmetatable(lua_State *L)
{
    int t = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, t == LUA_TNIL || t == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    lua_pushliteral(L, "__gc");
    lua_pushvalue(L, 3);
    bool has_gc = t == LUA_TTABLE && lua_rawget(L, 2) != LUA_TNIL;
    if (has_gc) {
        lua_pushvalue(L, 3);
        lua_pushnil(L);
        lua_rawset(L, 2);
    }
    lua_pushvalue(L, 2);
    lua_setmetatable(L, 1);
    if (has_gc) {
        lua_rawset(L, 2);
        tell_gc(L);
    }
    lua_settop(L, 1);
    return 1;
}

/* Collecting all is never a script's business: it could take longer than its budget. */
static int base_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") == 0)
        lua_pushnumber(L, (lua_Number)vm_memory(vm_of(L)) / 1024);
    else
        lua_pushinteger(L, 0);
    return 1;
}

/* traceback([thread,] [message [, level]]) */
static int debug_traceback(lua_State *L)
{
    int arg = lua_isthread(L, 1) ? 2 : 1;
    lua_State *of = arg == 2 ? lua_tothread(L, 1) : L;
    if (!lua_isnoneornil(L, arg) && !lua_isstring(L, arg)) {
        lua_pushvalue(L, arg); /* what is no text is not touched */
        return 1;
    }
    lua_Integer level = luaL_optinteger(L, arg + 1, of == L ? 1 : 0);
    vmerror_traceback(L, of, lua_tostring(L, arg), (int)MAX(0, MIN(level, INT_MAX / 2)));
    return 1;
}

void lib_debug(struct lua_State *L)
{
    lua_pushcfunction(L, debug_traceback);
    lua_setfield(L, -2, "traceback");
}

void lib_base(struct lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"print", base_print},
        {"warn", base_warn},
        {"xpcall", base_xpcall},
        {"setmetatable", base_setmetatable},
        {"collectgarbage", base_collectgarbage},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
