/* -check: judges the configuration and the scripts, starts nothing. */
#ifndef FM_CHECK_H
#define FM_CHECK_H

#include "options.h"

/* Prints what holds, or what is wrong; the exit code. */
int check(const struct options *o);

#endif
