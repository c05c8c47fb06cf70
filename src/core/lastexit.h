/* How a service's last process ended, or why it could not be started: kept until the next
 * end, for status, -why and whoever waits. */
#ifndef FM_LASTEXIT_H
#define FM_LASTEXIT_H

#include "buf.h"
#include "proc.h"

struct service_exit {
    bool valid;   /* false: it has not ended yet */
    bool started; /* false: it could not even be started; only reason, wall_ms are set */
    struct proc_exit how;
    pid_t pid;
    int64_t uptime_ms;
    int64_t wall_ms;
    bool requested; /* somebody had asked for it */
    char *reason;   /* "exited with code 3 after 0.2 s"; may be NULL (no memory) */
    char *tail;     /* the last lines of its console before an abnormal end, each ended by a newline; or NULL */
};

/* Replaces what *x held: a process ended; `requested`: somebody had asked for it. */
void lastexit_ended(struct service_exit *x, const struct proc_exit *how, pid_t pid, int64_t uptime_ms, int64_t wall_ms,
                    bool requested);

/* The same: a process could not be started. */
void lastexit_unstarted(struct service_exit *x, const char *why, int64_t wall_ms);

/* Adds in one line what a person wants to hear first: the reason, and the last thing the service said. */
void lastexit_say(struct buf *b, const struct service_exit *x);

void lastexit_fini(struct service_exit *x);

#endif
