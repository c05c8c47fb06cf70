/* Journals read for a replay: their events in order, and what led to what. */
#ifndef FM_REPLAYLOG_H
#define FM_REPLAYLOG_H

#include "base.h"
#include "err.h"
#include "event.h"
#include "policy.h"

/* What was made of an end. */
struct replay_outcome {
    bool known;
    enum decision_kind kind;
    int64_t delay_ms;
};

struct replay_event {
    uint64_t seq, cause;
    int64_t wall_ms, mono_ms, duration_ms;
    int64_t at_ms; /* since the first event, on a clock that does not jump */
    enum event_kind kind;
    pid_t pid;
    int code, signal;
    unsigned count;
    const char *service; /* NULL: the monitor's own */
    const char *text;
    const struct replay_event *decision; /* of an end: what the policy said; NULL: not in the journal */
    struct replay_outcome outcome;       /* of a decision: what came of it */
    const struct replay_event *next;     /* the service's first try to start after this event; NULL: none */
    bool replayed;                       /* for the replay: its like has come about */
};

struct replaylog {
    struct replay_event *events; /* by number */
    size_t count;
    char **texts; /* what they point to */
    size_t ntexts;
};

/* Reads the files, in whatever order they are given. Lines that are none of a journal are told on stderr and left out.
 * False with a message when a file can't be read, or there is no event in any. */
bool replaylog_read(struct replaylog *log, const char *const *files, size_t nfiles, struct err *err);
void replaylog_fini(struct replaylog *log);

/* The event of that number, or NULL. */
struct replay_event *replaylog_find(const struct replaylog *log, uint64_t seq);

/* Of a try that failed: the errno it ended with. */
int replaylog_error(const struct replay_event *e);

#endif
