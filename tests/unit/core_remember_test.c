/* What outlives the monitor's own death: wants, counts, ends, identities; and what a damaged file does. */
#include "capture.h"
#include "core_fixture.h"
#include "recall.h"
#include "remember.h"
#include "story.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct conf *last_conf(void)
{
    return fixture_conf("a", "b");
}

/* SIGKILL: what was not flushed is lost. A new one begins. */
static void crash(int64_t away_ms)
{
    fixture_die();
    world_sim_advance(fx.w, away_ms);
    fixture_begin(last_conf());
}

static const char *state_path(void)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/test.state.jsonl", fx.dir);
    return path;
}

static void write_state(const char *text, size_t len)
{
    int fd = open(state_path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static char *read_state(void)
{
    static char text[65536];
    int fd = open(state_path(), O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[MAX(n, 0)] = 0;
    return text;
}

/* Killed behind the journal and before what is remembered was written, the monitor leaves the latter as it was. Then
 * the process `gone` ends (0: none), and the next monitor begins. */
static void crash_between(const char *remembered, pid_t gone)
{
    fixture_die();
    write_state(remembered, strlen(remembered));
    if (gone)
        world_sim_kill(fx.w, gone, SIGKILL);
    fixture_begin(last_conf());
    run(1000);
}

static void what_only_the_journal_knows_is_known(void **state)
{
    (void)state;
    fixture_up(last_conf());
    run(20000);
    char before[65536];
    strcpy(before, read_state());
    pid_t first = get("a")->proc.pid;
    world_sim_exit(fx.w, first, 1);
    run(100);
    pid_t second = get("a")->proc.pid;
    assert_true(second && second != first);
    crash_between(before, second);
    assert_state("a", STATE_UP);
    assert_int_equal(last_event("a", EVENT_EXIT)->pid, second);
    assert_int_equal(count_events("a", EVENT_EXIT), 1); /* that of the first is in the journal */
    pid_t third = get("a")->proc.pid;
    crash_between(before, 0);
    assert_int_equal(get("a")->proc.pid, third);
    assert_int_equal(count_events("a", EVENT_EXIT), 0);
}

static void a_process_whose_end_only_the_journal_knows_is_gone(void **state)
{
    (void)state;
    fixture_up(last_conf());
    run(20000);
    char before[65536];
    strcpy(before, read_state());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    crash_between(before, 0);
    assert_state("a", STATE_UP); /* nobody was told that it was stopped */
    assert_int_equal(count_events("a", EVENT_EXIT), 0);
}

/* ---- wants */

static void what_was_stopped_by_hand_stays_stopped(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    run(1000);
    crash(5000);
    run(60000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(get("a")->want, WANT_DOWN);
    assert_state("b", STATE_UP);
    assert_int_equal(world_sim_spawns(fx.w), 2);
    service_start(get("a"), command("start"));
    await("a", STATE_UP, 1000);
    crash(0);
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_equal(world_sim_spawns(fx.w), 3);
}

static bool give_up(void *arg, struct service *s, const struct service_exit *exit, struct decision *out)
{
    (void)arg;
    (void)exit;
    if (strcmp(s->conf->name, "a") != 0)
        return false;
    *out = (struct decision){.kind = DECISION_FAIL, .reason = "enough"};
    return true;
}

/* While it is still being looked who runs. */
static void stopped_before_the_first_look(enum machine_state left)
{
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_make(last_conf());
    fx.m->hooks.decide = left == STATE_FAILED ? give_up : NULL;
    monitor_start(fx.m);
    await("a", left, 60000);
    run(100);
    world_sim_set_scan_ms(fx.w, 200);
    size_t spawns = world_sim_spawns(fx.w);
    crash(0);
    run(100);
    assert_state("a", left);
    struct waiter down;
    service_stop(get("a"), command("stop"));
    wait_for("a", GOAL_DOWN, &down);
    assert_int_equal(down.told, 0); /* it may run */
    for (int i = 0; i < 2; i++) {
        run(60000);
        assert_state("a", STATE_DOWN);
        assert_int_equal(get("a")->want, WANT_DOWN);
        if (!i)
            assert_true(down.told == 1 && down.met);
        crash(0);
    }
    assert_int_equal(world_sim_spawns(fx.w), spawns);
}

static void a_waiting_one_stopped_before_the_first_look_stays_down(void **state)
{
    (void)state;
    stopped_before_the_first_look(STATE_WAITING);
}

static void a_failed_one_stopped_before_the_first_look_stays_down(void **state)
{
    (void)state;
    stopped_before_the_first_look(STATE_FAILED);
}

/* Its process goes while no monitor is there; the next one is told what to do before it has looked. */
static void gone_before_the_first_look(void (*tell)(struct service *s, uint64_t cause), struct waiter *w, int goal)
{
    behave("a", (struct world_sim_behaviour){.children = 2});
    fixture_up(last_conf());
    pid_t pid = get("a")->proc.pid;
    run(1000);
    fixture_die();
    world_sim_kill(fx.w, pid, SIGKILL);
    world_sim_set_scan_ms(fx.w, 200);
    fixture_begin(last_conf());
    run(100);
    tell(get("a"), command("something"));
    wait_for("a", (enum service_goal)goal, w);
    assert_int_equal(w->told, 0);
    assert_int_equal(world_sim_count(fx.w, "a", false), 2); /* its children, still in its group */
    run(5000);
    assert_true(w->told == 1 && w->met);
    const struct event *end = last_event("a", EVENT_EXIT);
    assert_true(end && end->pid == pid && count_events("a", EVENT_EXIT) == 1);
}

static void one_that_was_gone_before_it_was_stopped_is_told_and_cleaned_up(void **state)
{
    (void)state;
    struct waiter down;
    gone_before_the_first_look(service_stop, &down, GOAL_DOWN);
    assert_state("a", STATE_DOWN);
    assert_int_equal(last_event("a", EVENT_DOWN)->cause, last_event("a", EVENT_EXIT)->seq);
    assert_int_equal(world_sim_count(fx.w, "a", false), 0);
}

static void one_that_was_gone_before_it_was_started_or_restarted_is_told(void **state)
{
    static void (*const tell[])(struct service * s, uint64_t cause) = {service_start, service_restart};
    for (size_t i = 0; i < ARRAY_LEN(tell); i++) {
        if (i > 0 && fixture_setup(state))
            fail();
        struct waiter up;
        gone_before_the_first_look(tell[i], &up, GOAL_UP);
        assert_state("a", STATE_UP);
        assert_int_equal(world_sim_count(fx.w, "a", true), 1);
        assert_int_equal(world_sim_count(fx.w, "a", false), 3);
        if (i == 0 && fixture_teardown(state))
            fail();
    }
}

static void a_start_under_way_that_was_stopped_is_over(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    run(1000);
    world_sim_set_scan_ms(fx.w, 200);
    service_start(get("a"), command("start"));
    run(100);
    assert_state("a", STATE_STARTING);
    crash(0);
    run(100);
    uint64_t stop = command("stop");
    service_stop(get("a"), stop);
    run(5000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(last_event("a", EVENT_DOWN)->cause, stop);
}

/* Twice killed before it was looked who runs, the very first time: nothing has happened to it. */
static void one_that_never_was_is_stopped_without_a_word(void **state)
{
    (void)state;
    world_sim_set_scan_ms(fx.w, 200);
    fixture_begin(last_conf());
    run(100);
    service_stop(get("a"), command("stop"));
    run(50);
    crash(0);
    run(5000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(count_events("a", EVENT_DOWN), 0);
    assert_state("b", STATE_UP);
}

/* However long ago it was looked who runs. */
static void one_that_is_down_is_looked_for_before_it_is_started(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    run(1000);
    crash(1000);
    run(1000);
    pid_t pid = by_hand("/srv/a/a --serve");
    service_start(get("a"), command("start"));
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
}

static void one_started_by_hand_meanwhile_is_taken_over(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    fixture_die();
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(last_conf());
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
}

static void a_service_that_had_no_process_takes_no_rest_for_itself(void **state)
{
    (void)state;
    fixture_up(last_conf());
    pid_t rest = marked("a", "/usr/bin/agent", 0); /* leads a session of its own */
    run(1000);
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    crash(1000);
    run(1000);
    assert_state("a", STATE_DOWN);
    assert_true(lives(rest));
}

/* Killed between the start and the writing: what it calls itself by now does not matter. */
static void what_was_started_last_is_found(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    fixture_die();
    world_sim_advance(fx.w, 20);
    pid_t pid = marked("a", "sleep 1000", 0);
    fixture_begin(last_conf());
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
}

static void a_stop_under_way_goes_on(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.ignores = WORLD_SIM_BIT(SIGTERM)});
    fixture_up(last_conf());
    pid_t pid = get("a")->proc.pid;
    service_stop(get("a"), command("stop"));
    run(1000);
    assert_state("a", STATE_STOPPING);
    crash(1000);
    run(1000);
    assert_state("a", STATE_STOPPING);
    assert_int_equal(get("a")->proc.pid, pid);
    run(10000); /* its timeout: killed */
    assert_state("a", STATE_DOWN);
    assert_false(lives(pid));
    crash(0);
    run(1000);
    assert_state("a", STATE_DOWN);
}

static void a_stop_that_was_done_meanwhile_is_done(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 2000}}});
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    run(1000);
    crash(5000);
    run(1000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(get("a")->want, WANT_DOWN);
    assert_true(get("a")->last_exit.valid && get("a")->last_exit.requested);
    assert_int_equal(world_sim_spawns(fx.w), 2);
}

static void a_restart_under_way_goes_on(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 3000}}});
    behave("b", (struct world_sim_behaviour){.ignores = WORLD_SIM_BIT(SIGTERM)});
    fixture_up(last_conf());
    pid_t a = get("a")->proc.pid, b = get("b")->proc.pid;
    service_restart(get("a"), command("restart"));
    service_restart(get("b"), command("restart"));
    run(100);
    crash(5000); /* a ends meanwhile, b does not */
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_not_equal(get("a")->proc.pid, a);
    assert_state("b", STATE_STOPPING);
    assert_int_equal(get("b")->proc.pid, b);
    await("b", STATE_UP, 12000);
    assert_false(lives(a) || lives(b));
}

