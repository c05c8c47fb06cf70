/* Commands to many services at once: given in slices between which others are served, in order on each service, and
 * carried out whoever still waits for the answer. */
#include "core_fixture.h"
#include "request.h"

#define COUNT 200
#define SIGNAL_MS 1 /* a stop sends two signals: 200 stops take 400 ms */

static struct admin admin;
static char names[COUNT][8];

static struct conf *many(void)
{
    const char *list[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "s%03d", i);
        list[i] = names[i];
    }
    return fixture_conf_of(list, COUNT);
}

/* Comes due every millisecond; how late it is tells how long the loop was busy in one go. */
static struct timer pulse;
static int64_t pulse_due, longest;

static void beat(struct timer *t)
{
    int64_t now = fx.w->ops->mono_ms(fx.w);
    longest = MAX(longest, now - pulse_due);
    pulse_due = now + 1;
    world_timer_set(fx.w, t, 1);
}

static int setup(void **state)
{
    if (fixture_setup(state))
        return -1;
    behave(NULL, (struct world_sim_behaviour){.signal_ms = SIGNAL_MS});
    fixture_up(many());
    run(5000);
    admin = (struct admin){.mon = fx.m};
    longest = 0;
    pulse = (struct timer){.fire = beat};
    pulse_due = fx.w->ops->mono_ms(fx.w) + 1;
    return timers_reserve(&fx.w->timers, fx.w->timers.count + 64) ? -1 : (world_timer_set(fx.w, &pulse, 1), 0);
}

static int teardown(void **state)
{
    if (pulse.place)
        world_timer_clear(fx.w, &pulse);
    return fixture_teardown(state);
}

static void on_news(struct request *r, void *arg)
{
    (void)r;
    (*(int *)arg)++;
}

static struct request *ask(const char *command, const char *service, const char *timeout, int *news)
{
    struct request *r = request_new(&admin, "a test");
    assert_non_null(r);
    request_set(r, "command", command);
    request_set(r, "service", service);
    if (timeout)
        request_set(r, "timeout", timeout);
    request_run(r, on_news, news);
    return r;
}

static void assert_answer(const struct request *r, int status, const char *text)
{
    assert_true(r->done);
    assert_string_equal(buf_str(&r->body), text);
    assert_int_equal(r->status, status);
}

static size_t in_state(enum machine_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < fx.m->nsvcs; i++)
        n += fx.m->svcs[i]->state == state;
    return n;
}

static void assert_sliced(void)
{
    /* A slice ends after the piece in which its time is over; the timer of the next has its own millisecond. */
    assert_in_range(longest, MONITOR_SLICE_MS - 1, MONITOR_SLICE_MS + 3 * SIGNAL_MS);
}

static void all_are_commanded_in_slices(void **state)
{
    (void)state;
    static const char *const commands[] = {"restart", "stop", "start"};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        int news = 0;
        world_sim_forget_signals(fx.w);
        longest = 0;
        struct request *r = ask(commands[i], "all", NULL, &news);
        run(10000);
        assert_answer(r, 200, "SUCCESS\n");
        assert_int_equal(news, 1);
        request_free(r);
        assert_int_equal(in_state(i == 1 ? STATE_DOWN : STATE_UP), COUNT);
        assert_int_equal(count_signals(0, SIGTERM), i < 2 ? COUNT : 0);
        if (i < 2)
            assert_sliced();
    }
}

static void others_are_answered_meanwhile(void **state)
{
    (void)state;
    int news = 0;
    struct request *all = ask("stop", "all", NULL, &news);
    run(20);
    assert_false(all->done);
    assert_in_range(in_state(STATE_UP), COUNT / 2, COUNT - 2);
    struct request *status = ask("status", "all", NULL, &news);
    assert_true(status->done);
    /* A command to one of the last does not wait for the others. */
    struct request *one = ask("restart", names[COUNT - 1], NULL, &news);
    run(2 * MONITOR_SLICE_MS);
    assert_int_not_equal(get(names[COUNT - 1])->state, STATE_UP);
    assert_int_equal(get(names[COUNT - 2])->state, STATE_UP);
    run(5000);
    assert_answer(one, 200, "SUCCESS\n");
    request_free(all);
    request_free(status);
    request_free(one);
}

static void commands_keep_their_order_on_each_service(void **state)
{
    (void)state;
    int news = 0;
    struct request *down = ask("stop", "all", NULL, &news), *up = ask("start", "s000,s001,s150,s199", NULL, &news),
                   *again = ask("stop", "s150", NULL, &news);
    order_settle(get("s170"));
    service_start(get("s170"), command("a script's"));
    run(10000);
    assert_int_equal(in_state(STATE_UP), 4);
    assert_state("s000", STATE_UP);
    assert_state("s001", STATE_UP);
    assert_state("s150", STATE_DOWN);
    assert_state("s170", STATE_UP);
    assert_state("s199", STATE_UP);
    assert_true(down->done && down->status == 500);
    assert_non_null(strstr(buf_str(&down->body), "s199: superseded by a newer command to start it\n"));
    assert_null(strstr(buf_str(&down->body), "s100: "));
    assert_answer(up, 500, "FAIL: s150\ns150: superseded by a newer command to stop it\n");
    assert_answer(again, 200, "SUCCESS\n");
    request_free(down);
    request_free(up);
    request_free(again);
}

