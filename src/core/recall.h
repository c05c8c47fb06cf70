/* What happened to services, as far back as it can be told: what memory holds, and before that the journal. */
#ifndef FM_RECALL_H
#define FM_RECALL_H

#include "monitor.h"

/* So much of the end of the journal is looked at for the events of all services, and of a single one: that takes a few
 * milliseconds. */
#define RECALL_BYTES (1024 * 1024)
#define RECALL_BYTES_OF_ONE (4 * 1024 * 1024)

struct recalled;

/* For the moment only: services and their events are those of the opening. */
struct recall {
    const struct monitor *m;
    const struct service *only; /* NULL: all */
    struct buf name;            /* of `only`, as the journal has it */
    struct recalled *list;      /* one for each service, the monitor's own last; NULL: there is no memory for it */
    size_t count;
};

/* Gathers the events of one service (NULL: of all) and those of the monitor. Without memory for that the ones at hand
 * have to do. */
void recall_open(struct recall *r, const struct monitor *m, const struct service *only);
void recall_close(struct recall *r);

/* The events of the service; NULL: the monitor's own. */
const struct event_ring *recall_events(const struct recall *r, const struct service *s);

/* The event with that number, of the service or of the monitor. */
bool recall_find(const struct recall *r, const struct service *s, uint64_t seq, struct event *out);

#endif
