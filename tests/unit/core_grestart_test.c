/* Graceful restarts: by the service's own means, whatever those are. */
#include "core_fixture.h"

static void grestart(const char *name)
{
    struct err err = {0};
    if (!service_grestart(get(name), command("grestart"), &err))
        fail_msg("%s", err.text);
}

/* Brings "a" up, which answers SIGHUP so. */
static struct service *up(struct world_sim_reaction reaction)
{
    struct world_sim_behaviour b = {.starts = 1};
    reaction.signal = SIGHUP;
    b.reactions[0] = reaction;
    behave("a", b);
    fixture_up(fixture_conf("a"));
    return get("a");
}

static void in_place(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){0});
    pid_t pid = a->proc.pid;
    struct waiter w;
    grestart("a");
    wait_for("a", GOAL_UP, &w);
    assert_int_equal(count_signals(pid, SIGHUP), 1);
    assert_state("a", STATE_UP);
    run(9999);
    assert_int_equal(w.told, 0);
    run(1); /* the same process is there: it has reloaded by itself */
    assert_true(w.told == 1 && w.met);
    assert_int_equal(a->proc.pid, pid);
    assert_int_equal(a->restarts, 0);
    const struct event *e = last_event("a", EVENT_SIGNAL);
    assert_int_equal(e->signal, SIGHUP);
    assert_int_equal(e->cause, last_event(NULL, EVENT_COMMAND)->seq);
}

static void it_ends_and_is_started_again(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){.exits = true, .after_ms = 3000});
    pid_t pid = a->proc.pid;
    struct waiter w;
    grestart("a");
    wait_for("a", GOAL_UP, &w);
    run(2999);
    assert_int_equal(a->proc.pid, pid);
    run(1);
    assert_state("a", STATE_STARTING);
    run(SERVICE_PROBE_MS);
    assert_true(w.told == 1 && w.met);
    assert_true(a->proc.pid != pid);
    assert_int_equal(a->failures, 0);
    assert_true(a->last_exit.requested);
    assert_int_equal(count_events("a", EVENT_DECISION), 0);
}

static void it_leaves_an_heir(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){.exits = true, .after_ms = 2000, .heir = true});
    pid_t pid = a->proc.pid;
    struct waiter w;
    grestart("a");
    wait_for("a", GOAL_UP, &w);
    run(1999);
    assert_int_equal(w.told, 0);
    run(1);
    assert_true(w.told == 1 && w.met);
    assert_state("a", STATE_UP);
    assert_true(a->adopted);
    assert_true(a->proc.pid && a->proc.pid != pid);
    assert_int_equal(world_sim_spawns(fx.w), 1); /* no second copy */
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
    assert_int_equal(count_signals(0, SIGKILL), 0);
    pid_t heir = a->proc.pid;
    run(300000); /* and the audits have nothing against it */
    assert_int_equal(a->proc.pid, heir);
    assert_int_equal(count_events("a", EVENT_AUDIT), 0);
    world_sim_exit(fx.w, heir, 1); /* it is watched like any other */
    run(0);
    assert_state("a", STATE_STARTING);
    await("a", STATE_UP, 1000);
    assert_int_equal(world_sim_count(fx.w, "a", true), 1);
}

static void an_heir_can_be_stopped(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){.exits = true, .after_ms = 100, .heir = true});
    grestart("a");
    run(200);
    assert_state("a", STATE_UP);
    service_stop(a, command("stop"));
    run(1000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_count(fx.w, "a", false), 0);
}

static void it_does_not_handle_the_signal(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    struct err err = {0};
    assert_false(service_grestart(get("a"), command("grestart"), &err));
    assert_non_null(strstr(err.text, "SIGHUP"));
    assert_int_equal(count_signals(0, SIGHUP), 0);
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void what_is_not_up_is_just_started(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    struct service *a = get("a");
    service_stop(a, command("stop"));
    run(100);
    grestart("a");
    await("a", STATE_UP, 1000);
    service_restart(a, command("restart"));
    run(10);
    assert_state("a", STATE_STARTING);
    grestart("a");
    await("a", STATE_UP, 1000);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 1);
    assert_int_equal(count_signals(0, SIGHUP), 0);
}

static void a_stop_meanwhile_wins(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){.exits = true, .after_ms = 2000});
    struct waiter w;
    grestart("a");
    wait_for("a", GOAL_UP, &w);
    run(500);
    service_stop(a, command("stop"));
    assert_true(w.told == 1 && !w.met);
    run(20000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

/* The old process is gone, its heir is being looked for: a stop must not forget the heir. */
static void a_stop_during_the_handover_stops_the_heir(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){.exits = true, .after_ms = 100, .heir = true});
    world_sim_set_scan_ms(fx.w, 50);
    grestart("a");
    run(110);
    assert_state("a", STATE_STARTING);
    assert_true(a->seeking);
    struct waiter w;
    service_stop(a, command("stop"));
    wait_for("a", GOAL_DOWN, &w);
    run(20000);
    assert_state("a", STATE_DOWN);
    assert_true(w.told == 1 && w.met);
    assert_int_equal(world_sim_count(fx.w, "a", false), 0);
}

static void a_restart_during_the_handover_is_no_second_copy(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){.exits = true, .after_ms = 100, .heir = true});
    world_sim_set_scan_ms(fx.w, 50);
    grestart("a");
    run(110);
    assert_true(a->seeking);
    service_restart(a, command("restart"));
    run(20000);
    assert_state("a", STATE_UP);
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
}

static void twice_in_a_row(void **state)
{
    (void)state;
    struct service *a = up((struct world_sim_reaction){0});
    struct waiter one, two;
    grestart("a");
    wait_for("a", GOAL_UP, &one);
    run(5000);
    grestart("a");
    wait_for("a", GOAL_UP, &two);
    assert_int_equal(count_signals(a->proc.pid, SIGHUP), 2);
    run(20000);
    assert_true(one.told == 1 && one.met);
    assert_true(two.told == 1 && two.met);
    assert_state("a", STATE_UP);
}

static void another_signal_and_time(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    c->svrs[0].graceful.signal = SIGUSR2;
    c->svrs[0].graceful.timeout_ms = 500;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGUSR2}}});
    fixture_up(c);
    struct waiter w;
    grestart("a");
    wait_for("a", GOAL_UP, &w);
    run(499);
    assert_int_equal(w.told, 0);
    run(1);
    assert_true(w.told == 1 && w.met);
    assert_int_equal(count_signals(0, SIGUSR2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(in_place),
        FIXTURE_TEST(it_ends_and_is_started_again),
        FIXTURE_TEST(it_leaves_an_heir),
        FIXTURE_TEST(an_heir_can_be_stopped),
        FIXTURE_TEST(it_does_not_handle_the_signal),
        FIXTURE_TEST(what_is_not_up_is_just_started),
        FIXTURE_TEST(a_stop_meanwhile_wins),
        FIXTURE_TEST(a_stop_during_the_handover_stops_the_heir),
        FIXTURE_TEST(a_restart_during_the_handover_is_no_second_copy),
        FIXTURE_TEST(twice_in_a_row),
        FIXTURE_TEST(another_signal_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
