#include "jsonpath.h"

#include <ctype.h>
#include <string.h>

#define PATH_LEN_MAX 400

/* Whether a key can be written in a dotted path without quotes. */
static bool is_plain_key(const char *key, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)key[i] <= ' ' || key[i] == 127 || strchr(".\"'=;[]{}", key[i]))
            return false;
    return len > 0;
}

void jsonpath_add(struct buf *path, const struct jsonpath_step *step)
{
    if (!step->key) {
        buf_addf(path, "[%zu]", step->index);
        return;
    }
    if (path->len)
        buf_addc(path, '.');
    if (is_plain_key(step->key, step->len))
        buf_add(path, step->key, step->len);
    else
        buf_add_jsonn(path, step->key, step->len);
}

/* The longest start of a text that has no more than max bytes and no half characters. */
static size_t clipped(const char *s, size_t len, size_t max)
{
    size_t n = MIN(len, max);
    while (n < len && n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
        n--;
    return n;
}

void jsonpath_clip(struct buf *path)
{
    size_t n = clipped(buf_str(path), path->len, PATH_LEN_MAX);
    if (n == path->len)
        return;
    path->len = n;
    buf_adds(path, "…");
}

void jsonpath_quote(struct buf *out, const char *s, size_t len, size_t max)
{
    size_t n = clipped(s, len, max);
    buf_add_jsonn(out, s, n);
    if (n < len)
        buf_adds(out, "…");
}

static bool hex4(const char *s, size_t left, unsigned *code)
{
    if (left < 4)
        return false;
    *code = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)s[i];
        if (!isxdigit(c))
            return false;
        *code = *code * 16 + (unsigned)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return true;
}

static void add_utf8(struct buf *out, unsigned code)
{
    if (code < 0x80) {
        buf_addc(out, (char)code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_addc(out, (char)(lead[more] | (code >> (6 * more))));
    while (more--)
        buf_addc(out, (char)(0x80 | ((code >> (6 * more)) & 0x3f)));
}

/* Adds what the escape at s (its backslash) stands for; returns its length, 0 when it is none. */
static size_t add_escape(const char *s, size_t left, struct buf *out)
{
    static const char plain[256] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    if (left < 2)
        return 0;
    char c = plain[(unsigned char)s[1]];
    if (c) {
        buf_addc(out, c);
        return 2;
    }
    unsigned code = 0, low = 0;
    if (s[1] != 'u' || !hex4(s + 2, left - 2, &code))
        return 0;
    if (code < 0xd800 || code > 0xdfff) {
        add_utf8(out, code);
        return 6;
    }
    if (code > 0xdbff || left < 12 || s[6] != '\\' || s[7] != 'u' || !hex4(s + 8, left - 8, &low) || low < 0xdc00 ||
        low > 0xdfff)
        return 0;
    add_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
    return 12;
}

void jsonpath_unescape(const char *s, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len;) {
        const char *backslash = memchr(s + i, '\\', len - i);
        size_t run = backslash ? (size_t)(backslash - (s + i)) : len - i;
        buf_add(out, s + i, run);
        i += run;
        if (i == len)
            break;
        size_t n = add_escape(s + i, len - i, out);
        if (n == 0) {
            buf_addc(out, s[i]);
            n = 1;
        }
        i += n;
    }
}
