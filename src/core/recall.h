/* What happened before this monitor was started, from its journal. */
#ifndef FM_RECALL_H
#define FM_RECALL_H

#include "monitor.h"

/* No more than this is read of the end of the journal. */
#define RECALL_BYTES (1024 * 1024)

/* Puts the events of former monitors into the rings of the services, before those that are there. Once: later calls do
 * nothing. It takes some milliseconds, so it is left until somebody asks what happened. */
void recall(struct monitor *m);

#endif
