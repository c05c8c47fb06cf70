/* What the monitor remembers over its own death: RUNDIR/ENV.state.jsonl.
 *
 * Lines (remember_line.h) of what has changed are appended once a turn of the loop; when they are several times what
 * all services together take, the file is written anew beside the old one and renamed. So a kill at any moment leaves
 * it readable, but for a line that it may end within. Nothing is synced to the disk: after the death of the host the
 * file is of little use anyway. */
#ifndef FM_REMEMBER_H
#define FM_REMEMBER_H

#include "buf.h"
#include "event.h"

struct monitor;
struct service;
struct remembered;

struct remember {
    char *path;              /* NULL: nothing is remembered */
    int fd;                  /* -1: not open */
    int64_t size, whole;     /* of the file; and what it was when it was last written as a whole */
    struct service *touched; /* those that something has changed of, linked by next_touched */
    struct buf text;         /* lines to append that are no service's */
    bool anew;               /* it has to be written as a whole */
    bool complaining;        /* that it can't be written was reported */
    int64_t retry_ms;
};

/* Nothing is read yet. 0 or -ENOMEM. */
int remember_init(struct remember *r, const char *rundir, const char *env);
void remember_fini(struct remember *r);

/* Reads the file: what is known of a service goes into its `was` and `last_exit`. What can't be read is logged, with
 * its line, and passed over. */
void remember_load(struct monitor *m);

/* For the next program that this process runs: how all services stand, and by what descriptors their processes are
 * held, which must stay open then. */
void remember_hand_over(const struct monitor *m, struct buf *out);
/* The other side, instead of remember_load: services that have a process hold it again. */
void remember_take_over(struct monitor *m, const char *text, size_t len);

/* Something has changed of the service: it is written down before the loop waits. */
void remember_touch(struct service *s);

/* An event of the service: it is touched. */
void remember_event(struct service *s, enum event_kind kind);

/* The service is about to be freed. `for_good`: because it is configured no more. */
void remember_drop(struct service *s, bool for_good);

/* From now on what was wanted counts no more: the next monitor starts what is to be started by itself. */
void remember_afresh(struct monitor *m);

/* How the service stands; false: there is nothing to remember of it. */
bool remember_state(const struct service *s, struct remembered *out);

/* Writes down what has changed. Called by monitor_flush. */
void remember_flush(struct monitor *m);

#endif