/* ---- waiting, failed, counts */

static void waiting_goes_on_and_counts_stay(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_begin(last_conf());
    await("a", STATE_WAITING, 60000);
    unsigned failures = get("a")->failures, restarts = get("a")->restarts;
    assert_true(failures > 5 && restarts > 4);
    run(1000);
    size_t spawns = world_sim_spawns(fx.w);
    crash(500);
    run(0);
    assert_state("a", STATE_WAITING);
    assert_int_equal(service_next_try_ms(get("a")), POLICY_PAUSE_MS - 1500);
    assert_int_equal(get("a")->failures, failures);
    assert_int_equal(get("a")->restarts, restarts);
    assert_int_equal(get("a")->last_exit.how.code, 3);
    assert_string_equal(get("a")->last_exit.reason, "exited with code 3 after 0.1 s");
    run(1400);
    assert_int_equal(world_sim_spawns(fx.w), spawns);
    run(150);
    assert_int_equal(world_sim_spawns(fx.w), spawns + 1);
}

static void failed_stays_failed(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_make(last_conf());
    fx.m->hooks.decide = give_up;
    monitor_start(fx.m);
    await("a", STATE_FAILED, 60000);
    int64_t since = get("a")->since_wall_ms;
    run(100);
    crash(500);
    run(60000);
    assert_state("a", STATE_FAILED);
    assert_int_equal(get("a")->since_wall_ms, since);
    assert_int_equal(world_sim_spawns(fx.w), 2);
    service_start(get("a"), command("start"));
    run(10);
    assert_int_equal(world_sim_spawns(fx.w), 3);
}

