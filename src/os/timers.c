#include "timers.h"

#include <errno.h>
#include <stdlib.h>

/* Numbers wrap around: only their distance counts. */
static bool is_later(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : is_later(b->order, a->order);
}

static void put(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->place = (uint32_t)i + 1;
}

static void sift_up(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    for (; i > 0 && is_before(t, ts->heap[(i - 1) / 2]); i = (i - 1) / 2)
        put(ts, i, ts->heap[(i - 1) / 2]);
    put(ts, i, t);
}

static void sift_down(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= ts->count)
            break;
        if (c + 1 < ts->count && is_before(ts->heap[c + 1], ts->heap[c]))
            c++;
        if (is_before(t, ts->heap[c]))
            break;
        put(ts, i, ts->heap[c]);
        i = c;
    }
    put(ts, i, t);
}

void timers_fini(struct timers *ts)
{
    for (size_t i = 0; i < ts->count; i++)
        ts->heap[i]->place = 0;
    free(ts->heap);
    *ts = (struct timers){0};
}

int timers_reserve(struct timers *ts, size_t n)
{
    if (n <= ts->cap)
        return 0;
    size_t cap = MAX(n, ts->cap ? ts->cap * 2 : 16);
    struct timer **heap = realloc(ts->heap, cap * sizeof(struct timer *));
    if (!heap)
        return -ENOMEM;
    ts->heap = heap;
    ts->cap = cap;
    return 0;
}

int timers_set(struct timers *ts, struct timer *t, int64_t due_ms)
{
    timers_clear(ts, t);
    if (timers_reserve(ts, ts->count + 1))
        return -ENOMEM;
    t->due_ms = MAX(due_ms, ts->now_ms);
    t->order = ++ts->order;
    ts->heap[ts->count++] = t;
    sift_up(ts, ts->count - 1);
    return 0;
}

void timers_clear(struct timers *ts, struct timer *t)
{
    if (!t->place)
        return;
    size_t i = t->place - 1;
    t->place = 0;
    struct timer *last = ts->heap[--ts->count];
    if (last == t)
        return;
    put(ts, i, last);
    sift_up(ts, i);
    sift_down(ts, last->place - 1);
}

int64_t timers_next(const struct timers *ts)
{
    return ts->count ? ts->heap[0]->due_ms : -1;
}

void timers_run(struct timers *ts, int64_t now_ms)
{
    uint32_t last = ts->order;
    ts->now_ms = now_ms;
    while (ts->count && ts->heap[0]->due_ms <= now_ms && !is_later(ts->heap[0]->order, last)) {
        struct timer *t = ts->heap[0];
        timers_clear(ts, t);
        t->fire(t);
    }
}
