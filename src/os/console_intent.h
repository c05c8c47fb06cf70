/* What a rotation is about to do, written beside the log before it begins: should the monitor die
 * in the middle, the next one finds it and finishes the job. */
#ifndef FM_CONSOLE_INTENT_H
#define FM_CONSOLE_INTENT_H

#include "base.h"

#include <limits.h>
#include <sys/types.h>

struct console_intent {
    uint64_t id;       /* of the rotation */
    int64_t inode;     /* of the log */
    int64_t start, at; /* where its lines began, as in struct console_front */
    int64_t cut;       /* where the lines that are moved end */
    int64_t from;      /* what stands before this is taken away, and the banner begins here */
    int64_t append_at; /* as in struct console_place */
    int64_t day;       /* whose lines they are */
    int64_t now_ms;    /* when it was begun (wall clock) */
    unsigned part;
    char file[NAME_MAX + 1];
};

/* Reads the intent `name` in the folder; false when there is none that we (or root) have written
 * whole: others may be able to write to that folder. */
bool console_intent_read(int dirfd, const char *name, struct console_intent *out);

/* Writes it, replacing what is there. 0 or -errno. */
int console_intent_write(int dirfd, const char *name, const struct console_intent *in);

#endif
