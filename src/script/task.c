#include "task.h"

#include "api.h"
#include "clock.h"
#include "monitor.h"
#include "script_timer.h"
#include "vm.h"
#include "world.h"

#include <lauxlib.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MS 4 /* tasks run for so long before the loop turns to other things */
#define TIMEOUT_MAX_S (100.0 * 365 * 86400)
#define SPARE_TIMERS 16 /* beside those of services and tasks */

/* ---- being resumed */

void task_arm_runner(struct scripts *s)
{
    if (s->world && !s->runner.place)
        world_timer_set(s->world, &s->runner, 0);
}

void task_wake(struct task *t)
{
    struct scripts *s = t->scripts;
    world_timer_clear(s->world, &t->timer);
    if (t->ready)
        return;
    t->ready = true;
    t->prev_ready = s->ready_last;
    t->next_ready = NULL;
    if (s->ready_last)
        s->ready_last->next_ready = t;
    else
        s->ready = t;
    s->ready_last = t;
    task_arm_runner(s);
}

static void stop_waiting(struct task *t)
{
    void (*unwait)(struct task *) = t->unwait;
    t->unwait = NULL;
    if (unwait)
        unwait(t);
    t->waiting = NULL;
}

static void on_timer(struct timer *timer)
{
    struct task *t = CONTAINER_OF(timer, struct task, timer);
    t->timed_out = true;
    stop_waiting(t);
    task_wake(t);
}

void task_cancel(struct task *t)
{
    t->cancelled = true;
    if (t->ready || t == t->scripts->current)
        return;
    stop_waiting(t);
    task_wake(t);
}

static void drop_result(struct task_result *r)
{
    if (r->data)
        r->drop(r->data);
    *r = (struct task_result){0};
}

void task_keep(struct task *t, void *data, void (*drop)(void *data))
{
    drop_result(&t->result);
    t->result = (struct task_result){data, drop};
}

static void unready(struct task *t)
{
    struct scripts *s = t->scripts;
    if (!t->ready)
        return;
    if (t->prev_ready)
        t->prev_ready->next_ready = t->next_ready;
    else
        s->ready = t->next_ready;
    if (t->next_ready)
        t->next_ready->prev_ready = t->prev_ready;
    else
        s->ready_last = t->prev_ready;
    t->ready = false;
}

/* Those who wait for its end learn how it ended: `why` as their result, NULL when all went well. */
static void tell_joiners(struct task *t, const char *why)
{
    for (struct task *j = t->joiners, *next; j; j = next) {
        next = j->next_joiner;
        j->joined = NULL;
        j->unwait = NULL;
        task_keep(j, why ? strndup(why, strcspn(why, "\n")) : NULL, free); /* without the traceback */
        task_wake(j);
    }
    t->joiners = NULL;
}

void task_free(struct task *t)
{
    struct scripts *s = t->scripts;
    stop_waiting(t);
    drop_result(&t->result);
    drop_result(&t->brought);
    unready(t);
    tell_joiners(t, "it was cancelled");
    if (s->world)
        world_timer_clear(s->world, &t->timer);
    if (t->prev)
        t->prev->next = t->next;
    else
        s->tasks = t->next;
    if (t->next)
        t->next->prev = t->prev;
    s->ntasks--;
    luaL_unref(vm_state(s->vm), LUA_REGISTRYINDEX, t->ref);
    free(t->name);
    free(t);
}

static void end(struct task *t, const struct err *err)
{
    struct scripts *s = t->scripts;
    if (t->done)
        t->done(t, err);
    else if (err && !t->cancelled) /* that one was meant to stop */
        scripts_report(s, t->name, err);
    tell_joiners(t, err ? err->text : NULL);
    task_free(t);
}

static void resume(struct task *t)
{
    struct scripts *s = t->scripts;
    struct err err = {0};
    int nresults = 0, nargs = t->started ? 0 : t->nargs;
    t->started = true;
    t->brought = t->result;
    t->result = (struct task_result){0};
    s->current = t;
    enum vm_status status = vm_resume(t->co, vm_state(s->vm), nargs, &nresults, &err);
    s->current = NULL;
    drop_result(&t->brought);
    if (status == VM_YIELDED) {
        lua_pop(t->co, nresults);
        if (t->cancelled && !t->ready) /* while it ran: the wait it has just begun is over */
            task_cancel(t);
        return;
    }
    end(t, status == VM_FAILED ? &err : NULL);
}

static struct task *take_first(struct scripts *s)
{
    struct task *t = s->ready;
    s->ready = t->next_ready;
    if (s->ready)
        s->ready->prev_ready = NULL;
    else
        s->ready_last = NULL;
    t->ready = false;
    return t;
}

