/* The way to a value inside a JSON document, and how it is written for people:
 * dev.svrs."odd.name".bind[0] */
#ifndef FM_JSONPATH_H
#define FM_JSONPATH_H

#include "base.h"
#include "buf.h"

/* One step of the way from the top value to one inside it: a key, or (key NULL)
 * the index of an array element, from 0. The key need not end with a NUL. */
struct jsonpath_step {
    const char *key;
    size_t len;
    size_t index;
};

/* Adds one step to a dotted path: `.key`, `."odd key"` or `[index]`; no dot at
 * the start of the buffer. */
void jsonpath_add(struct buf *path, const struct jsonpath_step *step);

/* Cuts a path that is too long for a message, and says so by "…". */
void jsonpath_clip(struct buf *path);

/* Adds a text in quotes, as JSON, for a message: no more than max bytes of it, then "…". */
void jsonpath_quote(struct buf *out, const char *s, size_t len, size_t max);

/* Adds what stands between the quotes of a JSON string, escapes resolved. An
 * escape that is none is added as it is written. */
void jsonpath_unescape(const char *s, size_t len, struct buf *out);

#endif
