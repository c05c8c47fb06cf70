/* Reading a console log as if it had never been rotated: the files its older lines went to are
 * read together with it, and the banner at its front is not seen.
 *
 * A place in all a log ever wrote (`at`) stays the same when lines move from file to file. */
#ifndef FM_CONSOLE_READ_H
#define FM_CONSOLE_READ_H

#include "base.h"
#include "buf.h"

#include <sys/types.h>

struct console_source {
    const char *path;    /* the log */
    const char *format;  /* `log.day` */
    char *const *others; /* paths of other logs, as in struct console_name; may be NULL */
};

/* The last lines of the log, at most `bytes` bytes of them, from as many files as it takes; an
 * unfinished last line counts, and gets a newline. Adds to `out`. 0 or -errno (then nothing was
 * added). Looks through the log's folder: for threads other than the loop's. */
int console_read_last(const struct console_source *s, int lines, size_t bytes, struct buf *out);

/* The same for a moment on the loop: the log itself and the one file its banner names. As a text
 * whose zero bytes became "?", ended by a newline; NULL when there is nothing. The caller frees it. */
char *console_tail(const char *path, int lines, size_t bytes);

/* What was written to it from the place *at on, whole lines of it, at most `bytes` bytes (more than that: a piece of
 * the line); *at moves behind that. NULL when there is nothing (more): ask again later. For a moment on the loop, as
 * console_tail: what was moved into older files than the one its banner names is skipped; of a log that was emptied
 * all is new. The caller frees it. */
char *console_since(const char *path, int64_t *at, size_t bytes);

/* All that was ever written to it, moved or not; 0 when there is no log. Quick. */
int64_t console_size(const char *path);

/* Somebody who reads on and on. */
struct console_follow {
    int fd;          /* the log; -1: it is not there (yet) */
    int64_t at;      /* the place up to which everything was read */
    int64_t seen_at; /* of the front, when last looked at */
    dev_t dev;
    ino_t inode;
};

/* Begins with the last lines (as console_read_last, but an unfinished line stays so); what comes
 * after them is for console_follow_read. A log that is not there yet may come later: 0. -errno
 * when it can't be read (a folder, a link of somebody else). For threads other than the loop's. */
int console_follow_open(struct console_follow *f, const struct console_source *s, int lines, size_t bytes,
                        struct buf *out);
void console_follow_close(struct console_follow *f);

/* Adds up to `max` bytes of what was written since. Returns how many; 0: nothing for now. -EAGAIN:
 * a rotation is just taking place, ask again in some milliseconds. Follows the log through
 * rotations, into the files where its lines went when it was slow; when it was emptied or replaced
 * by another file, reads that from the beginning. What was removed before it was read is skipped.
 * Quick, unless it has fallen behind a rotation: console_follow_is_behind. */
int console_follow_read(struct console_follow *f, const struct console_source *s, size_t max, struct buf *out);

/* Will the next read look through the log's folder? Then it is for another thread than the loop's. */
bool console_follow_is_behind(const struct console_follow *f);

#endif
