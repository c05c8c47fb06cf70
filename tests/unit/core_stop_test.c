/* One service in a simulated world: stops, restarts, and who waits for them. */
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

/* ---- stop */

static void stop_sends_the_signal_to_the_group(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.children = 2});
    struct service *a = up();
    pid_t pid = a->proc.pid;
    struct waiter w;
    uint64_t cause = command("stop a");
    service_stop(a, cause);
    wait_for("a", GOAL_DOWN, &w);
    assert_state("a", STATE_STOPPING);
    assert_int_equal(w.told, 0);
    assert_int_equal(count_signals(pid, SIGTERM), 1);
    assert_int_equal(count_signals(pid, SIGCONT), 1); /* a stopped process could not end */
    size_t count;
    assert_int_equal(world_sim_signals(fx.w, &count)->scope, PROC_GROUP);
    run(0);
    assert_state("a", STATE_DOWN);
    assert_true(w.told == 1 && w.met);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 0);
    assert_true(a->last_exit.requested);
    assert_int_equal(a->failures, 0);
    assert_int_equal(last_event("a", EVENT_STOPPING)->cause, cause);
    assert_int_equal(last_event("a", EVENT_EXIT)->count, 0);
    run(120000);
    assert_state("a", STATE_DOWN); /* and so it stays */
    assert_int_equal(world_sim_spawns(fx.w), 1);
    assert_int_equal(count_signals(0, SIGKILL), 0);
}

static void stop_kills_after_the_timeout(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    c->svrs[0].stop.signal = SIGINT;
    c->svrs[0].stop.timeout_ms = 2500;
    behave("a", (struct world_sim_behaviour){.ignores = WORLD_SIM_BIT(SIGINT)});
    fixture_up(c);
    struct service *a = get("a");
    pid_t pid = a->proc.pid;
    service_stop(a, command("stop a"));
    run(2499);
    assert_state("a", STATE_STOPPING);
    assert_int_equal(count_signals(pid, SIGINT), 1);
    assert_int_equal(count_signals(pid, SIGKILL), 0);
    run(1);
    assert_int_equal(count_signals(pid, SIGKILL), 1);
    assert_state("a", STATE_DOWN);
    assert_int_equal(a->last_exit.how.signal, SIGKILL);
    const struct event *e = last_event("a", EVENT_SIGNAL);
    assert_int_equal(e->signal, SIGKILL);
    assert_int_equal(e->cause, last_event("a", EVENT_STOPPING)->seq);
    assert_string_equal(e->text, "it did not end within 2.5 s");
}

static void stop_leaves_time_to_finish(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){
                    .reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 9000, .code = 0}}});
    struct service *a = up();
    service_stop(a, command("stop a"));
    run(8999);
    assert_state("a", STATE_STOPPING);
    run(1);
    assert_state("a", STATE_DOWN);
    assert_int_equal(count_signals(0, SIGKILL), 0);
    assert_int_equal(a->last_exit.how.code, 0);
}

static void even_sigkill_may_take_its_time(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.hangs = true});
    struct service *a = up();
    service_stop(a, command("stop a"));
    run(14999);
    assert_false(service_hangs(a));
    run(1);
    assert_true(service_hangs(a));
    run(45000);
    assert_state("a", STATE_STOPPING);
    assert_int_equal(count_signals(0, SIGKILL), 11); /* after 10 s, then every 5 s */
    assert_int_equal(count_events("a", EVENT_SIGNAL), 1);
    assert_int_equal(count_events("a", EVENT_AUDIT), 1); /* that it hangs, said once */
    service_start(a, command("start a"));
    run(1000);
    assert_state("a", STATE_STOPPING); /* no second copy beside the one that hangs */
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void scope_parent_spares_the_children(void **state)
{
    (void)state;
    struct conf *c = fixture_conf("a");
    c->svrs[0].stop.scope = CONF_SCOPE_PARENT;
    behave("a", (struct world_sim_behaviour){.starts = 1, .children = 2});
    fixture_up(c);
    struct service *a = get("a");
    service_stop(a, command("stop a"));
    run(100);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_count(fx.w, "a", false), 2);
    service_start(a, command("start a")); /* but before it is started again they go */
    await("a", STATE_UP, 1000);
    assert_int_equal(world_sim_count(fx.w, "a", false), 1);
    assert_int_equal(count_events("a", EVENT_CLEANUP), 2);
}

