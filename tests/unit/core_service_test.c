/* One service in a simulated world: starts and crashes. */
#include "capture.h"
#include "core_fixture.h"

#include <errno.h>

/* Brings up service "a" alone. */
static struct service *up(void)
{
    fixture_up(fixture_conf("a"));
    struct service *a = get("a");
    assert_int_equal(a->restarts, 0);
    assert_int_equal(a->failures, 0);
    return a;
}

static pid_t pid_of(const char *name)
{
    const struct procfs_entry *e = world_sim_find(fx.w, name);
    return e ? e->pid : 0;
}

/* ---- starts */

static void up_is_alive_at_the_first_probe(void **state)
{
    (void)state;
    fixture_begin(fixture_conf("a"));
    run(0);
    struct service *a = get("a");
    assert_state("a", STATE_STARTING);
    assert_true(a->proc.pid > 0);
    assert_int_equal(a->proc.pid, pid_of("a"));
    run(SERVICE_PROBE_MS - 1);
    assert_state("a", STATE_STARTING);
    run(1);
    assert_state("a", STATE_UP);
    assert_int_equal(service_uptime_ms(a), SERVICE_PROBE_MS);
    const struct procfs_entry *e = world_sim_find(fx.w, "a");
    assert_string_equal(e->marker, FIXTURE_PREFIX "a");
    assert_int_equal(e->cmdline_len, sizeof "/srv/a/a\0--serve");
    assert_memory_equal(e->cmdline, "/srv/a/a\0--serve", e->cmdline_len);
    assert_string_equal(e->cwd, "/srv/a");
}

static void death_before_the_first_probe_is_a_failed_start(void **state)
{
    (void)state;
    fixture_begin(fixture_conf("a"));
    behave("a", (struct world_sim_behaviour){
                    .starts = 1, .dies = true, .life_ms = 100, .code = 7, .console = "first\nno port\n"});
    run(0);
    struct waiter w;
    wait_for("a", GOAL_UP, &w);
    run(100);
    assert_int_equal(w.told, 1);
    assert_false(w.met);
    assert_string_equal(w.why, "exited with code 7 after 0.1 s: no port");
    struct service *a = get("a");
    assert_string_equal(a->last_exit.tail, "first\nno port\n");
    await("a", STATE_UP, 1000); /* and the second try does it */
    assert_int_equal(a->failures, 1);
    assert_int_equal(a->restarts, 1);
}

static void only_its_own_last_words_are_kept(void **state)
{
    (void)state;
    struct service *a = up();
    behave("a", (struct world_sim_behaviour){.console = "old\n"});
    world_sim_kill(fx.w, a->proc.pid, SIGSEGV);
    await("a", STATE_UP, 1000);
    assert_null(a->last_exit.tail); /* the first one wrote nothing */
    behave("a", (struct world_sim_behaviour){.console = "new\nlines\n"});
    world_sim_kill(fx.w, a->proc.pid, SIGSEGV);
    await("a", STATE_UP, 1000);
    assert_string_equal(a->last_exit.tail, "old\n");
    behave("a", (struct world_sim_behaviour){0});
    world_sim_kill(fx.w, a->proc.pid, SIGSEGV);
    await("a", STATE_UP, 1000);
    assert_string_equal(a->last_exit.tail, "new\nlines\n");
    world_sim_kill(fx.w, a->proc.pid, SIGSEGV);
    await("a", STATE_UP, 1000);
    assert_null(a->last_exit.tail);
}

/* The ended one is collected after its successor was started, but must not stand in its way. */
static void the_ended_makes_room_for_the_next(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    world_sim_set_room(fx.w, 2);
    for (int i = 0; i < 3; i++) {
        world_sim_kill(fx.w, get("a")->proc.pid, SIGKILL);
        await("a", STATE_UP, 1000);
    }
    assert_int_equal(count_events("a", EVENT_SPAWN_FAIL), 0);
    assert_int_equal(get("a")->restarts, 3);
    assert_int_equal(get("a")->failures, 3);
}

