/* The running monitor: everything put together on one loop. */
#ifndef FM_DAEMON_H
#define FM_DAEMON_H

#include "confload.h"

/* Runs until SIGTERM or SIGINT, then lets go of the services and returns 0; returns the
 * exit code when it can't start, having said why on stderr. Takes conf over. `in` says
 * where the configuration came from, for reload. */
int daemon_run(struct conf *conf, const struct confload_input *in);

#endif
