/* The text format of metrics, what is told of services, and how long the loop is busy. */
#include "clock.h"
#include "core_fixture.h"
#include "facts.h"
#include "metrics.h"

static struct admin admin;

static int setup(void **state)
{
    if (fixture_setup(state))
        return -1;
    fixture_up(fixture_conf("alpha", "we\"ird\\"));
    admin = (struct admin){.mon = fx.m};
    return 0;
}

static int teardown(void **state)
{
    facts_free(&admin);
    return fixture_teardown(state);
}

static void numbers(void **state)
{
    (void)state;
    struct buf b = {0};
    metrics_head(&b, "x_total", METRICS_COUNTER, "What it is.");
    metrics_value(&b, "x_total", NULL, NULL, 0);
    metrics_value(&b, "x_total", "of", "a\\b\"c\nd", INT64_MAX);
    metrics_value(&b, "x_total", "of", "", INT64_MIN);
    metrics_milli(&b, "y", NULL, NULL, 0);
    metrics_milli(&b, "y", NULL, NULL, 7);
    metrics_milli(&b, "y", NULL, NULL, -500);
    metrics_milli(&b, "y", NULL, NULL, 1234567);
    assert_string_equal(b.data, "# HELP x_total What it is.\n# TYPE x_total counter\n"
                                "x_total 0\n"
                                "x_total{of=\"a\\\\b\\\"c\\nd\"} 9223372036854775807\n"
                                "x_total{of=\"\"} -9223372036854775808\n"
                                "y 0.000\ny 0.007\ny -0.500\ny 1234.567\n");
    buf_fini(&b);
}

static struct request *scrape(void)
{
    struct request *r = request_new(&admin, "a test");
    request_set(r, "command", "metrics");
    request_run(r, NULL, NULL);
    run(0);
    assert_true(r->done);
    assert_int_equal(r->status, 200);
    return r;
}

static void assert_has(const struct request *r, const char *line)
{
    if (!strstr(r->body.data, line))
        fail_msg("no %s in %s", line, r->body.data);
}

static void services_are_told(void **state)
{
    (void)state;
    struct request *r = scrape();
    assert_has(r, "\nfota_monitor_service_up{service=\"alpha\"} 1\n");
    assert_has(r, "\nfota_monitor_service_up{service=\"we\\\"ird\\\\\"} 1\n");
    assert_has(r, "\nfota_monitor_services{state=\"up\"} 2\n");
    assert_null(strstr(r->body.data, "fota_monitor_service_last_exit_code{"));
    request_free(r);
    world_sim_kill(fx.w, get("alpha")->proc.pid, SIGKILL);
    run(100);
    r = scrape();
    assert_has(r, "\nfota_monitor_service_last_exit_code{service=\"alpha\"} 137\n");
    assert_has(r, "\nfota_monitor_service_restarts_total{service=\"alpha\"} 1\n");
    assert_has(r, "\nfota_monitor_service_failures{service=\"alpha\"} 1\n");
    request_free(r);
    service_stop(get("alpha"), command("stop"));
    run(20000);
    r = scrape();
    assert_has(r, "\nfota_monitor_service_up{service=\"alpha\"} 0\n");
    assert_has(r, "\nfota_monitor_service_wanted{service=\"alpha\"} 0\n");
    assert_null(strstr(r->body.data, "uptime_seconds{service=\"alpha\"}"));
    request_free(r);
}

static void add_more(struct metrics_source *s, struct buf *b)
{
    (void)s;
    metrics_head(b, "more", METRICS_GAUGE, "More.");
    metrics_value(b, "more", NULL, NULL, 7);
}

static void others_have_more_to_tell(void **state)
{
    (void)state;
    struct metrics_source a = {.add = add_more};
    metrics_add_source(&admin, &a);
    struct request *r = scrape();
    assert_has(r, "\n# HELP more More.\n# TYPE more gauge\nmore 7\n");
    request_free(r);
}

static void a_row_of_turns_under_way_is_told(void **state)
{
    (void)state;
    struct metrics_lag lag = {.worst_ns = {300001, 200000}, .row_ns = 500000, .row_worst_ns = 300001};
    admin.lag = &lag;
    struct request *r = scrape();
    assert_has(r, "\nfota_monitor_loop_lag_seconds 0.001\n");
    assert_has(r, "\nfota_monitor_loop_lag_cpu_seconds 0.001\n");
    request_free(r);
    lag = (struct metrics_lag){.worst_cpu_ns = {4000000, 5000001}};
    r = scrape();
    assert_has(r, "\nfota_monitor_loop_lag_cpu_seconds 0.006\n");
    request_free(r);
    admin.lag = NULL;
}

static void take_time(uv_timer_t *t)
{
    int64_t until = clock_mono_ms() + 60;
    while (clock_mono_ms() < until)
        ;
    uv_close((uv_handle_t *)t, NULL);
}

static void end(uv_timer_t *t)
{
    uv_close((uv_handle_t *)t, NULL);
}

static void a_busy_loop_is_noticed(void **state)
{
    (void)state;
    uv_loop_t loop;
    uv_timer_t busy, late;
    struct metrics_lag lag;
    uv_loop_init(&loop);
    metrics_lag_start(&lag, &loop);
    uv_timer_init(&loop, &busy);
    uv_timer_init(&loop, &late);
    uv_timer_start(&busy, take_time, 10, 0);
    uv_timer_start(&late, end, 200, 0);
    uv_unref((uv_handle_t *)&lag.prepare);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(lag.worst_ns[0] >= 55000000);
    assert_true(lag.busy_ns >= lag.worst_ns[0]);
    assert_true(lag.busy_ns < 190000000); /* it has idled most of the time */
    uv_close((uv_handle_t *)&lag.prepare, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers),
        TEST(services_are_told),
        TEST(others_have_more_to_tell),
        TEST(a_row_of_turns_under_way_is_told),
        TEST(a_busy_loop_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