static void a_start_that_fails_says_why_and_is_tried_again(void **state)
{
    (void)state;
    fixture_begin(fixture_conf("a"));
    behave("a", (struct world_sim_behaviour){.starts = 2, .spawn_error = EAGAIN, .spawn_stage = PROC_STAGE_FORK});
    struct waiter w;
    wait_for("a", GOAL_UP, &w);
    await("a", STATE_UP, 1000);
    assert_int_equal(w.told, 1);
    assert_string_equal(w.why, "could not be started: fork: Resource temporarily unavailable");
    const struct event *e = last_event("a", EVENT_SPAWN_FAIL);
    assert_string_equal(e->text, "fork: Resource temporarily unavailable");
    assert_int_equal(count_events("a", EVENT_SPAWN_FAIL), 2);
    assert_int_equal(get("a")->failures, 2);
    assert_false(get("a")->last_exit.started);
}

static void a_start_that_always_fails_never_spins(void **state)
{
    (void)state;
    fixture_begin(fixture_conf("a"));
    behave("a", (struct world_sim_behaviour){.spawn_error = ENOENT, .spawn_stage = PROC_STAGE_EXEC});
    run(60000);
    assert_int_equal(world_sim_spawns(fx.w), 0);
    unsigned failures = get("a")->failures;
    assert_in_range(failures, 19 * 6, 21 * 6); /* six tries every three seconds */
    assert_int_equal(get("a")->restarts, failures - (get("a")->state == STATE_WAITING));
    const struct event *e = last_event("a", EVENT_SPAWN_FAIL);
    assert_string_equal(e->text, "exec /srv/a/a: No such file or directory");
}

static void a_broken_command_line_is_a_failed_start(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a", "b");
    fixture_set(&c->svrs[0].cmd, "/srv/a/a 'unfinished");
    fixture_begin(c);
    await("b", STATE_UP, 1000);
    run(1000);
    assert_state("a", STATE_WAITING);
    assert_non_null(last_event("a", EVENT_SPAWN_FAIL));
}

/* ---- crashes */

static void a_crash_is_followed_by_a_restart_at_once(void **state)
{
    (void)state;
    struct service *a = up();
    run(5000);
    pid_t first = a->proc.pid;
    assert_true(world_sim_kill(fx.w, first, SIGSEGV));
    run(0);
    assert_state("a", STATE_STARTING);
    assert_true(a->proc.pid && a->proc.pid != first);
    assert_int_equal(a->restarts, 1);
    assert_int_equal(service_failures(a), 1);
    assert_int_equal(a->last_exit.pid, first);
    assert_int_equal(a->last_exit.how.signal, SIGSEGV);
    assert_int_equal(a->last_exit.uptime_ms, 5000 + SERVICE_PROBE_MS);
    assert_false(a->last_exit.requested);
    assert_string_equal(a->last_exit.reason, "was killed by SIGSEGV after 5.3 s");
    run(SERVICE_PROBE_MS);
    assert_state("a", STATE_UP);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 1);
}

static void a_good_end_is_restarted_as_well(void **state)
{
    (void)state;
    struct service *a = up();
    assert_true(world_sim_exit(fx.w, a->proc.pid, 0));
    run(0);
    assert_state("a", STATE_STARTING);
    assert_int_equal(a->failures, 1);
    assert_string_equal(a->last_exit.reason, "exited with code 0 after 0.3 s");
    assert_null(a->last_exit.tail); /* nothing is wrong with it */
}

static void the_sixth_failure_in_a_row_waits_and_is_logged(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 1000, .code = 2});
    capture_begin();
    clog_configure(CLOG_LOCAL, CLOG_ERROR | CLOG_WARN);
    fixture_begin(fixture_conf("a"));
    run(5999);
    struct service *a = get("a");
    bool early = a->failures == 5 && a->proc.pid && world_sim_spawns(fx.w) == 6;
    run(1);
    clog_configure(0, 0);
    const char *log = capture_end();
    assert_true(early);
    assert_state("a", STATE_WAITING);
    assert_int_equal(a->failures, 6);
    assert_int_equal(a->proc.pid, 0);
    assert_int_equal(service_next_try_ms(a), 3000);
    assert_int_equal(last_event("a", EVENT_WAITING)->duration_ms, 3000);
    assert_non_null(strstr(log, "[ERROR] service[a] has failed 6 times in a row: exited with code 2 after 1.0 s; "
                                "next try in 3.0 s\n"));
    run(2999);
    assert_state("a", STATE_WAITING);
    run(1);
    assert_state("a", STATE_STARTING);
    run(5999); /* the next burst is as long */
    assert_int_equal(a->failures, 11);
    run(1);
    assert_state("a", STATE_WAITING);
    assert_int_equal(a->failures, 12);
    run(3 * 3600 * 1000); /* for ever */
    assert_true(a->failures > 7000);
    assert_true(a->state != STATE_FAILED && a->want == WANT_UP);
}

