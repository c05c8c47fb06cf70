/* The last events of a service, packed. */
#include "event_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The numbers are `count` in a row that end with `last`. */
static void assert_row(const struct event_ring *r, size_t count, uint64_t last)
{
    struct event_walk w = {0};
    assert_int_equal(r->count, count);
    for (uint64_t seq = last - count + 1; event_ring_next(r, &w); seq++, count--)
        assert_int_equal(w.event.seq, seq);
    assert_int_equal(count, 0);
    assert_false(event_ring_next(r, &w));
}

static void the_last_are_kept(void **state)
{
    (void)state;
    struct event_ring r = {.max = EVENT_RING_LARGE};
    struct event e;
    assert_row(&r, 0, 0);
    assert_int_equal(event_ring_first(&r), 0);
    assert_false(event_ring_find(&r, 0, &e));
    for (uint64_t seq = 1; seq <= 500; seq++) {
        size_t kept = (size_t)MIN(seq, (uint64_t)EVENT_RING_MAX);
        event_ring_add(&r, &(struct event){.seq = seq});
        assert_row(&r, kept, seq);
        assert_int_equal(event_ring_first(&r), seq - kept + 1);
        assert_true(event_ring_find(&r, seq, &e) && e.seq == seq);
        assert_true(event_ring_find(&r, seq - kept + 1, &e) && e.seq == seq - kept + 1);
        assert_false(event_ring_find(&r, seq - kept, &e));
        assert_false(event_ring_find(&r, seq + 1, &e));
    }
    event_ring_fini(&r);
    assert_row(&r, 0, 0);
    event_ring_add(&r, &(struct event){.seq = 7});
    assert_row(&r, 1, 7);
    event_ring_fini(&r);
}

static void gaps_are_no_matter(void **state)
{
    (void)state;
    struct event_ring r = {.max = EVENT_RING_LARGE};
    struct event e;
    for (uint64_t seq = 10; seq <= 1000; seq += 10)
        event_ring_add(&r, &(struct event){.seq = seq});
    assert_true(event_ring_find(&r, 1000, &e));
    assert_true(event_ring_find(&r, 500, &e));
    assert_false(event_ring_find(&r, 505, &e));
    assert_false(event_ring_find(&r, 10, &e)); /* gone by now */
    event_ring_fini(&r);
}

/* A service that was started and came up, a crash, a command: twenty bytes each and their texts. */
static void little_takes_little(void **state)
{
    (void)state;
    struct event_ring r = {0};
    event_ring_add(&r, &(struct event){.seq = 100000,
                                       .cause = 3,
                                       .wall_ms = 1767225600123,
                                       .mono_ms = 86400000,
                                       .kind = EVENT_STARTING,
                                       .pid = 123456});
    event_ring_add(&r, &(struct event){.seq = 101000,
                                       .cause = 100000,
                                       .wall_ms = 1767225600423,
                                       .mono_ms = 86400300,
                                       .kind = EVENT_UP,
                                       .pid = 123456});
    assert_true(r.used < 40 && r.cap <= 64);
    event_ring_fini(&r);
}

static bool same(const struct event *a, const struct event *b)
{
    return a->seq == b->seq && a->cause == b->cause && a->wall_ms == b->wall_ms && a->mono_ms == b->mono_ms &&
           a->kind == b->kind && a->pid == b->pid && a->code == b->code && a->signal == b->signal &&
           a->duration_ms == b->duration_ms && a->count == b->count && !strcmp(a->text, b->text);
}

static void every_field_comes_back(void **state)
{
    (void)state;
    static const struct event events[] = {
        {.seq = 1},
        {.seq = 2, .cause = 1, .kind = EVENT_EXIT, .code = -1, .signal = 9, .duration_ms = 5, .count = 6, .pid = 77},
        {.seq = 9, .kind = EVENT_EXIT, .code = 255, .wall_ms = 1767225600123, .mono_ms = 1, .text = "exited"},
        {.seq = 10, .wall_ms = 1767225500000, .mono_ms = 2, .kind = EVENT_MONITOR}, /* the clock was set back */
        {.seq = UINT64_MAX,
         .cause = UINT64_MAX,
         .wall_ms = INT64_MIN,
         .mono_ms = INT64_MAX,
         .pid = -1,
         .code = INT32_MIN,
         .signal = INT32_MIN,
         .duration_ms = INT64_MIN,
         .count = UINT32_MAX},
        {.seq = 11,
         .cause = 12,
         .wall_ms = INT64_MAX,
         .mono_ms = INT64_MIN,
         .pid = INT32_MAX,
         .code = INT32_MAX,
         .duration_ms = INT64_MAX,
         .kind = EVENT_KINDS - 1,
         .text = "x"},
    };
    struct event_ring r = {.max = EVENT_RING_LARGE};
    struct event_walk w = {0};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        event_ring_add(&r, &events[i]);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        assert_true(event_ring_next(&r, &w) && same(&w.event, &events[i]));
    event_ring_fini(&r);
}

/* The longest event there can be still fits into the smallest ring. */
static void the_longest_fits(void **state)
{
    (void)state;
    struct event_ring r = {0};
    struct event e = {.seq = UINT64_MAX,
                      .cause = 1,
                      .wall_ms = INT64_MIN,
                      .mono_ms = INT64_MIN,
                      .pid = INT32_MIN,
                      .kind = EVENT_EXIT,
                      .code = INT32_MIN,
                      .signal = INT32_MIN,
                      .duration_ms = INT64_MIN,
                      .count = UINT32_MAX};
    memset(e.text, 'x', sizeof e.text - 1);
    for (int i = 0; i < 3; i++, e.seq /= 2) {
        struct event_walk w = {0};
        event_ring_add(&r, &e);
        assert_int_equal(r.count, 1);
        assert_true(event_ring_next(&r, &w) && same(&w.event, &e));
    }
    event_ring_fini(&r);
}

static void bytes_are_bounded(void **state)
{
    (void)state;
    static const uint16_t limits[] = {0, 3000, EVENT_RING_LARGE};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct event_ring r = {.max = limits[i]};
        size_t max = limits[i] ? limits[i] : EVENT_RING_SMALL, most = 0;
        for (uint64_t seq = 1; seq <= 500; seq++) {
            struct event e = {.seq = seq};
            memset(e.text, 'x', seq % 7 ? seq % 20 : seq % EVENT_TEXT_SIZE);
            event_ring_add(&r, &e);
            assert_true(r.cap <= max && r.used <= r.cap && r.count >= 1);
            assert_row(&r, r.count, seq);
            most = MAX(most, r.used);
        }
        assert_true(most > max / 2 || r.count == EVENT_RING_MAX);
        event_ring_fini(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_are_kept),   cmocka_unit_test(gaps_are_no_matter),
        cmocka_unit_test(little_takes_little), cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(the_longest_fits),    cmocka_unit_test(bytes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
