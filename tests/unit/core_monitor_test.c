/* Many services together: the order of starts, slices, policies from above, changed
 * configurations, clocks that jump, thousands. */
#include "core_fixture.h"
#include "reconf.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

/* ---- starts */

static void services_start_in_the_order_of_their_names(void **state)
{
    (void)state;
    fixture_begin(fixture_conf("a", "b", "c", "d"));
    run(0);
    for (size_t i = 1; i < fx.m->nsvcs; i++)
        assert_true(fx.m->svcs[i - 1]->proc.pid < fx.m->svcs[i]->proc.pid);
    run(SERVICE_PROBE_MS);
    for (size_t i = 0; i < fx.m->nsvcs; i++)
        assert_state(fx.m->svcs[i]->conf->name, STATE_UP);
    assert_null(monitor_find(fx.m, "e"));
    assert_null(monitor_find(fx.m, ""));
}

static void only_what_shall_start_by_itself_does(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a", "b");
    c->svrs[0].autostart = false;
    fixture_up(c);
    run(60000);
    assert_state("a", STATE_DOWN);
    assert_state("b", STATE_UP);
    service_start(get("a"), command("start a"));
    await("a", STATE_UP, 1000);
}

/* Something else that the loop has to do, as often as it may. */
struct bystander {
    struct timer timer;
    int64_t last_ms, longest_ms;
    int fired;
};

static void bystander_fire(struct timer *t)
{
    struct bystander *b = CONTAINER_OF(t, struct bystander, timer);
    int64_t now = fx.w->ops->mono_ms(fx.w);
    b->longest_ms = MAX(b->longest_ms, now - b->last_ms);
    b->last_ms = now;
    b->fired++;
    world_timer_set(fx.w, t, 1);
}

static void many_starts_come_in_slices(void **state)
{
    (void)state;
    char names[100][8];
    const char *list[100];
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        snprintf(names[i], sizeof names[i], "s%03zu", i);
        list[i] = names[i];
    }
    behave(NULL, (struct world_sim_behaviour){.spawn_ms = 1});
    fixture_begin(fixture_conf_of(list, ARRAY_LEN(list)));
    struct bystander b = {.timer.fire = bystander_fire, .last_ms = fx.w->ops->mono_ms(fx.w)};
    world_timer_set(fx.w, &b.timer, 0);
    await(list[ARRAY_LEN(list) - 1], STATE_UP, 1000);
    world_timer_clear(fx.w, &b.timer);
    assert_true(b.fired >= 20);
    assert_in_range(b.longest_ms, 1, 2 * MONITOR_SLICE_MS); /* the first look ends in a slice, another one follows */
    for (size_t i = 1; i < ARRAY_LEN(list); i++)
        assert_true(get(list[i - 1])->proc.pid < get(list[i])->proc.pid);
}

static void stop_while_queued(void **state)
{
    (void)state;
    behave(NULL, (struct world_sim_behaviour){.spawn_ms = 2 * MONITOR_SLICE_MS});
    fixture_begin(fixture_conf("a", "b", "c", "d", "e"));
    world_sim_advance(fx.w, 0);
    assert_true(get("a")->proc.pid && get("b")->proc.pid); /* one in each slice */
    assert_true(get("c")->queued && get("d")->queued && get("e")->queued);
    struct waiter w;
    service_stop(get("c"), command("stop c"));
    wait_for("c", GOAL_DOWN, &w);
    assert_state("c", STATE_DOWN);
    assert_true(w.told == 1 && w.met);
    service_stop(get("e"), command("stop e")); /* the last of the queue */
    service_start(get("e"), command("start e"));
    service_restart(get("d"), command("restart d"));
    run(2000);
    assert_state("a", STATE_UP);
    assert_state("b", STATE_UP);
    assert_state("c", STATE_DOWN);
    assert_state("d", STATE_UP);
    assert_state("e", STATE_UP);
    assert_int_equal(world_sim_spawns(fx.w), 4);
    assert_int_equal(world_sim_count(fx.w, "c", false), 0);
}

/* ---- what scripts decide */

struct script {
    int asked;
    struct decision answer;
    bool has_answer;
    unsigned failures;
    int code;
};

static bool decide(void *arg, struct service *s, const struct service_exit *x, struct decision *out)
{
    struct script *script = arg;
    script->asked++;
    script->failures = s->failures;
    script->code = x->how.code;
    *out = script->answer;
    return script->has_answer;
}

static void use(struct script *script)
{
    fx.m->hooks.arg = script;
    fx.m->hooks.decide = decide;
}

