/* One console log that is followed for a request: read whenever it may have changed, and no
 * faster than the client takes it. */
#ifndef FM_LOGTAIL_H
#define FM_LOGTAIL_H

#include "console_read.h"
#include "request.h"

struct filewatch;

struct logtail {
    char *name, *path;
    struct console_source source;
    struct console_follow follow;
    struct buf text; /* what was read and not written yet; its owner may leave some of it */
    size_t got;      /* how much of it was read last */
    int error;       /* -errno of reading */

    struct request *request;
    void *owner;
    struct filewatch *watch; /* NULL: it is looked at from time to time alone */
    struct timer timer;      /* the next look */
    bool armed;              /* a change will be told */
    bool waiting;            /* for the client to take what was sent */
    bool behind;             /* a thread has to read it */
    bool reading;            /* a thread reads it */

    /* There is news of it: more text, or `behind` was set. */
    void (*news)(struct logtail *t);
};

/* Begins, for a tail whose name, path, source, request and news are set and whose follow is open.
 * This and all below may end the request, without memory or when it can't be read. */
void logtail_start(struct logtail *t);

/* Its text was written, or the client has taken what there was: it may be read again. */
void logtail_go_on(struct logtail *t);

/* Reads some more of it into its text. For the thread; then logtail_was_read on the loop. */
void logtail_read(struct logtail *t);
void logtail_was_read(struct logtail *t);

/* Ends the request with its error. */
void logtail_fail(struct logtail *t);

/* Stops, and frees what it owns. */
void logtail_fini(struct logtail *t);

#endif
