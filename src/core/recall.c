#include "recall.h"

#include "event_line.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_SIZE 128 /* of a line: the service's name begins within */

struct recalled {
    struct event_ring events;
    uint64_t first; /* the oldest one memory holds; from here on nothing is read. 0: it holds none */
};

/* ---- whose */

static const struct event_ring *at_hand(const struct recall *r, const struct service *s)
{
    return s ? &s->events : &r->m->events;
}

static int by_name(const void *key, const void *item)
{
    const struct service *const *s = item;
    return strcmp(key, (*s)->conf->name);
}

/* The one of that name, NULL: the monitor. NULL when it is not asked for. */
static struct recalled *named(const struct recall *r, const char *name)
{
    if (!r->list || !name)
        return r->list ? &r->list[r->count - 1] : NULL;
    if (r->only)
        return strcmp(name, r->only->conf->name) ? NULL : &r->list[0];
    struct service **s = bsearch(name, r->m->svcs, r->m->nsvcs, sizeof(struct service *), by_name);
    return s ? &r->list[s - r->m->svcs] : NULL;
}

static const struct service *service_at(const struct recall *r, size_t i)
{
    return i + 1 == r->count ? NULL : r->only ? r->only : r->m->svcs[i];
}

/* ---- the journal */

/* Tells most lines of others by a look at their beginning. */
static bool may_be_wanted(const struct recall *r, const char *line, size_t len)
{
    static const char key[] = ",\"service\":";
    const char *at = r->only ? memmem(line, MIN(len, HEAD_SIZE), key, sizeof key - 1) : NULL;
    if (!at || r->name.failed)
        return true;
    at += sizeof key - 1;
    return (size_t)(line + len - at) > r->name.len && !memcmp(at, r->name.data, r->name.len);
}

static void take_line(const struct recall *r, const char *line, size_t len)
{
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    if (!may_be_wanted(r, line, len) || !event_line_parse(line, len, &e, service))
        return;
    struct recalled *of = named(r, service[0] ? service : NULL);
    if (of && (!of->first || e.seq < of->first))
        event_ring_add(&of->events, &e);
}

/* What a text begins with may be the rest of a line: then it is none that can be read. */
static void take_text(const struct recall *r, const char *text, size_t len)
{
    const char *p = text, *end = len ? text + len : p;
    for (const char *eol; p < end && (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1)
        take_line(r, p, (size_t)(eol - p));
}

static int open_file(const struct recall *r, const char *more, int64_t *size)
{
    struct buf name = {0};
    struct stat st;
    buf_addf(&name, "%s%s", r->m->journal.path, more);
    int fd = name.failed ? -1 : open(name.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    buf_fini(&name);
    bool usual = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    *size = usual ? st.st_size : 0;
    return fd;
}

static void take_end(const struct recall *r, int fd, int64_t size, int64_t bytes)
{
    size_t len = (size_t)MIN(size, MAX(bytes, 0));
    char *text = len ? malloc(len) : NULL;
    ssize_t n = text ? pread(fd, text, len, size - (off_t)len) : 0;
    take_text(r, text, (size_t)MAX(n, 0));
    free(text);
}

/* Of the file put aside only what the other one leaves of the bytes. */
static void take_journal(const struct recall *r)
{
    int64_t bytes = r->only ? RECALL_BYTES_OF_ONE : RECALL_BYTES, size, size_aside;
    int aside = open_file(r, ".1", &size_aside), fd = open_file(r, "", &size);
    take_end(r, aside, size_aside, bytes - size);
    take_end(r, fd, size, bytes);
    if (aside >= 0)
        close(aside);
    if (fd >= 0)
        close(fd);
    take_text(r, buf_str(&r->m->journal.pending), r->m->journal.pending.len);
}

/* ---- all together */

void recall_open(struct recall *r, const struct monitor *m, const struct service *only)
{
    *r = (struct recall){.m = m, .only = only, .count = only ? 2 : m->nsvcs + 1};
    r->list = m->journal.path ? calloc(r->count, sizeof *r->list) : NULL;
    if (!r->list)
        return;
    if (only)
        buf_add_json(&r->name, only->conf->name);
    for (size_t i = 0; i < r->count; i++)
        r->list[i] = (struct recalled){{.max = EVENT_RING_LARGE}, event_ring_first(at_hand(r, service_at(r, i)))};
    take_journal(r);
    for (size_t i = 0; i < r->count; i++) {
        struct event_walk w = {0};
        while (event_ring_next(at_hand(r, service_at(r, i)), &w))
            event_ring_add(&r->list[i].events, &w.event);
    }
}

void recall_close(struct recall *r)
{
    for (size_t i = 0; r->list && i < r->count; i++)
        event_ring_fini(&r->list[i].events);
    free(r->list);
    buf_fini(&r->name);
    *r = (struct recall){0};
}

const struct event_ring *recall_events(const struct recall *r, const struct service *s)
{
    const struct recalled *of = named(r, s ? s->conf->name : NULL);
    return of ? &of->events : at_hand(r, s);
}

bool recall_find(const struct recall *r, const struct service *s, uint64_t seq, struct event *out)
{
    return event_ring_find(recall_events(r, s), seq, out) || event_ring_find(recall_events(r, NULL), seq, out);
}
