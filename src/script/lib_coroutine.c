#include "lib.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#define NOT_OWN "a task is no coroutine that a script may resume or close"

/* Goes on with co, with the top nargs values of L. Returns the number of results, which lie on L, or -1: the error
 * does. */
static int go_on(lua_State *L, lua_State *co, int nargs)
{
    int n = 0;
    if (!lua_checkstack(co, nargs)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    lua_xmove(L, co, nargs);
    int status = vm_switch(co, L, nargs, &n);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, n + 1)) {
        lua_pop(co, n);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, n);
    return n;
}

static lua_State *check_coroutine(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static int coroutine_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = vm_new_coroutine(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int coroutine_resume(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    if (!vm_is_scripts_own(co)) {
        lua_pushboolean(L, false);
        lua_pushliteral(L, NOT_OWN);
        return 2;
    }
    int n = go_on(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    if (n < 0)
        n = 1;
    lua_insert(L, -(n + 1));
    return n + 1;
}

/* A task is woken by what it waits for, and by nothing else. */
static int coroutine_yield(lua_State *L)
{
    if (!vm_is_scripts_own(L))
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int wrap_call(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = go_on(L, co, lua_gettop(L));
    if (n >= 0)
        return n;
    if (lua_status(co) > LUA_YIELD && vm_close(co) > LUA_OK) {
        lua_pop(L, 1);
        lua_xmove(co, L, 1); /* an error while closing stands in for the first one */
    }
    return lua_error(L);
}

static int coroutine_wrap(lua_State *L)
{
    coroutine_create(L);
    lua_pushcclosure(L, wrap_call, 1);
    return 1;
}

/* Not one that runs, nor one that has resumed another and waits for it. */
static bool is_at_rest(lua_State *L, lua_State *co)
{
    lua_Debug ar;
    return co != L && (lua_status(co) != LUA_OK || !lua_getstack(co, 0, &ar));
}

static int coroutine_close(lua_State *L)
{
    lua_State *co = check_coroutine(L);
    if (!vm_is_scripts_own(co))
        return luaL_error(L, NOT_OWN);
    if (!is_at_rest(L, co))
        return luaL_error(L, "cannot close a %s coroutine", co == L ? "running" : "normal");
    int status = vm_close(co);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    if (status > 0)
        lua_xmove(co, L, 1);
    else
        lua_pushliteral(L, "the coroutine cannot be closed: it was over budget, or too many close each other");
    return 2;
}

void lib_coroutine(struct lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"create", coroutine_create}, {"resume", coroutine_resume}, {"yield", coroutine_yield},
        {"wrap", coroutine_wrap},     {"close", coroutine_close},   {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
