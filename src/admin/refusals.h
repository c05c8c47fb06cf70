/* Who was refused lately at the admin port: counted by reason, logged once per client and minute, and slowed down. No
 * clock of its own: "now" is handed in.
 *
 * A client is a text that stands for whoever should be slowed down together: guard.c makes it. */
#ifndef FM_REFUSALS_H
#define FM_REFUSALS_H

#include "base.h"

enum refusal {
    REFUSAL_NO_TOKEN,    /* showed none, and has no other right */
    REFUSAL_WRONG_TOKEN, /* showed something else */
    REFUSAL_CROSS_SITE,  /* another site's page in a browser */
    REFUSAL_HOST,        /* a name for this host that is none of its own */
    REFUSAL_SCRIPT,      /* fm.authorize said no */
    REFUSAL_TOO_MANY,    /* showed a token, which was not even looked at after so many wrong ones */
    REFUSALS,
};

#define REFUSALS_CLIENT_SIZE 64
#define REFUSALS_CLIENTS 128   /* told apart at a time; further ones count as one */
#define REFUSALS_FREE 3        /* so many are answered at once */
#define REFUSALS_HELD 64       /* answers held back at a time */
#define REFUSALS_HELD_CLIENT 8 /* of one client */

struct refusals_client {
    char name[REFUSALS_CLIENT_SIZE]; /* "": free */
    int64_t last_ms, said_ms;
    unsigned tries;   /* in a row, with less than a minute between them */
    unsigned guesses; /* of them with a wrong token */
    unsigned skipped; /* not logged since said_ms */
    unsigned held;    /* answers held back now */
};

/* A zeroed struct knows of none. */
struct refusals {
    uint64_t counts[REFUSALS];
    unsigned held;
    struct refusals_client clients[REFUSALS_CLIENTS];
    struct refusals_client others; /* when all of those are in use */
};

/* As metrics name it: "wrong_token". Static. */
const char *refusals_name(enum refusal why);

/* One more. True: it is to be logged, with *skipped that were not since the last time. */
bool refusals_note(struct refusals *rf, const char *client, enum refusal why, int64_t now_ms, unsigned *skipped);

/* Is a token that this client shows not to be looked at, because too many wrong ones of its own wait for their answer?
 * What others do never has that effect on one who has shown no more than REFUSALS_FREE wrong ones. */
bool refusals_is_shut(const struct refusals *rf, const char *client, int64_t now_ms);

/* For how long the answer to the client's latest is to be held back: longer with each, at most longest_ms. When it is
 * more than 0, *held becomes what refusals_release is to be called with then. 0 as well when too many are held. */
int64_t refusals_hold(struct refusals *rf, const char *client, int64_t longest_ms, struct refusals_client **held);
void refusals_release(struct refusals *rf, struct refusals_client *held);

#endif
