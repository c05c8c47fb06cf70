/* One command asked of a running monitor over HTTP. */
#ifndef FM_CLIENT_H
#define FM_CLIENT_H

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
    bool quiet;              /* say nothing when the monitor can't be reached */
};

/* Asks, prints the answer to stdout (an error to stderr), returns the exit code. */
int client_run(const struct options *o, const struct client_target *target);

#endif
