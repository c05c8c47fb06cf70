#include "hush.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static struct hush hush;
static char more[HUSH_MORE_SIZE];

static int setup(void **state)
{
    (void)state;
    hush_forget(&hush);
    return 0;
}

static void said_when_it_begins_then_at_growing_intervals(void **state)
{
    (void)state;
    static const int64_t expected[] = {0, 1, 6, 21, 81, 141, 201, 261, 321}; /* minutes */
    size_t n = 0;
    for (int64_t t = 0; t <= 321 * MINUTE; t += SECOND) {
        if (!hush_says(&hush, "cause", t, more))
            continue;
        assert_true(n < ARRAY_LEN(expected));
        assert_int_equal(t / MINUTE, expected[n]);
        n++;
    }
    assert_int_equal(n, ARRAY_LEN(expected));
}

static void tells_how_many_were_kept_back(void **state)
{
    (void)state;
    assert_true(hush_says(&hush, "cause", 5, more));
    assert_string_equal(more, "");
    for (int i = 0; i < 7; i++)
        assert_false(hush_says(&hush, "cause", 6 + i, more));
    assert_true(hush_says(&hush, "cause", 5 + MINUTE, more));
    assert_string_equal(more, " (and 7 more that were not logged)");
    assert_true(hush_says(&hush, "cause", 5 + 6 * MINUTE, more));
    assert_string_equal(more, "");
}

static void another_cause_is_said_at_once(void **state)
{
    (void)state;
    assert_true(hush_says(&hush, "a", 0, more));
    assert_true(hush_says(&hush, "b", 1, more));
    assert_true(hush_says(&hush, "c", 2, more));
    for (int64_t t = 3; t < MINUTE; t += 3) { /* in turns they are not news either */
        assert_false(hush_says(&hush, "a", t, more));
        assert_false(hush_says(&hush, "b", t + 1, more));
        assert_false(hush_says(&hush, "c", t + 2, more));
    }
}

static void what_comes_back_after_a_rest_is_new(void **state)
{
    (void)state;
    assert_true(hush_says(&hush, "a", 0, more));
    assert_false(hush_says(&hush, "a", 30 * SECOND, more));
    assert_true(hush_says(&hush, "a", 2 * MINUTE, more)); /* a minute's interval, and as long without it */
    assert_string_equal(more, "");
    assert_true(hush_says(&hush, "a", 3 * MINUTE, more)); /* and the intervals begin again */
    for (int64_t t = 5 * HOUR; t < 300 * HOUR; t += 3 * HOUR)
        assert_true(hush_says(&hush, "a", t, more));
}

static void a_new_cause_each_time_is_no_flood(void **state)
{
    (void)state;
    size_t n = 0;
    for (int64_t t = 0; t < 24 * HOUR; t += SECOND) {
        char cause[32];
        snprintf(cause, sizeof cause, "cause %d", (int)(t / SECOND % 256));
        n += hush_says(&hush, cause, t, more);
    }
    assert_in_range(n, HUSH_CAUSES, HUSH_CAUSES * 4 + HUSH_CAUSES * 24);
}

static void forgotten_is_new(void **state)
{
    (void)state;
    assert_true(hush_says(&hush, "a", 0, more));
    assert_false(hush_says(&hush, "a", 1, more));
    hush_forget(&hush);
    assert_true(hush_says(&hush, "a", 2, more));
    assert_string_equal(more, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(said_when_it_begins_then_at_growing_intervals, setup),
        cmocka_unit_test_setup(tells_how_many_were_kept_back, setup),
        cmocka_unit_test_setup(another_cause_is_said_at_once, setup),
        cmocka_unit_test_setup(what_comes_back_after_a_rest_is_new, setup),
        cmocka_unit_test_setup(a_new_cause_each_time_is_no_flood, setup),
        cmocka_unit_test_setup(forgotten_is_new, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
