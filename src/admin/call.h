/* One HTTP request from its first byte to the end of its answer: between libmicrohttpd
 * and a command's request. */
#ifndef FM_CALL_H
#define FM_CALL_H

#include "refusals.h"
#include "request.h"

#include <microhttpd.h>

struct call;

/* What all calls of a server share. */
struct call_shared {
    struct admin *admin;
    struct call *calls;          /* under way */
    uint64_t begun;              /* how many there have been */
    bool last;                   /* each connection is closed after its next answer */
    bool resumed;                /* a waiting one can be answered: the daemons must be run once */
    struct MHD_Response *status; /* the plain status of all, as of status_generation */
    size_t status_len;
    uint64_t status_generation;
    struct refusals refusals; /* whose answers are held back among them */
};

/* libmicrohttpd's access handler and completion callback; arg is a struct call_shared. */
enum MHD_Result call_handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                            const char *version, const char *upload_data, size_t *upload_data_size, void **call);
void call_completed(void *arg, struct MHD_Connection *connection, void **call, enum MHD_RequestTerminationCode why);

/* Looks whether clients that wait for an answer are still there, as libmicrohttpd does not watch them meanwhile, and
 * whether the others do their part in time. To be called from time to time. */
void call_sweep(struct call_shared *shared);

/* Ends streams that have no end of themselves; with `waiting` all streams, and answers all calls that wait with 503.
 * They go on to be sent. The call of `but` (NULL: none) is spared. */
void call_end(struct call_shared *shared, const struct request *but, bool waiting, const char *why);

/* Is there any call but that of `but`? */
bool call_is_any(const struct call_shared *shared, const struct request *but);

/* The descriptor of the connection it came over; -1: none. */
int call_fd(const struct call_shared *shared, const struct request *r);

/* Lets go of what is kept of libmicrohttpd's between the calls; there must be none. */
void call_shared_clear(struct call_shared *shared);

#endif
