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

/* How many columns of a terminal a text takes: two for the wide characters of East Asia, none for combining marks and
 * control characters, one for a byte that is no UTF-8. Does not depend on the locale of the process. */
unsigned utf8_width(const char *s, size_t len);

#endif
