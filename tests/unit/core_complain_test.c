/* What stands in the monitor's own log when trouble goes on and on. */
#include "capture.h"
#include "core_fixture.h"

#include <errno.h>

#define MINUTE (60 * 1000)
#define HOUR (60 * MINUTE)

static int setup(void **state)
{
    int r = fixture_setup(state);
    capture_begin();
    clog_configure(CLOG_LOCAL, CLOG_ERROR | CLOG_WARN | CLOG_INFO);
    return r;
}

static int teardown(void **state)
{
    clog_configure(0, 0);
    capture_end();
    return fixture_teardown(state);
}

/* How many lines with that in it were written. */
static size_t lines(const char *what)
{
    return count_of(captured(), what);
}

static void a_crasher_is_told_when_it_begins_then_now_and_then(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_begin(fixture_conf("a"));
    run(HOUR);
    assert_in_range(get("a")->failures, 5000, 7000);
    assert_int_equal(lines("\n"), 8);
    assert_int_equal(lines("[WARN] service[a] pid "), 4); /* at once, and after 1, 6 and 21 minutes */
    assert_int_equal(lines(" exited with code 3 after 0.1 s"), 8);
    assert_int_equal(lines("[ERROR] service[a] has failed 6 times in a row: "), 1);
    assert_int_equal(lines(" more that were not logged)\n"), 6);
    run(23 * HOUR);
    assert_in_range(lines("\n"), 8 + 2 * 22, 8 + 2 * 24); /* once an hour */
}

static void one_that_crashes_now_and_then_is_told_each_time(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 3 * HOUR, .signal = SIGSEGV});
    fixture_begin(fixture_conf("a"));
    run(31 * HOUR);
    assert_int_equal(lines("[WARN] service[a] pid "), 10);
    assert_int_equal(lines("\n"), 10);
}

static void one_that_crashes_every_quarter_of_a_minute_is_not(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 15000, .signal = SIGABRT});
    fixture_begin(fixture_conf("a"));
    run(HOUR);
    assert_int_equal(get("a")->restarts, 240);
    assert_int_equal(lines("\n"), 4);
}

static void another_cause_is_told_at_once(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_begin(fixture_conf("a"));
    run(30000);
    assert_int_equal(lines("\n"), 2);
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .signal = SIGSEGV});
    run(5000);
    assert_int_equal(lines("was killed by SIGSEGV after 0.1 s\n"), 1);
    assert_int_equal(lines("in a row: was killed by SIGSEGV after 0.1 s; next try in 3.0 s\n"), 1);
    behave("a", (struct world_sim_behaviour){.spawn_error = ENOENT, .spawn_stage = PROC_STAGE_EXEC});
    run(5000);
    assert_int_equal(lines("could not be started: exec /srv/a/a: No such file or directory\n"), 1);
    assert_int_equal(lines("\n"), 6);
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    run(5000);
    assert_int_equal(lines("\n"), 6); /* known already */
}

static void one_that_can_not_be_started_is_told_alike(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.spawn_error = ENOENT, .spawn_stage = PROC_STAGE_EXEC});
    fixture_begin(fixture_conf("a"));
    run(HOUR);
    assert_int_equal(lines("[ERROR] service[a] could not be started: exec /srv/a/a: No such file or directory"), 4);
    assert_int_equal(lines("[ERROR] service[a] has failed "), 4);
    assert_int_equal(lines("\n"), 8);
}

static void a_broken_command_line_is_told_alike(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    fixture_set(&c->svrs[0].cmd, "/srv/a/a 'unfinished");
    fixture_begin(c);
    run(HOUR);
    assert_int_equal(lines("\n"), 8);
}

static void a_command_makes_it_new(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_begin(fixture_conf("a"));
    run(2000);
    assert_int_equal(lines("\n"), 2);
    service_restart(get("a"), command("restart"));
    run(5000);
    assert_int_equal(lines("exited with code 3 after 0.1 s\n"), 2);
    assert_int_equal(lines("has failed 6 times in a row"), 2);
}

static void the_end_of_it_is_told(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.starts = 13, .dies = true, .life_ms = 100, .code = 3});
    fixture_begin(fixture_conf("a"));
    await("a", STATE_WAITING, 10000);
    assert_int_equal(lines(" is up again"), 0);
    run(10000);
    assert_state("a", STATE_UP);
    run(9000);
    char text[96];
    snprintf(text, sizeof text, "[INFO] service[a] is up again: pid %d, after 13 failures in a row\n",
             get("a")->proc.pid);
    assert_int_equal(lines(text), 1);
    run(HOUR);
    assert_int_equal(lines(text), 1);
    assert_int_equal(lines("\n"), 3);
    world_sim_exit(fx.w, get("a")->proc.pid, 0); /* no row: nothing was said that could be over */
    run(MINUTE);
    assert_int_equal(lines(" is up again"), 1);
}

static bool slowly_then_no_more(void *arg, struct service *s, const struct service_exit *exit, struct decision *out)
{
    (void)arg;
    (void)exit;
    *out = (struct decision){.kind = s->failures < 10 ? DECISION_RESTART : DECISION_FAIL, .delay_ms = 1000};
    strcpy(out->reason, s->failures < 10 ? "a second between" : "enough is enough");
    return true;
}

