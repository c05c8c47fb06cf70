/* A growing byte buffer, for texts put together piece by piece. */
#ifndef FM_BUF_H
#define FM_BUF_H

#include "base.h"

/* Always NUL-terminated once anything was added. When memory runs out the
 * content stays as it was, `failed` is set and later additions do nothing: check
 * it once at the end. A zeroed struct is an empty buffer. */
struct buf {
    char *data;
    size_t len, cap;
    bool failed;
};

/* Frees the content; the buffer is empty and usable again. */
void buf_fini(struct buf *b);

/* Makes it empty, keeping the memory for the next use unless it is large. */
void buf_clear(struct buf *b);

void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Adds s as a JSON string, quotes included. Bytes that are not UTF-8 become
 * U+FFFD, so that the result is always valid JSON. */
void buf_add_json(struct buf *b, const char *s);
void buf_add_jsonn(struct buf *b, const char *s, size_t len);

/* Adds s as one word of a POSIX shell, in single quotes. */
void buf_add_shell(struct buf *b, const char *s);

/* Drops n bytes from the front. */
void buf_drop(struct buf *b, size_t n);

/* The content as a string ("" when nothing was added); owned by the buffer. */
const char *buf_str(const struct buf *b);

/* Hands the content over to the caller, who frees it; NULL when memory ran out. */
char *buf_take(struct buf *b);

#endif
