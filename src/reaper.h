/* Collects children that are nobody's: as process 1, those that others left behind; after an upgrade, helpers of the
 * program before. The ends of services and of our own helpers stay for those who wait for them. */
#ifndef FM_REAPER_H
#define FM_REAPER_H

#include "monitor.h"

struct uv_loop_s;
struct reaper;

/* Works from now on, whenever a child ends. Borrows the monitor. NULL: no memory. */
struct reaper *reaper_new(struct uv_loop_s *loop, const struct monitor *m);

/* Its memory is given back when the loop has turned. NULL is allowed. */
void reaper_free(struct reaper *r);

#endif
