/* Which script set which value of the configuration: what overlays have changed, for
 * messages and for -check. */
#ifndef FM_CONFSOURCE_H
#define FM_CONFSOURCE_H

#include "base.h"
#include "jsonpath.h"

struct confsource_item {
    char *path; /* the way to the value, below the env: each key as "kNAME\0", each index as "iN\0" (from 1) */
    size_t len;
    char *where; /* "lua/site.lua:3" */
};

/* A zeroed struct is an empty one. */
struct confsource {
    struct confsource_item *items;
    size_t n;
};

void confsource_fini(struct confsource *cs);

/* The value at that path was set there; what was known of it and of all inside it is
 * forgotten. 0 or -ENOMEM. */
int confsource_add(struct confsource *cs, const char *path, size_t len, const char *where);

/* Who set the value at the steps, or the nearest one around it; NULL: no script. */
const char *confsource_of(const struct confsource *cs, const struct jsonpath_step *steps, size_t n);

/* Who set something inside the value at the steps; NULL: no script. */
const char *confsource_inside(const struct confsource *cs, const struct jsonpath_step *steps, size_t n);

#endif