static void stop_while_waiting(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.spawn_error = ENOENT, .spawn_stage = PROC_STAGE_EXEC});
    fixture_begin(fixture_conf("a"));
    await("a", STATE_WAITING, 1000);
    service_stop(get("a"), command("stop a"));
    assert_state("a", STATE_DOWN);
    behave("a", (struct world_sim_behaviour){0});
    run(20000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_spawns(fx.w), 0);
}

static void stop_while_starting(void **state)
{
    (void)state;
    fixture_begin(fixture_conf("a"));
    run(100);
    assert_state("a", STATE_STARTING);
    struct waiter w;
    wait_for("a", GOAL_UP, &w);
    service_stop(get("a"), command("stop a"));
    assert_true(w.told == 1 && !w.met);
    assert_non_null(strstr(w.why, "superseded"));
    run(20000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 0);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void stop_while_being_looked_for(void **state)
{
    (void)state;
    struct service *a = up();
    service_stop(a, command("stop a"));
    run(10);
    world_sim_set_scan_ms(fx.w, 50);
    service_start(a, command("start a"));
    run(20);
    assert_state("a", STATE_STARTING);
    assert_true(a->seeking);
    service_stop(a, command("stop a"));
    run(20000);
    assert_state("a", STATE_DOWN);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void stop_what_is_down(void **state)
{
    (void)state;
    struct service *a = up();
    service_stop(a, command("stop a"));
    run(10);
    struct waiter w;
    service_stop(a, command("stop a"));
    wait_for("a", GOAL_DOWN, &w);
    assert_true(w.told == 1 && w.met); /* at once */
    service_stop(a, command("stop a"));
    assert_state("a", STATE_DOWN);
}

/* ---- restart */

static void restart_is_a_stop_and_a_start(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 700}}});
    struct service *a = up();
    pid_t first = a->proc.pid;
    uint64_t cause = command("restart a");
    struct waiter w;
    service_restart(a, cause);
    wait_for("a", GOAL_UP, &w);
    assert_state("a", STATE_STOPPING);
    run(699);
    assert_int_equal(world_sim_spawns(fx.w), 1);
    run(1);
    assert_state("a", STATE_STARTING);
    assert_int_equal(w.told, 0);
    run(SERVICE_PROBE_MS);
    assert_true(w.told == 1 && w.met);
    assert_true(a->proc.pid != first);
    assert_int_equal(a->failures, 0);
    assert_int_equal(a->restarts, 1);
    assert_int_equal(last_event("a", EVENT_STOPPING)->cause, cause);
    assert_int_equal(last_event("a", EVENT_STARTING)->cause, last_event("a", EVENT_EXIT)->seq);
    assert_int_equal(last_event("a", EVENT_EXIT)->cause, last_event("a", EVENT_STOPPING)->seq);
    assert_int_equal(count_events("a", EVENT_DECISION), 0); /* no policy has a say in it */
}

static void restart_while_waiting_starts_now(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.starts = 6, .dies = true, .life_ms = 10, .code = 1});
    fixture_begin(fixture_conf("a"));
    await("a", STATE_WAITING, 1000);
    service_restart(get("a"), command("restart a"));
    assert_state("a", STATE_STARTING);
    assert_int_equal(await("a", STATE_UP, 1000), SERVICE_PROBE_MS);
    assert_int_equal(get("a")->failures, 0);
}

static void restart_what_is_down_or_starting(void **state)
{
    (void)state;
    struct service *a = up();
    service_stop(a, command("stop a"));
    run(10);
    service_restart(a, command("restart a"));
    await("a", STATE_UP, 1000);
    service_restart(a, command("restart a"));
    run(0);
    assert_state("a", STATE_STARTING);
    pid_t second = a->proc.pid;
    service_restart(a, command("restart a"));
    await("a", STATE_UP, 1000);
    assert_true(a->proc.pid != second);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 1);
}

