/* One match of a pattern of Lua, with what is tried next kept in a list rather than on the C stack. */
#ifndef FM_MATCHER_H
#define FM_MATCHER_H

#include "base.h"

struct lua_State;

#define MATCHER_CAPTURES_MAX 32
#define MATCHER_CHOICES_MAX 200

struct matcher_capture {
    const char *start;
    ptrdiff_t len; /* or what matcher.c says about it, below 0 */
};

struct matcher_choice {
    int kind; /* matcher.c says which */
    int capture;
    const char *s, *least;
    const char *item, *after; /* the single character of the pattern, and what follows its suffix */
};

/* The state of a match. Items of a pattern do not repeat as groups, so no more choices are open at a time than the
 * pattern has items. */
struct matcher {
    struct lua_State *L;
    const char *src, *src_end, *pat_end;
    const char *s, *p; /* where it is */
    unsigned steps;
    int ncaptures, nchoices;
    struct matcher_capture captures[MATCHER_CAPTURES_MAX];
    struct matcher_choice choices[MATCHER_CHOICES_MAX];
};

/* Subject and pattern must stay where they are. All that follows may raise errors of Lua: for a malformed pattern, and
 * when the turn is over its budget. */
void matcher_begin(struct matcher *m, struct lua_State *L, const char *s, size_t len, const char *p, size_t plen);

/* The end of a match that begins at s, or NULL; p is where the pattern begins (after an anchor). */
const char *matcher_run(struct matcher *m, const char *s, const char *p);

/* Counts steps done outside, for the look at the budget. */
void matcher_spend(struct matcher *m, size_t steps);

/* Pushes capture i (from 0) of the match from s to end; of one without captures the first one is all of it. */
void matcher_push_capture(const struct matcher *m, int i, const char *s, const char *end);

/* Pushes all captures, and as many as `least`; returns how many. */
int matcher_push_captures(const struct matcher *m, int least, const char *s, const char *end);

#endif
