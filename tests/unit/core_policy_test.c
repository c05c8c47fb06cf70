/* The core's own restart policy. */
#include "policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void restarts_for_ever_with_a_pause_between_bursts(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures < 1000; failures++) {
        struct decision d;
        memset(&d, 0x5a, sizeof d);
        policy_core(failures, &d);
        assert_int_equal(d.kind, DECISION_RESTART);
        assert_int_equal(d.delay_ms, failures % 6 == 0 ? 3000 : 0);
        assert_true(d.reason[0]);
        assert_non_null(memchr(d.reason, 0, sizeof d.reason));
    }
}

static void the_first_five_are_restarted_at_once(void **state)
{
    (void)state;
    struct decision d;
    for (unsigned failures = 1; failures <= 5; failures++) {
        policy_core(failures, &d);
        assert_int_equal(d.delay_ms, 0);
    }
    policy_core(6, &d);
    assert_int_equal(d.delay_ms, 3000);
    assert_non_null(strstr(d.reason, "3 s"));
    assert_non_null(strstr(d.reason, "6 failures"));
}

static void no_failure_no_pause(void **state)
{
    (void)state;
    struct decision d;
    policy_core(0, &d);
    assert_int_equal(d.kind, DECISION_RESTART);
    assert_int_equal(d.delay_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restarts_for_ever_with_a_pause_between_bursts),
        cmocka_unit_test(the_first_five_are_restarted_at_once),
        cmocka_unit_test(no_failure_no_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
