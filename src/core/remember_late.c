#include "remember_late.h"

#include "event_line.h"
#include "monitor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES (1024 * 1024) /* more than one turn of the loop writes */

/* It has a process that was not remembered; of how it was started no more is known than what the event says. */
static void take_process(struct remembered *was, const struct event *e)
{
    if (was->pid != e->pid)
        *was = (struct remembered){.pid = e->pid,
                                   .start_ms = e->mono_ms,
                                   .restarts = was->restarts,
                                   .failures = was->failures,
                                   .pidfd = was->pidfd,
                                   .stands = was->stands};
    was->adopted = was->adopted || e->kind == EVENT_ADOPT;
    was->state = e->kind == EVENT_STARTING ? STATE_STARTING : STATE_UP;
    was->want = WANT_UP;
    was->since_ms = e->mono_ms;
    was->since_wall_ms = e->wall_ms;
    was->seq = e->seq;
}

static void take_line(struct monitor *m, const char *line, size_t len)
{
    struct event e;
    char name[EVENT_SERVICE_SIZE];
    struct service *s = event_line_parse(line, len, &e, name) && name[0] ? monitor_find(m, name) : NULL;
    struct remembered *was = s ? s->was : NULL;
    if (!was || !e.pid || e.seq <= was->seq)
        return;
    if (e.kind == EVENT_STARTING || e.kind == EVENT_UP || e.kind == EVENT_ADOPT)
        take_process(was, &e);
    else if (e.kind == EVENT_EXIT && was->pid == e.pid)
        was->pid = 0; /* and that was told */
}

/* Where the lines begin that are younger than `since`: a line's number tells. */
static const char *first_after(const char *text, const char *end, uint64_t since)
{
    const char *first = end;
    while (first > text) {
        const char *before = memrchr(text, '\n', (size_t)(first - text) - (first[-1] == '\n'));
        const char *line = before ? before + 1 : text;
        uint64_t seq = event_line_seq(line, (size_t)(first - line));
        if (seq && seq <= since)
            break;
        first = line;
    }
    return first;
}

/* The end of the journal; NULL: there is none, or no memory. For the caller to free. */
static char *read_tail(const char *path, size_t *len)
{
    struct stat st;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    bool usual = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    *len = usual ? (size_t)MIN(st.st_size, TAIL_BYTES) : 0;
    char *text = *len ? malloc(*len) : NULL;
    ssize_t n = text ? pread(fd, text, *len, st.st_size - (off_t)*len) : 0;
    *len = (size_t)MAX(n, 0);
    if (fd >= 0)
        close(fd);
    return text;
}

void remember_late(struct monitor *m, uint64_t since)
{
    size_t len;
    char *text = read_tail(m->journal.path, &len);
    if (!text)
        return;
    const char *end = text + len;
    for (const char *p = first_after(text, end, since), *eol; p < end; p = eol + 1) {
        eol = memchr(p, '\n', (size_t)(end - p));
        if (!eol)
            break;
        take_line(m, p, (size_t)(eol - p));
    }
    free(text);
}
