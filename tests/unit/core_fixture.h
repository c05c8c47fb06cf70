/* A configuration made by hand and a monitor that runs it in a simulated world. */
#ifndef CORE_FIXTURE_H
#define CORE_FIXTURE_H

#include "clog.h"
#include "monitor.h"
#include "reconf.h"
#include "world_sim.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* When the simulated world begins: an hour after boot, on 2026-01-01. */
#define FIXTURE_MONO_MS 3600000
#define FIXTURE_WALL_MS 1767225600000
#define FIXTURE_PREFIX "/home/fm:test/" /* of every marker */

struct fixture {
    char dir[64]; /* holds the journal */
    struct world *w;
    struct conf *conf; /* the monitor's, once it was made */
    struct monitor *m;
    struct event_listener judge;
};

static struct fixture fx;

/* ---- configurations */

/* Service NAME runs /srv/NAME/NAME with one argument; defaults as in conf.json. */
static inline struct conf_service fixture_service(const char *name)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "/srv/%s/%s --serve", name, name);
    return (struct conf_service){.name = strdup(name),
                                 .cmd = strdup(cmd),
                                 .umask = -1,
                                 .autostart = true,
                                 .stop = {.signal = SIGTERM, .timeout_ms = 10000, .scope = CONF_SCOPE_GROUP},
                                 .graceful = {.signal = SIGHUP, .timeout_ms = 10000}};
}

/* A configuration of n services; their names in byte order. */
static inline struct conf *fixture_conf_of(const char *const *names, size_t n)
{
    struct conf *c = calloc(1, sizeof *c);
    assert_non_null(c);
    *c = (struct conf){.path = strdup("conf.json"),
                       .home = strdup("/home/fm"),
                       .env = strdup("test"),
                       .rundir = strdup(fx.dir[0] ? fx.dir : "/nonexistent"),
                       .port = 29118,
                       .rootpath = strdup("/srv"),
                       .environ = strdup(""),
                       .svrs = calloc(n + 1, sizeof *c->svrs),
                       .nsvrs = n};
    c->http = (struct conf_http){.idle_timeout = 60,
                                 .backlog_kb = 1024,
                                 .body_kb = 1024,
                                 .header_kb = 32,
                                 .max_connections = 1024,
                                 .max_per_client = 256};
    c->log.keep_days = 30;
    c->log.day = strdup("%-d");
    c->clog.name = strdup("fota_monitor");
    assert_non_null(c->svrs);
    for (size_t i = 0; i < n; i++)
        c->svrs[i] = fixture_service(names[i]);
    return c;
}

