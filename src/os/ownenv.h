/* Which environment variables are meant for the monitor itself: what it starts must not see them. */
#ifndef FM_OWNENV_H
#define FM_OWNENV_H

#include "base.h"

/* Is "K=V" (or "K") one of the monitor's own? Those of the service manager that supervises the monitor belong to it
 * too: a service that inherits them would speak in the monitor's name. So does what malloc is told for the monitor
 * (memory.h). */
bool ownenv_has(const char *item);

#endif
