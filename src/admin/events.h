/* The command events, and Server-Sent Events: what happened, from the journal, and what happens.
 *
 * Everybody who follows first reads the journal up to its end, as fast as he takes it; from then
 * on he is told of each event as it is emitted. */
#ifndef FM_EVENTS_H
#define FM_EVENTS_H

#include "request.h"

/* Its `run`. Arguments: kind, since, lines, follow. With the format FORMAT_SSE it follows. */
void events_run(struct request *r);

#endif