/* ---- who it is */

static void a_process_is_known_again_whatever_it_looks_like(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve"); /* carries no marker */
    fixture_begin(last_conf());
    await("a", STATE_UP, 1000);
    int64_t since = get("a")->since_ms;
    run(20000);
    struct procfs_entry *e = (struct procfs_entry *)(uintptr_t)world_sim_find_pid(fx.w, pid);
    e->cmdline = "another name";
    e->cmdline_len = sizeof "another name";
    crash(5000);
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_int_equal(get("a")->since_ms, since);
    assert_int_equal(world_sim_spawns(fx.w), 1);
    assert_non_null(strstr(last_event("a", EVENT_ADOPT)->text, "while the monitor was away"));
}

static void a_changed_command_line_is_reported_and_nothing_else(void **state)
{
    (void)state;
    fixture_up(last_conf());
    pid_t pid = get("a")->proc.pid;
    struct procfs_entry *e = (struct procfs_entry *)(uintptr_t)world_sim_find_pid(fx.w, pid);
    e->cmdline = "another name"; /* it calls itself so */
    e->cmdline_len = sizeof "another name";
    run(1000);
    crash(0);
    run(1000);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_int_equal(count_events("a", EVENT_AUDIT), 0);
    fixture_die();
    struct conf *c = last_conf();
    fixture_set(&c->svrs[0].cmd, "/srv/a/a --changed");
    fixture_begin(c);
    run(1000);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_non_null(strstr(last_event("a", EVENT_AUDIT)->text, "was changed in the configuration meanwhile"));
    assert_int_equal(count_events("b", EVENT_AUDIT), 0);
}

