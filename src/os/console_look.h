/* The state of a console log, at one look. */
#ifndef FM_CONSOLE_LOOK_H
#define FM_CONSOLE_LOOK_H

#include "base.h"

#include <sys/types.h>

struct console_look {
    int error;       /* -errno: it can't be opened (-ENOENT: it is not there); then nothing else is set */
    bool regular;    /* a file; devices are never rotated */
    bool unfinished; /* a rotation of it was broken off */
    dev_t dev;
    ino_t inode;
    int64_t size;     /* of the file */
    int64_t start;    /* where the service's lines begin in it */
    int64_t end;      /* where they end, as a place in all it ever wrote */
    int64_t mtime_ms; /* the last line (wall clock) */
    int64_t since_ms; /* the lines are younger than this, by what the file itself tells; 0: not known */
};

/* Looks at the log of that path. May block. */
void console_look(const char *path, struct console_look *out);

/* The same without opening it: only error, regular, dev, inode, size and mtime_ms. */
void console_glance(const char *path, struct console_look *out);

#endif
