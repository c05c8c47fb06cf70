/* The command log: the end of console logs, read by a thread, and what comes after it. */
#ifndef FM_LOGS_H
#define FM_LOGS_H

#include "request.h"

/* Its `run`. Arguments: lines, follow. */
void logs_run(struct request *r);

#endif
