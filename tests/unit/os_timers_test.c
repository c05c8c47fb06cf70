/* Timers: they fire in due order, may be moved and disarmed at any time, from anywhere. */
#include "timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 500

struct alarm {
    struct timer timer;
    struct timers *timers;
    int id, fired;
    int64_t again_ms;      /* arms itself anew for then */
    struct alarm *disarms; /* another one that must not fire any more */
};

static int order[COUNT * 2], nfired;

static void fire(struct timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
    assert_int_equal(t->place, 0);
    a->fired++;
    order[nfired++ % (COUNT * 2)] = a->id;
    if (a->again_ms)
        assert_int_equal(timers_set(a->timers, t, a->again_ms), 0);
    if (a->disarms)
        timers_clear(a->timers, &a->disarms->timer);
}

static int setup(void **state)
{
    (void)state;
    nfired = 0;
    return 0;
}

static struct alarm alarm_of(struct timers *ts, int id)
{
    return (struct alarm){.timer.fire = fire, .timers = ts, .id = id};
}

static void nothing_is_armed_at_first(void **state)
{
    (void)state;
    struct timers ts = {0};
    assert_int_equal(timers_next(&ts), -1);
    timers_run(&ts, INT64_MAX);
    struct alarm a = alarm_of(&ts, 0);
    timers_clear(&ts, &a.timer);
    assert_int_equal(timers_next(&ts), -1);
    timers_fini(&ts);
}

static void fires_what_is_due_and_nothing_else(void **state)
{
    (void)state;
    struct timers ts = {0};
    struct alarm a = alarm_of(&ts, 1), b = alarm_of(&ts, 2);
    timers_set(&ts, &a.timer, 100);
    timers_set(&ts, &b.timer, 101);
    assert_int_equal(timers_next(&ts), 100);
    timers_run(&ts, 99);
    assert_int_equal(nfired, 0);
    timers_run(&ts, 100);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
    assert_int_equal(timers_next(&ts), 101);
    timers_run(&ts, 1000);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1);
    assert_int_equal(timers_next(&ts), -1);
    timers_fini(&ts);
}

/* Against a plain array: arming, moving and disarming at random. */
static void agrees_with_a_plain_list(void **state)
{
    (void)state;
    static struct alarm alarms[COUNT];
    static int64_t due[COUNT]; /* -1: not armed */
    struct timers ts = {0};
    unsigned seed = 12345;
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = alarm_of(&ts, i);
        due[i] = -1;
    }
    int64_t now = 0;
    for (int round = 0; round < 20000; round++) {
        int i = rand_r(&seed) % COUNT;
        int what = rand_r(&seed) % 10;
        if (what < 6) {
            due[i] = now + rand_r(&seed) % 50;
            assert_int_equal(timers_set(&ts, &alarms[i].timer, due[i]), 0);
        } else if (what < 8) {
            timers_clear(&ts, &alarms[i].timer);
            due[i] = -1;
        } else {
            now += rand_r(&seed) % 5;
            nfired = 0;
            timers_run(&ts, now);
            for (int k = 0; k < nfired; k++) {
                assert_true(due[order[k]] >= 0 && due[order[k]] <= now);
                assert_true(k == 0 || due[order[k - 1]] <= due[order[k]]);
            }
            for (int k = 0; k < nfired; k++)
                due[order[k]] = -1;
        }
        int64_t next = -1;
        for (int k = 0; k < COUNT; k++) {
            assert_true(due[k] < 0 || due[k] > now || what < 8); /* all that was due has fired */
            if (due[k] >= 0 && (next < 0 || due[k] < next))
                next = due[k];
            assert_int_equal(alarms[k].timer.place != 0, due[k] >= 0);
        }
        assert_int_equal(timers_next(&ts), next);
    }
    timers_fini(&ts);
}

