#include "console_copy.h"
#include "console_rotate_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define HOLLOW (16 << 20) /* bytes given back at a time: a disk that is told (mount -o discard) takes ms for each */
#define HOLLOW_REST 12    /* so many times as long as that took is waited before the next */
#define HOLLOW_REST_MAX_NS 1000000000
#define CHASES 200 /* so often it is waited for a line end before a file is emptied in use */
#define CHASE_NS 100000

/* Copies what was written since, up to a moment in which there is nothing more, and empties the log. */
static int chase(struct console_rotate *r)
{
    struct console_intent *in = &r->intent;
    char block[65536], last = '\n';
    int64_t from = in->cut, to = placed_at(in) + copied(in);
    int e = ftruncate(r->out, to) ? -errno : 0;
    for (int tries = 0; !e && tries < CHASES;) {
        ssize_t n = pread(r->fd, block, sizeof block, from);
        if (n < 0)
            return -errno;
        if (n == 0 && last == '\n')
            break;
        if (n == 0) {
            nanosleep(&(struct timespec){.tv_nsec = CHASE_NS}, NULL);
            tries++;
            continue;
        }
        e = console_copy_write(r->out, block, (size_t)n, to);
        last = block[n - 1];
        from += n;
        to += n;
    }
    if (!e && ftruncate(r->fd, 0))
        e = -errno;
    in->cut = from;
    r->emptied = !e;
    return e ? e : console_rotate_set_time(r);
}

/* Undoes the copy of lines that can't be taken out of the log now. */
static int take_back(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    r->later = true;
    int e = in->append_at >= 0 ? ftruncate(r->out, in->append_at) : unlinkat(r->dir, in->file, 0);
    r->intent.cut = in->start; /* nothing was moved */
    return e ? -errno : 0;
}

static int empty(struct console_rotate *r)
{
    r->emptied = ftruncate(r->fd, 0) == 0;
    return r->emptied ? 0 : -errno;
}

/* Gives the blocks and cached pages of the front back, a few at a time. The writer has to wait meanwhile, for the file
 * or for this processor, and has the better part of the time. */
static void hollow(const struct console_rotate *r)
{
    for (int64_t at = 0, to = r->intent.from; at < to && !atomic_load(&r->stop); at += HOLLOW) {
        int64_t begin = console_copy_ns(CLOCK_MONOTONIC);
        posix_fadvise(r->fd, at, MIN(HOLLOW, to - at), POSIX_FADV_DONTNEED); /* without its lock */
        if (fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, MIN(HOLLOW, to - at)))
            return;
        if (at + HOLLOW < to)
            console_copy_rest(MIN((console_copy_ns(CLOCK_MONOTONIC) - begin) * HOLLOW_REST, HOLLOW_REST_MAX_NS),
                              &r->stop);
    }
}

/* The writer waits for a collapse. It is quick when there is a hole before the banner, and when nothing behind it is to
 * be written to the disk or dropped from the cache, as all the rest of the file is. */
void console_free_prepare(const struct console_rotate *r)
{
    if (r->front_moved && r->ways & (CONSOLE_ROTATE_COLLAPSE | CONSOLE_ROTATE_PUNCH))
        hollow(r);
    console_copy_flush(r->fd, r->intent.from);
    if (r->front_moved && r->ways & CONSOLE_ROTATE_COLLAPSE)
        posix_fadvise(r->fd, r->intent.from, 0, POSIX_FADV_DONTNEED);
}

/* Gives the space before the banner back. */
int console_free_front(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    if (!has_banner(in))
        return console_rotate_is_quiet(r) ? empty(r) : take_back(r);
    if (in->from == 0)
        return 0;
    if (r->ways & CONSOLE_ROTATE_COLLAPSE) {
        if (!fallocate(r->fd, FALLOC_FL_COLLAPSE_RANGE, 0, in->from))
            return 0;
        if (!console_rotate_is_unsupported(errno))
            return -errno;
    }
    r->uncollapsed = true;
    if (r->ways & CONSOLE_ROTATE_EMPTY && console_rotate_is_quiet(r))
        return empty(r);
    if (r->ways & CONSOLE_ROTATE_PUNCH) {
        if (!fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, in->from))
            return 0;
        if (!console_rotate_is_unsupported(errno))
            return -errno;
    }
    return chase(r);
}

/* The log's time is still that of its last line, unless somebody has written since. */
void console_free_keep_time(const struct console_rotate *r, int64_t length)
{
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, r->st.st_mtim};
    int64_t now = console_rotate_length_of(r);
    if (now == length || now == length - r->intent.from)
        futimens(r->fd, t);
}
