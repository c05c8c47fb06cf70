/* What goes wrong around the monitor, in a simulated world: a loop that was kept from running, disks, clocks. */
#include "capture.h"
#include "core_fixture.h"

#include <errno.h>
#include <sys/resource.h>

#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* ---- the loop was kept from running: what happened meanwhile was not told yet when a time is up */

static void an_end_not_told_yet_is_no_success(void **state)
{
    (void)state;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    struct conf *conf = fixture_conf("a");
    fixture_entry(conf, "a")->autostart = false;
    fixture_begin(conf);
    run(0);
    behave("a", (struct world_sim_behaviour){.starts = 1, .dies = true, .life_ms = 250, .code = 7});
    struct waiter w;
    wait_for("a", GOAL_UP, &w);
    service_start(get("a"), command("start"));
    await("a", STATE_UP, 2000); /* the second one */
    assert_int_equal(w.told, 1);
    assert_false(w.met);
    assert_string_equal(w.why, "exited with code 7 after 0.3 s");
    assert_int_equal(count_events("a", EVENT_UP), 1);
    assert_int_equal(get("a")->failures, 1);
}

static void a_stop_done_in_time_is_not_followed_by_a_kill(void **state)
{
    (void)state;
    struct conf *conf = fixture_conf("a");
    fixture_entry(conf, "a")->stop.timeout_ms = 100; /* up before the next probe */
    fixture_up(conf);
    run(1);
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 100);
    assert_int_equal(count_signals(0, SIGTERM), 1);
    assert_int_equal(count_signals(0, SIGKILL), 0);
    assert_int_equal(get("a")->last_exit.how.signal, SIGTERM);
}

static void a_graceful_end_not_told_yet_is_an_end(void **state)
{
    (void)state;
    struct conf *conf = fixture_conf("a");
    struct err err = {0};
    fixture_entry(conf, "a")->graceful.timeout_ms = 100;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGHUP, .exits = true, .after_ms = 10}}});
    fixture_up(conf);
    run(1);
    pid_t old = get("a")->proc.pid;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    assert_true(service_grestart(get("a"), command("grestart"), &err));
    run(100);
    assert_int_not_equal(get("a")->proc.pid, old);
    assert_state("a", STATE_STARTING);
    assert_int_equal(get("a")->failures, 0);
}

/* ---- a daemon: what was started ends well, before anybody has looked, and another one like it goes on */

static void a_daemon_is_not_started_twice(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 700, .code = 0, .children = 1, .detached = true});
    struct conf *conf = fixture_conf("a");
    fixture_begin(conf);
    run(5000);
    assert_int_equal(world_sim_spawns(fx.w), 1);
    assert_state("a", STATE_UP);
    assert_true(get("a")->adopted);
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
}

/* What the table shows has ended when it is judged, and another one, which it does not show, has taken its place. */
static void one_that_forked_after_the_look_is_found_too(void **state)
{
    (void)state;
    struct conf *conf = fixture_conf("a");
    fixture_entry(conf, "a")->autostart = false;
    fixture_begin(conf);
    run(10);
    pid_t first = marked("a", "/srv/a/a --serve", 0);
    world_sim_set_scan_ms(fx.w, 10);
    service_start(get("a"), command("start"));
    run(5);
    world_sim_kill(fx.w, first, SIGKILL);
    pid_t second = marked("a", "/srv/a/a --serve", 0);
    run(1000);
    assert_int_equal(world_sim_spawns(fx.w), 0);
    assert_int_equal(get("a")->proc.pid, second);
    assert_state("a", STATE_UP);
}

static void a_restart_soon_after_the_start_leaves_nothing_behind(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.starts = 1, .children = 1, .detached = true});
    fixture_up(fixture_conf("a"));
    assert_int_equal(world_sim_count(fx.w, "a", false), 2);
    service_restart(get("a"), command("restart"));
    run(2000);
    assert_state("a", STATE_UP);
    assert_int_equal(world_sim_spawns(fx.w), 2);
    assert_true(get("a")->proc.child); /* it is no rest that looks like it */
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
}

/* ---- disks */

static void a_log_that_the_disk_does_not_give_keeps_no_service_down(void **state)
{
    (void)state;
    static const int troubles[] = {ENOSPC, EROFS, EIO, EDQUOT};
    fixture_up(fixture_conf("a"));
    capture_begin();
    clog_configure(1, 15);
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        behave("a",
               (struct world_sim_behaviour){.starts = 1, .spawn_error = troubles[i], .spawn_stage = PROC_STAGE_LOG});
        world_sim_kill(fx.w, get("a")->proc.pid, SIGKILL);
        run(SERVICE_PROBE_MS + 10);
        assert_state("a", STATE_UP);
        char text[200];
        snprintf(text, sizeof text,
                 "open the log /srv/a/fota_monitor.log: %s; what it writes is lost until it is restarted",
                 strerror(troubles[i]));
        assert_string_equal(last_event("a", EVENT_LOG)->text, text);
    }
    clog_configure(0, 0);
    assert_int_equal(count_of(capture_end(), "what it writes is lost until it is restarted"), ARRAY_LEN(troubles));
    assert_int_equal(count_events("a", EVENT_SPAWN_FAIL), 0);
    /* A mistake of the configuration is told to whoever made it. */
    behave("a", (struct world_sim_behaviour){.starts = 1, .spawn_error = EACCES, .spawn_stage = PROC_STAGE_LOG});
    world_sim_kill(fx.w, get("a")->proc.pid, SIGKILL);
    run(10);
    assert_int_equal(count_events("a", EVENT_SPAWN_FAIL), 1);
}

