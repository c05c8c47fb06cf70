/* The stop of an adopted service ends its whole process group, and nobody else: it is no child of ours, so the group's
 * number may be given away as soon as the process is gone. */
#include "core_fixture.h"

#include <errno.h>

static struct service *a;
static pid_t leader;

/* Adopts "a", which leads a group and obeys SIGTERM; with a marker unless it was started by hand. */
static void adopt(struct conf *conf, bool by_a_monitor)
{
    struct procfs_entry e = {
        .cmdline = "/srv/a/a --serve", .uid = geteuid(), .marker = by_a_monitor ? FIXTURE_PREFIX "a" : NULL};
    leader = world_sim_add(fx.w, &e, NULL);
    assert_true(leader > 0);
    fixture_begin(conf);
    run(1000);
    a = get("a");
    assert_int_equal(a->proc.pid, leader);
}

/* A process that SIGTERM does not end. */
static pid_t stubborn(const char *marker, pid_t session, pid_t pgrp)
{
    struct procfs_entry e = {
        .cmdline = "/srv/a/worker", .marker = marker, .uid = geteuid(), .stat = {.session = session, .pgrp = pgrp}};
    struct world_sim_behaviour b = {.ignores = WORLD_SIM_BIT(SIGTERM)};
    pid_t pid = world_sim_add(fx.w, &e, &b);
    assert_true(pid > 0);
    return pid;
}

static pid_t own(void)
{
    return stubborn(FIXTURE_PREFIX "a", leader, leader);
}

static void stop(struct waiter *w)
{
    service_stop(a, command("stop"));
    wait_for("a", GOAL_DOWN, w);
}

static void children_that_ignore_the_signal_go_before_the_stop_is_done(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), true);
    pid_t one = own(), two = own();
    world_sim_set_scan_ms(fx.w, 50);
    struct waiter w;
    stop(&w);
    run(0);
    assert_false(lives(leader));
    assert_state("a", STATE_STOPPING);
    run(49);
    assert_true(!w.told && lives(one) && lives(two));
    run(1);
    assert_true(!w.told && !lives(one) && !lives(two));
    run(50); /* a look that finds nothing more */
    assert_true(w.told == 1 && w.met);
    assert_state("a", STATE_DOWN);
    assert_int_equal(count_events("a", EVENT_CLEANUP), 2);
    assert_int_equal(last_event("a", EVENT_CLEANUP)->cause, last_event("a", EVENT_EXIT)->seq);
    assert_int_equal(last_event("a", EVENT_DOWN)->cause, last_event("a", EVENT_EXIT)->seq);
    run(2 * MONITOR_AUDIT_MS);
    assert_int_equal(count_events("a", EVENT_AUDIT), 0);
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

static void children_without_a_marker_go_too(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), false);
    pid_t old = stubborn(NULL, leader, leader);
    run(100); /* no probe came by since */
    struct waiter w;
    stop(&w);
    run(100);
    assert_true(w.met);
    assert_false(lives(old));
}

static void who_left_the_group_stays_until_the_next_start(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), true);
    pid_t away = stubborn(FIXTURE_PREFIX "a", 0, 0);
    struct waiter w;
    stop(&w);
    run(100);
    assert_true(w.met && lives(away));
    service_start(a, command("start"));
    await("a", STATE_UP, 1000);
    assert_false(lives(away));
}

/* The leader's number is given to somebody else, who leads a group of his own with it. */
static void strangers_with_the_same_number_are_left_alone(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), false);
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    run(1000);
    struct waiter w;
    stop(&w);
    world_sim_set_next_pid(fx.w, leader);
    struct procfs_entry stranger = {.cmdline = "/usr/bin/stranger", .uid = geteuid()};
    assert_int_equal(world_sim_add(fx.w, &stranger, NULL), leader);
    world_sim_set_next_pid(fx.w, 6000000);
    pid_t child = stubborn(NULL, leader, leader), late = stubborn(NULL, 4242, leader);
    run(MONITOR_PROBE_MS); /* only now the end is noticed */
    assert_true(w.met);
    assert_state("a", STATE_DOWN);
    service_start(a, command("start"));
    await("a", STATE_UP, 1000);
    assert_true(lives(leader) && lives(child) && lives(late));
    assert_int_equal(count_signals(0, SIGKILL), 0);
}

/* It may have joined that number's next group. */
static void age_alone_proves_nothing(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), false);
    pid_t other = stubborn(NULL, 4242, leader);
    run(1000);
    struct waiter w;
    stop(&w);
    run(1000);
    assert_true(w.met && lives(other));
    assert_int_equal(count_signals(0, SIGKILL), 0);
}

