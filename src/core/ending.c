#include "ending.h"

#include "complain.h"
#include "monitor.h"

#include <stdlib.h>

#define TAIL_LINES 20
#define TAIL_BYTES 4096

/* Only what came since its start; all, when the file has become shorter since. */
static void keep_tail(struct service *s)
{
    struct world *w = s->mon->world;
    char *path = launch_log_path(s->mon->conf, s->conf);
    int64_t own = path ? w->ops->log_size(w, path) : 0;
    if (own >= s->log_start)
        own -= s->log_start;
    if (own > 0)
        s->last_exit.tail = w->ops->tail(w, path, TAIL_LINES, (size_t)MIN(own, TAIL_BYTES));
    free(path);
}

/* Counts a failure in a row; one that was up for long enough begins a new row. */
static void count_failure(struct service *s, int64_t uptime_ms)
{
    s->failures = uptime_ms >= POLICY_STABLE_MS ? 1 : s->failures + 1;
}

uint64_t ending_record(struct service *s, const struct proc_exit *how, pid_t pid, int64_t uptime_ms, bool requested)
{
    struct world *w = s->mon->world;
    struct service_exit *x = &s->last_exit;
    lastexit_ended(x, how, pid, uptime_ms, w->ops->wall_ms(w), requested);
    if (!requested) {
        count_failure(s, uptime_ms);
        if (!how->known || how->signal || how->code)
            keep_tail(s);
        complain_end(s);
    }
    struct event e = {.kind = EVENT_EXIT,
                      .cause = s->state_seq,
                      .pid = pid,
                      .code = how->known ? how->code : -1,
                      .signal = how->signal,
                      .duration_ms = uptime_ms,
                      .count = requested ? 0 : s->failures};
    event_text(&e, "%s", x->reason ? x->reason : "");
    return monitor_emit(s->mon, s, &e);
}

uint64_t ending_unstarted(struct service *s, const char *why)
{
    struct world *w = s->mon->world;
    lastexit_unstarted(&s->last_exit, why, w->ops->wall_ms(w));
    count_failure(s, 0);
    struct event e = {.kind = EVENT_SPAWN_FAIL, .cause = s->spawn_cause, .count = s->failures};
    event_text(&e, "%s", why);
    uint64_t seq = monitor_emit(s->mon, s, &e);
    complain_start(s, why);
    return seq;
}
