/* The console logs of all services: which files there are, and when their lines move on.
 *
 * Lines move to the file of their day when the local date changes, and before that when a log has
 * grown past `log.max_size`. Whether a midnight was missed is found out at the start, before any
 * service is started. What the clock or the time zone do in between makes no difference: whenever
 * the date is another one than before, in whichever direction, what was written under the old one
 * belongs to it.
 *
 * All that touches files is done off the loop (world work); two rotations at most at a time, and
 * what is to move is settled for all logs at once when the date changes, however long it takes to
 * move it. What fails becomes an event of the services that log there, and is tried again. */
#ifndef FM_CONSOLES_H
#define FM_CONSOLES_H

#include "base.h"

struct monitor;
struct consoles;

/* Since the start of the monitor. */
struct consoles_counts {
    uint64_t rotations, bytes;
    uint64_t failures; /* rotations that did not come about, each try */
    uint64_t emptied;  /* files emptied in a way that may have lost a line (see console_rotate.h) */
};

/* Knows no log yet. Where conf has no rundir (simulations) it never touches one. NULL when memory
 * ran out. */
struct consoles *consoles_new(struct monitor *m);
void consoles_free(struct consoles *l);

/* Takes the logs from the monitor's services and configuration; to be called when those have
 * changed. 0, or -ENOMEM: then it knows what it knew before. */
int consoles_index(struct consoles *l);

/* Looks at all logs; when that is done (or takes too long) calls `looked`, once. */
void consoles_start(struct consoles *l, void (*looked)(struct monitor *m));

const struct consoles_counts *consoles_counts(const struct consoles *l);

#endif
