#include "decide.h"

#include "api.h"
#include "scripts.h"

#include <lua.h>

#include <lauxlib.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define AFTER_MAX (10.0 * 365 * 86400)

struct question {
    struct service *service;
    const struct service_exit *exit;
    struct decision *out;
    bool answered;
};

static int push_question(lua_State *L, const struct question *q)
{
    scripts_door(L, scripts_of(L), "decide");
    lua_pushstring(L, q->service->conf->policy);
    lua_pushstring(L, q->service->conf->name);
    api_push_exit(L, q->exit);
    lua_pushstring(L, q->service->conf->policy_params ? q->service->conf->policy_params : "");
    return 4;
}

/* The door answers kind, seconds, reason, place; no kind: the core's own. */
static int ask(lua_State *L, void *arg)
{
    static const char *const kinds[] = {"restart", "stop", "fail", NULL};
    struct question *q = arg;
    lua_call(L, push_question(L, q), 4);
    if (lua_isnil(L, -4))
        return 0;
    struct decision *d = q->out;
    d->kind = (enum decision_kind)luaL_checkoption(L, -4, NULL, kinds);
    lua_Number after = luaL_optnumber(L, -3, 0);
    if (!(after >= 0 && after <= AFTER_MAX)) /* an answer is a table, and what is in it can be changed */
        return luaL_error(L, "policy \"%s\" must wait from 0 seconds to ten years, not %f", q->service->conf->policy,
                          (LUAI_UACNUMBER)after);
    const char *reason = lua_tostring(L, -2), *place = luaL_checkstring(L, -1);
    d->delay_ms = d->kind == DECISION_RESTART ? (int64_t)ceil(after * 1000) : 0;
    /* How long it waits is told with the event. */
    const char *what = d->kind == DECISION_STOP   ? "leave it down"
                       : d->kind == DECISION_FAIL ? "give up"
                       : d->delay_ms              ? "try again later"
                                                  : "restart at once";
    snprintf(d->reason, sizeof d->reason, "policy %s (%s): %s%s%s", q->service->conf->policy, place, what,
             reason ? ": " : "", reason ? reason : "");
    q->answered = true;
    return 0;
}

/* ---- the answers */

#define DECISION "decision" /* the name of their metatable, and what getmetatable says of them */

static int answer(lua_State *L, const char *kind, double after, int reason)
{
    lua_settop(L, 2);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, kind);
    lua_setfield(L, -2, "kind");
    lua_pushnumber(L, after);
    lua_setfield(L, -2, "after");
    if (!lua_isnoneornil(L, reason)) {
        luaL_tolstring(L, reason, NULL);
        lua_setfield(L, -2, "reason");
    }
    lua_Debug ar;
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
        lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
    else
        lua_pushstring(L, "?");
    lua_setfield(L, -2, "where");
    if (luaL_newmetatable(L, DECISION)) {
        lua_pushstring(L, DECISION);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return 1;
}

int decide_restart(lua_State *L)
{
    lua_Number after = luaL_optnumber(L, 1, 0);
    luaL_argcheck(L, after >= 0 && after <= AFTER_MAX, 1, "seconds, from 0 to ten years");
    return answer(L, "restart", after, 2);
}

int decide_stop(lua_State *L)
{
    return answer(L, "stop", 0, 1);
}

int decide_fail(lua_State *L)
{
    return answer(L, "fail", 0, 1);
}

bool decide_hook(void *arg, struct service *s, const struct service_exit *exit, struct decision *out)
{
    struct scripts *scripts = arg;
    struct question q = {.service = s, .exit = exit, .out = out};
    struct err err = {0};
    char what[320];
    if (!s->conf->policy)
        return false;
    scripts->deciding = true;
    bool asked = scripts_enter(scripts, ask, &q, &err);
    scripts->deciding = false;
    if (asked)
        return q.answered;
    snprintf(what, sizeof what, "service[%s]: policy %s failed, the core's own is used", s->conf->name,
             s->conf->policy);
    scripts_report(scripts, what, &err);
    policy_core(s->failures, out);
    char core[EVENT_TEXT_SIZE];
    memcpy(core, out->reason, sizeof core);
    err.text[strcspn(err.text, "\n")] = 0;
    snprintf(out->reason, sizeof out->reason, "policy %.40s failed (%.200s); %.120s", s->conf->policy, err.text, core);
    return true;
}
