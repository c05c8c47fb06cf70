#include "script_timer.h"

#include "api.h"
#include "clock.h"
#include "cron.h"
#include "monitor.h"
#include "task.h"
#include "vm.h"
#include "world.h"

#include <lauxlib.h>

#include <math.h>
#include <string.h>

#define SECONDS_MAX (10.0 * 365 * 86400)
/* A cron timer looks at the wall clock again after at most this long: the clock may be set meanwhile. */
#define CRON_LOOK_MS 30000
#define SLICE_MS 4 /* those that are due get their tasks for so long before events, tasks and the loop go on */

static const char metatable[] = "fm.timer"; /* its name in the registry */

enum kind { KIND_AFTER, KIND_EVERY, KIND_CRON };

/* Memory of Lua's, so that it counts: a userdata whose user value is the function. */
struct script_timer {
    struct script_timer *prev, *next; /* of scripts->timers, while active */
    struct script_timer *next_due;    /* of scripts->due, while is_due */
    struct scripts *scripts;
    uint64_t task;
    enum kind kind;
    bool active; /* may still come due */
    bool is_due;
    struct timer timer;
    int64_t period_ms, due_ms; /* AFTER, EVERY */
    struct cron cron;
    int64_t next_wall_ms; /* CRON */
    int ref;              /* in the registry: of itself, while active or due */
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

/* Lua may have its memory back when nothing points to it any more. */
static void release(struct script_timer *t)
{
    if (!t->active && !t->is_due)
        luaL_unref(vm_state(t->scripts->vm), LUA_REGISTRYINDEX, t->ref);
}

static void stop(struct script_timer *t)
{
    struct scripts *s = t->scripts;
    if (t->prev)
        t->prev->next = t->next;
    else
        s->timers = t->next;
    if (t->next)
        t->next->prev = t->prev;
    s->ntimers--;
    if (s->world)
        world_timer_clear(s->world, &t->timer);
    t->active = false;
    release(t);
}

static int run(lua_State *L, void *arg)
{
    struct script_timer *t = arg;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
    lua_getiuservalue(L, -1, 1);
    t->task = task_spawn(L, t->scripts, 0, t->what)->id;
    return 0;
}

static void run_now(struct script_timer *t)
{
    struct err err = {0};
    if (t->task && task_find(t->scripts, t->task))
        return; /* still at it */
    if (!scripts_enter(t->scripts, run, t, &err))
        scripts_report(t->scripts, t->what, &err);
}

/* The runner gives it its task: many may be due at once. */
static void due(struct script_timer *t)
{
    struct scripts *s = t->scripts;
    if (t->is_due)
        return;
    t->is_due = true;
    t->next_due = NULL;
    if (s->due_last)
        s->due_last->next_due = t;
    else
        s->due = t;
    s->due_last = t;
    task_arm_runner(s);
}

static struct script_timer *take_due(struct scripts *s)
{
    struct script_timer *t = s->due;
    s->due = t->next_due;
    if (!s->due)
        s->due_last = NULL;
    t->is_due = false;
    return t;
}

void script_timer_run_due(struct scripts *s)
{
    int64_t start_ms = clock_mono_ms();
    const struct script_timer *last = s->due_last;
    for (bool more = last; more && s->due;) {
        struct script_timer *t = take_due(s);
        more = t != last && clock_mono_ms() - start_ms < SLICE_MS;
        if (t->active)
            run_now(t);
        if (t->active && t->kind == KIND_AFTER)
            stop(t);
        else
            release(t);
    }
}

static void on_fire(struct timer *timer)
{
    struct script_timer *t = CONTAINER_OF(timer, struct script_timer, timer);
    struct world *w = t->scripts->world;
    if (t->kind == KIND_AFTER) {
        due(t);
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
    while (s->due)
        release(take_due(s));
    while (s->timers)
        stop(s->timers);
}

static void set_metatable(lua_State *L)
{
    if (luaL_newmetatable(L, metatable)) {
        lua_pushboolean(L, false); /* a script that reached it could put a __gc of its own there */
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

/* Takes the function at index 2 and the text at index 3. Pushes the timer. */
static struct script_timer *make(lua_State *L, enum kind kind)
{
    struct scripts *s = scripts_of(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    size_t len;
    const char *what = luaL_checklstring(L, 3, &len);
    if (s->retired)
        api_error(L, "these scripts have been replaced by a reload; no new timers");
    struct script_timer *t = lua_newuserdatauv(L, sizeof *t + len + 1, 1);
    *t = (struct script_timer){.scripts = s, .kind = kind, .timer.fire = on_fire, .next = s->timers};
    memcpy(t->what, what, len + 1);
    set_metatable(L);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    if (s->world &&
        timers_reserve(&s->world->timers, s->world->timers.count + s->mon->nsvcs + s->ntimers + s->ntasks + 16))
        luaL_error(L, "out of memory");
    lua_pushvalue(L, -1);
    t->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    t->active = true;
    if (s->timers)
        s->timers->prev = t;
    s->timers = t;
    s->ntimers++;
    return t;
}

static int begin(struct script_timer *t)
{
    if (t->scripts->world)
        start(t);
    return 1;
}

static int by_seconds(lua_State *L, enum kind kind, double least)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    if (!(seconds >= least) || seconds > SECONDS_MAX)
        return api_error(L, kind == KIND_EVERY ? "fm.every: seconds, at least 0.01" : "fm.after: seconds, not below 0");
    struct script_timer *t = make(L, kind);
    t->period_ms = (int64_t)ceil(seconds * 1000);
    return begin(t);
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
    return begin(t);
}

int script_timer_cancel(lua_State *L)
{
    struct script_timer *t = luaL_checkudata(L, 1, metatable);
    lua_pushboolean(L, t->active);
    if (t->active)
        stop(t);
    return 1;
}
