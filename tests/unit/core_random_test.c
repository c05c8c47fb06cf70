/* Whatever is commanded and whatever happens, in any order: what must hold holds. */
#include "core_fixture.h"
#include "reconf.h"

#include <errno.h>

#define SEEDS 150
#define STEPS 250

static const char *const names[] = {"a", "b", "c", "d", "e"};
static unsigned seed;

static int below(int n)
{
    return rand_r(&seed) % n;
}

static struct world_sim_behaviour any_behaviour(void)
{
    struct world_sim_behaviour b = {.starts = (unsigned)below(3)};
    if (below(4) == 0) {
        b.dies = true;
        b.life_ms = below(4) ? below(2000) : below(30000);
        b.code = below(3);
        b.signal = below(3) ? 0 : SIGSEGV;
    }
    if (below(6) == 0) {
        b.spawn_error = below(2) ? EAGAIN : ENOENT;
        b.spawn_stage = PROC_STAGE_EXEC;
    }
    b.spawn_ms = below(5) ? 0 : below(10);
    b.children = (unsigned)(below(3) ? 0 : below(4));
    b.ignores = below(5) ? 0 : WORLD_SIM_BIT(SIGTERM);
    if (below(2))
        b.reactions[0] = (struct world_sim_reaction){
            .signal = SIGHUP, .exits = below(2), .after_ms = below(3) ? below(3000) : 0, .heir = below(2)};
    if (below(3) == 0)
        b.reactions[1] = (struct world_sim_reaction){.signal = SIGTERM, .exits = true, .after_ms = below(12000)};
    return b;
}

static bool any_decision(void *arg, struct service *s, const struct service_exit *x, struct decision *out)
{
    (void)arg;
    (void)s;
    assert_true(x->valid);
    *out = (struct decision){.kind = (enum decision_kind)below(3), .delay_ms = below(3) ? 0 : below(5000)};
    return below(4) == 0;
}

static void any_command(const char *name)
{
    struct err err = {0};
    uint64_t cause = command("something");
    switch (below(6)) {
    case 0:
    case 1:
        service_start(get(name), cause);
        break;
    case 2:
        service_stop(get(name), cause);
        break;
    case 3:
        service_restart(get(name), cause);
        break;
    case 4:
        service_grestart(get(name), cause, &err);
        break;
    default:
        service_signal(get(name), SIGUSR1, cause);
    }
}

static void reload(void)
{
    const char *some[ARRAY_LEN(names)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (below(3))
            some[n++] = names[i];
    struct conf *next = fixture_conf_of(some, n);
    for (size_t i = 0; i < n; i++)
        if (below(3) == 0)
            fixture_set(&next->svrs[i].cmd, below(2) ? "/srv/x/x" : "/srv/x/x --other");
    struct reconf plan;
    struct err err = {0};
    assert_int_equal(reconf_plan(fx.m, next, &plan), 0);
    assert_true(reconf_apply(fx.m, next, &plan, command("reload"), &err));
    reconf_fini(&plan);
}

/* Looks at the process table, and what they find, may be out of reach for a while. */
static void hinder(void)
{
    void (*const ways[])(struct world * w, int error) = {world_sim_fail_scans, world_sim_spoil_scans,
                                                         world_sim_fail_adoptions};
    ways[below(ARRAY_LEN(ways))](fx.w, below(3) ? 0 : EMFILE);
}

/* The monitor is killed and comes back. */
static void come_back(void)
{
    fixture_die();
    world_sim_advance(fx.w, below(2) ? 0 : below(20000));
    fixture_begin(fixture_conf_of(names, ARRAY_LEN(names)));
    fx.m->hooks.decide = any_decision;
}

/* Of each service there is one process at most that leads a session; nothing that was let go of still runs. */
static void check_copies(void)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t copies = world_sim_count(fx.w, names[i], true);
        if (copies > 1)
            fail_msg("%zu copies of %s", copies, names[i]);
        const struct service *s = monitor_find(fx.m, names[i]);
        const struct procfs_entry *e = world_sim_find(fx.w, names[i]);
        bool sought = s && (s->seeking || s->fresh || s->graceful || s->adopted);
        bool removed = fx.m->removed;
        if (s && e && !sought && !removed && s->proc.pid != e->pid)
            fail_msg("%s is pid %d, but pid %d runs", names[i], s->proc.pid, e->pid);
    }
}

