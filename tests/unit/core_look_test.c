/* Looks at the process table that can't be had, or show only a part: who must look before it starts waits, so that
 * nothing is doubled; where there is no such table at all, services are started all the same. */
#include "capture.h"
#include "core_fixture.h"

#include "story.h"
#include "survey.h"

#include <errno.h>

/* For the sanitizer: a request for too much memory fails, as it does without it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static int setup(void **state)
{
    int r = fixture_setup(state);
    capture_begin();
    clog_configure(CLOG_LOCAL, CLOG_ERROR | CLOG_WARN);
    return r;
}

static int teardown(void **state)
{
    clog_configure(0, 0);
    capture_end();
    return fixture_teardown(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void assert_why(const char *name, const char *part)
{
    struct buf b = {0};
    struct recall past;
    recall_open(&past, fx.m, get(name));
    story_why(&b, &past, get(name));
    recall_close(&past);
    bool found = strstr(buf_str(&b), part);
    if (!found)
        print_message("%s\n", buf_str(&b));
    buf_fini(&b);
    assert_true(found);
}

/* "a" runs already, "b" does not: both wait for the look, and go on as they should once there is one. */
static void assert_waits(void (*hinder)(struct world *w, int error), int error)
{
    pid_t pid = by_hand("/srv/a/a --serve");
    hinder(fx.w, error);
    fixture_begin(fixture_conf("a", "b"));
    run(60000);
    bool waited = world_sim_spawns(fx.w) == 0 && fx.m->scans > 50 && fx.m->scans < 70;
    hinder(fx.w, 0);
    run(MONITOR_RETRY_MS);
    const char *log = captured();
    assert_true(waited);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
    await("b", STATE_UP, 1000);
    assert_int_equal(world_sim_spawns(fx.w), 1);
    char said[128];
    snprintf(said, sizeof said, "the process table can't be looked at: %s;", strerror(error));
    assert_int_equal(count_of(log, said), 1);
    assert_int_equal(count_of(log, "\n"), 1);
}

static void a_look_without_memory_is_tried_again(void **state)
{
    (void)state;
    assert_waits(world_sim_fail_scans, ENOMEM);
}

static void a_look_that_shows_only_a_part_is_tried_again(void **state)
{
    (void)state;
    assert_waits(world_sim_spoil_scans, EMFILE);
}

static void what_is_found_but_can_not_be_held_is_not_doubled(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    world_sim_fail_adoptions(fx.w, EMFILE);
    fixture_begin(fixture_conf("a", "b"));
    run(10000);
    assert_state("b", STATE_UP); /* of which nothing was found */
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_spawns(fx.w), 1);
    assert_why("a", "but the process table can't be looked at: Too many open files");
    world_sim_fail_adoptions(fx.w, 0);
    run(MONITOR_RETRY_MS);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
}

static void a_rest_that_can_not_be_held_is_waited_for(void **state)
{
    (void)state;
    pid_t rest = marked("a", "/srv/a/worker", 4242);
    world_sim_fail_adoptions(fx.w, ENFILE);
    fixture_begin(fixture_conf("a"));
    run(60000);
    assert_true(lives(rest));
    assert_int_equal(world_sim_spawns(fx.w), 0);
    world_sim_fail_adoptions(fx.w, 0);
    await("a", STATE_UP, 2000);
    assert_false(lives(rest));
}

static void a_start_that_must_look_waits_and_says_so(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    service_stop(get("a"), command("stop"));
    run(100);
    world_sim_fail_scans(fx.w, ENFILE);
    service_start(get("a"), command("start"));
    struct waiter w;
    wait_for("a", GOAL_UP, &w);
    run(10000);
    assert_state("a", STATE_STARTING);
    assert_int_equal(w.told, 0);
    assert_why("a",
               ": it is looked first whether it runs already, but the process table can't be looked at: Too many open "
               "files in system\n");
    pid_t other = get("b")->proc.pid; /* a crash needs no look: it is restarted meanwhile */
    world_sim_kill(fx.w, other, SIGSEGV);
    await("b", STATE_UP, 1000);
    assert_int_not_equal(get("b")->proc.pid, other);
    service_stop(get("a"), command("stop"));
    run(1000);
    world_sim_fail_scans(fx.w, 0);
    run(MONITOR_RETRY_MS);
    assert_state("a", STATE_DOWN);
    assert_true(w.told == 1 && !w.met);
    assert_int_equal(world_sim_spawns(fx.w), 3);
}

static void each_cause_is_told_once(void **state)
{
    (void)state;
    world_sim_spoil_scans(fx.w, EMFILE);
    fixture_begin(fixture_conf("a"));
    run(10000);
    world_sim_spoil_scans(fx.w, 0);
    world_sim_fail_scans(fx.w, ENOMEM);
    run(10000);
    world_sim_fail_scans(fx.w, 0);
    run(3 * MONITOR_AUDIT_MS);
    world_sim_spoil_scans(fx.w, EMFILE);
    run(3 * MONITOR_AUDIT_MS);
    const char *log = captured();
    assert_int_equal(count_of(log, "Too many open files"), 2);
    assert_int_equal(count_of(log, "Cannot allocate memory"), 1);
    assert_int_equal(count_of(log, "\n"), 3);
}

