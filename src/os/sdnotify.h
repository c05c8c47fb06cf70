/* Tells the service manager that started us how we are: the protocol of sd_notify(3), datagrams to $NOTIFY_SOCKET.
 * All calls may be given NULL, and then do nothing. */
#ifndef FM_SDNOTIFY_H
#define FM_SDNOTIFY_H

#include "base.h"

struct uv_loop_s;
struct sdnotify;

/* Who is to be told, from NOTIFY_SOCKET (a path, or an abstract name after "@"). When the manager asks for it
 * (WATCHDOG_USEC, and WATCHDOG_PID is ours or missing), "WATCHDOG=1" follows twice in that time for as long as the loop
 * turns. The variables stay: ownenv.h keeps them from what we start. NULL: there is nobody, or no memory. */
struct sdnotify *sdnotify_new(struct uv_loop_s *loop);

/* Its memory is given back when the loop has turned. */
void sdnotify_free(struct sdnotify *s);

/* Sends lines of KEY=VALUE, such as "READY=1\nSTATUS=all is well". Never waits: what the manager has no room for is
 * sent again a little later, in order. Trouble is logged once. */
void sdnotify_tell(struct sdnotify *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "RELOADING=1", to be followed by "READY=1". */
void sdnotify_reloading(struct sdnotify *s);

#endif
