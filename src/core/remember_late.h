/* The journal is written before what is remembered. A monitor that was killed in between left a journal that tells of
 * processes the other file does not know. */
#ifndef FM_REMEMBER_LATE_H
#define FM_REMEMBER_LATE_H

#include "base.h"

struct monitor;

/* Makes up for it: takes from the end of the journal which services have a process, where an event after number `since`
 * (the last one that is in what was remembered) says so. For services that something is remembered of. */
void remember_late(struct monitor *m, uint64_t since);

#endif