static void a_stranger_with_its_pid_is_left_alone(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(last_conf());
    await("a", STATE_UP, 1000);
    run(20000);
    fixture_die();
    world_sim_exit(fx.w, pid, 0);
    world_sim_advance(fx.w, 1000);
    struct procfs_entry e = {.pid = pid, .cmdline = "/bin/stranger", .uid = geteuid()};
    assert_int_equal(world_sim_add(fx.w, &e, NULL), pid);
    fixture_begin(last_conf());
    run(1000);
    assert_state("a", STATE_UP);
    assert_int_not_equal(get("a")->proc.pid, pid);
    run(60000);
    assert_true(lives(pid));
}

static struct {
    int asked;
    bool known;
} policy;

static bool finish(void *arg, struct service *s, const struct service_exit *exit, struct decision *out)
{
    (void)arg;
    (void)s;
    policy.asked++;
    policy.known = exit->how.known;
    *out = (struct decision){.kind = DECISION_STOP, .reason = "finished"};
    return true;
}

/* A job that ended while nobody watched must not be run once more without the policy's say. */
static void one_that_ended_meanwhile_is_the_policys(void **state)
{
    (void)state;
    policy.asked = 0;
    fixture_up(last_conf());
    pid_t pid = get("a")->proc.pid;
    run(20000);
    fixture_die();
    world_sim_exit(fx.w, pid, 0);
    world_sim_advance(fx.w, 1000);
    fixture_make(last_conf());
    fx.m->hooks.decide = finish;
    monitor_start(fx.m);
    run(1000);
    assert_int_equal(policy.asked, 1);
    assert_false(policy.known);
    assert_state("a", STATE_DOWN);
    assert_int_equal(last_event("a", EVENT_EXIT)->pid, pid);
    assert_int_equal(world_sim_spawns(fx.w), 2);
    crash(0); /* finished stays finished */
    run(1000);
    assert_state("a", STATE_DOWN);
}

/* ---- what is not remembered */

static void after_a_start_of_the_host_all_begins_anew(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    pid_t b = get("b")->proc.pid;
    fixture_die();
    world_sim_kill(fx.w, b, SIGKILL);
    world_sim_advance(fx.w, 10);
    strcpy(fx.w->boot, "another");
    fixture_begin(last_conf());
    run(1000);
    assert_state("a", STATE_UP);
    assert_state("b", STATE_UP);
    assert_int_equal(get("b")->failures, 0); /* its end is nobody's business any more */
    assert_int_equal(count_events("b", EVENT_EXIT), 0);
}

