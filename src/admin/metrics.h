/* The monitor and its services as Prometheus reads them. */
#ifndef FM_METRICS_H
#define FM_METRICS_H

#include "request.h"

#include <uv.h>

/* `run` of the command metrics. */
void metrics_run(struct request *r);

/* Embedded in who has more to tell than is known here. */
struct metrics_source {
    struct metrics_source *next;
    /* Adds its metrics: metrics_head, then metrics_value for each of its values. */
    void (*add)(struct metrics_source *s, struct buf *b);
};

/* From now on it is asked at each scrape. Borrowed for as long as the admin lives. */
void metrics_add_source(struct admin *admin, struct metrics_source *s);

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE };

/* Begins a metric. Names end in their unit, those of counters in _total. */
void metrics_head(struct buf *b, const char *name, enum metrics_type type, const char *help);

/* A value of it: a whole number, or thousandths. The label may be NULL. */
void metrics_value(struct buf *b, const char *name, const char *label, const char *of, int64_t value);
void metrics_milli(struct buf *b, const char *name, const char *label, const char *of, int64_t thousandths);

/* How long the loop is kept busy in one go, so that whatever happens meanwhile waits. */
struct metrics_lag {
    uv_prepare_t prepare;
    uint64_t turn_ns, idle_ns;     /* when this turn began (0: none yet); what had been idled by then */
    uint64_t cpu_ns;               /* what had been used when this row of turns began, */
    uint64_t row_ns, row_worst_ns; /* and how long it is so far, and its longest turn */
    uint64_t busy_ns;              /* in all */
    uint64_t window_ns;            /* when the current minute began */
    uint64_t worst_ns[2];          /* the longest turn of this minute and of the one before */
    uint64_t worst_cpu_ns[2];      /* the same in processor time of the loop's thread; up to 1 ms too much */
};

/* Begins to measure; before any other prepare handle of the loop is started, and before it runs.
 * The handle is closed with the loop. */
void metrics_lag_start(struct metrics_lag *lag, uv_loop_t *loop);

#endif
