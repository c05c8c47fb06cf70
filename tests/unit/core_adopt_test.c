/* What runs already, what was left behind, what is lost: nothing is started twice and no
 * stranger is ever touched. */
#include "core_fixture.h"

#include <errno.h>

static void a_new_monitor_finds_what_the_old_one_started(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    pid_t a = get("a")->proc.pid, b = get("b")->proc.pid;
    uint64_t up = get("a")->state_seq;
    run(5000);
    fixture_die();
    world_sim_advance(fx.w, 60000);
    fixture_begin(fixture_conf("a", "b"));
    run(0);
    assert_state("a", STATE_UP);
    assert_state("b", STATE_UP);
    assert_int_equal(get("a")->proc.pid, a);
    assert_int_equal(get("b")->proc.pid, b);
    assert_int_equal(service_uptime_ms(get("a")), SERVICE_PROBE_MS + 5000 + 60000);
    assert_int_equal(world_sim_spawns(fx.w), 2);
    assert_int_equal(get("a")->restarts, 0);
    const struct event *e = last_event("a", EVENT_ADOPT);
    assert_int_equal(e->pid, a);
    assert_int_equal(last_event("a", EVENT_UP)->cause, e->seq);
    assert_int_equal(e->cause, up); /* the story goes on */
}

static void what_was_started_by_hand_is_taken_over(void **state)
{
    (void)state;
    pid_t pid = by_hand("./a --serve");
    fixture_begin(fixture_conf("a", "b"));
    run(0);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_state("b", STATE_STARTING); /* that one was not running */
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void without_autostart_too(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    struct conf *c = fixture_conf("a", "b");
    c->svrs[0].autostart = c->svrs[1].autostart = false;
    fixture_begin(c);
    run(60000);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_state("b", STATE_DOWN);
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

static void an_adopted_service_is_supervised(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(1000);
    assert_state("a", STATE_UP);
    world_sim_exit(fx.w, pid, 3);
    run(0);
    assert_state("a", STATE_STARTING);
    const struct service_exit *x = &get("a")->last_exit;
    assert_false(x->how.known); /* the host does not tell, and that is all right */
    assert_int_equal(x->how.code, -1);
    assert_non_null(strstr(x->reason, "exit status unknown"));
    await("a", STATE_UP, 1000);
    assert_int_equal(get("a")->failures, 1);
}

static void where_the_host_tells_the_status_is_known(void **state)
{
    (void)state;
    world_sim_set_foreign_status(fx.w, true);
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(1000);
    world_sim_exit(fx.w, pid, 3);
    run(0);
    assert_int_equal(get("a")->last_exit.how.code, 3);
    assert_int_equal(last_event("a", EVENT_EXIT)->code, 3);
}

static void an_adopted_service_can_be_stopped(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(1000);
    service_stop(get("a"), command("stop"));
    run(100);
    assert_state("a", STATE_DOWN);
    assert_false(lives(pid));
    assert_int_equal(count_signals(pid, SIGTERM), 1);
    run(120000);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 0);
}

static void of_two_copies_one_is_taken_and_one_reported(void **state)
{
    (void)state;
    pid_t old = by_hand("/srv/a/a --serve");
    world_sim_advance(fx.w, 1000);
    pid_t young = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(200000); /* three audits */
    assert_int_equal(get("a")->proc.pid, old);
    assert_true(lives(young)); /* left alone */
    assert_int_equal(count_events("a", EVENT_AUDIT), 1);
    assert_non_null(strstr(last_event("a", EVENT_AUDIT)->text, "second copy"));
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

static void a_second_copy_that_comes_later_is_reported(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    pid_t pid = get("a")->proc.pid;
    run(10000);
    pid_t copy = by_hand("/srv/a/a --serve");
    run(2 * MONITOR_AUDIT_MS);
    assert_int_equal(count_events("a", EVENT_AUDIT), 1);
    char text[16];
    snprintf(text, sizeof text, "pid %d", copy);
    assert_non_null(strstr(last_event("a", EVENT_AUDIT)->text, text));
    assert_int_equal(get("a")->proc.pid, pid);
    assert_true(lives(copy));
}

static void one_started_by_hand_while_down_is_no_second_copy(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    service_stop(get("a"), command("stop"));
    run(100);
    pid_t pid = by_hand("/srv/a/a --serve");
    run(MONITOR_AUDIT_MS);
    assert_state("a", STATE_DOWN); /* nobody wants it: only reported */
    assert_int_equal(count_events("a", EVENT_AUDIT), 1);
    struct waiter w;
    service_start(get("a"), command("start"));
    wait_for("a", GOAL_UP, &w);
    run(100);
    assert_true(w.told == 1 && w.met);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void strangers_are_left_alone(void **state)
{
    (void)state;
    struct procfs_entry other_user = {.cmdline = "/srv/a/a --serve", .uid = geteuid() + 1};
    struct procfs_entry other_env = {.cmdline = "/srv/a/a --serve", .uid = geteuid(), .marker = "/home/fm:prod/a"};
    pid_t one = world_sim_add(fx.w, &other_user, NULL), two = world_sim_add(fx.w, &other_env, NULL);
    fixture_up(fixture_conf("a"));
    assert_true(lives(one) && lives(two));
    assert_int_equal(world_sim_spawns(fx.w), 1);
    service_restart(get("a"), command("restart"));
    await("a", STATE_UP, 1000);
    service_stop(get("a"), command("stop"));
    run(1000);
    service_start(get("a"), command("start"));
    await("a", STATE_UP, 1000);
    assert_true(lives(one) && lives(two));
    assert_int_equal(count_signals(one, SIGTERM) + count_signals(one, SIGKILL), 0);
    assert_int_equal(count_signals(two, SIGTERM) + count_signals(two, SIGKILL), 0);
}

/* ---- what was left behind */

static void rests_go_before_the_first_start(void **state)
{
    (void)state;
    pid_t rest = marked("a", "/srv/a/worker", 4242), other = marked("b", "/srv/b/worker", 4243);
    struct conf *c = fixture_conf("a", "b");
    c->svrs[1].autostart = false;
    fixture_begin(c);
    run(0);
    assert_false(lives(rest));
    assert_true(lives(other)); /* a service nobody wants keeps its own */
    await("a", STATE_UP, 1000);
    const struct event *e = last_event("a", EVENT_CLEANUP);
    assert_int_equal(e->pid, rest);
    assert_non_null(strstr(e->text, "/srv/a/worker"));
}

static void rests_that_left_the_group_go_before_a_start(void **state)
{
    (void)state;
    /* A helper in a session of its own is no second copy, and not the service itself. */
    fixture_up(fixture_conf("a"));
    pid_t helper = marked("a", "/usr/bin/agent", 0);
    pid_t worker = marked("a", "/srv/a/a --serve", helper);
    run(2 * MONITOR_AUDIT_MS);
    assert_int_equal(count_events("a", EVENT_AUDIT), 0);
    service_stop(get("a"), command("stop"));
    run(100);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_count(fx.w, "a", false), 2);
    run(MONITOR_AUDIT_MS);
    assert_non_null(strstr(last_event("a", EVENT_AUDIT)->text, "still running"));
    run(MONITOR_AUDIT_MS);
    assert_int_equal(count_events("a", EVENT_AUDIT), 1); /* said once */
    service_start(get("a"), command("start"));
    await("a", STATE_UP, 1000);
    assert_true(!lives(helper) && !lives(worker));
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
    assert_int_equal(count_events("a", EVENT_CLEANUP), 2);
}

static void rests_of_an_adopted_service_go_before_its_restart(void **state)
{
    (void)state;
    /* It is no child of ours: its group can't be killed in the moment it is collected. */
    struct world_sim_behaviour b = {.children = 2};
    struct procfs_entry e = {.cmdline = "/srv/a/a --serve", .marker = FIXTURE_PREFIX "a", .uid = geteuid()};
    pid_t pid = world_sim_add(fx.w, &e, &b);
    fixture_begin(fixture_conf("a"));
    run(1000);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_int_equal(world_sim_count(fx.w, "a", false), 3);
    world_sim_exit(fx.w, pid, 1);
    await("a", STATE_UP, 1000);
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
    assert_int_equal(count_events("a", EVENT_CLEANUP), 2);
}

static void a_look_that_began_too_early_does_not_count(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a", "b");
    c->svrs[0].autostart = c->svrs[1].autostart = false;
    fixture_begin(c);
    run(1000);
    world_sim_set_scan_ms(fx.w, 100);
    service_start(get("b"), command("start")); /* a look begins */
    run(10);
    pid_t pid = by_hand("/srv/a/a --serve");
    run(10);
    service_start(get("a"), command("start")); /* and has passed by already */
    await("a", STATE_UP, 1000);
    assert_int_equal(get("a")->proc.pid, pid);
    await("b", STATE_UP, 1000);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void one_that_makes_a_daemon_of_itself_is_followed(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .children = 1, .detached = true});
    fixture_begin(fixture_conf("a"));
    await("a", STATE_UP, 1000);
    assert_int_equal(world_sim_spawns(fx.w), 1);
    pid_t daemon = get("a")->proc.pid;
    assert_true(get("a")->adopted && lives(daemon));
    run(60000);
    assert_state("a", STATE_UP);
    service_restart(get("a"), command("restart"));
    run(2000);
    assert_state("a", STATE_UP);
    assert_false(lives(daemon));
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
}

static void one_with_a_title_of_its_own_is_taken_over(void **state)
{
    (void)state;
    pid_t pid = marked("a", "a: master process", 0);
    fixture_begin(fixture_conf("a"));
    run(0);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

static void a_rest_that_will_not_die_does_not_block_the_start(void **state)
{
    (void)state;
    struct world_sim_behaviour hangs = {.hangs = true};
    struct procfs_entry e = {
        .cmdline = "/srv/a/worker", .marker = FIXTURE_PREFIX "a", .uid = geteuid(), .stat.session = 4242};
    assert_true(world_sim_add(fx.w, &e, &hangs) > 0);
    world_sim_set_scan_ms(fx.w, 10);
    fixture_begin(fixture_conf("a"));
    await("a", STATE_UP, 5000);
}

static void a_process_that_went_between_look_and_judgement(void **state)
{
    (void)state;
    /* The look shows it, but it is gone by the time it is to be taken over. */
    pid_t pid = by_hand("/srv/a/a --serve");
    world_sim_set_scan_ms(fx.w, 100);
    fixture_begin(fixture_conf("a"));
    run(50);
    world_sim_exit(fx.w, pid, 0);
    await("a", STATE_UP, 2000);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void the_same_for_a_start_on_command(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    service_stop(get("a"), command("stop"));
    run(100);
    pid_t pid = by_hand("/srv/a/a --serve");
    world_sim_set_scan_ms(fx.w, 100);
    service_start(get("a"), command("start"));
    run(50);
    world_sim_exit(fx.w, pid, 0);
    await("a", STATE_UP, 2000);
    assert_int_equal(world_sim_spawns(fx.w), 2);
}

/* The pid in the look belongs to somebody else by the time of the judgement. */
static void a_pid_given_anew_between_look_and_judgement(void **state)
{
    (void)state;
    pid_t rest = marked("a", "/srv/a/worker", 4242), copy = by_hand("/srv/b/b --serve");
    world_sim_set_scan_ms(fx.w, 100);
    fixture_begin(fixture_conf("a", "b"));
    run(50);
    world_sim_exit(fx.w, rest, 0);
    world_sim_exit(fx.w, copy, 0);
    world_sim_set_next_pid(fx.w, rest);
    struct procfs_entry stranger = {.cmdline = "/usr/bin/stranger", .uid = geteuid()};
    pid_t one = world_sim_add(fx.w, &stranger, NULL), two = world_sim_add(fx.w, &stranger, NULL);
    assert_int_equal(one, rest);
    assert_int_equal(two, copy);
    world_sim_set_next_pid(fx.w, 6000000);
    await("a", STATE_UP, 2000);
    await("b", STATE_UP, 2000);
    assert_true(lives(one) && lives(two));
    assert_int_equal(count_signals(one, SIGKILL) + count_signals(two, SIGKILL), 0);
    assert_true(get("b")->proc.pid != two);
}

/* ---- ends that nobody tells */

/* Of a service started by hand and of a child. */
static void finds_the_ends(struct conf *conf)
{
    pid_t hand = by_hand("/srv/a/a --serve");
    fixture_begin(conf);
    await("b", STATE_UP, 1000);
    assert_state("a", STATE_UP);
    run(10000);
    assert_state("a", STATE_UP); /* and is not taken for dead */
    assert_state("b", STATE_UP);
    pid_t child = get("b")->proc.pid;
    world_sim_exit(fx.w, hand, 1);
    world_sim_exit(fx.w, child, 4);
    assert_true(await("a", STATE_STARTING, MONITOR_PROBE_MS) <= MONITOR_PROBE_MS);
    assert_true(get("b")->proc.pid != child);
    assert_int_equal(get("b")->last_exit.how.code, 4);
    await("a", STATE_UP, 1000);
    await("b", STATE_UP, 1000);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 2);
}

static void the_probe_finds_an_end_that_could_not_be_watched(void **state)
{
    (void)state;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_FAILS);
    finds_the_ends(fixture_conf("a", "b"));
}

static void the_probe_finds_an_end_that_was_never_told(void **state)
{
    (void)state;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(1000);
    world_sim_exit(fx.w, pid, 1);
    await("a", STATE_STARTING, MONITOR_PROBE_MS);
    await("a", STATE_UP, 1000);
}

/* The same, looked for by one call for all of them. */
static void a_probe_of_pidfds_finds_them_too(void **state)
{
    (void)state;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    struct conf *conf = fixture_conf("a", "b", "c");
    conf->probe = CONF_PROBE_PIDFD;
    fixture_entry(conf, "c")->autostart = false; /* none is looked for */
    finds_the_ends(conf);
}

enum { MANY = 600 };

/* More of them than one call looks at. */
static void a_probe_of_pidfds_reaches_the_last(void **state)
{
    (void)state;
    static char text[MANY][8];
    static const char *names[MANY];
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "s%04d", i);
        names[i] = text[i];
    }
    struct conf *conf = fixture_conf_of(names, MANY);
    conf->probe = CONF_PROBE_PIDFD;
    fixture_begin(conf);
    run(10000);
    for (int i = 0; i < MANY; i += MANY - 1) {
        assert_state(names[i], STATE_UP);
        world_sim_exit(fx.w, get(names[i])->proc.pid, 3);
        run(MONITOR_PROBE_MS);
        assert_int_equal(get(names[i])->last_exit.how.code, 3);
    }
    assert_int_equal(count_events(names[MANY / 2], EVENT_EXIT), 0);
}