static void ten_seconds_up_clear_the_count(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.starts = 5, .dies = true, .life_ms = 400, .code = 2});
    fixture_begin(fixture_conf("a"));
    run(5 * 400);
    struct service *a = get("a");
    assert_int_equal(a->failures, 5);
    run(9999);
    assert_int_equal(service_failures(a), 5);
    run(1);
    assert_int_equal(service_failures(a), 0);
    assert_true(world_sim_exit(fx.w, a->proc.pid, 1));
    run(0);
    assert_state("a", STATE_STARTING); /* no sixth in a row */
    assert_int_equal(service_failures(a), 1);
    assert_int_equal(a->restarts, 6);
}

static void the_chain_leads_back_to_the_exit(void **state)
{
    (void)state;
    struct service *a = up();
    pid_t first = a->proc.pid;
    world_sim_kill(fx.w, first, SIGKILL);
    await("a", STATE_UP, 1000);
    static const enum event_kind kinds[] = {EVENT_UP, EVENT_STARTING, EVENT_DECISION, EVENT_EXIT,
                                            EVENT_UP, EVENT_STARTING, EVENT_MONITOR};
    uint64_t seq = a->state_seq;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct event e;
        assert_true(event_ring_find(&a->events, seq, &e) || event_ring_find(&fx.m->events, seq, &e));
        assert_string_equal(event_kind_name(e.kind), event_kind_name(kinds[i]));
        assert_true(e.wall_ms >= FIXTURE_WALL_MS && e.mono_ms >= FIXTURE_MONO_MS);
        seq = e.cause;
    }
    assert_int_equal(seq, 0);
    const struct event *e = last_event("a", EVENT_EXIT);
    assert_int_equal(e->pid, first);
    assert_int_equal(e->signal, SIGKILL);
    assert_int_equal(e->code, -1);
    assert_int_equal(e->count, 1);
    assert_int_equal(e->duration_ms, SERVICE_PROBE_MS);
    assert_int_equal(last_event("a", EVENT_STARTING)->pid, a->proc.pid);
}

static void what_is_left_in_the_group_goes_before_the_restart(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.starts = 1, .children = 3});
    struct service *a = up();
    assert_int_equal(world_sim_count(fx.w, "a", false), 4);
    world_sim_exit(fx.w, a->proc.pid, 1);
    run(0);
    assert_state("a", STATE_STARTING);
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(up_is_alive_at_the_first_probe),
        FIXTURE_TEST(death_before_the_first_probe_is_a_failed_start),
        FIXTURE_TEST(only_its_own_last_words_are_kept),
        FIXTURE_TEST(the_ended_makes_room_for_the_next),
        FIXTURE_TEST(a_start_that_fails_says_why_and_is_tried_again),
        FIXTURE_TEST(a_start_that_always_fails_never_spins),
        FIXTURE_TEST(a_broken_command_line_is_a_failed_start),
        FIXTURE_TEST(a_crash_is_followed_by_a_restart_at_once),
        FIXTURE_TEST(a_good_end_is_restarted_as_well),
        FIXTURE_TEST(the_sixth_failure_in_a_row_waits_and_is_logged),
        FIXTURE_TEST(ten_seconds_up_clear_the_count),
        FIXTURE_TEST(the_chain_leads_back_to_the_exit),
        FIXTURE_TEST(what_is_left_in_the_group_goes_before_the_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
