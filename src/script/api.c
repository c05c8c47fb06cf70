#include "api.h"

#include "clock.h"
#include "clog.h"
#include "confjson.h"
#include "decide.h"
#include "monitor.h"
#include "script_call.h"
#include "script_event.h"
#include "script_timer.h"
#include "task.h"
#include "vm.h"
#include "vmerror.h"
#include "world.h"

#include <lua.h>

#include <lauxlib.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON_MAX (1024 * 1024) /* bytes of a text that is decoded: it is done in one go, 60 ms at worst */

/* ---- errors */

int api_error(lua_State *L, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lua_Debug ar;
    if (vmerror_script_line(L, &ar))
        lua_pushfstring(L, "%s:%d: %s", ar.short_src, ar.currentline, text);
    else
        lua_pushstring(L, text);
    return lua_error(L);
}

/* ---- memory */

static int free_box(lua_State *L)
{
    char **box = lua_touserdata(L, 1);
    free(*box);
    *box = NULL;
    return 0;
}

char **api_hold(lua_State *L)
{
    char **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    if (luaL_newmetatable(L, "fm.box")) {
        lua_pushcfunction(L, free_box);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return box;
}

/* ---- time */

static int raw_now(lua_State *L)
{
    const struct scripts *s = scripts_of(L);
    lua_pushnumber(L, (double)(s->world ? s->world->ops->mono_ms(s->world) : clock_mono_ms()) / 1000);
    return 1;
}

static int raw_time(lua_State *L)
{
    const struct scripts *s = scripts_of(L);
    lua_pushnumber(L, (double)(s->world ? s->world->ops->wall_ms(s->world) : vm_wall_ms(s->vm)) / 1000);
    return 1;
}

/* ---- log */

static int raw_log_line(lua_State *L)
{
    static const char *const names[] = {"debug", "info", "warn", "error", NULL};
    static const enum clog_level levels[] = {CLOG_DEBUG, CLOG_INFO, CLOG_WARN, CLOG_ERROR};
    const struct scripts *s = scripts_of(L);
    enum clog_level level = levels[luaL_checkoption(L, 1, NULL, names)];
    const char *text = luaL_checkstring(L, 2);
    if (s->told)
        s->told(s->told_arg, (int)level, text, false);
    else
        clog_write(level, "%s", text);
    return 0;
}

/* acting(): whether there is a monitor that they act on; not yet while they are loaded. */
static int raw_acting(lua_State *L)
{
    lua_pushboolean(L, scripts_of(L)->mon != NULL);
    return 1;
}

/* ---- places */

/* where(level): "lua/x.lua:12" of the function that many levels up the stack. */
static int raw_where(lua_State *L)
{
    lua_Debug ar;
    if (lua_getstack(L, (int)luaL_checkinteger(L, 1), &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
        lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
    else
        lua_pushstring(L, "?");
    return 1;
}

/* defined(fn): "lua/x.lua:12", where the function begins. */
static int raw_defined(lua_State *L)
{
    lua_Debug ar;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_getinfo(L, ">S", &ar);
    lua_pushfstring(L, ar.linedefined > 0 ? "%s:%d" : "%s", ar.short_src, ar.linedefined);
    return 1;
}

/* ---- JSON */

static int free_buf(lua_State *L)
{
    buf_fini(lua_touserdata(L, 1));
    return 0;
}

/* encode(value): the text, or nil and why not. */
static int raw_encode(lua_State *L)
{
    struct err err = {0};
    lua_settop(L, 1);
    struct buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (struct buf){0};
    if (luaL_newmetatable(L, "fm.buf")) {
        lua_pushcfunction(L, free_buf);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    bool ok = confjson_encode(L, 1, b, &err);
    if (ok) {
        lua_pushlstring(L, buf_str(b), b->len);
        buf_fini(b);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return 2;
}

static bool decode(lua_State *L, const char *text, size_t len, struct err *err)
{
    size_t offset = 0;
    confjson_open(L);
    int decoder = lua_gettop(L);
    if (!confjson_decode(L, decoder, text, len, &offset, err))
        return err_prefix(err, "at byte %zu", offset + 1);
    return true;
}

static int raw_decode(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct err err = {0};
    bool ok = len <= JSON_MAX ? decode(L, text, len, &err) : err_set(&err, "larger than %d MB", JSON_MAX >> 20);
    if (ok)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return 2;
}

void api_push_json(lua_State *L, const char *text)
{
    struct err err = {0};
    if (!text) {
        lua_pushnil(L);
        return;
    }
    if (!decode(L, text, strlen(text), &err))
        luaL_error(L, "%s", err.text);
    lua_remove(L, -2);
}

/* ---- the table */

static const luaL_Reg functions[] = {
    {"now", raw_now},
    {"time", raw_time},
    {"log_line", raw_log_line},
    {"acting", raw_acting},
    {"where", raw_where},
    {"defined", raw_defined},
    {"encode", raw_encode},
    {"decode", raw_decode},
    {"subscribe", script_event_subscribe},
    {"wait_state", script_event_wait_state},
    {"after", script_timer_after},
    {"every", script_timer_every},
    {"cron", script_timer_cron},
    {"cancel_timer", script_timer_cancel},
    {"write", script_call_write},
    {"finish", script_call_finish},
    {"reserved", script_call_reserved},
    {"restart", decide_restart},
    {"stop", decide_stop},
    {"fail", decide_fail},
    {NULL, NULL},
};

void api_push(lua_State *L, struct scripts *s)
{
    char host[256] = "";
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    luaL_setfuncs(L, api_service_functions, 0);
    luaL_setfuncs(L, api_task_functions, 0);
    luaL_setfuncs(L, api_outside_functions, 0);
    gethostname(host, sizeof host - 1);
    lua_pushstring(L, host);
    lua_setfield(L, -2, "hostname");
    lua_pushstring(L, s->env);
    lua_setfield(L, -2, "env");
    lua_pushstring(L, s->home);
    lua_setfield(L, -2, "home");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushstring(L, FM_VERSION);
    lua_setfield(L, -2, "version");
}
