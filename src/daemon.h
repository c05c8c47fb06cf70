/* The running monitor: everything put together on one loop. */
#ifndef FM_DAEMON_H
#define FM_DAEMON_H

#include "load.h"

/* To be called before there are other threads: the signals daemon_run looks after wait for it from now on. */
void daemon_hold_signals(void);

/* Runs until it is told to end (shutdown.h), lets go of the services and returns what to exit with; the same when it
 * can't start, having said why on stderr. Takes what is in *world over. `in`
 * says where it came from, for reload. *hangs: a thread of ours waits for a disk that does not answer. The lock and the
 * admin port are free all the same, but exit would wait for it. */
int daemon_run(struct loaded *world, const struct confload_input *in, bool *hangs);

#endif
