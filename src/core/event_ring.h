/* The last events of one owner, packed: what an idle service remembers takes some tens of bytes. */
#ifndef FM_EVENT_RING_H
#define FM_EVENT_RING_H

#include "event.h"

/* What comes one after the other differs little in these: only the difference is stored. */
struct event_stamp {
    uint64_t seq;
    int64_t wall_ms, mono_ms;
};

/* Oldest first. Grows up to EVENT_RING_MAX events or `max` bytes, then the oldest go. When memory runs out it stops
 * growing. A zeroed one is empty. */
#define EVENT_RING_MAX 64
#define EVENT_RING_SMALL 512  /* beside a journal, which has the rest (recall); the longest event takes less */
#define EVENT_RING_LARGE 8192 /* where there is nothing else */
struct event_ring {
    unsigned char *data;
    uint16_t cap, used, count;
    uint16_t max;                    /* bytes; 0: EVENT_RING_SMALL. The owner's to set */
    struct event_stamp before, last; /* of the event in front of the oldest, and of the newest */
};

void event_ring_fini(struct event_ring *r);

/* Puts a finished event (seq set) into the ring. */
void event_ring_add(struct event_ring *r, const struct event *e);

/* A walk through a ring that nothing is added to meanwhile; begins zeroed. */
struct event_walk {
    size_t at;
    struct event event;
};

/* The next one into w->event, the oldest first; false past the last. */
bool event_ring_next(const struct event_ring *r, struct event_walk *w);

/* The number of its oldest event; 0: it is empty. */
uint64_t event_ring_first(const struct event_ring *r);

/* The event with that number; false when it is not (or no more) in the ring. */
bool event_ring_find(const struct event_ring *r, uint64_t seq, struct event *out);

#endif
