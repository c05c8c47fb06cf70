/* Commands and changed configurations that come before a service was looked for: they act on what the look finds. */
#include "core_fixture.h"

#include <errno.h>

static void a_restart_before_the_first_look_is_obeyed(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a", "b"));
    service_restart(get("a"), 1);
    service_restart(get("b"), 1);
    run(5000);
    assert_false(lives(pid));
    assert_state("a", STATE_UP);
    assert_int_not_equal(get("a")->proc.pid, pid);
    assert_state("b", STATE_UP); /* of that one there was nothing to end */
    assert_int_equal(world_sim_spawns(fx.w), 2);
    assert_int_equal(get("b")->restarts, 0);
}

static void a_stop_before_the_first_look_is_obeyed(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/b/b --serve");
    world_sim_set_scan_ms(fx.w, 100);
    fixture_begin(fixture_conf("a", "b"));
    struct waiter a, b;
    service_stop(get("a"), command("stop"));
    service_stop(get("b"), command("stop"));
    wait_for("a", GOAL_DOWN, &a);
    wait_for("b", GOAL_DOWN, &b);
    run(5000);
    assert_state("a", STATE_DOWN); /* not started */
    assert_int_equal(world_sim_spawns(fx.w), 0);
    assert_true(a.told == 1 && a.met);
    assert_state("b", STATE_DOWN); /* found running, and stopped */
    assert_false(lives(pid));
    assert_true(b.told == 1 && b.met);
}

/* A process started by hand that handles SIGHUP so. */
static pid_t by_hand_with(const char *name, struct world_sim_reaction reaction)
{
    char cmdline[64];
    snprintf(cmdline, sizeof cmdline, "/srv/%s/%s --serve", name, name);
    struct procfs_entry e = {.cmdline = cmdline, .uid = geteuid()};
    struct world_sim_behaviour b = {.reactions = {reaction}};
    pid_t pid = world_sim_add(fx.w, &e, &b);
    assert_true(pid > 0);
    return pid;
}

static void grestart(const char *name, struct waiter *w)
{
    struct err err = {0};
    assert_true(service_grestart(get(name), command("grestart"), &err));
    wait_for(name, GOAL_UP, w);
}

static void a_grestart_before_the_first_look_is_obeyed(void **state)
{
    (void)state;
    pid_t stays = by_hand_with("a", (struct world_sim_reaction){.signal = SIGHUP});
    pid_t leaves = by_hand_with("b", (struct world_sim_reaction){.signal = SIGHUP, .exits = true, .after_ms = 500});
    pid_t deaf = by_hand("/srv/c/c --serve");
    fixture_begin(fixture_conf("a", "b", "c", "d"));
    struct waiter a, b, c, d;
    grestart("a", &a);
    grestart("b", &b);
    grestart("c", &c);
    grestart("d", &d);
    run(0);
    assert_true(count_signals(stays, SIGHUP) == 1 && count_signals(leaves, SIGHUP) == 1);
    assert_int_equal(last_event("a", EVENT_SIGNAL)->cause, last_event("a", EVENT_ADOPT)->seq);
    assert_true(!a.told && !b.told && !d.told);
    assert_true(c.told && !c.met && strstr(c.why, "it does not handle SIGHUP"));
    assert_state("c", STATE_UP);
    assert_int_equal(get("c")->proc.pid, deaf);
    run(9999);
    assert_true(!a.told && b.met && d.met);
    assert_false(lives(leaves));
    assert_state("b", STATE_UP);
    run(1);
    assert_true(a.met);
    assert_int_equal(get("a")->proc.pid, stays);
    assert_int_equal(count_signals(0, SIGHUP), 2);
    assert_int_equal(world_sim_spawns(fx.w), 2);
}

/* The same while a start waits for the look. */
static void a_grestart_after_a_start_is_obeyed(void **state)
{
    (void)state;
    pid_t pid = by_hand_with("a", (struct world_sim_reaction){.signal = SIGHUP});
    struct conf *c = fixture_conf("a");
    c->svrs[0].autostart = false;
    fixture_begin(c);
    struct waiter one, two;
    service_start(get("a"), command("start"));
    wait_for("a", GOAL_UP, &one);
    grestart("a", &two);
    run(20000);
    assert_true(one.met && two.met);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_int_equal(count_signals(pid, SIGHUP), 1);
    assert_int_equal(count_signals(pid, SIGTERM), 0);
}

