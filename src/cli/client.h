/* One command asked of a running monitor over HTTP. */
#ifndef FM_CLIENT_H
#define FM_CLIENT_H

#include "buf.h"
#include "link.h"
#include "options.h"

/* Exit codes the client itself comes to; all others are the monitor's own. */
enum { CLIENT_USAGE = 2, CLIENT_COMMAND = 3, CLIENT_UNREACHABLE = 4, CLIENT_REFUSED = 5 };

/* Where to ask and what to show there. */
struct client_target {
    const char *address;    /* "HOST:PORT", "http://HOST:PORT" or "https://HOST:PORT" */
    const char *token_file; /* NULL: none; one that can't be read is passed over unless `token_must` */
    bool token_must;
    struct link_trust trust; /* by https */
    const char *env;         /* whose monitor it is, on this host; NULL: it is elsewhere */
    const char *nearest;     /* what a command that is not the core's own may have been meant to be; NULL: nothing */
    struct buf *into;        /* the answer goes there, nothing is said, and who does not answer in time is given up at
                              * once; NULL: it is printed */
};

/* Asks, prints the answer to stdout (an error and what to do about it to stderr), returns the exit code. On a terminal
 * a table is coloured, and a command that takes its time shows how far it is. */
int client_run(const struct options *o, const struct client_target *target);

#endif