/* fixture_conf("a", "b") */
#define fixture_conf(...)                                                                                              \
    fixture_conf_of((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static inline struct conf_service *fixture_entry(struct conf *c, const char *name)
{
    struct conf_service *s = (struct conf_service *)(uintptr_t)conf_find(c, name);
    assert_non_null(s);
    return s;
}

static inline void fixture_set(char **member, const char *value)
{
    free(*member);
    *member = value ? strdup(value) : NULL;
}

/* ---- the monitor */

/* Judges every event as it is emitted: its cause must have been before it. */
static inline void fixture_judge(struct event_listener *l, const char *service, const struct event *e)
{
    (void)l;
    bool changes = e->kind <= EVENT_FAILED;
    if (e->cause >= e->seq || (changes && !e->cause))
        fail_msg("event %d (%s of %s) names %d as its cause", (int)e->seq, event_kind_name(e->kind),
                 service ? service : "the monitor", (int)e->cause);
}

/* What holds at every moment. */
static inline void fixture_check(void)
{
    for (size_t i = 0; fx.m && i < fx.m->nsvcs; i++) {
        const struct service *s = fx.m->svcs[i];
        bool may_run = s->state == STATE_STARTING || s->state == STATE_UP || s->state == STATE_STOPPING;
        bool must_run = s->state == STATE_UP || (s->state == STATE_STOPPING && !s->seeking && !s->queued);
        if ((s->proc.pid && !may_run) || (!s->proc.pid && must_run))
            fail_msg("%s is %s with pid %d", s->conf->name, machine_state_name(s->state), s->proc.pid);
        if (s->state == STATE_WAITING && !s->timer.place)
            fail_msg("%s waits for nothing", s->conf->name);
        if (s->state == STATE_STARTING && !s->proc.pid && !s->queued && !s->seeking)
            fail_msg("the start of %s has been forgotten", s->conf->name);
        if (s->queued && s->seeking)
            fail_msg("%s is queued and sought", s->conf->name);
    }
}

static inline int fixture_setup(void **state)
{
    (void)state;
    fx = (struct fixture){0};
    clog_configure(0, 0);
    strcpy(fx.dir, "/tmp/core_test.XXXXXX");
    if (!mkdtemp(fx.dir))
        return -1;
    fx.w = world_sim_new(FIXTURE_MONO_MS, FIXTURE_WALL_MS);
    return fx.w ? 0 : -1;
}

/* A new monitor over the world as it is. */
static inline void fixture_make(struct conf *conf)
{
    struct err err = {0};
    fx.conf = conf;
    fx.m = monitor_new(fx.w, conf, &err);
    if (!fx.m)
        fail_msg("%s", err.text);
    fx.judge = (struct event_listener){.event = fixture_judge};
    event_listen(&fx.m->journal, &fx.judge);
}

static inline void fixture_begin(struct conf *conf)
{
    fixture_make(conf);
    monitor_start(fx.m);
}

/* The monitor dies; its processes live on. */
static inline void fixture_die(void)
{
    if (fx.m)
        monitor_free(fx.m);
    fx.m = NULL;
    world_sim_orphan(fx.w);
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"events.jsonl", "events.jsonl.1", "state.jsonl", "logs"};
    char path[96];
    fixture_die();
    world_sim_free(fx.w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/test.%s", fx.dir, names[i]);
        unlink(path);
    }
    return rmdir(fx.dir);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

/* ---- what tests ask and do */

static inline struct service *get(const char *name)
{
    struct service *s = monitor_find(fx.m, name);
    assert_non_null(s);
    return s;
}

/* Lets time pass, in steps from one happening to the next. */
static inline void run(int64_t ms)
{
    int64_t end = fx.w->ops->mono_ms(fx.w) + ms;
    for (int64_t left = ms; left >= 0; left = end - fx.w->ops->mono_ms(fx.w)) {
        int64_t next = world_sim_next_ms(fx.w);
        world_sim_advance(fx.w, next < 0 || next > left ? left : next);
        fixture_check();
        if (fx.m)
            monitor_flush(fx.m);
        if (left == 0 && world_sim_next_ms(fx.w) != 0)
            break;
    }
}

static inline void assert_state(const char *name, enum machine_state state)
{
    const struct service *s = get(name);
    if (s->state != state)
        fail_msg("%s is %s, not %s", name, machine_state_name(s->state), machine_state_name(state));
}

/* Waits until the service is in that state; returns how long it took. */
static inline int64_t await(const char *name, enum machine_state state, int64_t limit_ms)
{
    int64_t start = fx.w->ops->mono_ms(fx.w);
    run(0);
    while (get(name)->state != state) {
        int64_t gone = fx.w->ops->mono_ms(fx.w) - start, next = world_sim_next_ms(fx.w);
        if (gone + MAX(next, 0) > limit_ms)
            fail_msg("%s is still %s after %d ms, not %s", name, machine_state_name(get(name)->state), (int)gone,
                     machine_state_name(state));
        run(MAX(next, 0));
    }
    return fx.w->ops->mono_ms(fx.w) - start;
}

/* Begins and waits until all services that start by themselves are up. */
static inline void fixture_up(struct conf *conf)
{
    fixture_begin(conf);
    for (size_t i = 0; i < conf->nsvrs; i++)
        if (conf->svrs[i].autostart)
            await(conf->svrs[i].name, STATE_UP, 60000);
}

static inline uint64_t command(const char *what)
{
    return monitor_note(fx.m, NULL, EVENT_COMMAND, 0, "%s", what);
}

/* Signals that were sent to a pid (0: to any). */
static inline size_t count_signals(pid_t pid, int sig)
{
    size_t count, n = 0;
    const struct world_sim_signal *s = world_sim_signals(fx.w, &count);
    for (size_t i = 0; i < count; i++)
        n += (!pid || s[i].pid == pid) && s[i].signal == sig;
    return n;
}

static inline size_t count_kind(const struct event_ring *r, enum event_kind kind, struct event *last)
{
    struct event_walk w = {0};
    size_t n = 0;
    while (event_ring_next(r, &w)) {
        if (w.event.kind != kind)
            continue;
        *last = w.event;
        n++;
    }
    return n;
}

/* The last event of that kind the service remembers, or NULL. Good until four more were asked for. */
static inline const struct event *last_event(const char *name, enum event_kind kind)
{
    static struct event found[4];
    static unsigned next;
    struct event *e = &found[next++ % ARRAY_LEN(found)];
    return count_kind(name ? &get(name)->events : &fx.m->events, kind, e) ? e : NULL;
}

static inline size_t count_events(const char *name, enum event_kind kind)
{
    struct event last;
    return count_kind(name ? &get(name)->events : &fx.m->events, kind, &last);
}

/* A wait that remembers what it was told. */
struct waiter {
    struct service_wait wait;
    int told;
    bool met;
    char why[256];
};

static inline void waiter_done(struct service_wait *w, struct service *s, const char *why)
{
    struct waiter *x = CONTAINER_OF(w, struct waiter, wait);
    assert_non_null(s);
    x->told++;
    x->met = !why;
    snprintf(x->why, sizeof x->why, "%s", why ? why : "");
}

static inline void wait_for(const char *name, enum service_goal goal, struct waiter *x)
{
    *x = (struct waiter){.wait = {.goal = goal, .done = waiter_done}};
    service_wait_add(get(name), &x->wait);
}

static inline void behave(const char *name, struct world_sim_behaviour b)
{
    assert_int_equal(world_sim_behave(fx.w, name, &b), 0);
}

/* A process as somebody started it by hand. */
static inline pid_t by_hand(const char *cmdline)
{
    struct procfs_entry e = {.cmdline = cmdline, .uid = geteuid(), .exe = "/srv/a/a", .cwd = "/srv/a"};
    pid_t pid = world_sim_add(fx.w, &e, NULL);
    assert_true(pid > 0);
    return pid;
}

/* One that carries the marker of a service; session 0: its own. */
static inline pid_t marked(const char *service, const char *cmdline, pid_t session)
{
    char marker[64];
    snprintf(marker, sizeof marker, "%s%s", FIXTURE_PREFIX, service);
    struct procfs_entry e = {.cmdline = cmdline, .marker = marker, .uid = geteuid(), .stat.session = session};
    pid_t pid = world_sim_add(fx.w, &e, NULL);
    assert_true(pid > 0);
    return pid;
}

static inline bool lives(pid_t pid)
{
    return world_sim_find_pid(fx.w, pid);
}

/* Has the running monitor take over a changed configuration. */
static inline void apply(struct conf *next)
{
    struct reconf plan;
    struct err err = {0};
    assert_int_equal(reconf_plan(fx.m, next, &plan), 0);
    uint64_t cause = command("reload");
    if (!reconf_apply(fx.m, next, &plan, cause, &err))
        fail_msg("%s", err.text);
    reconf_fini(&plan);
    fx.conf = next;
}

#endif
