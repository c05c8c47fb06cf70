/* The commands of the core: status, start, stop, restart, grestart, history, why,
 * reload, version, help. */
#ifndef FM_BUILTIN_H
#define FM_BUILTIN_H

#include "request.h"

/* The table of them, ended by one without a name. */
extern const struct command builtin_commands[];

#endif