/* The journal's lines: `seq` of each in its order. The place of the first that holds `text` is in *found. */
static size_t read_journal(uint64_t *seqs, size_t max, const char *text, size_t *found)
{
    char path[96];
    static char line[4096];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/test.events.jsonl", fx.dir);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    *found = SIZE_MAX;
    while (fgets(line, sizeof line, f)) {
        assert_true(n < max);
        assert_int_equal(sscanf(line, "{\"seq\":%lu,", &seqs[n]), 1);
        assert_int_equal(line[strlen(line) - 2], '}'); /* whole */
        if (*found == SIZE_MAX && strstr(line, text))
            *found = n;
        n++;
    }
    fclose(f);
    return n;
}

static void the_journal_tells_of_its_hole(void **state)
{
    (void)state;
    enum { NOTES = 20000 };
    static uint64_t seqs[NOTES];
    struct rlimit old, small = {1000, 0};
    fixture_up(fixture_conf("a"));
    run(0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* the disk is full, in the middle of a line */
    capture_begin();
    clog_configure(1, 15);
    for (int i = 0; i < NOTES / 2; i++) {
        monitor_note(fx.m, NULL, EVENT_MONITOR, 0,
                     "note %d of a length that makes more than is kept in memory, which is "
                     "a megabyte",
                     i);
        if (i % 100 == 0)
            run(1);
    }
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    uint64_t lost = fx.m->journal.lost, last = fx.m->journal.last_seq;
    assert_true(lost > 100 && lost < NOTES / 2);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    run(2000);
    clog_configure(0, 0);
    const char *log = capture_end();
    assert_int_equal(count_of(log, "events are kept in memory and tried again"), 1);
    assert_int_equal(count_of(log, "events.jsonl is written again; what there was no room for is missing"), 1);
    char text[128];
    snprintf(text, sizeof text, "\"kind\":\"audit\",\"text\":\"%d events before this one are missing", (int)lost);
    size_t at, n = read_journal(seqs, NOTES, text, &at);
    assert_true(at != SIZE_MAX && at > 0);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(seqs[i] - seqs[i - 1], i == at ? lost + 1 : 1); /* one hole, just there */
    assert_int_equal(seqs[at], last + 1);
    fixture_die();
    fixture_begin(fixture_conf("a")); /* and told once for all */
    assert_true(fx.m->journal.last_seq > last);
}

/* ---- clocks */

/* How long the third pause between bursts takes, when the wall clock is set by so much in the middle of it. */
static int64_t pause_while_set(int64_t by_ms)
{
    await("a", STATE_WAITING, 5000);
    run(1000);
    world_sim_set_wall(fx.w, fx.w->ops->wall_ms(fx.w) + by_ms);
    return 1000 + await("a", STATE_STARTING, 5000);
}

static void a_clock_that_is_set_changes_no_pause(void **state)
{
    (void)state;
    static const int64_t jumps[] = {-DAY_MS, 365 * DAY_MS, -366 * DAY_MS, 0};
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 10, .code = 1});
    fixture_begin(fixture_conf("a"));
    for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
        assert_in_range(pause_while_set(jumps[i]), 2980, 3000);
        /* nor what is remembered of it */
        await("a", STATE_WAITING, 5000);
        run(1000);
        fixture_die();
        world_sim_set_wall(fx.w, fx.w->ops->wall_ms(fx.w) - jumps[i]);
        fixture_begin(fixture_conf("a"));
        assert_in_range(1000 + await("a", STATE_STARTING, 5000), 2980, 3000);
    }
}

static void a_clock_that_is_set_ends_no_stop_early(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.ignores = WORLD_SIM_BIT(SIGTERM)});
    fixture_up(fixture_conf("a"));
    service_stop(get("a"), command("stop"));
    run(5000);
    world_sim_set_wall(fx.w, fx.w->ops->wall_ms(fx.w) + 365 * DAY_MS);
    run(2000);
    world_sim_set_wall(fx.w, fx.w->ops->wall_ms(fx.w) - 366 * DAY_MS);
    assert_state("a", STATE_STOPPING);
    assert_int_equal(await("a", STATE_DOWN, 5000), 3000);
    assert_true(last_event("a", EVENT_DOWN)->wall_ms < FIXTURE_WALL_MS); /* the date is what the clock says */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(an_end_not_told_yet_is_no_success),
        FIXTURE_TEST(a_stop_done_in_time_is_not_followed_by_a_kill),
        FIXTURE_TEST(a_graceful_end_not_told_yet_is_an_end),
        FIXTURE_TEST(a_daemon_is_not_started_twice),
        FIXTURE_TEST(one_that_forked_after_the_look_is_found_too),
        FIXTURE_TEST(a_restart_soon_after_the_start_leaves_nothing_behind),
        FIXTURE_TEST(a_log_that_the_disk_does_not_give_keeps_no_service_down),
        FIXTURE_TEST(the_journal_tells_of_its_hole),
        FIXTURE_TEST(a_clock_that_is_set_changes_no_pause),
        FIXTURE_TEST(a_clock_that_is_set_ends_no_stop_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