static void with_scope_parent_they_stay_until_the_next_start(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    c->svrs[0].stop.scope = CONF_SCOPE_PARENT;
    adopt(c, true);
    pid_t child = own();
    struct waiter w;
    stop(&w);
    run(0);
    assert_true(w.met && lives(child));
    service_start(a, command("start"));
    await("a", STATE_UP, 1000);
    assert_false(lives(child));
}

static void a_start_meanwhile_comes_after_it(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), true);
    pid_t child = own();
    world_sim_set_scan_ms(fx.w, 50);
    struct waiter down, up;
    stop(&down);
    run(10);
    service_start(a, command("start"));
    wait_for("a", GOAL_UP, &up);
    assert_true(down.told && !down.met);
    await("a", STATE_UP, 2000);
    assert_true(up.met && !lives(child));
    assert_int_equal(world_sim_count(fx.w, NULL, false), 1);
    assert_int_equal(last_event("a", EVENT_STARTING)->cause, last_event("a", EVENT_EXIT)->seq);
}

static void one_that_nothing_ends_does_not_hold_it_up_for_ever(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), true);
    struct procfs_entry e = {.cmdline = "/srv/a/worker",
                             .marker = FIXTURE_PREFIX "a",
                             .uid = geteuid(),
                             .stat = {.session = leader, .pgrp = leader}};
    struct world_sim_behaviour hangs = {.hangs = true};
    assert_true(world_sim_add(fx.w, &e, &hangs) > 0);
    world_sim_set_scan_ms(fx.w, 10);
    struct waiter w;
    stop(&w);
    run(5000);
    assert_true(w.met);
}

static void it_waits_for_a_look_that_can_be_had(void **state)
{
    (void)state;
    adopt(fixture_conf("a"), true);
    pid_t child = own();
    world_sim_spoil_scans(fx.w, EMFILE);
    struct waiter w;
    stop(&w);
    run(60000);
    assert_true(!w.told && lives(child));
    assert_int_equal(count_events("a", EVENT_SIGNAL), 0); /* the stop's own timeout has nothing to kill any more */
    world_sim_spoil_scans(fx.w, 0);
    run(MONITOR_RETRY_MS);
    assert_true(w.met && !lives(child));
}

static void of_a_removed_service_too(void **state)
{
    (void)state;
    adopt(fixture_conf("a", "b"), true);
    pid_t child = own();
    world_sim_set_scan_ms(fx.w, 50);
    apply(fixture_conf("b"));
    run(10);
    assert_false(lives(leader));
    apply(fixture_conf("a", "b")); /* added again meanwhile: it begins when all of the old one is gone */
    run(10);
    assert_true(lives(child) && !world_sim_find(fx.w, "a"));
    await("a", STATE_UP, 2000);
    assert_false(lives(child));
    assert_null(fx.m->removed);
}

/* After a graceful restart the heir is in the group of the one that has gone. */
static void the_group_of_an_heir(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){
                    .children = 2, .reactions = {{.signal = SIGHUP, .exits = true, .after_ms = 1000, .heir = true}}});
    fixture_up(fixture_conf("a"));
    a = get("a");
    assert_true(service_grestart(a, command("grestart"), NULL));
    run(2000);
    assert_state("a", STATE_UP);
    assert_true(a->adopted);
    assert_int_equal(world_sim_count(fx.w, "a", false), 3);
    struct waiter w;
    stop(&w);
    run(1000);
    assert_true(w.met);
    assert_int_equal(world_sim_count(fx.w, "a", false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(children_that_ignore_the_signal_go_before_the_stop_is_done),
        FIXTURE_TEST(children_without_a_marker_go_too),
        FIXTURE_TEST(who_left_the_group_stays_until_the_next_start),
        FIXTURE_TEST(strangers_with_the_same_number_are_left_alone),
        FIXTURE_TEST(age_alone_proves_nothing),
        FIXTURE_TEST(with_scope_parent_they_stay_until_the_next_start),
        FIXTURE_TEST(a_start_meanwhile_comes_after_it),
        FIXTURE_TEST(one_that_nothing_ends_does_not_hold_it_up_for_ever),
        FIXTURE_TEST(it_waits_for_a_look_that_can_be_had),
        FIXTURE_TEST(of_a_removed_service_too),
        FIXTURE_TEST(the_group_of_an_heir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