static void a_policy_may_leave_it_down(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    struct script script = {.has_answer = true, .answer = {.kind = DECISION_STOP, .reason = "x.lua:3: finished"}};
    use(&script);
    struct waiter w;
    wait_for("a", GOAL_DOWN, &w);
    world_sim_exit(fx.w, get("a")->proc.pid, 0);
    run(60000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(get("a")->want, WANT_DOWN);
    assert_true(w.told == 1 && w.met);
    assert_int_equal(script.asked, 1);
    const struct event *down = last_event("a", EVENT_DOWN), *decision = last_event("a", EVENT_DECISION);
    assert_int_equal(down->cause, decision->seq);
    assert_string_equal(decision->text, "x.lua:3: finished");
    assert_int_equal(decision->cause, last_event("a", EVENT_EXIT)->seq);
}

static void a_policy_may_give_up(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.starts = 1, .dies = true, .life_ms = 100, .code = 5});
    fixture_begin(fixture_conf("a"));
    struct script script = {.has_answer = true, .answer = {.kind = DECISION_FAIL, .reason = "keeps crashing"}};
    use(&script);
    run(0);
    struct waiter w;
    wait_for("a", GOAL_UP, &w);
    run(60000);
    assert_state("a", STATE_FAILED);
    assert_true(w.told == 1 && !w.met);
    assert_int_equal(script.code, 5);
    assert_int_equal(script.failures, 1);
    assert_int_equal(last_event("a", EVENT_FAILED)->cause, last_event("a", EVENT_DECISION)->seq);
    service_start(get("a"), command("start a")); /* a person */
    await("a", STATE_UP, 1000);
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    run(0);
    assert_state("a", STATE_FAILED);
    struct waiter down;
    service_stop(get("a"), command("stop a"));
    wait_for("a", GOAL_DOWN, &down);
    assert_state("a", STATE_DOWN);
    assert_true(down.told == 1 && down.met);
}

static void a_policy_may_wait(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    struct script script = {.has_answer = true,
                            .answer = {.kind = DECISION_RESTART, .delay_ms = 4800, .reason = "backoff"}};
    use(&script);
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    run(0);
    assert_state("a", STATE_WAITING);
    assert_int_equal(service_next_try_ms(get("a")), 4800);
    assert_int_equal(await("a", STATE_STARTING, 10000), 4800);
}

static void without_an_answer_the_core_decides(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    struct script script = {.answer = {.kind = DECISION_FAIL, .reason = "half an answer"}};
    use(&script);
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    run(0);
    assert_state("a", STATE_STARTING);
    assert_int_equal(script.asked, 1);
    assert_non_null(strstr(last_event("a", EVENT_DECISION)->text, "core's policy"));
}

static void a_policy_is_not_asked_about_what_was_asked_for(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    struct script script = {.has_answer = true, .answer = {.kind = DECISION_FAIL}};
    use(&script);
    service_restart(get("a"), command("restart a"));
    await("a", STATE_UP, 1000);
    service_stop(get("a"), command("stop a"));
    run(1000);
    assert_int_equal(script.asked, 0);
}

/* ---- a changed configuration */

static void added_services_start_and_removed_ones_stop(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    pid_t b = get("b")->proc.pid;
    apply(fixture_conf("b", "c"));
    assert_null(monitor_find(fx.m, "a"));
    await("c", STATE_UP, 1000);
    assert_int_equal(get("b")->proc.pid, b);
    assert_int_equal(world_sim_count(fx.w, "a", false), 0);
    assert_null(fx.m->removed);
    assert_int_equal(world_sim_spawns(fx.w), 3);
}

static void removed_while_stopping(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.ignores = WORLD_SIM_BIT(SIGTERM)});
    fixture_up(fixture_conf("a", "b"));
    pid_t pid = get("a")->proc.pid;
    struct waiter w;
    service_stop(get("a"), command("stop a"));
    wait_for("a", GOAL_DOWN, &w);
    run(4000);
    apply(fixture_conf("b"));
    assert_null(monitor_find(fx.m, "a"));
    assert_non_null(fx.m->removed);
    assert_int_equal(w.told, 0);
    run(5999);
    assert_non_null(world_sim_find_pid(fx.w, pid));
    run(1); /* its own timeout goes on */
    assert_null(world_sim_find_pid(fx.w, pid));
    assert_true(w.told == 1 && w.met);
    run(0);
    assert_null(fx.m->removed);
}

