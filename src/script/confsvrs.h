/* The `svrs` of an env: each service, typed and judged. */
#ifndef FM_CONFSVRS_H
#define FM_CONFSVRS_H

#include "confcheck.h"

/* Reads the object on the top of the stack into the services of a struct conf
 * whose other members are complete. Adds a line to c->warnings for each service
 * whose executable cannot be executed. */
bool confsvrs_read(struct confcheck *c, void *base);

/* Judges shell statements: a `check` for the environ of the env and of a service. */
bool confsvrs_check_environ(struct confcheck *c, void *base, char **text);

#endif
