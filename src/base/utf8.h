/* Where the characters of a UTF-8 text begin and end. */
#ifndef FM_UTF8_H
#define FM_UTF8_H

#include "base.h"

/* Length of the valid UTF-8 sequence at s (RFC 3629: no overlong forms, no surrogates,
 * nothing past U+10FFFF), 0 where there is none. `left` bytes are there, at least one. */
size_t utf8_len(const char *s, size_t left);

/* How much of a valid UTF-8 text of len bytes fits into max (at least 4) when no
 * character may be torn. */
size_t utf8_cut(const char *s, size_t len, size_t max);

#endif
