#include "lib.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#include <string.h>

#define DATE_FORMAT_MAX 256 /* bytes; longer ones take their time */

/* Calls Lua's own function (the upvalue) with the arguments. */
static int call_own(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static void push_now(lua_State *L)
{
    int64_t ms = vm_wall_ms(vm_of(L));
    lua_pushinteger(L, (ms - (ms % 1000 + 1000) % 1000) / 1000);
}

static int os_time(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        return call_own(L);
    push_now(L);
    return 1;
}

static int os_date(lua_State *L)
{
    size_t len = 0;
    luaL_optlstring(L, 1, "%c", &len);
    luaL_argcheck(L, len <= DATE_FORMAT_MAX, 1, "format too long");
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        push_now(L);
    }
    return call_own(L);
}

void lib_os(struct lua_State *L)
{
    static const char *const kept[] = {"clock", "difftime", "getenv", "remove", "rename", "tmpname"};
    static const luaL_Reg timed[] = {{"time", os_time}, {"date", os_date}};
    int os = lua_gettop(L);
    lua_pushcfunction(L, luaopen_os);
    lua_call(L, 0, 1);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        lua_getfield(L, -1, kept[i]);
        lua_setfield(L, os, kept[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(timed); i++) {
        lua_getfield(L, -1, timed[i].name);
        lua_pushcclosure(L, timed[i].func, 1);
        lua_setfield(L, os, timed[i].name);
    }
    lua_pop(L, 1);
}
