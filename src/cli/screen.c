#include "screen.h"

#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NARROWEST 20 /* columns; below that nothing is cut, as nothing would be left */
#define RESET "\033[0m"
#define ERASE "\r\033[K"

bool screen_is_capable(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

/* https://no-color.org: set to anything but nothing. */
bool screen_has_colours(int fd)
{
    const char *no = getenv("NO_COLOR");
    return screen_is_capable(fd) && !(no && *no);
}

unsigned screen_width(int fd)
{
    struct winsize size;
    return isatty(fd) && !ioctl(fd, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

/* ---- tables */

static const struct {
    const char *state, *colour;
} state_colours[] = {
    {"up", "\033[32m"},       {"down", "\033[2m"},      {"waiting", "\033[33m"},
    {"starting", "\033[36m"}, {"stopping", "\033[36m"}, {"failed", "\033[1;31m"},
};

static const char *colour_of(const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(state_colours); i++)
        if (strlen(state_colours[i].state) == len && !strncmp(state_colours[i].state, word, len))
            return state_colours[i].colour;
    return NULL;
}

/* How many bytes of a line stand in its first `columns` columns. */
static size_t bytes_in(const char *line, size_t len, unsigned columns)
{
    size_t at = 0;
    unsigned used = 0;
    while (at < len) {
        size_t n = utf8_len(line + at, len - at);
        n = n ? n : 1;
        unsigned w = utf8_width(line + at, n);
        if (used + w > columns)
            break;
        used += w;
        at += n;
    }
    return at;
}

static void add_row(struct buf *out, const char *line, size_t len, unsigned state_column, bool colours, unsigned width)
{
    bool cut = width >= NARROWEST && utf8_width(line, len) > width;
    size_t end = cut ? bytes_in(line, len, width - 1) : len;
    size_t begin = state_column ? bytes_in(line, end, state_column) : end;
    size_t word = begin < end ? strcspn(line + begin, " \n") : 0;
    const char *colour = colours && begin + word <= end ? colour_of(line + begin, word) : NULL;
    buf_add(out, line, begin);
    buf_adds(out, colour ? colour : "");
    buf_add(out, line + begin, MIN(word, end - begin));
    buf_adds(out, colour ? RESET : "");
    buf_add(out, line + begin + word, begin + word < end ? end - begin - word : 0);
    buf_adds(out, cut ? "…\n" : "\n");
}

void screen_table(struct buf *out, const char *table, bool colours, unsigned width)
{
    const char *head = strstr(table, " STATE "), *first_end = strchr(table, '\n');
    bool known = head && first_end && head < first_end; /* the heads are ASCII: a byte is a column */
    unsigned column = known ? (unsigned)(head + 1 - table) : 0;
    for (const char *line = table, *end; *line; line = end + (*end == '\n')) {
        end = strchrnul(line, '\n');
        add_row(out, line, (size_t)(end - line), column, colours, width);
    }
}

/* ---- progress */

static void show(struct screen_progress *p)
{
    char line[80];
    int n = snprintf(line, sizeof line, "\r%s %u/%u\033[K", p->doing, p->done, p->total);
    p->shown = write(p->fd, line, (size_t)MIN(n, (int)sizeof line - 1)) > 0;
}

void screen_progress_set(struct screen_progress *p, unsigned done, unsigned total, int64_t now_ms)
{
    p->done = done;
    p->total = total;
    screen_progress_tick(p, now_ms);
}

void screen_progress_tick(struct screen_progress *p, int64_t now_ms)
{
    if (p->doing && p->total && now_ms >= p->due_ms)
        show(p);
}

void screen_progress_erase(struct screen_progress *p)
{
    if (p->shown && write(p->fd, ERASE, strlen(ERASE)) > 0)
        p->shown = false;
}
