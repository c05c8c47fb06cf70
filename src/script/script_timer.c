#include "script_timer.h"

#include "api.h"
#include "cron.h"
#include "monitor.h"
#include "task.h"
#include "vm.h"
#include "world.h"

#include <lauxlib.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX (10.0 * 365 * 86400)
/* A cron timer looks at the wall clock again after at most this long: the clock may be set meanwhile. */
#define CRON_LOOK_MS 30000

enum kind { KIND_AFTER, KIND_EVERY, KIND_CRON };

struct script_timer {
    struct script_timer *next;
    struct scripts *scripts;
    uint64_t id, task;
    enum kind kind;
    struct timer timer;
    int64_t period_ms, due_ms; /* AFTER, EVERY */
    struct cron cron;
    int64_t next_wall_ms; /* CRON */
    int fn;               /* registry reference */
    char what[];
};

static int64_t wall_ms(const struct scripts *s)
{
    return s->world->ops->wall_ms(s->world);
}

static void arm_cron(struct script_timer *t)
{
    /* -1: none in sight; the clock, or the zone, may change that. */
    int64_t wait = t->next_wall_ms < 0 ? CRON_LOOK_MS : t->next_wall_ms - wall_ms(t->scripts);
    world_timer_set(t->scripts->world, &t->timer, MAX(MIN(wait, CRON_LOOK_MS), 0));
}

static void start(struct script_timer *t)
{
    struct scripts *s = t->scripts;
    if (t->kind == KIND_CRON) {
        t->next_wall_ms = cron_next(&t->cron, wall_ms(s));
        arm_cron(t);
        return;
    }
    t->due_ms = s->world->ops->mono_ms(s->world) + t->period_ms;
    world_timer_set(s->world, &t->timer, t->period_ms);
}

static void free_timer(struct script_timer *t)
{
    struct scripts *s = t->scripts;
    for (struct script_timer **p = &s->timers; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    s->ntimers--;
    if (s->world)
        world_timer_clear(s->world, &t->timer);
    luaL_unref(vm_state(s->vm), LUA_REGISTRYINDEX, t->fn);
    free(t);
}

static int run(lua_State *L, void *arg)
{
    struct script_timer *t = arg;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->fn);
    t->task = task_spawn(L, t->scripts, 0, t->what)->id;
    return 0;
}

static void due(struct script_timer *t)
{
    struct err err = {0};
    if (t->task && task_find(t->scripts, t->task))
        return; /* still at it */
    if (!scripts_enter(t->scripts, run, t, &err))
        scripts_report(t->scripts, t->what, &err);
}

static void on_fire(struct timer *timer)
{
    struct script_timer *t = CONTAINER_OF(timer, struct script_timer, timer);
    struct world *w = t->scripts->world;
    if (t->kind == KIND_AFTER) {
        due(t);
        free_timer(t);
        return;
    }
    if (t->kind == KIND_EVERY) {
        int64_t now = w->ops->mono_ms(w);
        t->due_ms += t->period_ms;
        if (t->due_ms <= now) /* the host slept, or the loop: what was missed is not made up for */
            t->due_ms = now + t->period_ms;
        world_timer_set(w, &t->timer, t->due_ms - now);
        due(t);
        return;
    }
    int64_t now = wall_ms(t->scripts);
    bool came = t->next_wall_ms >= 0 && now >= t->next_wall_ms;
    /* Also when the clock was set back: the next time is what the clock says now. */
    t->next_wall_ms = cron_next(&t->cron, now);
    arm_cron(t);
    if (came)
        due(t);
}

void script_timer_start_all(struct scripts *s)
{
    for (struct script_timer *t = s->timers; t; t = t->next)
        start(t);
}

void script_timer_free_all(struct scripts *s)
{
    while (s->timers)
        free_timer(s->timers);
}

/* Takes the function at index 2 and the text at index 3. */
static struct script_timer *make(lua_State *L, enum kind kind)
{
    struct scripts *s = scripts_of(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    size_t len;
    const char *what = luaL_checklstring(L, 3, &len);
    if (s->retired)
        api_error(L, "these scripts have been replaced by a reload; no new timers");
    lua_pushvalue(L, 2);
    int fn = luaL_ref(L, LUA_REGISTRYINDEX);
    struct script_timer *t = malloc(sizeof *t + len + 1);
    if (!t || (s->world && timers_reserve(&s->world->timers,
                                          s->world->timers.count + s->mon->nsvcs + s->ntimers + s->ntasks + 16))) {
        free(t);
        luaL_unref(L, LUA_REGISTRYINDEX, fn);
        luaL_error(L, "out of memory");
        return NULL;
    }
    *t = (struct script_timer){
        .scripts = s, .kind = kind, .timer.fire = on_fire, .id = ++s->last_id, .fn = fn, .next = s->timers};
    memcpy(t->what, what, len + 1);
    s->timers = t;
    s->ntimers++;
    return t;
}

static int begin(lua_State *L, struct script_timer *t)
{
    if (t->scripts->world)
        start(t);
    lua_pushinteger(L, (lua_Integer)t->id);
    return 1;
}

static int by_seconds(lua_State *L, enum kind kind, double least)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    if (!(seconds >= least) || seconds > SECONDS_MAX)
        return luaL_argerror(L, 1, kind == KIND_EVERY ? "seconds, at least 0.01" : "seconds, not below 0");
    struct script_timer *t = make(L, kind);
    t->period_ms = (int64_t)ceil(seconds * 1000);
    return begin(L, t);
}

int script_timer_after(lua_State *L)
{
    return by_seconds(L, KIND_AFTER, 0);
}

int script_timer_every(lua_State *L)
{
    return by_seconds(L, KIND_EVERY, 0.01);
}

int script_timer_cron(lua_State *L)
{
    struct cron cron;
    struct err err = {0};
    if (!cron_parse(&cron, luaL_checkstring(L, 1), &err))
        return api_error(L, "fm.cron: \"%s\": %s", lua_tostring(L, 1), err.text);
    struct script_timer *t = make(L, KIND_CRON);
    t->cron = cron;
    return begin(L, t);
}

int script_timer_cancel(lua_State *L)
{
    struct scripts *s = scripts_of(L);
    uint64_t id = (uint64_t)luaL_checkinteger(L, 1);
    struct script_timer *t = s->timers;
    while (t && t->id != id)
        t = t->next;
    if (t)
        free_timer(t);
    lua_pushboolean(L, t != NULL);
    return 1;
}