static void killed_before_its_first_look_it_has_decided_nothing(void **state)
{
    (void)state;
    world_sim_set_scan_ms(fx.w, 1000);
    fixture_begin(last_conf());
    monitor_note(fx.m, get("a"), EVENT_CONFIG, 0, "something");
    run(100);
    crash(0);
    await("a", STATE_UP, 5000);
    await("b", STATE_UP, 5000);
}

static void remembered_is_kept_until_the_first_look(void **state)
{
    (void)state;
    pid_t pid = by_hand("/srv/a/a --serve");
    fixture_begin(last_conf());
    await("a", STATE_UP, 1000);
    service_stop(get("b"), command("stop"));
    await("b", STATE_DOWN, 1000);
    ((struct procfs_entry *)(uintptr_t)world_sim_find_pid(fx.w, pid))->cmdline_len = 0;
    world_sim_set_scan_ms(fx.w, 1000);
    for (int i = 0; i < 3; i++) {
        crash(0);
        monitor_note(fx.m, get("a"), EVENT_CONFIG, 0, "something");
        monitor_note(fx.m, get("b"), EVENT_CONFIG, 0, "something");
        run(100);
    }
    await("a", STATE_UP, 5000);
    assert_int_equal(get("a")->proc.pid, pid);
    assert_state("b", STATE_DOWN);
}

static void without_autostart_nothing_is_made_of_nothing(void **state)
{
    (void)state;
    struct conf *c = last_conf();
    c->svrs[0].autostart = false;
    fixture_begin(c);
    run(1000);
    assert_state("a", STATE_DOWN);
    crash(0); /* now with it */
    await("a", STATE_UP, 1000);
}

static void all_is_stopped_to_begin_afresh(void **state)
{
    (void)state;
    fixture_up(last_conf());
    monitor_wind_down(fx.m);
    service_stop(get("a"), command("stop"));
    service_stop(get("b"), command("stop"));
    await("b", STATE_DOWN, 1000);
    crash(0);
    await("a", STATE_UP, 1000);
    await("b", STATE_UP, 1000);
}

static void a_service_taken_out_of_the_configuration_is_left_and_reported(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b", "c"));
    pid_t pid = get("c")->proc.pid;
    crash(0);
    run(1000);
    assert_true(lives(pid));
    char text[100];
    snprintf(text, sizeof text, "service[c] is not configured any more, but runs as pid %d", pid);
    assert_non_null(strstr(last_event(NULL, EVENT_AUDIT)->text, text));
    fixture_die(); /* and it comes back */
    fixture_begin(fixture_conf("a", "b", "c"));
    run(1000);
    assert_state("c", STATE_UP);
    assert_int_equal(get("c")->proc.pid, pid);
}

/* ---- the story */

static void the_story_goes_on(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_restart(get("a"), command("restart asked for by somebody"));
    await("a", STATE_UP, 1000);
    crash(1000);
    run(1000);
    assert_int_equal(count_events("a", EVENT_STARTING), 0);
    for (int all = 0; all < 2; all++) {
        struct recall past;
        struct event last;
        struct event_walk w = {0};
        uint64_t before = 0;
        struct buf b = {0};
        recall_open(&past, fx.m, all ? NULL : get("a"));
        const struct event_ring *r = recall_events(&past, get("a"));
        assert_int_equal(count_kind(r, EVENT_STARTING, &last), 2);
        assert_int_equal(count_kind(r, EVENT_EXIT, &last), 1);
        for (; event_ring_next(r, &w); before = w.event.seq)
            assert_true(w.event.seq > before);
        story_why(&b, &past, get("a"));
        assert_non_null(strstr(buf_str(&b), "it ran on while the monitor was away"));
        assert_non_null(strstr(buf_str(&b), "restart asked for by somebody"));
        buf_fini(&b);
        assert_int_equal(count_kind(recall_events(&past, get("b")), EVENT_STARTING, &last), all);
        recall_close(&past);
    }
    assert_int_equal(count_events("a", EVENT_STARTING), 0); /* memory stays as small as it was */
}

