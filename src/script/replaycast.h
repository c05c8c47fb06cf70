/* Who plays in a journal: its services, and what it says of them. */
#ifndef FM_REPLAYCAST_H
#define FM_REPLAYCAST_H

#include "replaylog.h"

/* One service of the journal. */
struct replay_service {
    const char *name;
    const char *policy; /* as the journal names it; NULL: the core's */
    size_t policy_len;
    int64_t runs_from_ms;            /* it was running already: since then, on the clock of the journal; else
                                      * REPLAYCAST_NEVER */
    bool begun;                      /* it has been started once */
    bool counted;                    /* its failures in a row are known */
    const struct replay_event *next; /* how its next start goes */
};

#define REPLAYCAST_NEVER INT64_MAX

struct replaycast {
    struct replay_service *services; /* by name */
    size_t nservices;
    struct replay_service **running; /* those that were running already, by runs_from_ms */
    size_t nrunning;
};

/* Names are borrowed from the log. 0 or -ENOMEM; to be freed by replaycast_fini in either case. */
int replaycast_read(struct replaycast *c, const struct replaylog *log);
void replaycast_fini(struct replaycast *c);

/* The service of that name, or NULL. */
struct replay_service *replaycast_find(const struct replaycast *c, const char *name);

#endif
