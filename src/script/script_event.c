#include "script_event.h"

#include "api.h"
#include "clock.h"
#include "clog.h"
#include "monitor.h"
#include "task.h"
#include "world.h"

#include <lauxlib.h>

#include <stdlib.h>
#include <string.h>

/* So many may wait for their handlers; further ones are dropped, counted and told once. */
#define EVENTS_MAX 10000
#define SLICE_MS 4 /* they are handed over for so long before tasks and the loop go on */

struct script_event {
    struct script_event *next;
    char *service; /* behind the event; NULL: the monitor's own */
    struct event *event;
};

/* ---- waiting for a state */

/* What a task waits for. Owned by the task (as `waiting`), linked from the listener. */
struct state_wait {
    struct state_wait *next;
    struct task *task;
    enum machine_state state;
    char name[];
};

static void unwait_state(struct task *t)
{
    struct state_wait *w = t->waiting;
    for (struct state_wait **p = &t->scripts->state_waits; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            break;
        }
    free(w);
}

static void wake_waiters(struct scripts *s, const char *service)
{
    for (struct state_wait *w = s->state_waits, *next; w; w = next) {
        next = w->next;
        const struct service *svc = monitor_find(s->mon, w->name);
        if (svc && (!service || strcmp(service, w->name) != 0 || svc->state != w->state))
            continue;
        struct task *t = w->task;
        task_keep(t, svc ? NULL : strdup("the service is not configured any more"), free);
        t->unwait = NULL;
        unwait_state(t);
        t->waiting = NULL;
        task_wake(t);
    }
}

int script_event_wait_state(lua_State *L)
{
    struct scripts *s = scripts_acting(L, "svc:wait");
    const char *name = luaL_checkstring(L, 1), *wanted = luaL_checkstring(L, 2);
    int64_t timeout_ms = task_timeout_ms(L, 3);
    enum machine_state state = machine_state_named(wanted);
    if (state == MACHINE_STATES)
        return api_error(
            L, "svc:wait: there is no state \"%s\"; there are down, waiting, starting, up, stopping, failed", wanted);
    const struct service *svc = monitor_find(s->mon, name);
    if (!svc) {
        lua_pushnil(L);
        lua_pushfstring(L, "service[%s] not configured", name);
        return 2;
    }
    if (svc->state == state) {
        lua_pushboolean(L, true);
        return 1;
    }
    struct task *t = task_current(L, "svc:wait");
    struct state_wait *w = malloc(sizeof *w + strlen(name) + 1);
    if (!w)
        return luaL_error(L, "out of memory");
    *w = (struct state_wait){.next = s->state_waits, .task = t, .state = state};
    strcpy(w->name, name);
    s->state_waits = w;
    t->waiting = w;
    t->unwait = unwait_state;
    return task_wait(L, t, timeout_ms, task_outcome);
}

/* ---- handlers */

static void keep(struct scripts *s, const char *service, const struct event *e)
{
    if (s->nevents >= EVENTS_MAX) {
        s->events_lost++;
        if (!s->losing)
            clog_error("scripts: their handlers can't keep up: more than %d events wait; further ones are dropped",
                       EVENTS_MAX);
        s->losing = true;
        return;
    }
    size_t size = offsetof(struct event, text) + strlen(e->text) + 1, name = service ? strlen(service) + 1 : 0;
    struct script_event *k = malloc(sizeof *k);
    struct event *copy = malloc(size + name);
    if (!k || !copy) {
        free(k);
        free(copy);
        s->events_lost++;
        return;
    }
    memcpy(copy, e, size);
    *k = (struct script_event){.event = copy};
    if (service)
        k->service = memcpy((char *)copy + size, service, name);
    if (s->events_last)
        s->events_last->next = k;
    else
        s->events = k;
    s->events_last = k;
    s->nevents++;
    task_arm_runner(s);
}