static void moving_takes_the_place_of_arming(void **state)
{
    (void)state;
    struct timers ts = {0};
    struct alarm a = alarm_of(&ts, 1);
    timers_set(&ts, &a.timer, 10);
    timers_set(&ts, &a.timer, 30);
    assert_int_equal(ts.count, 1);
    timers_run(&ts, 20);
    assert_int_equal(a.fired, 0);
    timers_set(&ts, &a.timer, 5);
    timers_run(&ts, 20);
    assert_int_equal(a.fired, 1);
    timers_fini(&ts);
}

static void may_arm_itself_and_disarm_others_while_firing(void **state)
{
    (void)state;
    struct timers ts = {0};
    struct alarm a = alarm_of(&ts, 1), b = alarm_of(&ts, 2), c = alarm_of(&ts, 3);
    a.disarms = &b;
    a.again_ms = 200;
    timers_set(&ts, &a.timer, 10);
    timers_set(&ts, &b.timer, 10);
    timers_set(&ts, &c.timer, 11);
    timers_run(&ts, 50);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0); /* of two due at once the one that was armed first is first */
    assert_int_equal(c.fired, 1);
    assert_int_equal(timers_next(&ts), 200);
    timers_fini(&ts);
}

static void one_that_arms_itself_for_at_once_does_not_hold_up_the_run(void **state)
{
    (void)state;
    struct timers ts = {0};
    struct alarm a = alarm_of(&ts, 1), b = alarm_of(&ts, 2);
    a.again_ms = 10;
    timers_set(&ts, &a.timer, 10);
    timers_set(&ts, &b.timer, 20);
    timers_run(&ts, 50);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1);
    assert_int_equal(timers_next(&ts), 50); /* at once */
    timers_run(&ts, 50);
    assert_int_equal(a.fired, 2);
    timers_fini(&ts);
}

static void those_due_at_the_same_time_fire_as_they_were_armed(void **state)
{
    (void)state;
    static struct alarm alarms[COUNT];
    struct timers ts = {.order = UINT32_MAX - COUNT / 2}; /* the numbers begin anew in between */
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = alarm_of(&ts, i);
        timers_set(&ts, &alarms[i].timer, 10);
    }
    timers_set(&ts, &alarms[3].timer, 10);
    timers_run(&ts, 10);
    assert_int_equal(nfired, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(order[i], i < 3 ? i : i < COUNT - 1 ? i + 1 : 3);
    timers_fini(&ts);
}

static void reserved_room_is_enough(void **state)
{
    (void)state;
    static struct alarm alarms[COUNT];
    struct timers ts = {0};
    assert_int_equal(timers_reserve(&ts, COUNT), 0);
    struct timer **heap = ts.heap;
    for (int i = 0; i < COUNT; i++) {
        alarms[i] = alarm_of(&ts, i);
        assert_int_equal(timers_set(&ts, &alarms[i].timer, COUNT - i), 0);
    }
    assert_ptr_equal(ts.heap, heap); /* nothing was allocated meanwhile */
    timers_run(&ts, COUNT);
    assert_int_equal(nfired, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(order[i], COUNT - 1 - i);
    timers_fini(&ts);
}

static void fini_disarms(void **state)
{
    (void)state;
    struct timers ts = {0};
    struct alarm a = alarm_of(&ts, 1);
    timers_set(&ts, &a.timer, 10);
    timers_fini(&ts);
    assert_int_equal(a.timer.place, 0);
    timers_clear(&ts, &a.timer);
    assert_int_equal(timers_next(&ts), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_armed_at_first, setup),
        cmocka_unit_test_setup(fires_what_is_due_and_nothing_else, setup),
        cmocka_unit_test_setup(agrees_with_a_plain_list, setup),
        cmocka_unit_test_setup(moving_takes_the_place_of_arming, setup),
        cmocka_unit_test_setup(may_arm_itself_and_disarm_others_while_firing, setup),
        cmocka_unit_test_setup(one_that_arms_itself_for_at_once_does_not_hold_up_the_run, setup),
        cmocka_unit_test_setup(those_due_at_the_same_time_fire_as_they_were_armed, setup),
        cmocka_unit_test_setup(reserved_room_is_enough, setup),
        cmocka_unit_test_setup(fini_disarms, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