static void a_policy_that_waits_and_gives_up_is_told(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_make(fixture_conf("a"));
    fx.m->hooks.decide = slowly_then_no_more;
    monitor_start(fx.m);
    run(5000);
    assert_int_equal(get("a")->failures, 5);
    assert_int_equal(lines("\n"), 1); /* the end; five in a row are nothing yet */
    run(1100);
    assert_int_equal(lines("[ERROR] service[a] has failed 6 times in a row: "), 1);
    await("a", STATE_FAILED, 20000);
    run(HOUR);
    assert_int_equal(
        lines("[ERROR] service[a] is given up after 10 failures in a row: enough is enough; the last time it "
              "exited with code 3 after 0.1 s\n"),
        1);
    assert_int_equal(lines("\n"), 3);
}

static void a_second_copy_is_told_once_though_every_audit_sees_it(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    pid_t copy =
        world_sim_add(fx.w, &(struct procfs_entry){.cmdline = (char[]){"/srv/a/a --serve"}, .uid = geteuid()}, NULL);
    assert_true(copy > 0);
    run(HOUR);
    char text[96];
    snprintf(text, sizeof text, "[ERROR] service[a]: a second copy runs as pid %d (the service is pid %d)", copy,
             get("a")->proc.pid);
    assert_int_equal(lines(text), 1);
    assert_int_equal(lines("\n"), 1);
    assert_int_equal(count_events("a", EVENT_AUDIT), 1);
    world_sim_kill(fx.w, copy, SIGKILL);
    run(2 * MINUTE);
    copy = world_sim_add(fx.w, &(struct procfs_entry){.cmdline = (char[]){"/srv/a/a --serve"}, .uid = geteuid()}, NULL);
    run(HOUR);
    assert_int_equal(lines("a second copy runs as pid "), 2); /* that is another one */
}

static void two_copies_of_different_kinds_are_told_once_each(void **state)
{
    (void)state;
    /* The service is one that was started by hand; a marked one is there too, and one more by hand. */
    struct procfs_entry by_hand = {.cmdline = (char[]){"/srv/a/a --serve"}, .uid = geteuid()};
    world_sim_add(fx.w, &by_hand, NULL);
    fixture_begin(fixture_conf("a"));
    await("a", STATE_UP, 1000);
    assert_true(get("a")->adopted);
    struct procfs_entry marked = by_hand;
    marked.marker = (char[]){FIXTURE_PREFIX "a"};
    world_sim_add(fx.w, &marked, NULL);
    world_sim_add(fx.w, &by_hand, NULL);
    run(HOUR);
    assert_int_equal(lines("a second copy runs as pid "), 2);
    assert_int_equal(count_events("a", EVENT_AUDIT), 2);
}

/* A process of the service that has left its session and shows another command line. */
static pid_t helper(void)
{
    struct procfs_entry e = {
        .cmdline = (char[]){"/usr/bin/agent"}, .marker = (char[]){FIXTURE_PREFIX "a"}, .uid = geteuid()};
    return world_sim_add(fx.w, &e, NULL);
}

static void what_runs_beside_a_stopped_service_is_told_each_time_it_is_stopped(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    for (size_t i = 1; i <= 2; i++) {
        helper();
        service_stop(get("a"), command("stop"));
        await("a", STATE_DOWN, 20000);
        run(HOUR);
        assert_int_equal(lines("service[a] is down, but processes it started are still running\n"), i);
        service_start(get("a"), command("start"));
        await("a", STATE_UP, 20000);
        run(2 * MINUTE);
    }
    assert_int_equal(lines("is down, but"), 2);
}

static void what_is_left_behind_each_time_is_one_line(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    for (size_t i = 1; i <= 5; i++) {
        for (int k = 0; k < 3; k++)
            helper();
        run(4000); /* a look sees that they have left the group */
        world_sim_exit(fx.w, get("a")->proc.pid, 1);
        run(1000);
        assert_state("a", STATE_UP);
        assert_int_equal(world_sim_count(fx.w, "a", false), 1);
    }
    assert_int_equal(lines("[WARN] service[a]: killed pid "), 1);
    assert_int_equal(lines(" (/usr/bin/agent) and 2 more, left behind by an earlier instance\n"), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_crasher_is_told_when_it_begins_then_now_and_then),
        TEST(one_that_crashes_now_and_then_is_told_each_time),
        TEST(one_that_crashes_every_quarter_of_a_minute_is_not),
        TEST(another_cause_is_told_at_once),
        TEST(one_that_can_not_be_started_is_told_alike),
        TEST(a_broken_command_line_is_told_alike),
        TEST(a_command_makes_it_new),
        TEST(the_end_of_it_is_told),
        TEST(a_policy_that_waits_and_gives_up_is_told),
        TEST(a_second_copy_is_told_once_though_every_audit_sees_it),
        TEST(two_copies_of_different_kinds_are_told_once_each),
        TEST(what_runs_beside_a_stopped_service_is_told_each_time_it_is_stopped),
        TEST(what_is_left_behind_each_time_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