static void on_event(struct event_listener *l, const char *service, const struct event *e)
{
    struct scripts *s = CONTAINER_OF(l, struct scripts, listener);
    if (s->state_waits)
        wake_waiters(s, service);
    if (s->kinds & 1U << e->kind && !s->retired)
        keep(s, service, e);
}

static void set_text(lua_State *L, const char *key, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static void set_number(lua_State *L, const char *key, double number)
{
    lua_pushnumber(L, number);
    lua_setfield(L, -2, key);
}

void script_event_push(lua_State *L, const char *service, const struct event *e)
{
    lua_createtable(L, 0, 12);
    set_text(L, "kind", event_kind_name(e->kind));
    if (service)
        set_text(L, "service", service);
    lua_pushinteger(L, (lua_Integer)e->seq);
    lua_setfield(L, -2, "seq");
    lua_pushinteger(L, (lua_Integer)e->cause);
    lua_setfield(L, -2, "cause");
    set_number(L, "time", (double)e->wall_ms / 1000);
    set_text(L, "reason", e->text);
    if (e->pid) {
        lua_pushinteger(L, e->pid);
        lua_setfield(L, -2, "pid");
    }
    if (e->kind == EVENT_EXIT && e->code >= 0) {
        lua_pushinteger(L, e->code);
        lua_setfield(L, -2, "code");
    }
    if (e->signal)
        set_text(L, "signal", conf_signal_name(e->signal));
    if (e->kind == EVENT_EXIT || e->duration_ms)
        set_number(L, "duration", (double)e->duration_ms / 1000);
    if (e->count) {
        lua_pushinteger(L, e->count);
        lua_setfield(L, -2, "failures");
    }
}

static int deliver_one(lua_State *L, void *arg)
{
    const struct script_event *k = arg;
    scripts_door(L, scripts_of(L), "event");
    script_event_push(L, k->service, k->event);
    lua_call(L, 1, 0);
    return 0;
}

static void drop_event(struct script_event *k)
{
    free(k->event);
    free(k);
}

void scripts_deliver(struct scripts *s)
{
    struct err err = {0};
    int64_t start_ms = clock_mono_ms();
    for (size_t n = s->nevents; n > 0 && s->events && clock_mono_ms() - start_ms < SLICE_MS; n--) {
        struct script_event *k = s->events;
        s->events = k->next;
        if (!s->events)
            s->events_last = NULL;
        s->nevents--;
        if (!scripts_enter(s, deliver_one, k, &err))
            scripts_report(s, "an event's handlers could not be started", &err);
        drop_event(k);
    }
    s->losing = s->losing && s->events;
}

int script_event_subscribe(lua_State *L)
{
    struct scripts *s = scripts_of(L);
    const char *name = luaL_checkstring(L, 1);
    if (!strcmp(name, "*")) {
        s->kinds = ~0U;
        return 0;
    }
    enum event_kind kind = event_kind_named(name);
    if (kind != EVENT_KINDS) {
        s->kinds |= 1U << kind;
        return 0;
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int k = 0; k < EVENT_KINDS; k++) {
        luaL_addstring(&b, event_kind_name((enum event_kind)k));
        luaL_addstring(&b, ", ");
    }
    luaL_addstring(&b, "* (all)");
    luaL_pushresult(&b);
    return api_error(L, "fm.on: there is no event \"%s\"; there are %s", name, lua_tostring(L, -1));
}

void script_event_start(struct scripts *s)
{
    s->listener.event = on_event;
    event_listen(&s->mon->journal, &s->listener);
    s->listening = true;
}

void script_event_stop(struct scripts *s)
{
    if (s->listening && !s->calls) { /* running commands may still wait for a state */
        event_unlisten(&s->mon->journal, &s->listener);
        s->listening = false;
    }
    for (struct script_event *k = s->events, *next; k; k = next) {
        next = k->next;
        drop_event(k);
    }
    s->events = s->events_last = NULL;
    s->nevents = 0;
}
