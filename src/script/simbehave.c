#include "simbehave.h"

#include "conf.h"
#include "launch.h"
#include "simop.h"

#include <lua.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    const struct service *s = simop_service(c);
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
    const struct service *s = simop_service(c);
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
    const struct service *s = simop_service(c);
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

const luaL_Reg simbehave_functions[] = {
    {"crash", crash}, {"hang", hang}, {"say", say}, {"behave", behave}, {NULL, NULL},
};
