#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void answer_init(struct answer *a, answer_body_fn *body, void *arg)
{
    *a = (struct answer){.body = body, .arg = arg, .exit_code = -1};
}

/* Digits and nothing else but what may follow them; false when it is no such number. */
static bool read_number(const char *text, int base, const char *ends, uint64_t *out)
{
    char *end;
    bool digit = *text && strchr("0123456789abcdefABCDEF", *text);
    errno = 0;
    *out = digit ? strtoull(text, &end, base) : 0;
    return digit && end > text && !errno && (!*end || strchr(ends, *end));
}

static int on_status(struct answer *a)
{
    int minor;
    char after = ' ';
    if (sscanf(a->line, "HTTP/1.%1d %3d%c", &minor, &a->status, &after) < 2 || a->status < 100 || after != ' ')
        return -EPROTO;
    a->chunked = a->counted = false;
    a->state = ANSWER_HEADER;
    return 0;
}

/* The value of the header in the line, if it is of that name. */
static const char *value_of(const char *line, const char *name)
{
    size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

static int read_header(struct answer *a)
{
    const char *value;
    if ((value = value_of(a->line, "X-Exit-Code")))
        a->exit_code = (int)strtol(value, NULL, 10);
    else if ((value = value_of(a->line, "X-Hint")))
        snprintf(a->hint, sizeof a->hint, "%s", value);
    else if ((value = value_of(a->line, "Transfer-Encoding")))
        a->chunked = !strncasecmp(value, "chunked", 7);
    else if ((value = value_of(a->line, "Content-Length")) && !(a->counted = read_number(value, 10, " \t", &a->left)))
        return -EPROTO;
    return 0;
}

static enum answer_state body_state(const struct answer *a)
{
    if (a->status < 200) /* "go on" and its like: the answer itself is still to come */
        return ANSWER_STATUS;
    if (a->status == 204 || a->status == 304)
        return ANSWER_DONE;
    if (a->chunked)
        return ANSWER_CHUNK_SIZE;
    if (!a->counted)
        return ANSWER_UNTIL_CLOSED;
    return a->left ? ANSWER_COUNTED : ANSWER_DONE;
}

static int on_header(struct answer *a)
{
    if (a->line_len)
        return read_header(a);
    a->state = body_state(a);
    return 0;
}

static int on_chunk_size(struct answer *a)
{
    if (!read_number(a->line, 16, "; \t", &a->left))
        return -EPROTO;
    a->state = a->left ? ANSWER_CHUNK : ANSWER_TRAILER;
    return 0;
}

static int on_chunk_end(struct answer *a)
{
    a->state = ANSWER_CHUNK_SIZE;
    return a->line_len ? -EPROTO : 0;
}

static int on_trailer(struct answer *a)
{
    if (a->line_len)
        return read_header(a);
    a->state = ANSWER_DONE;
    return 0;
}

static int (*const on_line[])(struct answer *a) = {
    [ANSWER_STATUS] = on_status,       [ANSWER_HEADER] = on_header,   [ANSWER_CHUNK_SIZE] = on_chunk_size,
    [ANSWER_CHUNK_END] = on_chunk_end, [ANSWER_TRAILER] = on_trailer,
};

/* Adds to the line up to its end; how much of data was taken. */
static size_t take_line(struct answer *a, const char *data, size_t len, int *error)
{
    const char *newline = memchr(data, '\n', len);
    size_t n = newline ? (size_t)(newline - data) : len, room = sizeof a->line - 1;
    if (a->line_len < room)
        memcpy(a->line + a->line_len, data, MIN(n, room - a->line_len));
    a->line_len += n;
    if (!newline)
        return n;
    size_t end = MIN(a->line_len, room);
    if (end > 0 && a->line[end - 1] == '\r')
        a->line_len = --end;
    a->line[end] = 0;
    *error = on_line[a->state](a);
    a->line_len = 0;
    return n + 1;
}

static size_t take_body(struct answer *a, const char *data, size_t len, int *error)
{
    bool ends = a->state != ANSWER_UNTIL_CLOSED;
    size_t n = ends ? (size_t)MIN(a->left, len) : len;
    *error = a->body(a->arg, data, n);
    if (ends && (a->left -= n) == 0)
        a->state = a->state == ANSWER_CHUNK ? ANSWER_CHUNK_END : ANSWER_DONE;
    return n;
}

int answer_feed(struct answer *a, const char *data, size_t len)
{
    int error = 0;
    while (len > 0 && !error && a->state != ANSWER_DONE) {
        size_t n = (a->state < ANSWER_COUNTED ? take_line : take_body)(a, data, len, &error);
        data += n;
        len -= n;
    }
    return error;
}

bool answer_is_whole(const struct answer *a)
{
    return a->state == ANSWER_DONE || a->state == ANSWER_UNTIL_CLOSED;
}
