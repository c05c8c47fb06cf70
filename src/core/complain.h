/* A service's troubles as lines in the monitor's own log: each cause when it appears,
 * then a reminder at growing intervals (hush), however often it comes. A command that
 * somebody gives makes all of them new. */
#ifndef FM_COMPLAIN_H
#define FM_COMPLAIN_H

#include "service.h"

/* Its process ended though nobody asked for it; last_exit tells how. */
void complain_end(struct service *s);

/* It could not be started. */
void complain_start(struct service *s, const char *why);

/* Its log can't be opened, so that it was started without one. */
void complain_log(struct service *s, const char *why);

/* It waits delay_ms before the next try. Said once there were more than POLICY_BURST
 * failures in a row. */
void complain_row(struct service *s, int64_t delay_ms);

/* A policy has given it up, for that reason: it needs a person. */
void complain_given_up(struct service *s, const char *reason);

/* It has been up for long enough after that: said once. Cheap when there is nothing to say. */
void complain_over(struct service *s);

/* `count` processes that an earlier instance had left behind were killed, this one among them. */
void complain_left(struct service *s, size_t count, const struct procfs_entry *e);

/* Its process is there so many seconds after SIGKILL. An event too. */
void complain_hangs(struct service *s, int seconds);

#endif