static void the_same_to_all_twice(void **state)
{
    (void)state;
    int news = 0;
    struct request *a = ask("restart", "all", NULL, &news), *b = ask("restart", "all", NULL, &news);
    run(10000);
    assert_answer(a, 200, "SUCCESS\n");
    assert_answer(b, 200, "SUCCESS\n");
    assert_int_equal(count_signals(0, SIGTERM), COUNT); /* what is stopping already is not stopped again */
    assert_sliced();
    request_free(a);
    request_free(b);
}

static void it_goes_on_when_nobody_waits_any_more(void **state)
{
    (void)state;
    int news = 0;
    struct request *r = ask("stop", "all", NULL, &news);
    run(10);
    request_free(r);
    assert_in_range(in_state(STATE_UP), 1, COUNT - 1);
    run(5000);
    assert_int_equal(in_state(STATE_DOWN), COUNT);
    assert_int_equal(news, 0);
}

static void it_goes_on_when_the_time_is_over(void **state)
{
    (void)state;
    int news = 0;
    struct request *r = ask("stop", "all", "0.1", &news);
    run(150);
    assert_true(r->done && r->status == 504 && news == 1);
    assert_non_null(strstr(buf_str(&r->body), "s199: not done within 0.1 s; it is up\n"));
    assert_null(strstr(buf_str(&r->body), "s000: "));
    assert_int_equal(get("s199")->state, STATE_UP);
    request_free(r);
    run(5000);
    assert_int_equal(in_state(STATE_DOWN), COUNT);
}

static void what_is_not_configured_any_more_is_told(void **state)
{
    (void)state;
    int news = 0;
    struct request *stop = ask("stop", "all", NULL, &news), *start = ask("start", "all", NULL, &news);
    apply(fixture_conf("s000", "s100"));
    run(5000);
    assert_true(stop->done && start->done);
    assert_int_equal(start->status, 500);
    assert_int_equal(world_sim_count(fx.w, NULL, false), 2);
    assert_state("s000", STATE_UP);
    assert_state("s100", STATE_UP);
    request_free(stop);
    request_free(start);
    struct request *r = ask("start", "s000,s001", NULL, &news);
    assert_answer(r, 404, "Error: service[s001] not configured\n");
    request_free(r);
}

/* As reload does it: the restarts come in slices too, and who waits for them waits for the new processes. */
static void restarts_of_a_changed_configuration_are_sliced(void **state)
{
    (void)state;
    struct conf *next = many();
    for (int i = 0; i < COUNT; i++)
        fixture_set(&next->svrs[i].cmd, "/srv/other --serve");
    apply(next);
    assert_in_range(in_state(STATE_UP), COUNT / 2, COUNT - 1);
    struct request *r = request_new(&admin, "a test");
    r->slots = calloc(COUNT, sizeof *r->slots);
    for (size_t i = 0; i < COUNT; i++)
        r->slots[r->nslots++] = (struct request_slot){.request = r, .name = strdup(names[i])};
    request_wait(r, GOAL_UP);
    assert_false(r->done);
    run(10000);
    assert_answer(r, 200, "SUCCESS\n");
    for (int i = 0; i < COUNT; i++)
        assert_true(get(names[i])->restarts == 1 && r->slots[i].pid == get(names[i])->proc.pid);
    assert_sliced();
    request_free(r);
}

static void a_wait_that_waits_for_its_turn_can_be_taken_back(void **state)
{
    (void)state;
    int news = 0;
    struct request *all = ask("restart", "all", NULL, &news), *r = request_new(&admin, "a test");
    r->slots = calloc(1, sizeof *r->slots);
    r->slots[r->nslots++] = (struct request_slot){.request = r, .name = strdup("s199")};
    request_wait(r, GOAL_UP);
    assert_false(r->done); /* it is up, but about to be restarted */
    request_free(r);
    run(10000);
    assert_answer(all, 200, "SUCCESS\n");
    request_free(all);
}

static void the_monitor_goes_meanwhile(void **state)
{
    (void)state;
    int news = 0;
    struct request *gone = ask("stop", "all", NULL, &news), *waits = ask("restart", "all", NULL, &news);
    run(10);
    request_free(gone);
    assert_false(waits->done);
    world_timer_clear(fx.w, &pulse);
    monitor_finish(fx.m); /* what was asked for is commanded before it goes */
    assert_int_equal(in_state(STATE_UP), 0);
    request_free(waits);
    struct request *again = ask("restart", "all", NULL, &news);
    request_free(again); /* and this goes with the monitor */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_are_commanded_in_slices),
        TEST(others_are_answered_meanwhile),
        TEST(commands_keep_their_order_on_each_service),
        TEST(the_same_to_all_twice),
        TEST(it_goes_on_when_nobody_waits_any_more),
        TEST(it_goes_on_when_the_time_is_over),
        TEST(what_is_not_configured_any_more_is_told),
        TEST(restarts_of_a_changed_configuration_are_sliced),
        TEST(a_wait_that_waits_for_its_turn_can_be_taken_back),
        TEST(the_monitor_goes_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
