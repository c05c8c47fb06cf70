/* -h, -help NAME and -man. */
#ifndef FM_HELP_H
#define FM_HELP_H

#include "options.h"

/* Prints it; the exit code. */
int help(const struct options *o);
int help_manual(void);

#endif
