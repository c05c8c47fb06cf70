#include "event_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536
#define NEAR 4096 /* no nearer is a place looked for before it is read line by line */

/* ---- files */

static int open_journal(const struct event_journal *j, bool aside)
{
    struct buf path = {0};
    if (!j->path)
        return -1;
    buf_addf(&path, "%s%s", j->path, aside ? ".1" : "");
    int fd = path.failed ? -1 : open(path.data, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    buf_fini(&path);
    return fd;
}

static void use(struct event_reader *r, int fd, int64_t offset)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    r->offset = offset;
}

static bool same_file(int a, int b)
{
    struct stat x, y;
    return a >= 0 && b >= 0 && !fstat(a, &x) && !fstat(b, &y) && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static int64_t length_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? 0 : st.st_size;
}

/* The first line at or behind `from` that has a number: its place, and the number; else `size`. */
static int64_t find_line(int fd, int64_t from, int64_t size, uint64_t *seq)
{
    char block[NEAR];
    bool within = from > 0; /* a line begun before */
    *seq = 0;
    while (from < size) {
        ssize_t n = pread(fd, block, sizeof block, from);
        if (n <= 0)
            return size;
        const char *p = block, *end = block + n, *eol;
        if (within && !(p = memchr(p, '\n', (size_t)n))) {
            from += n;
            continue;
        }
        p += within;
        within = false;
        for (; (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1)
            if ((*seq = event_line_seq(p, (size_t)(eol - p))))
                return from + (p - block);
        if (p == block && n == (ssize_t)sizeof block) { /* no line of ours is that long */
            within = true;
            p = end;
        } else if (p == block) {
            return size;
        }
        from += p - block;
    }
    return size;
}

/* Not far before the first line of the file that is behind `since`. */
static int64_t find_since(int fd, uint64_t since)
{
    int64_t size = length_of(fd), low = 0, high = size;
    while (high - low > NEAR) {
        int64_t middle = low + (high - low) / 2;
        uint64_t seq;
        int64_t at = find_line(fd, middle, size, &seq);
        if (!seq || seq > since)
            high = middle;
        else
            low = at < high ? at : high;
    }
    return low;
}

void event_reader_open(struct event_reader *r, const struct event_journal *j, uint64_t since)
{
    uint64_t first = 0;
    /* A number that was never given is from another journal: then all of this one is new. */
    *r = (struct event_reader){.journal = j, .last = since > j->last_seq ? 0 : since, .fd = -1};
    int fd = open_journal(j, false), aside = open_journal(j, true);
    if (fd >= 0)
        find_line(fd, 0, length_of(fd), &first);
    if (aside >= 0 && (!first || first > r->last + 1)) {
        use(r, aside, find_since(aside, r->last));
        aside = -1;
    } else if (fd >= 0) {
        use(r, fd, find_since(fd, r->last));
        fd = -1;
    }
    if (fd >= 0)
        close(fd);
    if (aside >= 0)
        close(aside);
}

void event_reader_close(struct event_reader *r)
{
    use(r, -1, 0);
}

/* ---- forwards */

/* Hands on the whole lines of a text; returns how much of it they were. */
static size_t take_lines(struct event_reader *r, const char *text, size_t len, event_reader_fn *fn, void *arg)
{
    const char *p = text, *end = text + len;
    for (const char *eol; (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1) {
        uint64_t seq = event_line_seq(p, (size_t)(eol - p));
        if (seq <= r->last)
            continue;
        r->last = seq;
        fn(arg, p, (size_t)(eol - p));
    }
    return (size_t)(p - text);
}

/* All of the open file was read. Is there one behind it? */
static bool next_file(struct event_reader *r)
{
    int aside = open_journal(r->journal, true), fd = open_journal(r->journal, false), next = -1;
    if (fd >= 0 && !same_file(r->fd, fd))
        next = aside < 0 || same_file(r->fd, aside) ? fd : aside;
    if (fd >= 0 && next != fd)
        close(fd);
    if (aside >= 0 && next != aside)
        close(aside);
    if (next >= 0)
        use(r, next, 0);
    return next >= 0;
}

/* What is not written yet, with the beginning of a line that is. */
static void take_pending(struct event_reader *r, const char *begun, size_t len, event_reader_fn *fn, void *arg)
{
    const struct buf *pending = &r->journal->pending;
    struct buf text = {0};
    if (!pending->len)
        return;
    if (r->journal->torn)
        buf_add(&text, begun, len);
    buf_add(&text, pending->data, pending->len);
    if (!text.failed)
        take_lines(r, text.data, text.len, fn, arg);
    buf_fini(&text);
}

bool event_reader_read(struct event_reader *r, event_reader_fn *fn, void *arg)
{
    char block[BLOCK];
    if (r->last >= r->journal->last_seq)
        return false;
    ssize_t n = r->fd >= 0 ? pread(r->fd, block, sizeof block, r->offset) : 0;
    size_t len = n > 0 ? (size_t)n : 0, taken = n > 0 ? take_lines(r, block, len, fn, arg) : 0;
    if (!taken && len == sizeof block) /* no line of ours is that long */
        taken = len;
    r->offset += (int64_t)taken;
    if (taken || next_file(r))
        return true;
    take_pending(r, block, len, fn, arg);
    return false;
}

/* ---- backwards */

static void use_end(struct event_reader *r, bool aside)
{
    use(r, open_journal(r->journal, aside), 0);
    r->aside = aside;
    r->limit = r->fd >= 0 ? length_of(r->fd) : 0;
}

void event_reader_open_end(struct event_reader *r, const struct event_journal *j)
{
    *r = (struct event_reader){.journal = j, .last = j->last_seq, .fd = -1, .limit = -1};
}

/* Counts lines of a text from its end; true once there are enough. The number of the last one looked at is r->last. */
static bool count_lines(struct event_reader *r, const char *text, size_t len, size_t *count,
                        event_reader_match_fn *match, void *arg)
{
    while (len > 0 && *count > 0) {
        const char *eol = text + len - 1; /* a newline, or the end of a line begun */
        const char *before = memrchr(text, '\n', len - 1);
        const char *line = before ? before + 1 : text;
        size_t n = (size_t)(eol - line) + (*eol != '\n');
        uint64_t seq = event_line_seq(line, n);
        if (seq && seq <= r->last) {
            r->last = seq - 1;
            *count -= match(arg, line, n);
        }
        len = (size_t)(line - text);
    }
    return *count == 0;
}

/* The block before the limit; only whole lines of it, unless it is the first. */
static bool count_block(struct event_reader *r, size_t *count, event_reader_match_fn *match, void *arg)
{
    char block[BLOCK];
    int64_t from = MAX(r->limit - BLOCK, 0);
    ssize_t n = pread(r->fd, block, (size_t)(r->limit - from), from);
    const char *begin = block, *eol = n > 0 ? memchr(block, '\n', (size_t)n) : NULL;
    if (from > 0 && eol && eol + 1 < block + n)
        begin = eol + 1;
    r->limit = n > 0 ? from + (begin - block) : 0;
    return n > 0 && count_lines(r, begin, (size_t)(block + n - begin), count, match, arg);
}

bool event_reader_back(struct event_reader *r, size_t *count, event_reader_match_fn *match, void *arg)
{
    const struct buf *pending = &r->journal->pending;
    bool found = *count == 0;
    if (r->limit < 0) {
        found = found || count_lines(r, buf_str(pending), pending->len, count, match, arg);
        use_end(r, false);
    } else if (!found && r->limit > 0) {
        found = count_block(r, count, match, arg);
    }
    if (!found && r->limit > 0)
        return true;
    if (!found && !r->aside) {
        use_end(r, true);
        return true;
    }
    uint64_t since = found ? r->last : 0;
    use(r, -1, 0);
    event_reader_open(r, r->journal, since);
    return false;
}