static void without_a_process_table_services_are_started_all_the_same(void **state)
{
    (void)state;
    static const int errors[] = {ENOENT, EACCES};
    world_sim_spoil_scans(fx.w, errors[0]);
    fixture_begin(fixture_conf("a", "b"));
    run(1000);
    bool up = get("a")->state == STATE_UP && get("b")->state == STATE_UP;
    service_stop(get("a"), command("stop"));
    run(100);
    service_start(get("a"), command("start"));
    run(1000);
    up = up && get("a")->state == STATE_UP;
    run(2 * MONITOR_AUDIT_MS);
    world_sim_spoil_scans(fx.w, errors[1]);
    run(2 * MONITOR_AUDIT_MS);
    const char *log = captured();
    assert_true(up);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 2);
    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        assert_int_equal(count_of(log, strerror(errors[i])), 1);
    assert_int_equal(count_of(log, "[WARN] /proc can't be read"), 2);
    assert_int_equal(count_of(log, "\n"), 2);
}

/* More processes than there is memory for: what is to be thought about each does not fit. */
static void without_memory_nothing_is_judged(void **state)
{
    (void)state;
    const struct procfs_table table = {.count = SIZE_MAX / 64};
    fixture_make(fixture_conf("a"));
    fx.m->scans = 1;
    assert_int_equal(survey_judge(fx.m, &table, true), -ENOMEM);
    assert_state("a", STATE_DOWN);
    assert_true(get("a")->fresh && !fx.m->surveyed);
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

static size_t count_known(void)
{
    size_t count;
    struct procfs_known *known = survey_known(fx.m, &count);
    assert_non_null(known);
    for (size_t i = 0; i < count; i++)
        assert_true(known[i].pid && known[i].start_ticks);
    free(known);
    return count;
}

/* What was seen with its marker need not be read again: its number and start time tell that it is still the same. */
static void what_was_seen_once_is_known(void **state)
{
    (void)state;
    by_hand("/srv/c/c --serve");
    fixture_begin(fixture_conf("a", "b", "c"));
    run(0);
    assert_int_equal(count_known(), 0);
    run(2 * MONITOR_SETTLE_MS);
    assert_int_equal(count_known(), 2); /* c carries none */
    world_sim_kill(fx.w, get("a")->proc.pid, SIGKILL);
    run(0);
    assert_int_equal(count_known(), 1);
    run(2 * MONITOR_SETTLE_MS);
    assert_int_equal(count_known(), 2);
    run(10 * MONITOR_AUDIT_MS);
    assert_int_equal(count_events("a", EVENT_AUDIT) + count_events("b", EVENT_AUDIT), 0);
    assert_int_equal(world_sim_spawns(fx.w), 3);
}

static void what_left_unseen_goes_with_the_look_after_the_next_start(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    run(30000);
    pid_t left = marked("a", "/usr/bin/agent", 4242), others = marked("b", "/usr/bin/agent", 4343);
    run(1000);
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    run(100); /* a crash is made good at once, without a look */
    assert_state("a", STATE_STARTING);
    assert_true(lives(left));
    pid_t own = marked("a", "/usr/bin/agent", 4444);
    run(MONITOR_SETTLE_MS + 200);
    assert_false(lives(left));
    assert_true(lives(own) && lives(others) && lives(get("a")->proc.pid));
    assert_int_equal(count_events("a", EVENT_CLEANUP), 1);
    assert_int_equal(last_event("a", EVENT_CLEANUP)->pid, left);
    run(2 * MONITOR_AUDIT_MS);
    assert_true(lives(own) && lives(others));
    assert_int_equal(count_events("a", EVENT_CLEANUP), 1);
}

static void elders_of_an_adopted_one_are_left_alone(void **state)
{
    (void)state;
    pid_t elder = marked("a", "/usr/bin/agent", 4242);
    run(1000);
    pid_t pid = marked("a", "/srv/a/a --serve", 0);
    fixture_begin(fixture_conf("a"));
    run(2 * MONITOR_AUDIT_MS);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_true(lives(elder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_left_unseen_goes_with_the_look_after_the_next_start),
        TEST(elders_of_an_adopted_one_are_left_alone),
        TEST(a_look_without_memory_is_tried_again),
        TEST(a_look_that_shows_only_a_part_is_tried_again),
        TEST(what_is_found_but_can_not_be_held_is_not_doubled),
        TEST(a_rest_that_can_not_be_held_is_waited_for),
        TEST(a_start_that_must_look_waits_and_says_so),
        TEST(each_cause_is_told_once),
        TEST(without_a_process_table_services_are_started_all_the_same),
        TEST(what_was_seen_once_is_known),
        TEST(without_memory_nothing_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
