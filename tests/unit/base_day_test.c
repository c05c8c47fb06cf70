/* Days of the local time zone: where they begin, what they are called, when clocks change. */
#include "day.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS ((int64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    day_refresh_zone();
}

static void assert_name(int64_t day, const char *format, const char *expected)
{
    char name[64];
    assert_int_equal(day_name(day, format, name, sizeof name), strlen(expected));
    assert_string_equal(name, expected);
}

static void days_are_counted_in_local_time(void **state)
{
    (void)state;
    set_zone("UTC0");
    assert_int_equal(day_of(0), 0);
    assert_int_equal(day_of(DAY_MS - 1), 0);
    assert_int_equal(day_of(DAY_MS), 1);
    assert_int_equal(day_of(-1), -1);
    assert_int_equal(day_of(1795305600000), 20779);
    set_zone("XXX-8"); /* east */
    assert_int_equal(day_of(15 * HOUR_MS + 3599999), 0);
    assert_int_equal(day_of(16 * HOUR_MS), 1);
    set_zone("XXX+5");
    assert_int_equal(day_of(4 * HOUR_MS), -1);
}

static void days_have_names(void **state)
{
    (void)state;
    static const char *const zones[] = {"UTC0", "XXX-14", "XXX+12"};
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        set_zone(zones[i]);
        assert_name(20779, "%-d", "22");
        assert_name(20779, "%Y-%m-%d", "2026-11-22");
        assert_name(20779, "%a-%j", "Sun-326");
        assert_name(0, "%Y-%m-%d", "1970-01-01");
        assert_name(19782, "%Y-%m-%d", "2024-02-29");
    }
    char small[4];
    assert_int_equal(day_name(0, "%Y-%m-%d", small, sizeof small), 0);
}

static void the_next_day_begins_at_midnight(void **state)
{
    (void)state;
    set_zone("XXX-8");
    int64_t midnight = 20779 * DAY_MS - 8 * HOUR_MS;
    assert_int_equal(day_next_ms(midnight), midnight + DAY_MS);
    assert_int_equal(day_next_ms(midnight - 1), midnight);
    assert_int_equal(day_next_ms(midnight + 5 * HOUR_MS + 123), midnight + DAY_MS);
    assert_int_equal(day_last_ms(20779), midnight + DAY_MS - 1);
}

static void summer_time_makes_days_of_23_and_25_hours(void **state)
{
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    int64_t spring = 1774738800000, autumn = 1792879200000; /* 2026-03-29 and 2026-10-25, 00:00 */
    assert_name(day_of(spring), "%Y-%m-%d", "2026-03-29");
    assert_name(day_of(autumn), "%Y-%m-%d", "2026-10-25");
    assert_int_equal(day_next_ms(spring), spring + 23 * HOUR_MS);
    assert_int_equal(day_next_ms(autumn), autumn + 25 * HOUR_MS);
    assert_int_equal(day_last_ms(day_of(autumn)), autumn + 25 * HOUR_MS - 1);
}

static void a_day_may_begin_at_one_o_clock(void **state)
{
    (void)state;
    set_zone("XXX3YYY,M10.3.0/0,M2.3.0/0"); /* as Brazil once: clocks go on at midnight, and back at midnight */
    int64_t before = 1792292400000 - 1000;  /* 2026-10-17 23:59:59 */
    assert_name(day_of(before), "%Y-%m-%d", "2026-10-17");
    assert_int_equal(day_next_ms(before), before + 1000);
    assert_name(day_of(before + 1000), "%Y-%m-%d", "2026-10-18");
    assert_int_equal(day_next_ms(before + 1000), before + 1000 + 23 * HOUR_MS);
    /* In February the last hour of the 14th comes twice. */
    int64_t feb = 1771034400000; /* 2026-02-14 00:00 */
    assert_name(day_of(feb), "%Y-%m-%d", "2026-02-14");
    assert_int_equal(day_next_ms(feb), feb + 25 * HOUR_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_are_counted_in_local_time),  cmocka_unit_test(days_have_names),
        cmocka_unit_test(the_next_day_begins_at_midnight), cmocka_unit_test(summer_time_makes_days_of_23_and_25_hours),
        cmocka_unit_test(a_day_may_begin_at_one_o_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
