/* Tasks as scripts see them: made, waited for, put to sleep. */
#include "api.h"
#include "task.h"

#include <math.h>

#define SECONDS_MAX (10.0 * 365 * 86400)

static int slept(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    task_resumed(L);
    return 0;
}

/* sleep(seconds) */
static int raw_sleep(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= SECONDS_MAX, 1, "seconds, not below 0");
    struct task *t = task_current(L, "fm.sleep");
    return task_wait(L, t, (int64_t)ceil(seconds * 1000), slept);
}

/* spawn(what, fn, ...): its number. */
static int raw_spawn(lua_State *L)
{
    const char *what = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct scripts *s = scripts_acting(L, "fm.spawn");
    if (s->retired && !s->current)
        return api_error(L, "these scripts have been replaced by a reload; no new tasks");
    struct task *t = task_spawn(L, s, lua_gettop(L) - 2, what);
    lua_pushinteger(L, (lua_Integer)t->id);
    return 1;
}

/* cancel_task(number): whether it was still there. */
static int raw_cancel_task(lua_State *L)
{
    struct task *t = task_find(scripts_acting(L, "cancel"), (uint64_t)luaL_checkinteger(L, 1));
    if (t)
        task_cancel(t);
    lua_pushboolean(L, t != NULL);
    return 1;
}

/* join(number, timeout): true once it has ended well; nil and why not. */
static int raw_join(lua_State *L)
{
    struct task *other = task_find(scripts_acting(L, "join"), (uint64_t)luaL_checkinteger(L, 1));
    int64_t timeout_ms = task_timeout_ms(L, 2);
    struct task *t = task_current(L, "join");
    if (other == t)
        return api_error(L, "a task can't wait for its own end");
    if (!other) {
        lua_pushboolean(L, true);
        return 1;
    }
    task_join(t, other);
    return task_wait(L, t, timeout_ms, task_outcome);
}

const luaL_Reg api_task_functions[] = {
    {"sleep", raw_sleep}, {"spawn", raw_spawn}, {"cancel_task", raw_cancel_task}, {"join", raw_join}, {NULL, NULL}};