static void numbers_go_on_without_the_journal(void **state)
{
    (void)state;
    char path[96];
    fixture_up(last_conf());
    uint64_t last = get("b")->state_seq;
    fixture_die();
    snprintf(path, sizeof path, "%s/test.events.jsonl", fx.dir);
    assert_int_equal(unlink(path), 0);
    fixture_begin(last_conf()); /* the fixture's judge looks at every cause */
    run(1000);
    assert_true(fx.m->start_seq > last);
}

/* ---- the file */

static void a_damaged_file_is_named_and_used_as_far_as_it_goes(void **state)
{
    (void)state;
    static const char text[] = "{\"version\":1,\"boot\":\"simulated\"}\n"
                               "{\"service\":\"a\",\"state\":\"down\",\"want\":\"down\"}\n"
                               "\x00\x01 no JSON\n"
                               "{\"service\":\"b\",\"state\":\"sideways\",\"want\":\"down\"}\n"
                               "{\"service\":\"c\",\"state\":\"down\",\"want\":\"down\",\"new\":{\"x\":[1]}}\n"
                               "{\"service\":\"b\",\"state\":\"down\",\"wa";
    write_state(text, sizeof text - 1);
    capture_begin();
    clog_configure(1, 15);
    fixture_begin(last_conf());
    clog_configure(0, 0);
    const char *log = capture_end();
    assert_non_null(strstr(log, "test.state.jsonl:3: can't be read"));
    assert_non_null(strstr(log, "test.state.jsonl:4: can't be read"));
    assert_non_null(strstr(log, "test.state.jsonl:6: ends within a line"));
    assert_null(strstr(log, ":5:"));
    run(1000);
    assert_state("a", STATE_DOWN);
    assert_state("b", STATE_UP);
}

static void without_its_first_line_pids_count_for_nothing(void **state)
{
    (void)state;
    char text[256];
    pid_t stranger = by_hand("/bin/stranger");
    int n = snprintf(text, sizeof text,
                     "{\"service\":\"a\",\"state\":\"down\",\"want\":\"down\"}\n"
                     "{\"service\":\"b\",\"state\":\"up\",\"want\":\"up\",\"pid\":%d,\"start\":99999999}\n",
                     stranger);
    write_state(text, (size_t)n);
    fixture_begin(last_conf());
    run(1000);
    assert_state("a", STATE_DOWN);
    assert_state("b", STATE_UP);
    assert_int_not_equal(get("b")->proc.pid, stranger);
}

static void a_newer_format_is_not_guessed_at(void **state)
{
    (void)state;
    static const char text[] = "{\"version\":2,\"boot\":\"simulated\"}\n"
                               "{\"service\":\"a\",\"state\":\"down\",\"want\":\"down\"}\n";
    write_state(text, sizeof text - 1);
    fixture_begin(last_conf());
    run(1000);
    assert_state("a", STATE_UP);
    assert_non_null(strstr(read_state(), "\"version\":1"));
}

static void the_file_does_not_grow_for_ever(void **state)
{
    (void)state;
    struct stat st;
    behave("a", (struct world_sim_behaviour){.dies = true, .life_ms = 100, .code = 3});
    fixture_begin(last_conf());
    off_t largest = 0, last = 0;
    bool shrank = false;
    for (int i = 0; i < 400; i++) {
        run(5000);
        assert_int_equal(stat(state_path(), &st), 0);
        shrank = shrank || st.st_size < last;
        last = st.st_size;
        largest = MAX(largest, last);
    }
    assert_true(shrank);
    assert_true(largest < 512 * 1024);
    crash(0);
    assert_true(get("a")->restarts > 1000);
}