static void a_death_while_starting_is_no_success(void **state)
{
    (void)state;
    /* Nobody tells of the end, and there is no look that could. */
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_FAILS);
    world_sim_spoil_scans(fx.w, ENOENT);
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 200, .code = 1});
    fixture_begin(fixture_conf("a"));
    for (int i = 0; i < 30; i++) {
        run(100);
        assert_int_equal(count_events("a", EVENT_UP), 0);
    }
    assert_true(get("a")->failures > 3);
}

static void a_zombie_nobody_collects_has_ended(void **state)
{
    (void)state;
    world_sim_set_slow_init(fx.w, true);
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(1000);
    world_sim_exit(fx.w, pid, 6);
    run(0);
    assert_state("a", STATE_STARTING);
    assert_int_equal(get("a")->last_exit.how.code, 6); /* as long as it lies there its status can be seen */
    await("a", STATE_UP, 1000);
    fixture_die();
    world_sim_kill(fx.w, world_sim_find(fx.w, "a")->pid, SIGKILL); /* another zombie, marked and found at startup */
    fixture_begin(fixture_conf("a"));
    await("a", STATE_UP, 1000);
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
}

static void a_reused_pid_gets_no_signal(void **state)
{
    (void)state;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF); /* so that the monitor has not heard of the end */
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(fixture_conf("a"));
    run(1000);
    assert_int_equal(get("a")->proc.pid, pid);
    world_sim_exit(fx.w, pid, 0);
    world_sim_set_next_pid(fx.w, pid);
    struct procfs_entry stranger = {.cmdline = "/usr/bin/stranger", .uid = geteuid()};
    assert_int_equal(world_sim_add(fx.w, &stranger, NULL), pid);
    service_stop(get("a"), command("stop"));
    assert_true(service_signal(get("a"), SIGUSR1, 0) < 0);
    run(60000);
    assert_state("a", STATE_DOWN);
    assert_true(lives(pid));
    assert_int_equal(count_signals(pid, SIGTERM) + count_signals(pid, SIGKILL) + count_signals(pid, SIGUSR1), 0);
}

