#include "simop.h"

#include "script_event.h"
#include "simbehave.h"
#include "simcall.h"
#include "task.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX (10.0 * 365 * 86400)

struct simcase *simop_case(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

int64_t simop_ms(lua_State *L, int index)
{
    lua_Number seconds = luaL_checknumber(L, index);
    luaL_argcheck(L, seconds >= 0 && seconds <= SECONDS_MAX, index, "seconds, from 0 to ten years");
    return (int64_t)ceil(seconds * 1000);
}

/* ---- what suspends the case */

struct simcase_ask *simop_ask(lua_State *L)
{
    struct simcase *c = simop_case(L);
    if (!c->w.mon)
        luaL_error(L, "only the cases of a test can do this, when they run");
    if (L != c->co)
        luaL_error(L, "only the case itself can do this, no task, handler or coroutine in it");
    c->ask = (struct simcase_ask){0};
    return &c->ask;
}

int simop_answer(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    const struct simcase *c = (const struct simcase *)context;
    if (c->ask.err.text[0])
        lua_pushnil(L);
    else
        lua_pushboolean(L, c->ask.done);
    lua_pushstring(L, c->ask.err.text[0] ? c->ask.err.text : c->ask.why.text);
    return 2;
}

int simop_suspend(lua_State *L, void (*perform)(struct simcase *c), lua_KFunction answered)
{
    struct simcase *c = simop_case(L);
    c->ask.perform = perform;
    return lua_yieldk(L, 0, (lua_KContext)c, answered);
}

struct service *simop_service(struct simcase *c)
{
    struct service *s = monitor_find(c->w.mon, c->ask.name);
    if (!s)
        err_set(&c->ask.err, "service[%s] not configured", c->ask.name);
    return s;
}

/* ---- time */

static void do_advance(struct simcase *c)
{
    world_sim_advance(c->w.world, c->ask.ms);
    c->ask.done = true;
}

/* advance(seconds) */
static int advance(lua_State *L)
{
    simop_ask(L)->ms = simop_ms(L, 1);
    return simop_suspend(L, do_advance, simop_answer);
}

static void do_step(struct simcase *c)
{
    c->ask.done = simworld_step(&c->w, c->ask.ms);
}

/* step(until): to the next thing that happens, but no further than that moment of fm.now; false when it is reached. */
static int step(lua_State *L)
{
    simop_ask(L)->ms = (int64_t)ceil(luaL_checknumber(L, 1) * 1000);
    return simop_suspend(L, do_step, simop_answer);
}

static void do_set_wall(struct simcase *c)
{
    world_sim_set_wall(c->w.world, c->ask.ms);
    world_sim_advance(c->w.world, 0);
    c->ask.done = true;
}

/* set_wall(seconds since 1970) */
static int set_wall(lua_State *L)
{
    simop_ask(L)->ms = (int64_t)llround(luaL_checknumber(L, 1) * 1000);
    return simop_suspend(L, do_set_wall, simop_answer);
}

/* set_zone(name): local time from now on. */
static int set_zone(lua_State *L)
{
    struct simcase *c = simop_case(L);
    const char *zone = luaL_checkstring(L, 1), *before = getenv("TZ");
    if (!c->zone_changed) {
        c->zone = before ? strdup(before) : NULL;
        c->zone_changed = true;
    }
    setenv("TZ", zone, 1);
    tzset();
    return 0;
}

/* ---- the configuration */

static void do_configure(struct simcase *c)
{
    struct conf *conf = simworld_conf(&c->w, c->ask.text, &c->ask.err);
    if (!conf || !simworld_change(&c->w, conf, &c->ask.err))
        return;
    world_sim_advance(c->w.world, 0);
    c->ask.done = true;
}

/* configure(json): of the env. */
static int configure(lua_State *L)
{
    simop_ask(L)->text = luaL_checkstring(L, 1);
    return simop_suspend(L, do_configure, simop_answer);
}

static void do_judge(struct simcase *c)
{
    struct conf *conf = simworld_conf(&c->w, c->ask.text, &c->ask.err);
    c->ask.done = conf != NULL;
    conf_free(conf);
}

/* judge(json): would that be a configuration? */
static int judge(lua_State *L)
{
    simop_ask(L)->text = luaL_checkstring(L, 1);
    return simop_suspend(L, do_judge, simop_answer);
}

/* ---- commands of a person */

struct goal {
    struct service_wait wait;
    bool told;
    struct err *why;
};

static void on_goal(struct service_wait *w, struct service *s, const char *why)
{
    (void)s;
    struct goal *g = CONTAINER_OF(w, struct goal, wait);
    g->told = true;
    if (why)
        err_set(g->why, "%s", why);
}

static bool order(struct service *s, const char *what, struct err *why)
{
    if (!strcmp(what, "wait"))
        return true;
    uint64_t cause = monitor_note(s->mon, s, EVENT_COMMAND, 0, "%s asked for by the test", what);
    if (!strcmp(what, "grestart"))
        return service_grestart(s, cause, why);
    if (!strcmp(what, "start"))
        service_start(s, cause);
    else if (!strcmp(what, "stop"))
        service_stop(s, cause);
    else
        service_restart(s, cause);
    return true;
}

static void do_order(struct simcase *c)
{
    struct service *s = simop_service(c);
    const int64_t until_ms = simworld_now_ms(&c->w) + c->ask.ms;
    if (!s || !order(s, c->ask.what, &c->ask.why))
        return;
    struct goal g = {.wait.goal = strcmp(c->ask.what, "stop") ? GOAL_UP : GOAL_DOWN, .wait.done = on_goal};
    g.why = &c->ask.why;
    service_wait_add(s, &g.wait);
    while (!g.told && simworld_step(&c->w, until_ms))
        ;
    if (!g.told) {
        service_wait_remove(s, &g.wait);
        err_set(&c->ask.why, "timeout; it is %s", machine_state_name(s->state));
    }
    world_sim_advance(c->w.world, 0);
    c->ask.done = g.told && !c->ask.why.text[0];
}

/* order(name, "start"|"stop"|"restart"|"grestart"|"wait", seconds): until it is done. wait: until it is up. */
static int raw_order(lua_State *L)
{
    struct simcase_ask *a = simop_ask(L);
    a->name = luaL_checkstring(L, 1);
    a->what = luaL_checkstring(L, 2);
    a->ms = simop_ms(L, 3);
    return simop_suspend(L, do_order, simop_answer);
}

/* ---- what happened */

/* events(name): all that are remembered, oldest first; without a name those of everybody. */
static int events(lua_State *L)
{
    const struct simcase *c = simop_case(L);
    const char *name = luaL_optstring(L, 1, NULL);
    lua_Integer n = 0;
    lua_newtable(L);
    for (size_t i = 0; i < c->nevents; i++) {
        const struct simcase_event *e = &c->events[i];
        if (name && (!e->service || strcmp(name, e->service) != 0))
            continue;
        script_event_push(L, e->service, e->event);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* line(i): the text of that line of the log and whether it was raised; nil past the end. */
static int line(lua_State *L)
{
    const struct simcase *c = simop_case(L);
    lua_Integer i = luaL_checkinteger(L, 1);
    if (i < 1 || (size_t)i > c->nlines)
        return 0;
    lua_pushstring(L, c->lines[i - 1].text);
    lua_pushboolean(L, c->lines[i - 1].raised);
    return 2;
}

/* seen(i): the case expects it. */
static int seen(lua_State *L)
{
    struct simcase *c = simop_case(L);
    lua_Integer i = luaL_checkinteger(L, 1);
    if (i >= 1 && (size_t)i <= c->nlines)
        c->lines[i - 1].seen = true;
    return 0;
}

/* complain(text): fails the case in its end. */
static int complain(lua_State *L)
{
    simcase_complain(simop_case(L), luaL_checkstring(L, 1));
    return 0;
}

/* must_wait(what): an error when the caller is no task. */
static int must_wait(lua_State *L)
{
    task_current(L, luaL_checkstring(L, 1));
    return 0;
}

/* ---- scripts */

/* load(path): runs a further script, as if it were in lua/. Relative to the test file. */
static int load(lua_State *L)
{
    const struct simcase *c = simop_case(L);
    const char *path = luaL_checkstring(L, 1), *slash = strrchr(c->file, '/');
    struct err err = {0};
    if (c->w.mon || L != vm_state(c->w.scripts->vm))
        return luaL_error(L, "fm.load stands at the top of a test file, outside of its cases");
    if (*path != '/' && slash) {
        lua_pushlstring(L, c->file, (size_t)(slash - c->file + 1));
        lua_pushvalue(L, 1);
        lua_concat(L, 2);
        path = lua_tostring(L, -1);
    }
    if (!scripts_run_file(c->w.scripts, path, &err))
        return luaL_error(L, "%s", err.text);
    return 0;
}

static const luaL_Reg functions[] = {
    {"advance", advance},   {"step", step},         {"set_wall", set_wall},
    {"set_zone", set_zone}, {"judge", judge},       {"configure", configure},
    {"order", raw_order},   {"events", events},     {"line", line},
    {"seen", seen},         {"complain", complain}, {"must_wait", must_wait},
    {"load", load},         {NULL, NULL},
};

void simop_push(struct lua_State *L, struct simcase *c)
{
    lua_newtable(L);
    static const luaL_Reg *const all[] = {functions, simcall_functions, simbehave_functions};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        lua_pushlightuserdata(L, c);
        luaL_setfuncs(L, all[i], 1);
    }
}