static void a_removed_file_is_written_anew(void **state)
{
    (void)state;
    fixture_up(last_conf());
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 1000);
    assert_int_equal(unlink(state_path()), 0);
    service_restart(get("b"), command("restart"));
    await("b", STATE_UP, 1000);
    crash(0);
    run(1000);
    assert_state("a", STATE_DOWN);
}

static void what_can_not_be_written_is_written_later(void **state)
{
    (void)state;
    fixture_up(last_conf());
    unlink(state_path());
    assert_int_equal(mkdir(state_path(), 0700), 0); /* rename fails, whoever we are */
    capture_begin();
    clog_configure(1, 15);
    service_stop(get("a"), command("stop"));
    run(5000);
    rmdir(state_path());
    run(1500);
    clog_configure(0, 0);
    const char *log = capture_end(), *first = strstr(log, "state.jsonl: ");
    assert_non_null(first);
    assert_null(strstr(strstr(first, "\n"), "state.jsonl: ")); /* said once */
    assert_non_null(strstr(log, "is written again"));
    crash(0);
    run(1000);
    assert_state("a", STATE_DOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_only_the_journal_knows_is_known),
        FIXTURE_TEST(a_process_whose_end_only_the_journal_knows_is_gone),
        FIXTURE_TEST(what_was_stopped_by_hand_stays_stopped),
        FIXTURE_TEST(a_waiting_one_stopped_before_the_first_look_stays_down),
        FIXTURE_TEST(a_failed_one_stopped_before_the_first_look_stays_down),
        FIXTURE_TEST(one_that_was_gone_before_it_was_stopped_is_told_and_cleaned_up),
        FIXTURE_TEST(one_that_was_gone_before_it_was_started_or_restarted_is_told),
        FIXTURE_TEST(a_start_under_way_that_was_stopped_is_over),
        FIXTURE_TEST(one_that_never_was_is_stopped_without_a_word),
        FIXTURE_TEST(one_that_is_down_is_looked_for_before_it_is_started),
        FIXTURE_TEST(one_started_by_hand_meanwhile_is_taken_over),
        FIXTURE_TEST(a_service_that_had_no_process_takes_no_rest_for_itself),
        FIXTURE_TEST(what_was_started_last_is_found),
        FIXTURE_TEST(a_stop_under_way_goes_on),
        FIXTURE_TEST(a_stop_that_was_done_meanwhile_is_done),
        FIXTURE_TEST(a_restart_under_way_goes_on),
        FIXTURE_TEST(waiting_goes_on_and_counts_stay),
        FIXTURE_TEST(failed_stays_failed),
        FIXTURE_TEST(a_process_is_known_again_whatever_it_looks_like),
        FIXTURE_TEST(a_changed_command_line_is_reported_and_nothing_else),
        FIXTURE_TEST(a_stranger_with_its_pid_is_left_alone),
        FIXTURE_TEST(one_that_ended_meanwhile_is_the_policys),
        FIXTURE_TEST(after_a_start_of_the_host_all_begins_anew),
        FIXTURE_TEST(killed_before_its_first_look_it_has_decided_nothing),
        FIXTURE_TEST(remembered_is_kept_until_the_first_look),
        FIXTURE_TEST(without_autostart_nothing_is_made_of_nothing),
        FIXTURE_TEST(all_is_stopped_to_begin_afresh),
        FIXTURE_TEST(a_service_taken_out_of_the_configuration_is_left_and_reported),
        FIXTURE_TEST(the_story_goes_on),
        FIXTURE_TEST(numbers_go_on_without_the_journal),
        FIXTURE_TEST(a_damaged_file_is_named_and_used_as_far_as_it_goes),
        FIXTURE_TEST(without_its_first_line_pids_count_for_nothing),
        FIXTURE_TEST(a_newer_format_is_not_guessed_at),
        FIXTURE_TEST(the_file_does_not_grow_for_ever),
        FIXTURE_TEST(a_removed_file_is_written_anew),
        FIXTURE_TEST(what_can_not_be_written_is_written_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
