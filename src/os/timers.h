/* One-shot timers in due order, over whatever clock the caller has: the loop drives
 * them with a single timer of its own, a simulation by jumping from one to the next. */
#ifndef FM_TIMERS_H
#define FM_TIMERS_H

#include "base.h"

/* Embedded in its owner. A zeroed struct with `fire` set is a timer that is not armed. */
struct timer {
    int64_t due_ms;
    uint32_t place; /* 1 + index in the heap; 0: not armed */
    uint32_t order; /* of two that are due at the same time the one that was armed first fires first */
    void (*fire)(struct timer *t);
};

struct timers {
    struct timer **heap;
    size_t count, cap;
    uint32_t order; /* of the last one armed */
    int64_t now_ms; /* of the last run: what should have fired before is due then */
};

void timers_fini(struct timers *ts);

/* Makes room for n timers, so that timer_set can't fail. 0 or -ENOMEM. */
int timers_reserve(struct timers *ts, size_t n);

/* Arms (or moves) a timer. 0 or -ENOMEM when there is no room and none to be had. */
int timers_set(struct timers *ts, struct timer *t, int64_t due_ms);

/* Disarms; does nothing to one that is not armed. */
void timers_clear(struct timers *ts, struct timer *t);

/* When the next one is due, or -1 when none is armed. */
int64_t timers_next(const struct timers *ts);

/* Fires all that are due at now_ms, in due order; each is disarmed before it fires
 * and may arm itself again. What is armed meanwhile waits for the next run, even when
 * it is due at once: so who arms itself for "now" lets the loop turn to other things. */
void timers_run(struct timers *ts, int64_t now_ms);

#endif