#define WAITERS 64
static struct waiter waiters[WAITERS];
static int nwaiters;

static void wait_for_something(const char *name)
{
    if (nwaiters < WAITERS)
        wait_for(name, below(2) ? GOAL_UP : GOAL_DOWN, &waiters[nwaiters++]);
}

static void one_step(void)
{
    const char *name = names[below((int)ARRAY_LEN(names))];
    const struct procfs_entry *e = world_sim_find(fx.w, name);
    int what = below(100);
    if (what < 40 && monitor_find(fx.m, name))
        any_command(name);
    else if (what < 55)
        behave(name, any_behaviour());
    else if (what < 70 && e)
        world_sim_kill(fx.w, e->pid, below(2) ? SIGKILL : SIGTERM);
    else if (what < 80 && monitor_find(fx.m, name))
        wait_for_something(name);
    else if (what < 83)
        world_sim_set_watching(fx.w, below(2) ? WORLD_SIM_WATCH_WORKS : WORLD_SIM_WATCH_FAILS);
    else if (what < 86)
        world_sim_set_scan_ms(fx.w, below(2) ? 0 : below(400));
    else if (what < 88)
        hinder();
    else if (what < 91)
        reload();
    else if (what < 92)
        come_back();
    run(below(3) ? below(500) : below(2) ? 0 : below(15000));
    check_copies();
}

/* Everything is well behaved again: all services can be had up, and down. */
static void settle_down(void)
{
    static const struct world_sim_behaviour plain = {.starts = 0};
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_WORKS);
    world_sim_fail_scans(fx.w, 0);
    world_sim_spoil_scans(fx.w, 0);
    world_sim_fail_adoptions(fx.w, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        behave(names[i], plain);
    fx.m->hooks.decide = NULL;
    run(60000); /* for what the last reload has set in motion */
    for (size_t i = 0; i < fx.m->nsvcs; i++)
        service_start(fx.m->svcs[i], command("start all"));
    run(60000);
    for (size_t i = 0; i < fx.m->nsvcs; i++) {
        const char *name = fx.m->svcs[i]->conf->name;
        assert_state(name, STATE_UP);
        if (!fx.m->svcs[i]->adopted)
            assert_int_equal(world_sim_count(fx.w, name, true), 1);
    }
    for (size_t i = 0; i < fx.m->nsvcs; i++)
        service_stop(fx.m->svcs[i], command("stop all"));
    run(60000);
    for (size_t i = 0; i < fx.m->nsvcs; i++) {
        const char *name = fx.m->svcs[i]->conf->name;
        assert_state(name, STATE_DOWN);
        assert_int_equal(world_sim_count(fx.w, name, false), 0);
        assert_null(fx.m->svcs[i]->waits);
    }
    assert_null(fx.m->removed);
    for (int i = 0; i < nwaiters; i++)
        assert_int_equal(waiters[i].told, 1);
}

static void anything_may_happen(void **state)
{
    for (unsigned i = 1; i <= SEEDS; i++) {
        if (i > 1 && fixture_setup(state))
            fail();
        seed = i;
        nwaiters = 0;
        fixture_begin(fixture_conf_of(names, ARRAY_LEN(names)));
        fx.m->hooks.decide = any_decision;
        for (int k = 0; k < STEPS; k++)
            one_step();
        settle_down();
        if (i < SEEDS && fixture_teardown(state))
            fail();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_TEST(anything_may_happen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