static void removed_in_every_state(void **state)
{
    (void)state;
    behave("starting", (struct world_sim_behaviour){0});
    behave("waiting", (struct world_sim_behaviour){.spawn_error = ENOENT, .spawn_stage = PROC_STAGE_EXEC});
    behave("hanging", (struct world_sim_behaviour){.hangs = true});
    struct conf *c = fixture_conf("down", "hanging", "keep", "seeking", "starting", "waiting");
    c->svrs[0].autostart = c->svrs[3].autostart = false;
    fixture_begin(c);
    await("waiting", STATE_WAITING, 1000);
    service_stop(get("hanging"), command("stop"));
    service_restart(get("starting"), command("restart"));
    run(0);
    assert_state("starting", STATE_STARTING);
    world_sim_set_scan_ms(fx.w, 100);
    service_start(get("seeking"), command("start"));
    run(10);
    assert_true(get("seeking")->seeking);
    service_stop(get("seeking"), command("stop")); /* and now it is not even known what to stop */
    apply(fixture_conf("keep"));
    run(1000);
    assert_int_equal(fx.m->nsvcs, 1);
    assert_state("keep", STATE_UP);
    assert_non_null(fx.m->removed); /* the one that hangs */
    assert_string_equal(fx.m->removed->conf->name, "hanging");
    assert_null(fx.m->removed->next_queued);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 2);
}

static void removed_and_back_again(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 3000}}});
    fixture_up(fixture_conf("a"));
    apply(fixture_conf_of(NULL, 0));
    run(1000);
    apply(fixture_conf("a"));
    run(10000);
    assert_state("a", STATE_UP);
    assert_int_equal(world_sim_count(fx.w, "a", true), 1);
    assert_null(fx.m->removed);
}

static void changed_services_are_restarted_where_that_is_needed(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b", "c"));
    pid_t a = get("a")->proc.pid, b = get("b")->proc.pid, c = get("c")->proc.pid;
    struct conf *next = fixture_conf("a", "b", "c");
    fixture_set(&next->svrs[0].cmd, "/srv/a/a --other");
    next->svrs[1].stop.timeout_ms = 77; /* of no concern to what runs */
    apply(next);
    run(1000);
    assert_state("a", STATE_UP);
    assert_true(get("a")->proc.pid != a);
    assert_memory_equal(world_sim_find(fx.w, "a")->cmdline, "/srv/a/a\0--other", sizeof "/srv/a/a\0--other");
    assert_int_equal(get("b")->proc.pid, b);
    assert_int_equal(get("c")->proc.pid, c);
    assert_int_equal(get("b")->conf->stop.timeout_ms, 77);
    assert_non_null(last_event("b", EVENT_CONFIG));
    assert_null(last_event("c", EVENT_CONFIG));
}

/* ---- time */

static void a_wall_clock_that_jumps_changes_nothing(void **state)
{
    (void)state;
    behave("b", (struct world_sim_behaviour){.spawn_error = ENOENT, .spawn_stage = PROC_STAGE_EXEC});
    fixture_begin(fixture_conf("a", "b"));
    await("a", STATE_UP, 1000);
    await("b", STATE_WAITING, 1000);
    int64_t left = service_next_try_ms(get("b"));
    world_sim_set_wall(fx.w, 0);
    run(0);
    assert_int_equal(service_next_try_ms(get("b")), left);
    world_sim_set_wall(fx.w, FIXTURE_WALL_MS * 2);
    run(left - 1);
    assert_state("b", STATE_WAITING);
    assert_int_equal(get("b")->failures, 6);
    run(1);
    assert_true(get("b")->failures > 6);
    assert_true(last_event("b", EVENT_SPAWN_FAIL)->wall_ms >= FIXTURE_WALL_MS * 2);
    assert_true(service_uptime_ms(get("a")) < 10000);
}

static void a_host_that_slept_finds_everything_as_it_was(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a", "b"));
    pid_t a = get("a")->proc.pid;
    world_sim_advance(fx.w, 8LL * 3600 * 1000);
    fixture_check();
    assert_state("a", STATE_UP);
    assert_int_equal(get("a")->proc.pid, a);
}

/* ---- the journal */