void task_on_run(struct timer *runner)
{
    struct scripts *s = CONTAINER_OF(runner, struct scripts, runner);
    int64_t start_ms = clock_mono_ms();
    s->running = true; /* whatever ends, it is not freed under our feet */
    script_timer_run_due(s);
    scripts_deliver(s);
    /* What becomes ready meanwhile waits for the next turn, so that tasks that wake each other do not keep the loop. */
    struct task *last = s->ready_last;
    while (s->ready) {
        struct task *t = take_first(s);
        bool was_last = t == last;
        resume(t);
        if (was_last || clock_mono_ms() - start_ms >= SLICE_MS)
            break;
    }
    if (s->ready || s->events || s->due)
        task_arm_runner(s);
    s->running = false;
    scripts_rest(s);
}

/* ---- being made */

static size_t room_for(const struct scripts *s)
{
    return s->mon->nsvcs + s->world->timers.count + s->ntasks + s->ntimers + SPARE_TIMERS;
}

struct task *task_spawn(lua_State *L, struct scripts *s, int nargs, const char *what)
{
    /* The coroutine first: should memory run out on the way, Lua collects it. */
    lua_State *co = lua_newthread(L);
    if (!lua_checkstack(co, nargs + 1))
        luaL_error(L, "out of memory");
    lua_pushvalue(L, -1);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct task *t = calloc(1, sizeof *t);
    char *name = strdup(what);
    if (!t || !name || timers_reserve(&s->world->timers, room_for(s))) {
        free(t);
        free(name);
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        luaL_error(L, "out of memory");
        return NULL;
    }
    lua_pop(L, 1); /* the registry has it */
    lua_xmove(L, co, nargs + 1);
    *t = (struct task){.scripts = s,
                       .co = co,
                       .ref = ref,
                       .nargs = nargs,
                       .name = name,
                       .id = ++s->last_id,
                       .timer.fire = on_timer,
                       .next = s->tasks};
    t->call = s->deciding ? NULL : s->current ? s->current->call : s->spawning;
    if (s->tasks)
        s->tasks->prev = t;
    s->tasks = t;
    s->ntasks++;
    task_wake(t);
    return t;
}

struct task *task_find(const struct scripts *s, uint64_t id)
{
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->id == id)
            return t;
    return NULL;
}

/* ---- waiting */

struct task *task_current(lua_State *L, const char *what)
{
    struct scripts *s = scripts_of(L);
    struct task *t = s->deciding ? NULL : s->current;
    if (!t) {
        api_error(L, "%s waits, which only tasks can: commands, handlers of events and timers, fm.spawn", what);
        return NULL;
    }
    if (t->co != L)
        api_error(L, "%s waits, which it can't do inside a coroutine of the script's own", what);
    if (!lua_isyieldable(L)) /* else what it waits for would be begun, and the wait itself would fail */
        api_error(L, "%s waits, which it can't do inside a function that table.sort, string.gsub or the like calls",
                  what);
    if (t->cancelled)
        api_error(L, "cancelled");
    return t;
}

int64_t task_timeout_ms(lua_State *L, int arg)
{
    lua_Number seconds = luaL_optnumber(L, arg, -1);
    luaL_argcheck(L, seconds == seconds, arg, "seconds, not NaN");
    return seconds < 0 || seconds > TIMEOUT_MAX_S ? -1 : (int64_t)ceil(seconds * 1000);
}

int task_wait(lua_State *L, struct task *t, int64_t after_ms, lua_KFunction resumed)
{
    t->timed_out = false;
    if (after_ms >= 0)
        world_timer_set(t->scripts->world, &t->timer, after_ms);
    return lua_yieldk(L, 0, 0, resumed);
}

struct task *task_resumed(lua_State *L)
{
    struct task *t = scripts_of(L)->current;
    if (t->cancelled)
        api_error(L, "cancelled");
    return t;
}

int task_outcome(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    const struct task *t = task_resumed(L);
    if (!t->timed_out && !t->brought.data) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, t->timed_out ? "timeout" : (const char *)t->brought.data);
    return 2;
}

/* ---- the end of another one */

static void unwait_join(struct task *t)
{
    for (struct task **p = &t->joined->joiners; *p; p = &(*p)->next_joiner)
        if (*p == t) {
            *p = t->next_joiner;
            break;
        }
    t->joined = NULL;
}

void task_join(struct task *t, struct task *other)
{
    t->joined = other;
    t->next_joiner = other->joiners;
    other->joiners = t;
    t->unwait = unwait_join;
}
