#include "simop.h"

#include "conf.h"
#include "launch.h"
#include "script_event.h"
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

static struct service *find(struct simcase *c)
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
    struct service *s = find(c);
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

/* ---- what processes do */

static bool says_not_running(struct simcase *c, const struct service *s)
{
    char next[64] = "";
    if (s->proc.pid && world_sim_find_pid(c->w.world, s->proc.pid))
        return false;
    if (s->state == STATE_WAITING)
        snprintf(next, sizeof next, " (its next try is in %.3f s)", (double)service_next_try_ms(s) / 1000);
    return !err_set(&c->ask.err, "service[%s] has no process: it is %s%s", s->conf->name, machine_state_name(s->state),
                    next);
}

static void do_crash(struct simcase *c)
{
    const struct service *s = find(c);
    if (!s || says_not_running(c, s))
        return;
    world_sim_end(c->w.world, s->proc.pid, &c->ask.how);
    world_sim_advance(c->w.world, 0);
    c->ask.done = true;
}

static int check_signal(lua_State *L, int index)
{
    int number = lua_isnoneornil(L, index) ? 0 : conf_signal_number(luaL_checkstring(L, index));
    luaL_argcheck(L, number || lua_isnoneornil(L, index), index, "the name of a signal");
    return number;
}

/* crash(name, code, signal, core, cpu, max_rss) */
static int crash(lua_State *L)
{
    struct simcase_ask *a = simop_ask(L);
    a->name = luaL_checkstring(L, 1);
    int signal = check_signal(L, 3);
    lua_Number cpu = luaL_optnumber(L, 5, -0.001), rss = luaL_optnumber(L, 6, -1);
    a->how = (struct proc_exit){.known = true,
                                .signal = signal,
                                .code = signal ? -1 : (int)luaL_checkinteger(L, 2),
                                .core = lua_toboolean(L, 4),
                                .cpu_ms = (int64_t)llround(cpu * 1000),
                                .max_rss_kib = rss < 0 ? -1 : (int64_t)(rss / 1024)};
    return simop_suspend(L, do_crash, simop_answer);
}

static void do_hang(struct simcase *c)
{
    const struct service *s = find(c);
    if (!s || says_not_running(c, s))
        return;
    world_sim_ignore(c->w.world, s->proc.pid, ~0ULL);
    c->ask.done = true;
}

/* hang(name): SIGKILL alone ends it. */
static int hang(lua_State *L)
{
    simop_ask(L)->name = luaL_checkstring(L, 1);
    return simop_suspend(L, do_hang, simop_answer);
}

static void do_say(struct simcase *c)
{
    const struct service *s = find(c);
    char *path = s ? launch_log_path(c->w.mon->conf, s->conf) : NULL;
    c->ask.done = path && !world_sim_write(c->w.world, path, c->ask.text);
    free(path);
}

/* say(name, text): on its console. */
static int say(lua_State *L)
{
    struct simcase_ask *a = simop_ask(L);
    a->name = luaL_checkstring(L, 1);
    a->text = luaL_checkstring(L, 2);
    return simop_suspend(L, do_say, simop_answer);
}

static lua_Number field_number(lua_State *L, const char *key, lua_Number otherwise)
{
    lua_getfield(L, 2, key);
    lua_Number n = luaL_optnumber(L, -1, otherwise);
    lua_pop(L, 1);
    return n;
}

static bool field_true(lua_State *L, const char *key)
{
    lua_getfield(L, 2, key);
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return yes;
}

static int named_signal(lua_State *L, int index)
{
    const char *name = luaL_checkstring(L, index);
    int number = conf_signal_number(name);
    return number ? number : luaL_error(L, "there is no signal \"%s\"", name);
}

static int named_error(lua_State *L, const char *name)
{
    for (int e = 1; e < 134; e++)
        if (strerrorname_np(e) && !strcmp(strerrorname_np(e), name))
            return e;
    return luaL_error(L, "spawn_error: there is no error \"%s\"; one like ENOENT is expected", name);
}

static void read_ignores(lua_State *L, struct world_sim_behaviour *b)
{
    lua_getfield(L, 2, "ignores");
    for (lua_Integer i = 1; lua_istable(L, -1) && lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
        b->ignores |= WORLD_SIM_BIT(named_signal(L, -1));
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
}

/* on = { HUP = { after = 0.5, code = 0, heir = true } }; an empty one: it has a handler and goes on running. */
static void read_reactions(lua_State *L, struct world_sim_behaviour *b)
{
    size_t n = 0;
    if (lua_getfield(L, 2, "on") == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
            if (n == WORLD_SIM_REACTIONS)
                luaL_error(L, "on: more than %d signals", WORLD_SIM_REACTIONS);
            struct world_sim_reaction *r = &b->reactions[n++];
            r->signal = named_signal(L, 4);
            luaL_checktype(L, 5, LUA_TTABLE);
            lua_getfield(L, 5, "after");
            r->exits = !lua_isnil(L, -1);
            r->after_ms = (int64_t)(luaL_optnumber(L, -1, 0) * 1000);
            lua_getfield(L, 5, "code");
            r->code = (int)luaL_optinteger(L, -1, 0);
            lua_getfield(L, 5, "heir");
            r->heir = lua_toboolean(L, -1);
            lua_pop(L, 3);
        }
    lua_settop(L, 2);
}

static const char *read_text(lua_State *L, const char *key)
{
    const char *copy = NULL;
    if (lua_getfield(L, 2, key) != LUA_TNIL && !(copy = simcase_keep(simop_case(L), luaL_checkstring(L, -1))))
        luaL_error(L, "out of memory");
    lua_pop(L, 1);
    return copy;
}

/* behave(name, table): from its next start on. */
static int behave(lua_State *L)
{
    struct simcase *c = simop_case(L);
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_Number life = field_number(L, "dies_after", -1);
    struct world_sim_behaviour b = {.starts = (unsigned)field_number(L, "starts", 0),
                                    .spawn_stage = PROC_STAGE_EXEC,
                                    .dies = life >= 0,
                                    .life_ms = (int64_t)llround(life * 1000),
                                    .code = (int)field_number(L, "code", 1),
                                    .core = field_true(L, "core"),
                                    .children = (unsigned)field_number(L, "children", 0),
                                    .detached = field_true(L, "detached"),
                                    .hangs = field_true(L, "hangs"),
                                    .console = read_text(L, "says")};
    if (lua_getfield(L, 2, "signal") != LUA_TNIL)
        b.signal = named_signal(L, -1);
    lua_pop(L, 1);
    if (lua_getfield(L, 2, "spawn_error") != LUA_TNIL)
        b.spawn_error = named_error(L, luaL_checkstring(L, -1));
    lua_pop(L, 1);
    read_ignores(L, &b);
    read_reactions(L, &b);
    if (world_sim_behave(c->w.world, name, &b))
        return luaL_error(L, "out of memory");
    return 0;
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
    {"advance", advance},   {"step", step},
    {"set_wall", set_wall}, {"set_zone", set_zone},
    {"judge", judge},       {"configure", configure},
    {"order", raw_order},   {"crash", crash},
    {"hang", hang},         {"say", say},
    {"behave", behave},     {"events", events},
    {"line", line},         {"seen", seen},
    {"complain", complain}, {"must_wait", must_wait},
    {"load", load},         {NULL, NULL},
};

void simop_push(struct lua_State *L, struct simcase *c)
{
    lua_newtable(L);
    lua_pushlightuserdata(L, c);
    luaL_setfuncs(L, functions, 1);
    lua_pushlightuserdata(L, c);
    luaL_setfuncs(L, simcall_functions, 1);
}
