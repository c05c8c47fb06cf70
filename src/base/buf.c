#include "buf.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT ((size_t)16 * 1024) /* bytes an emptied buffer keeps at most */

static bool reserve(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (b->cap - b->len > more) /* one byte stays for the NUL */
        return true;
    size_t cap = MAX(b->cap ? b->cap * 2 : 64, b->len + more + 1);
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    if (b->cap > KEPT)
        buf_fini(b);
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    char small[256];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        buf_add(b, small, (size_t)n);
    } else if (n >= 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_add_jsonn(struct buf *b, const char *s, size_t len)
{
    static const char escape[32] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    const unsigned char *p = (const unsigned char *)s;
    buf_addc(b, '"');
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len(s + i, len - i);
        if (n == 0) {
            buf_adds(b, "\xef\xbf\xbd");
            i++;
            continue;
        }
        if (p[i] == '"' || p[i] == '\\')
            buf_addf(b, "\\%c", p[i]);
        else if (p[i] < 32 && escape[p[i]])
            buf_addf(b, "\\%c", escape[p[i]]);
        else if (p[i] < 32 || p[i] == 127)
            buf_addf(b, "\\u%04x", p[i]);
        else
            buf_add(b, p + i, n);
        i += n;
    }
    buf_addc(b, '"');
}

void buf_add_json(struct buf *b, const char *s)
{
    buf_add_jsonn(b, s, strlen(s));
}

void buf_add_shell(struct buf *b, const char *s)
{
    buf_addc(b, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *s);
    }
    buf_addc(b, '\'');
}

void buf_drop(struct buf *b, size_t n)
{
    n = MIN(n, b->len);
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    if (b->failed) {
        buf_fini(b);
        return NULL;
    }
    char *s = b->data ? b->data : calloc(1, 1);
    *b = (struct buf){0};
    return s;
}