static void an_audit_finds_the_lost(void **state)
{
    (void)state;
    world_sim_set_watching(fx.w, WORLD_SIM_WATCH_DEAF);
    fixture_up(fixture_conf("a"));
    run(2 * MONITOR_AUDIT_MS);
    assert_state("a", STATE_UP);
    assert_int_equal(count_events("a", EVENT_AUDIT), 0); /* all is well: nothing to say */
}

static void a_monitor_that_goes_during_a_look(void **state)
{
    (void)state;
    world_sim_set_scan_ms(fx.w, 100);
    fixture_begin(fixture_conf("a"));
    run(50);
    fixture_die();
    world_sim_advance(fx.w, 1000); /* the result comes, and there is nobody to take it */
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_new_monitor_finds_what_the_old_one_started),
        FIXTURE_TEST(what_was_started_by_hand_is_taken_over),
        FIXTURE_TEST(without_autostart_too),
        FIXTURE_TEST(an_adopted_service_is_supervised),
        FIXTURE_TEST(where_the_host_tells_the_status_is_known),
        FIXTURE_TEST(an_adopted_service_can_be_stopped),
        FIXTURE_TEST(of_two_copies_one_is_taken_and_one_reported),
        FIXTURE_TEST(a_second_copy_that_comes_later_is_reported),
        FIXTURE_TEST(one_started_by_hand_while_down_is_no_second_copy),
        FIXTURE_TEST(strangers_are_left_alone),
        FIXTURE_TEST(rests_go_before_the_first_start),
        FIXTURE_TEST(rests_that_left_the_group_go_before_a_start),
        FIXTURE_TEST(rests_of_an_adopted_service_go_before_its_restart),
        FIXTURE_TEST(a_look_that_began_too_early_does_not_count),
        FIXTURE_TEST(one_that_makes_a_daemon_of_itself_is_followed),
        FIXTURE_TEST(one_with_a_title_of_its_own_is_taken_over),
        FIXTURE_TEST(a_rest_that_will_not_die_does_not_block_the_start),
        FIXTURE_TEST(a_process_that_went_between_look_and_judgement),
        FIXTURE_TEST(the_same_for_a_start_on_command),
        FIXTURE_TEST(a_pid_given_anew_between_look_and_judgement),
        FIXTURE_TEST(the_probe_finds_an_end_that_could_not_be_watched),
        FIXTURE_TEST(the_probe_finds_an_end_that_was_never_told),
        FIXTURE_TEST(a_probe_of_pidfds_finds_them_too),
        FIXTURE_TEST(a_probe_of_pidfds_reaches_the_last),
        FIXTURE_TEST(a_death_while_starting_is_no_success),
        FIXTURE_TEST(a_zombie_nobody_collects_has_ended),
        FIXTURE_TEST(a_reused_pid_gets_no_signal),
        FIXTURE_TEST(an_audit_finds_the_lost),
        FIXTURE_TEST(a_monitor_that_goes_during_a_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
