#include "jsonline.h"

#include "buf.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32 /* of what is passed over */
#define DIGITS_MAX 18

struct cursor {
    const char *p, *end;
};

static bool take(struct cursor *c, char wanted)
{
    if (c->p == c->end || *c->p != wanted)
        return false;
    c->p++;
    return true;
}

/* ---- texts */

static bool read_hex(struct cursor *c, unsigned *out)
{
    unsigned n = 0;
    if (c->end - c->p < 4)
        return false;
    for (int i = 0; i < 4; i++, c->p++) {
        char d = *c->p;
        unsigned value = d >= '0' && d <= '9' ? (unsigned)(d - '0') : ((unsigned)d | 32U) - 'a' + 10;
        if (value > 15)
            return false;
        n = n << 4 | value;
    }
    *out = n;
    return true;
}

/* What follows "\u", both halves of a pair. */
static bool read_code(struct cursor *c, unsigned *out)
{
    unsigned low;
    if (!read_hex(c, out))
        return false;
    if (*out < 0xd800 || *out > 0xdbff)
        return true;
    if (!take(c, '\\') || !take(c, 'u') || !read_hex(c, &low))
        return false;
    *out = 0x10000 + ((*out - 0xd800) << 10) + ((low - 0xdc00) & 0x3ff);
    return true;
}

static size_t encode(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(code | (n == 2 ? 0xc0U : n == 3 ? 0xe0U : 0xf0U));
    return n;
}

static bool read_escape(struct cursor *c, char out[4], size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned code;
    if (c->p == c->end)
        return false;
    char e = *c->p++;
    const char *found = memchr(from, e, sizeof from - 1);
    *n = 1;
    if (found)
        out[0] = to[found - from];
    else if (e != 'u' || !read_code(c, &code))
        return false;
    else
        *n = encode(code, out);
    return true;
}

/* What does not fit into size is left out. `out` NULL: all of it. */
static bool read_text(struct cursor *c, char *out, size_t size)
{
    size_t len = 0;
    if (!take(c, '"'))
        return false;
    while (c->p < c->end && *c->p != '"') {
        char bytes[4] = {*c->p++};
        size_t n = 1;
        if (bytes[0] == '\\' && !read_escape(c, bytes, &n))
            return false;
        if (out && len + n < size) {
            memcpy(out + len, bytes, n);
            len += n;
        } else {
            size = 0;
        }
    }
    if (out)
        out[len] = 0;
    return take(c, '"');
}

/* ---- numbers */

static bool read_digits(struct cursor *c, int64_t *out)
{
    int digits = 0;
    for (*out = 0; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, digits++)
        if (digits < DIGITS_MAX)
            *out = *out * 10 + (*c->p - '0');
    return digits > 0 && digits <= DIGITS_MAX;
}

/* Seconds with three digits behind the point, as milliseconds. */
static bool read_ms(struct cursor *c, int64_t *out)
{
    int64_t seconds, rest = 0;
    if (!read_digits(c, &seconds))
        return false;
    if (take(c, '.') && (c->end - c->p < 3 || !read_digits(c, &rest) || rest > 999))
        return false;
    if (seconds > INT64_MAX / 1000 - 1)
        return false;
    *out = seconds * 1000 + rest;
    return true;
}

/* ---- anything else */

/* Passes over a value of any kind. */
static bool skip_value(struct cursor *c)
{
    int depth = 0;
    do {
        if (c->p == c->end)
            return false;
        if (*c->p == '"') {
            if (!read_text(c, NULL, 0))
                return false;
        } else if (*c->p == '{' || *c->p == '[') {
            if (++depth > DEPTH_MAX)
                return false;
            c->p++;
        } else if (*c->p == '}' || *c->p == ']') {
            depth--;
            c->p++;
        } else {
            c->p++;
        }
    } while (depth > 0 || (c->p < c->end && *c->p != ',' && *c->p != '}'));
    return depth == 0;
}

/* No longer than it stands there: an escape stands for fewer bytes than it has. */
static bool read_string(struct cursor *c, char **out)
{
    struct cursor ahead = *c;
    if (!read_text(&ahead, NULL, 0))
        return false;
    size_t size = (size_t)(ahead.p - c->p);
    free(*out);
    *out = malloc(size);
    if (*out)
        return read_text(c, *out, size);
    *c = ahead;
    return true;
}

static bool read_bool(struct cursor *c, bool *out)
{
    static const char *const words[] = {"false", "true"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(c->end - c->p) >= len && !memcmp(c->p, words[i], len)) {
            c->p += len;
            *out = i;
            return true;
        }
    }
    return false;
}

/* ---- an object */

static bool read_field(struct cursor *c, const struct jsonline_field *f, void *at)
{
    char word[32];
    int64_t number;
    switch (f->type) {
    case JSONLINE_NUMBER:
        if (!read_digits(c, &number))
            return false;
        *(uint64_t *)at = (uint64_t)number;
        return true;
    case JSONLINE_MS:
        return read_ms(c, at);
    case JSONLINE_INT:
        if (!read_digits(c, &number) || number > INT32_MAX)
            return false;
        *(int *)at = (int)number;
        return true;
    case JSONLINE_BOOL:
        return read_bool(c, at);
    case JSONLINE_TEXT:
        return read_text(c, at, f->size);
    case JSONLINE_STRING:
        return read_string(c, at);
    case JSONLINE_NAMED:
        return read_text(c, word, sizeof word) && (*(int *)at = f->number(word)) >= 0;
    }
    return false;
}

static const struct jsonline_field *find_field(const char *name, const struct jsonline_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(fields[i].name, name))
            return &fields[i];
    return NULL;
}

bool jsonline_read(const char *line, size_t len, const struct jsonline_field *fields, size_t nfields, void *out)
{
    struct cursor c = {line, line + len};
    char key[32];
    if (!take(&c, '{'))
        return false;
    do {
        if (!read_text(&c, key, sizeof key) || !take(&c, ':'))
            return false;
        const struct jsonline_field *f = find_field(key, fields, nfields);
        if (f ? !read_field(&c, f, (char *)out + f->offset) : !skip_value(&c))
            return false;
    } while (take(&c, ','));
    return take(&c, '}') && c.p == c.end;
}

uint64_t jsonline_head(const char *line, size_t len, const char *head)
{
    size_t n = strlen(head);
    struct cursor c = {line + n, line + len};
    int64_t number;
    if (len < n || memcmp(line, head, n) != 0 || !read_digits(&c, &number) || c.p == c.end)
        return 0;
    return (uint64_t)number;
}
