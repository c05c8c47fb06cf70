/* Who was refused: counted, logged once per client and minute, slowed down. */
#include "refusals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE 60000
#define LONGEST 2000

static struct refusals rf;
static unsigned skipped;

static int setup(void **state)
{
    (void)state;
    rf = (struct refusals){0};
    skipped = 99;
    return 0;
}

static bool note(const char *client, int64_t now)
{
    return refusals_note(&rf, client, REFUSAL_WRONG_TOKEN, now, &skipped);
}

/* How long that one's answer is held back; it is let go at once. */
static int64_t delay(const char *client)
{
    struct refusals_client *held = NULL;
    int64_t ms = refusals_hold(&rf, client, LONGEST, &held);
    if (ms)
        refusals_release(&rf, held);
    return ms;
}

static void is_counted_by_reason(void **state)
{
    (void)state;
    for (int i = 0; i < REFUSALS; i++) {
        for (int n = 0; n <= i; n++)
            refusals_note(&rf, "10.0.0.1", (enum refusal)i, 1000, &skipped);
        assert_int_equal(rf.counts[i], i + 1);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(refusals_name((enum refusal)i), refusals_name((enum refusal)k));
    }
}

static void is_said_once_a_minute(void **state)
{
    (void)state;
    assert_true(note("10.0.0.1", 1000));
    assert_int_equal(skipped, 0);
    for (int i = 0; i < 5; i++)
        assert_false(note("10.0.0.1", 2000 + i));
    assert_false(note("10.0.0.1", 1000 + MINUTE - 1));
    assert_true(note("10.0.0.1", 1000 + MINUTE));
    assert_int_equal(skipped, 6);
    assert_false(note("10.0.0.1", 1001 + MINUTE));
    assert_true(note("10.0.0.1", 1000 + 2 * MINUTE));
    assert_int_equal(skipped, 1);
}

static void is_said_of_each_client(void **state)
{
    (void)state;
    assert_true(note("10.0.0.1", 1000));
    assert_true(note("10.0.0.2", 1000));
    assert_false(note("10.0.0.1", 1001));
    assert_false(note("10.0.0.2", 1001));
}

static void many_clients_fill_no_log(void **state)
{
    (void)state;
    int said = 0;
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < 4 * REFUSALS_CLIENTS; i++) {
            char client[32];
            snprintf(client, sizeof client, "net %d", i);
            said += note(client, 1000 + turn);
        }
    assert_int_equal(said, REFUSALS_CLIENTS + 1);
    /* A minute later they are forgotten. */
    assert_true(note("net x", 2000 + MINUTE));
    assert_int_equal(skipped, 0);
}

static void is_slowed_down_more_and_more(void **state)
{
    (void)state;
    static const int64_t expected[] = {0, 0, 0, 100, 200, 400, 800, 1600, LONGEST, LONGEST};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        note("10.0.0.1", 1000);
        assert_int_equal(delay("10.0.0.1"), expected[i]);
    }
    for (int i = 0; i < 200; i++)
        note("10.0.0.1", 1000);
    assert_int_equal(delay("10.0.0.1"), LONGEST);
    note("10.0.0.2", 1000);
    assert_int_equal(delay("10.0.0.2"), 0);
    /* Forgotten after a minute without one. */
    note("10.0.0.1", 1000 + MINUTE);
    assert_int_equal(delay("10.0.0.1"), 0);
}

static void nothing_is_held_where_that_is_switched_off(void **state)
{
    (void)state;
    struct refusals_client *held;
    for (int i = 0; i < 100; i++)
        note("10.0.0.1", 1000);
    assert_int_equal(refusals_hold(&rf, "10.0.0.1", 0, &held), 0);
    assert_int_equal(rf.held, 0);
}

static void no_more_than_so_many_are_held(void **state)
{
    (void)state;
    struct refusals_client *held[REFUSALS_HELD];
    unsigned n = 0;
    for (int client = 0; n < REFUSALS_HELD; client++) {
        char name[32];
        snprintf(name, sizeof name, "10.0.0.%d", client);
        for (int i = 0; i < REFUSALS_FREE; i++)
            note(name, 1000);
        for (int i = 0; i < REFUSALS_HELD_CLIENT; i++) {
            note(name, 1000);
            assert_false(refusals_is_shut(&rf, name, 1000));
            assert_true(refusals_hold(&rf, name, LONGEST, &held[n++]) > 0);
        }
        note(name, 1000);
        assert_int_equal(delay(name), 0);
        assert_true(refusals_is_shut(&rf, name, 1000));
        assert_true(refusals_is_shut(&rf, name, 1000 + 10 * MINUTE));
    }
    assert_int_equal(rf.held, REFUSALS_HELD);
    /* There is no room for others: those that have tried wrong ones are shut out, nobody else. */
    for (int i = 0; i < REFUSALS_FREE; i++)
        note("10.9.9.9", 1000);
    assert_false(refusals_is_shut(&rf, "10.9.9.9", 1000));
    assert_false(refusals_is_shut(&rf, "10.9.9.8", 1000));
    note("10.9.9.9", 1000);
    assert_int_equal(delay("10.9.9.9"), 0);
    assert_true(refusals_is_shut(&rf, "10.9.9.9", 1000));
    assert_false(refusals_is_shut(&rf, "10.9.9.9", 1000 + MINUTE));
    while (n > 0)
        refusals_release(&rf, held[--n]);
    assert_int_equal(rf.held, 0);
    assert_false(refusals_is_shut(&rf, "10.0.0.0", 1000));
}

/* Only wrong tokens shut their own client out: a page in a browser of this host can't do that to its user. */
static void pages_of_other_sites_shut_nobody_out(void **state)
{
    (void)state;
    struct refusals_client *held[REFUSALS_HELD_CLIENT];
    for (int i = 0; i < REFUSALS_FREE; i++)
        refusals_note(&rf, "uid 0", REFUSAL_CROSS_SITE, 1000, &skipped);
    for (int i = 0; i < REFUSALS_HELD_CLIENT; i++) {
        refusals_note(&rf, "uid 0", REFUSAL_CROSS_SITE, 1000, &skipped);
        assert_true(refusals_hold(&rf, "uid 0", LONGEST, &held[i]) > 0);
    }
    assert_false(refusals_is_shut(&rf, "uid 0", 1000));
}

static void one_that_is_held_is_not_forgotten(void **state)
{
    (void)state;
    struct refusals_client *held = NULL;
    for (int i = 0; i <= REFUSALS_FREE; i++)
        note("10.0.0.1", 1000);
    assert_true(refusals_hold(&rf, "10.0.0.1", LONGEST, &held) > 0);
    for (int i = 0; i < 2 * REFUSALS_CLIENTS; i++) {
        char client[32];
        snprintf(client, sizeof client, "net %d", i);
        note(client, 1000 + 10 * MINUTE);
    }
    assert_string_equal(held->name, "10.0.0.1");
    refusals_release(&rf, held);
    assert_int_equal(rf.held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_counted_by_reason, setup),
        cmocka_unit_test_setup(is_said_once_a_minute, setup),
        cmocka_unit_test_setup(is_said_of_each_client, setup),
        cmocka_unit_test_setup(many_clients_fill_no_log, setup),
        cmocka_unit_test_setup(is_slowed_down_more_and_more, setup),
        cmocka_unit_test_setup(nothing_is_held_where_that_is_switched_off, setup),
        cmocka_unit_test_setup(no_more_than_so_many_are_held, setup),
        cmocka_unit_test_setup(pages_of_other_sites_shut_nobody_out, setup),
        cmocka_unit_test_setup(one_that_is_held_is_not_forgotten, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
