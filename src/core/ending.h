/* What the end of a process, or a start that failed, is to its service: kept for whoever asks, counted, logged, told as
 * an event. What happens next is service.c's. */
#ifndef FM_ENDING_H
#define FM_ENDING_H

#include "service.h"

/* Its process has ended; `requested`: somebody had asked for it. Returns the number of the event. */
uint64_t ending_record(struct service *s, const struct proc_exit *how, pid_t pid, int64_t uptime_ms, bool requested);

/* A process could not be started. */
uint64_t ending_unstarted(struct service *s, const char *why);

#endif
