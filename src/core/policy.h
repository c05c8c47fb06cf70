/* What to do after an end nobody asked for: the core's own answer, which also serves
 * when a script's policy has none. */
#ifndef FM_POLICY_H
#define FM_POLICY_H

#include "base.h"
#include "event.h"

enum decision_kind {
    DECISION_RESTART, /* after delay_ms; 0: at once */
    DECISION_STOP,    /* leave it down */
    DECISION_FAIL,    /* given up, needs a person */
};

struct decision {
    enum decision_kind kind;
    int64_t delay_ms;
    char reason[EVENT_TEXT_SIZE]; /* for a person: who decided and why */
};

/* Restart at once; after every burst of POLICY_BURST + 1 failures in a row, wait
 * POLICY_PAUSE_MS first. */
#define POLICY_BURST 5
#define POLICY_PAUSE_MS 3000
/* Up for this long clears the count of failures in a row. */
#define POLICY_STABLE_MS 10000

/* The core's own policy. `failures`: ends in a row, this one included (from 1). */
void policy_core(unsigned failures, struct decision *out);

#endif
