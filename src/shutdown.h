/* How the monitor ends: alone, or together with all its services, which are stopped side by side then, each within its
 * own timeout, before the loop is.
 *
 * SIGTERM and SIGINT end it alone, and the services go on; on a terminal a second SIGINT right behind the first stops
 * them too. As process 1 both do: what runs beside process 1 ends with it anyway. There it also hands on other signals
 * to the essential services. */
#ifndef FM_SHUTDOWN_H
#define FM_SHUTDOWN_H

#include "monitor.h"
#include "sdnotify.h"

#include <uv.h>

struct shutdown {
    uv_loop_t *loop;
    struct monitor *mon;
    struct sdnotify *manager;
    uv_timer_t pause; /* between a SIGINT and what follows from it */
    bool on;
    int code; /* what the monitor shall exit with */
    char why[EVENT_TEXT_SIZE];
    uint64_t cause; /* the event of its beginning */
    struct monitor_work work;
    size_t next;      /* service to be told */
    bool told;        /* all were */
    int64_t until_ms; /* who runs then can't be stopped */
};

/* Not under way. All borrowed; its timer is closed by whoever closes the loop. */
void shutdown_init(struct shutdown *sd, uv_loop_t *loop, struct monitor *m, struct sdnotify *manager);

/* The signals it is about; how many. */
size_t shutdown_signals(const int **list);
/* One of them has come. */
void shutdown_on_signal(struct shutdown *sd, int signum);

/* Begins, unless it is under way. `why` is a sentence; `cause` the event that led to it, 0: none. */
void shutdown_begin(struct shutdown *sd, const char *why, uint64_t cause, int code);

/* To be called before the loop waits: ends it when all is done. */
void shutdown_turn(struct shutdown *sd);

#endif
