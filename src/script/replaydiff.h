/* Decisions then and now: compared, printed, counted. */
#ifndef FM_REPLAYDIFF_H
#define FM_REPLAYDIFF_H

#include "replaylog.h"

struct replaydiff {
    unsigned same;
    unsigned close; /* the same but for a delay that differs by no more than a quarter: chance, maybe */
    unsigned different;
    unsigned missing; /* ends that would not have happened */
    unsigned more;    /* failed starts that were none then */
};

/* What was decided on the end e, and what would be now. When the two are the same, or close, *now gets the delay there
 * was then, so that what follows still fits the journal. */
void replaydiff_add(struct replaydiff *d, const struct replay_event *e, struct decision *now);

/* The end e would not have happened: `why` says what is instead. */
void replaydiff_add_missing(struct replaydiff *d, const struct replay_event *e, const char *why);

/* A start fails that did not then. */
void replaydiff_add_more(struct replaydiff *d, const char *service, int64_t wall_ms, const struct decision *now);

/* The last line. Whether there was any difference. */
bool replaydiff_end(const struct replaydiff *d);

#endif
