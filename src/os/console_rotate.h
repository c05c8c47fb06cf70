/* One rotation of one console log: the lines up to a cut move to another file, while whoever
 * writes to the log goes on and notices nothing.
 *
 * The lines are copied and synced first. Then the last of them are overwritten in the log by a
 * banner (console_front), and all before it is taken away at once by FALLOC_FL_COLLAPSE_RANGE,
 * which works on whole blocks and is atomic against writers. So every line is in one of the two
 * files at any time, and a rotation can be broken off anywhere: what it is about to do is written
 * down beside the log (console_intent), and the next one carries on from there.
 *
 * Where a file system has no collapse the space is given back by a hole, or, when nobody has
 * written for a while, by emptying the file; and where it has no holes either, by emptying it as
 * soon as all is copied. Emptying may lose what is written in that very moment: it is told.
 *
 * All of this blocks: it is for a thread of its own. */
#ifndef FM_CONSOLE_ROTATE_H
#define FM_CONSOLE_ROTATE_H

#include "console_front.h"
#include "console_intent.h"
#include "console_name.h"
#include "err.h"

#include <stdatomic.h>
#include <sys/stat.h>

enum console_rotate_step {
    CONSOLE_ROTATE_OPEN,   /* opens the log; finds out where a rotation that was broken off stopped */
    CONSOLE_ROTATE_PLAN,   /* what is moved where; writes the intent */
    CONSOLE_ROTATE_COPY,   /* copies the lines */
    CONSOLE_ROTATE_PLACE,  /* gives the copy its name */
    CONSOLE_ROTATE_BANNER, /* writes the banner */
    CONSOLE_ROTATE_FREE,   /* takes away what is before it */
    CONSOLE_ROTATE_FINISH, /* removes the intent */
    CONSOLE_ROTATE_DONE,
};

/* What may be tried to take the front of the file away, beside the banner alone. */
enum console_rotate_way {
    CONSOLE_ROTATE_COLLAPSE = 1,
    CONSOLE_ROTATE_PUNCH = 2,
    CONSOLE_ROTATE_EMPTY = 4,
    CONSOLE_ROTATE_ALL = 7,
};

struct console_rotate {
    /* What is asked; strings are borrowed. */
    const char *path;    /* the log */
    const char *format;  /* `log.day` */
    char *const *others; /* see struct console_name; may be NULL */
    int64_t day;         /* whose lines they are */
    bool part;           /* as a numbered part of that day */
    int64_t cut;         /* lines up to here are moved, as a place in all it ever wrote; -1: all that are there */
    int64_t more_than;   /* only if there are more bytes of them than this */
    int64_t now_ms;      /* wall clock, for the banner */
    unsigned ways;       /* of enum console_rotate_way */
    atomic_bool stop;    /* set from anywhere: break off soon (-ECANCELED) */

    /* What came of it. */
    char file[NAME_MAX + 1]; /* where the lines went to; "" when there were none */
    int64_t moved;           /* bytes */
    int64_t start;           /* where its lines begin in the log now */
    int64_t since_ms;        /* when that was settled (wall clock): of the last rotation, if there was one */
    bool resumed;            /* one that was broken off was finished first */
    bool later;              /* it can't be done safely now: try again */
    bool uncollapsed;        /* the file system can't take away the front of a file */
    bool emptied;            /* a line written in that very moment may be lost */
    struct err err;          /* when it failed: what did */

    /* Its own. */
    enum console_rotate_step step;
    struct console_name name;
    char intent_file[NAME_MAX + 1], copy_file[NAME_MAX + 1];
    int dir, fd, out; /* -1: not open */
    struct stat st;   /* of the log when it was opened */
    int64_t block;
    struct console_intent intent;
    bool resuming, locked, front_moved;
};

/* Does all steps. 0, or -errno with r->err set: then the log is as it was, or the next rotation
 * carries on. What is no file (a device) is left alone: 0, nothing moved. -EAGAIN: another monitor
 * is at it; -EMLINK: the file has another name too. r->dir, fd and out need no setting. */
int console_rotate_run(struct console_rotate *r);

/* The same step by step, for tests: _begin, then _step until r->step is DONE, then _close, which
 * may come at any time and leaves all as a sudden death would. */
int console_rotate_begin(struct console_rotate *r);
int console_rotate_step(struct console_rotate *r);
void console_rotate_close(struct console_rotate *r);

/* Was a rotation of this log broken off? Should its banner be written already, who reads the log (open as fd) begins
 * there from now on: what stands before it, maybe half taken away, has moved. */
bool console_rotate_is_unfinished(const char *path, int fd);

#endif