static void start_while_stopping(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGTERM, .exits = true, .after_ms = 500}}});
    struct service *a = up();
    struct waiter down, again;
    service_stop(a, command("stop a"));
    wait_for("a", GOAL_DOWN, &down);
    run(100);
    service_start(a, command("start a"));
    wait_for("a", GOAL_UP, &again);
    assert_true(down.told == 1 && !down.met);
    assert_non_null(strstr(down.why, "superseded"));
    assert_state("a", STATE_STOPPING);
    assert_int_equal(await("a", STATE_UP, 2000), 400 + SERVICE_PROBE_MS);
    assert_true(again.told == 1 && again.met);
    service_restart(a, command("restart a"));
    service_stop(a, command("stop a")); /* the newer one counts */
    run(2000);
    assert_state("a", STATE_DOWN);
}

static void start_what_is_up(void **state)
{
    (void)state;
    struct service *a = up();
    pid_t pid = a->proc.pid;
    struct waiter w;
    service_start(a, command("start a"));
    wait_for("a", GOAL_UP, &w);
    assert_true(w.told == 1 && w.met);
    run(1000);
    assert_int_equal(a->proc.pid, pid);
    assert_int_equal(world_sim_spawns(fx.w), 1);
}

static void a_wait_can_be_taken_back(void **state)
{
    (void)state;
    struct service *a = up();
    struct waiter one, two, three;
    wait_for("a", GOAL_DOWN, &one);
    wait_for("a", GOAL_DOWN, &two);
    wait_for("a", GOAL_DOWN, &three);
    service_wait_remove(a, &two.wait);
    service_wait_remove(a, &two.wait);
    service_stop(a, command("stop a"));
    run(10);
    assert_int_equal(one.told, 1);
    assert_int_equal(two.told, 0);
    assert_int_equal(three.told, 1);
    fixture_die();
    assert_int_equal(one.told, 1);
}

static void waits_are_told_when_the_monitor_lets_go(void **state)
{
    (void)state;
    up();
    struct waiter w;
    wait_for("a", GOAL_DOWN, &w);
    fixture_die();
    assert_true(w.told == 1 && !w.met && w.why[0]);
    assert_int_equal(world_sim_count(fx.w, "a", true), 1); /* the service goes on */
}

static void any_signal(void **state)
{
    (void)state;
    behave("a", (struct world_sim_behaviour){.reactions = {{.signal = SIGUSR1}}});
    struct service *a = up();
    uint64_t cause = command("signal a");
    assert_int_equal(service_signal(a, SIGUSR1, cause), 0);
    assert_int_equal(count_signals(a->proc.pid, SIGUSR1), 1);
    const struct event *e = last_event("a", EVENT_SIGNAL);
    assert_int_equal(e->cause, cause);
    assert_int_equal(e->signal, SIGUSR1);
    run(100);
    assert_state("a", STATE_UP);
    service_stop(a, command("stop a"));
    run(10);
    assert_int_equal(service_signal(a, SIGUSR1, cause), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(stop_sends_the_signal_to_the_group),
        FIXTURE_TEST(stop_kills_after_the_timeout),
        FIXTURE_TEST(stop_leaves_time_to_finish),
        FIXTURE_TEST(even_sigkill_may_take_its_time),
        FIXTURE_TEST(scope_parent_spares_the_children),
        FIXTURE_TEST(stop_while_waiting),
        FIXTURE_TEST(stop_while_starting),
        FIXTURE_TEST(stop_while_being_looked_for),
        FIXTURE_TEST(stop_what_is_down),
        FIXTURE_TEST(restart_is_a_stop_and_a_start),
        FIXTURE_TEST(restart_while_waiting_starts_now),
        FIXTURE_TEST(restart_what_is_down_or_starting),
        FIXTURE_TEST(start_while_stopping),
        FIXTURE_TEST(start_what_is_up),
        FIXTURE_TEST(a_wait_can_be_taken_back),
        FIXTURE_TEST(waits_are_told_when_the_monitor_lets_go),
        FIXTURE_TEST(any_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
