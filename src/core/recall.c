#include "recall.h"

#include "event_line.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The end of a file, from the beginning of a line on; NULL: there is none, or no memory. */
static char *read_end(const char *path, const char *more, size_t *len)
{
    struct buf name = {0};
    struct stat st;
    buf_addf(&name, "%s%s", path, more);
    int fd = name.failed ? -1 : open(name.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    buf_fini(&name);
    bool usual = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    size_t size = usual ? (size_t)MIN(st.st_size, RECALL_BYTES) : 0;
    char *text = usual ? malloc(size + 1) : NULL;
    ssize_t n = text ? pread(fd, text, size, st.st_size - (off_t)size) : 0;
    if (fd >= 0)
        close(fd);
    *len = (size_t)MAX(n, 0);
    return text;
}

static void take_line(struct monitor *m, const char *line, size_t len)
{
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    uint64_t seq = event_line_seq(line, len);
    if (!seq || seq >= m->first_seq || !event_line_parse(line, len, &e, service))
        return;
    struct service *s = service[0] ? monitor_find(m, service) : NULL;
    if (s || !service[0])
        event_ring_add(s ? &s->events : &m->events, &e);
}

static void take_file(struct monitor *m, const char *more)
{
    size_t len;
    char *text = read_end(m->journal.path, more, &len);
    const char *p = text, *end = text + len;
    /* What the text begins with may be the rest of a line: then it is none that can be read. */
    for (const char *eol; text && (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1)
        take_line(m, p, (size_t)(eol - p));
    free(text);
}

static void append(struct event_ring *to, struct event_ring *from)
{
    const struct event *e;
    for (size_t i = 0; (e = event_ring_at(from, i)); i++)
        event_ring_add(to, e);
    event_ring_fini(from);
}

void recall(struct monitor *m)
{
    struct event_ring *now = m->recalled || !m->journal.path ? NULL : calloc(m->nsvcs + 1, sizeof *now);
    if (!now)
        return;
    m->recalled = true;
    for (size_t i = 0; i <= m->nsvcs; i++) {
        struct event_ring *ring = i < m->nsvcs ? &m->svcs[i]->events : &m->events;
        now[i] = *ring;
        *ring = (struct event_ring){0};
    }
    take_file(m, ".1");
    take_file(m, "");
    for (size_t i = 0; i <= m->nsvcs; i++)
        append(i < m->nsvcs ? &m->svcs[i]->events : &m->events, &now[i]);
    free(now);
}
