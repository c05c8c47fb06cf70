/* The regular look at the services' processes: is each still there? For ends that nobody told of. */
#ifndef FM_PROBE_H
#define FM_PROBE_H

#include "monitor.h"
#include "service.h"

/* Looks at its process, if it has one; an end has all its consequences. */
void probe_service(struct service *s);

/* The same for all of the monitor's, in the way its configuration wants it, and for those that were removed. */
void probe_all(struct monitor *m);

#endif
