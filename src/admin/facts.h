/* What /proc tells of the processes of all services. Read by threads, as it takes some
 * microseconds for each, and kept for a second. */
#ifndef FM_FACTS_H
#define FM_FACTS_H

#include "command.h"

#define FACTS_FRESH_MS 1000

struct fact {
    pid_t pid;            /* of whom; 0: there was no process */
    uint64_t start_ticks; /* 0: not asked for when it was started */
    bool known;           /* false: it could not be read */
    int64_t cpu_ms, rss_kib;
    int fds; /* -1: not to be seen */
};

/* Embedded in who asks. */
struct facts_wait {
    struct facts_wait *next;
    /* `facts`, in the order of the monitor's services, are valid during the call; NULL: no memory. */
    void (*ready)(struct facts_wait *w, const struct fact *facts);
};

/* Asks for them: `ready` is called once, maybe at once. */
void facts_ask(struct admin *admin, struct facts_wait *w);

/* Takes that back; does nothing when it was called. */
void facts_forget(struct admin *admin, struct facts_wait *w);

/* When the admin ends; nobody asks any more. */
void facts_free(struct admin *admin);

#endif