static void events_are_in_the_journal(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    world_sim_exit(fx.w, get("a")->proc.pid, 3);
    await("a", STATE_UP, 1000);
    monitor_flush(fx.m);
    char path[96], text[16384];
    snprintf(path, sizeof path, "%s/test.events.jsonl", fx.dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    static const char *const in_order[] = {
        "\"kind\":\"monitor\"",
        "\"service\":\"a\",\"kind\":\"starting\"",
        "\"service\":\"a\",\"kind\":\"up\"",
        "\"service\":\"a\",\"kind\":\"exit\"",
        "\"code\":3",
        "\"service\":\"a\",\"kind\":\"decision\"",
        "\"service\":\"a\",\"kind\":\"starting\"",
        "\"service\":\"a\",\"kind\":\"up\"",
    };
    const char *at = text;
    for (size_t i = 0; i < ARRAY_LEN(in_order); i++) {
        at = strstr(at, in_order[i]);
        if (!at)
            fail_msg("%s is missing in %s", in_order[i], text);
        at++;
    }
}

static void supervision_goes_on_without_a_journal(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    fixture_set(&c->rundir, "/nonexistent/folder");
    fixture_up(c);
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    await("a", STATE_UP, 1000);
    assert_non_null(last_event("a", EVENT_EXIT));
}

static void without_a_rundir_events_are_in_memory_alone(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    free(c->rundir);
    c->rundir = NULL;
    fixture_up(c);
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    await("a", STATE_UP, 1000);
    monitor_flush(fx.m);
    assert_non_null(last_event("a", EVENT_EXIT));
    assert_true(fx.m->journal.fd < 0 && !fx.m->journal.path && !fx.m->journal.lost);
}

static void the_generation_tells_of_every_change(void **state)
{
    (void)state;
    fixture_up(fixture_conf("a"));
    uint64_t before = fx.m->generation;
    run(100000);
    assert_int_equal(fx.m->generation, before); /* nothing has happened */
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    run(0);
    assert_true(fx.m->generation > before);
    before = fx.m->generation;
    run(SERVICE_PROBE_MS);
    assert_true(fx.m->generation > before);
}

/* ---- many */

#define MANY 10000

static size_t count_in(enum machine_state wanted)
{
    size_t n = 0;
    for (size_t i = 0; i < fx.m->nsvcs; i++)
        n += fx.m->svcs[i]->state == wanted;
    return n;
}

static void ten_thousand_services(void **state)
{
    (void)state;
    char(*names)[16] = calloc(MANY, sizeof *names);
    const char **list = calloc(MANY, sizeof *list);
    assert_true(names && list);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "s%05d", i);
        list[i] = names[i];
    }
    clock_t before = clock();
    fixture_begin(fixture_conf_of(list, MANY));
    world_sim_advance(fx.w, 0);
    assert_int_equal(count_in(STATE_STARTING), MANY);
    world_sim_advance(fx.w, SERVICE_PROBE_MS);
    assert_int_equal(count_in(STATE_UP), MANY);
    monitor_flush(fx.m);
    world_sim_advance(fx.w, 2 * MONITOR_AUDIT_MS); /* probes and audits */
    for (size_t i = 0; i < MANY; i += 10)
        world_sim_kill(fx.w, fx.m->svcs[i]->proc.pid, SIGKILL);
    world_sim_advance(fx.w, 0);
    assert_int_equal(count_in(STATE_STARTING), MANY / 10);
    world_sim_advance(fx.w, SERVICE_PROBE_MS);
    assert_int_equal(count_in(STATE_UP), MANY);
    fixture_check();
    fixture_die();
    fixture_begin(fixture_conf_of(list, MANY)); /* all are found again in one look */
    world_sim_advance(fx.w, 0);
    assert_int_equal(count_in(STATE_UP), MANY);
    assert_int_equal(world_sim_spawns(fx.w), MANY + MANY / 10);
    uint64_t cause = command("stop all");
    for (size_t i = 0; i < MANY; i++)
        service_stop(fx.m->svcs[i], cause);
    world_sim_advance(fx.w, 1000);
    assert_int_equal(count_in(STATE_DOWN), MANY);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 0);
    double took = (double)(clock() - before) / CLOCKS_PER_SEC;
    free(names);
    free(list);
    if (took > 8)
        fail_msg("it took %g s", took);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(services_start_in_the_order_of_their_names),
        FIXTURE_TEST(only_what_shall_start_by_itself_does),
        FIXTURE_TEST(many_starts_come_in_slices),
        FIXTURE_TEST(stop_while_queued),
        FIXTURE_TEST(a_policy_may_leave_it_down),
        FIXTURE_TEST(a_policy_may_give_up),
        FIXTURE_TEST(a_policy_may_wait),
        FIXTURE_TEST(without_an_answer_the_core_decides),
        FIXTURE_TEST(a_policy_is_not_asked_about_what_was_asked_for),
        FIXTURE_TEST(added_services_start_and_removed_ones_stop),
        FIXTURE_TEST(removed_while_stopping),
        FIXTURE_TEST(removed_in_every_state),
        FIXTURE_TEST(removed_and_back_again),
        FIXTURE_TEST(changed_services_are_restarted_where_that_is_needed),
        FIXTURE_TEST(a_wall_clock_that_jumps_changes_nothing),
        FIXTURE_TEST(a_host_that_slept_finds_everything_as_it_was),
        FIXTURE_TEST(events_are_in_the_journal),
        FIXTURE_TEST(supervision_goes_on_without_a_journal),
        FIXTURE_TEST(without_a_rundir_events_are_in_memory_alone),
        FIXTURE_TEST(the_generation_tells_of_every_change),
        FIXTURE_TEST(ten_thousand_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