static void a_restart_is_more_than_a_grestart(void **state)
{
    (void)state;
    pid_t pid = by_hand_with("a", (struct world_sim_reaction){.signal = SIGHUP});
    fixture_begin(fixture_conf("a"));
    struct waiter w;
    service_restart(get("a"), command("restart"));
    grestart("a", &w);
    run(5000);
    assert_true(w.met);
    assert_false(lives(pid));
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void one_removed_before_the_first_look_is_stopped(void **state)
{
    (void)state;
    pid_t a = by_hand("/srv/a/a --serve"), b = marked("b", "/srv/b/b --serve", 0), c = by_hand("/srv/c/c --serve");
    fixture_begin(fixture_conf("a", "b", "c", "d"));
    apply(fixture_conf("c"));
    run(1000);
    assert_true(!lives(a) && !lives(b) && lives(c));
    assert_true(count_signals(a, SIGTERM) == 1 && count_signals(b, SIGTERM) == 1);
    assert_null(fx.m->removed);
    assert_int_equal(get("c")->proc.pid, c);
    assert_int_equal(world_sim_spawns(fx.w), 0); /* "d" was not to be found, and is not started */
}

static void one_removed_and_added_again_before_the_first_look(void **state)
{
    (void)state;
    pid_t a = by_hand("/srv/a/a --serve");
    world_sim_set_scan_ms(fx.w, 100);
    fixture_begin(fixture_conf("a", "b"));
    apply(fixture_conf("b"));
    apply(fixture_conf("a", "b"));
    struct waiter w;
    service_start(get("a"), command("start"));
    wait_for("a", GOAL_UP, &w);
    await("a", STATE_UP, 5000);
    assert_true(w.met);
    assert_false(lives(a));
    assert_null(fx.m->removed);
    await("b", STATE_UP, 1000);
    assert_int_equal(world_sim_spawns(fx.w), 2);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 2);
}

/* The one in between was never looked for, and can't have a process. */
static void one_removed_added_and_removed_again(void **state)
{
    (void)state;
    pid_t a = by_hand("/srv/a/a --serve");
    world_sim_set_scan_ms(fx.w, 100);
    fixture_begin(fixture_conf("a", "b"));
    apply(fixture_conf("b"));
    apply(fixture_conf("a", "b"));
    service_start(get("a"), command("start"));
    apply(fixture_conf("b"));
    run(5000);
    assert_false(lives(a));
    assert_null(fx.m->removed);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void a_start_that_was_removed_while_it_looked(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    service_stop(get("a"), command("stop"));
    run(100);
    pid_t a = by_hand("/srv/a/a --serve");
    world_sim_set_scan_ms(fx.w, 100);
    service_start(get("a"), command("start"));
    apply(fixture_conf("b"));
    assert_non_null(fx.m->removed);
    run(5000);
    assert_false(lives(a));
    assert_null(fx.m->removed);
}

static void without_a_process_table_what_is_removed_goes_all_the_same(void **state)
{
    (void)state;
    world_sim_spoil_scans(fx.w, ENOENT);
    fixture_begin(fixture_conf("a", "b"));
    apply(fixture_conf("b"));
    await("b", STATE_UP, 1000);
    assert_null(fx.m->removed);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_restart_before_the_first_look_is_obeyed),
        FIXTURE_TEST(a_stop_before_the_first_look_is_obeyed),
        FIXTURE_TEST(a_grestart_before_the_first_look_is_obeyed),
        FIXTURE_TEST(a_grestart_after_a_start_is_obeyed),
        FIXTURE_TEST(a_restart_is_more_than_a_grestart),
        FIXTURE_TEST(one_removed_before_the_first_look_is_stopped),
        FIXTURE_TEST(one_removed_and_added_again_before_the_first_look),
        FIXTURE_TEST(one_removed_added_and_removed_again),
        FIXTURE_TEST(a_start_that_was_removed_while_it_looked),
        FIXTURE_TEST(without_a_process_table_what_is_removed_goes_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
