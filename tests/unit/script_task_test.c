/* Scripts that act, in a simulated world: tasks, timers, events, commands, decisions. What the library in Lua makes of
 * it is in tests/lua/. */
#include "core_fixture.h"

#include "script_call.h"
#include "scripts.h"
#include "vm.h"

#include <errno.h>

static struct scripts *s;
static char told[8192];  /* what was logged and raised, a line each */
static char written[64]; /* by the command */
static struct script_answer answered;
static int answers;
static bool is_full;

static void on_told(void *arg, int level, const char *text, bool raised)
{
    (void)arg;
    (void)level;
    size_t len = strlen(told);
    snprintf(told + len, sizeof told - len, "%s%.*s\n", raised ? "! " : "", (int)strcspn(text, "\n"), text);
}

static bool on_write(void *arg, const char *text, size_t len)
{
    (void)arg;
    strncat(written, text, MIN(len, sizeof written - 1 - strlen(written)));
    return true;
}

static bool on_full(void *arg)
{
    (void)arg;
    return is_full;
}

static void on_done(void *arg, const struct script_answer *a)
{
    (void)arg;
    answered = *a;
    answered.text = NULL;
    answers++;
}

static const struct script_call_ops ops = {.write = on_write, .full = on_full, .done = on_done};

/* Service a is up; the scripts act on it. */
static void begin(const char *script, const char *policy)
{
    struct err err = {0};
    char path[96];
    snprintf(path, sizeof path, "%s/site.lua", fx.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(script, f);
    assert_int_equal(fclose(f), 0);
    told[0] = written[0] = 0;
    answers = 0;
    is_full = false;
    s = scripts_new(fx.dir, "test", NULL, &err);
    assert_non_null(s);
    s->told = on_told;
    vm_set_budget(s->vm, 20);
    if (!scripts_run_file(s, path, &err) || !scripts_collect(s, &err))
        fail_msg("%s", err.text);
    unlink(path);
    struct conf *conf = fixture_conf("a");
    fixture_set(&fixture_entry(conf, "a")->policy, policy);
    fixture_make(conf);
    scripts_attach(s, fx.m, NULL);
    monitor_start(fx.m);
    scripts_start(s);
    await("a", STATE_UP, 60000);
}

static int teardown(void **state)
{
    scripts_free(s);
    s = NULL;
    return fixture_teardown(state);
}

static void expect(const char *text)
{
    assert_string_equal(told, text);
    told[0] = 0;
}

static struct script_call *call(const char *command)
{
    const struct script_ask ask = {
        .command = command, .who = "a test", .peer = "127.0.0.1", .principal = "local", .services = NULL};
    struct err err = {0};
    struct script_call *c = script_call_start(s, &ask, &ops, NULL, &err);
    if (!c)
        fail_msg("%s", err.text);
    return c;
}

#define COMMAND(name, body) "fm.command{ name = '" name "', run = function(req) " body " end }\n"

/* ---- tasks */

static void test_tasks_wait(void **state)
{
    (void)state;
    begin("fm.after(1, function()\n"
          "  local t = fm.spawn(function() fm.sleep(2); fm.log.info('two') end)\n"
          "  local never = fm.spawn(function() fm.sleep(100); fm.log.info('never') end)\n"
          "  fm.sleep(1); fm.log.info('one'); t:join(); fm.log.info('joined'); never:cancel()\n"
          "end)",
          NULL);
    run(1900 - (fx.w->ops->mono_ms(fx.w) - FIXTURE_MONO_MS));
    expect("");
    run(200);
    expect("one\n");
    run(1000);
    expect("two\njoined\n");
    run(1000);
    assert_int_equal(s->ntasks, 0);
    run(200000);
    expect("");
}

/* Tasks that wake each other do not keep the loop, and what ends while others wait for it lets them go. */
static void test_freed_while_waited_for(void **state)
{
    (void)state;
    begin("local t\nfm.after(0.1, function() t = fm.spawn(fm.sleep, 100) end)\n" COMMAND(
              "join", "local ok, m = t:join(); fm.log.info('%s', m)"),
          NULL);
    run(200);
    call("join");
    run(10);
    scripts_hold(s);
    scripts_retire(s, NULL); /* the task goes, the command finishes */
    run(10);
    assert_string_equal(told, "it was cancelled\n");
    assert_int_equal(answers, 1);
    assert_int_equal(s->ntasks, 0);
    scripts_drop(s);
    s = NULL;
    command("it listens no more");
}

/* ---- timers */

static void test_timers(void **state)
{
    (void)state;
    begin("fm.every(1, function() fm.log.info('tick'); fm.sleep(1.5) end)\n"
          "local t = fm.after(5, function() fm.log.info('never') end)\n"
          "fm.after(4.4, function() fm.log.info('cancelled %s %s', t:cancel(), t:cancel()) end)",
          NULL);
    told[0] = 0;
    int64_t gone = fx.w->ops->mono_ms(fx.w) - FIXTURE_MONO_MS;
    run(6500 - gone);
    expect("tick\ntick\ncancelled true false\ntick\n"); /* the second of each pair finds the first still at it */
    assert_int_equal(s->ntimers, 1);
}

static void test_cron_follows_the_wall_clock(void **state)
{
    (void)state;
    begin("fm.cron('*/10 * * * *', function() fm.log.info('%d', fm.time() // 60 % 60) end)", NULL);
    run(601000);
    expect("10\n");
    world_sim_set_wall(fx.w, FIXTURE_WALL_MS + 35 * 60000); /* forward, over two of them: once */
    run(31000);
    expect("35\n");
    run(270000);
    expect("40\n");
    world_sim_set_wall(fx.w, FIXTURE_WALL_MS + 5 * 60000); /* back */
    run(290000);
    expect("");
    run(11000);
    expect("10\n");
}

/* ---- events */

static void test_a_handler_over_budget_silences_nobody(void **state)
{
    (void)state;
    begin("fm.on('exit', function() while true do end end)\n"
          "fm.on('exit', function(ev) ev.service = nil; error('broken', 0) end)\n"
          "fm.on('exit', function(ev) fm.log.info('%s %d', ev.service, ev.code) end)",
          NULL);
    world_sim_exit(fx.w, get("a")->proc.pid, 3);
    run(10);
    assert_non_null(strstr(told, "over budget"));
    assert_non_null(strstr(told, ": broken\n"));
    assert_non_null(strstr(told, "\na 3\n"));
    assert_int_equal(s->errors, 2);
}

static void test_too_many_events(void **state)
{
    (void)state;
    begin("local n = 0\nfm.on('command', function() n = n + 1 end)\n" COMMAND("n", "req:write('%d', n)"), NULL);
    for (int i = 0; i < 10100; i++)
        command("flood");
    assert_int_equal(s->nevents, 10000);
    assert_int_equal(s->events_lost, 100);
    while (s->nevents || s->ntasks)
        run(1);
    assert_false(s->losing);
    call("n");
    run(1);
    assert_string_equal(written, "10000");
}

/* ---- commands */

static void test_writing_waits(void **state)
{
    (void)state;
    begin(COMMAND("w", "for i = 1, 3 do req:write('%d', i) end"), NULL);
    is_full = true;
    struct script_call *c = call("w");
    run(1000);
    assert_string_equal(written, "");
    script_call_drained(c); /* and full again */
    run(1000);
    assert_string_equal(written, "");
    is_full = false;
    script_call_drained(c);
    run(0);
    assert_string_equal(written, "123");
    assert_int_equal(answers, 1);
    assert_int_equal(answered.outcome, SCRIPT_DONE);
}

static void test_cancelled_while_it_writes(void **state)
{
    (void)state;
    begin(
        COMMAND("w", "local ok, m = pcall(req.write, req, 'x'); fm.log.info('%s', m); fm.sleep(5); fm.log.info('no')"),
        NULL);
    is_full = true;
    script_call_cancel(call("w"));
    run(0);
    script_call_cancel(call("w")); /* before its first turn, too */
    run(10);
    assert_null(s->calls);
    assert_int_equal(s->ntasks, 0);
    assert_int_equal(answers, 0);
    assert_null(strstr(told, "no\n"));
    assert_non_null(strstr(told, "cancelled"));
}

static void test_freed_while_commands_run(void **state)
{
    (void)state;
    begin(COMMAND("wait", "fm.spawn(function() fm.service('a'):wait('failed') end); fm.service('a'):stop()"), NULL);
    world_sim_ignore(fx.w, get("a")->proc.pid, WORLD_SIM_BIT(SIGTERM));
    call("wait");
    run(0);
    scripts_free(s);
    s = NULL;
    command("nobody listens any more");
    run(20000);
    assert_int_equal(answers, 0);
}

/* ---- decisions */

static void ends(void)
{
    world_sim_exit(fx.w, get("a")->proc.pid, 1);
    run(0);
}

static void test_decisions(void **state)
{
    (void)state;
    begin("fm.policy('p', function(svc, exit)\n"
          "  if svc.failures == 1 then return fm.restart(7) end\n"
          "  if svc.failures == 2 then error('oh') end\n"
          "  return fm.fail('enough')\n"
          "end)",
          "p");
    ends();
    assert_state("a", STATE_WAITING);
    int64_t took = await("a", STATE_UP, 60000);
    assert_true(took >= 7000);
    ends();
    assert_non_null(strstr(told, "policy p failed, the core's own is used"));
    await("a", STATE_UP, 60000);
    ends();
    assert_state("a", STATE_FAILED);
    assert_non_null(strstr(last_event("a", EVENT_DECISION)->text, "enough"));
}

static void test_a_policy_does_not_wait(void **state)
{
    (void)state;
    begin("fm.policy('p', function(svc)\n"
          "  fm.spawn(function() fm.log.info('later') end)\n"
          "  local ok, m = pcall(fm.sleep, 1); fm.log.info('%s', ok); return fm.stop('x') end)\n" COMMAND(
              "start", "local ok, m = fm.service('a'):start(); fm.log.info('%s', m); fm.sleep(1); req:write('on')"),
          "p");
    service_stop(get("a"), command("stop"));
    await("a", STATE_DOWN, 20000);
    behave("a", (struct world_sim_behaviour){.spawn_error = ENOENT}); /* ends at once: asked inside svc:start */
    told[0] = 0;
    call("start");
    run(10);
    assert_non_null(strstr(told, "false\n"));
    assert_non_null(strstr(told, "later\n"));
    run(2000);
    assert_string_equal(written, "on");
    assert_int_equal(answers, 1);
    assert_int_equal(s->errors, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tasks_wait),
        TEST(test_freed_while_waited_for),
        TEST(test_timers),
        TEST(test_cron_follows_the_wall_clock),
        TEST(test_a_handler_over_budget_silences_nobody),
        TEST(test_too_many_events),
        TEST(test_writing_waits),
        TEST(test_cancelled_while_it_writes),
        TEST(test_freed_while_commands_run),
        TEST(test_decisions),
        TEST(test_a_policy_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
