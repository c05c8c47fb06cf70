/* The keys of an env: the table of the configuration reference, in C. */
#ifndef FM_CONFKEYS_H
#define FM_CONFKEYS_H

#include "confcheck.h"

/* Reads the env table on the top of the stack into c->conf, of which path, home
 * and env are set already. */
bool confkeys_read(struct confcheck *c);

#endif
