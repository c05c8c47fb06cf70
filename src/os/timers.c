#include "timers.h"

#include <errno.h>
#include <stdlib.h>

static void put(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i] = t;
    t->place = i + 1;
}

static void sift_up(struct timers *ts, size_t i)
{
    struct timer *t = ts->heap[i];
    for (; i > 0 && t->due_ms < ts->heap[(i - 1) / 2]->due_ms; i = (i - 1) / 2)
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
        if (c + 1 < ts->count && ts->heap[c + 1]->due_ms < ts->heap[c]->due_ms)
            c++;
        if (ts->heap[c]->due_ms >= t->due_ms)
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
    t->due_ms = due_ms;
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
    /* Bounded by what is armed now: timers that arm each other for "at once" wait for the next turn of the loop. */
    for (size_t left = ts->count; left > 0 && ts->count && ts->heap[0]->due_ms <= now_ms; left--) {
        struct timer *t = ts->heap[0];
        timers_clear(ts, t);
        t->fire(t);
    }
}
