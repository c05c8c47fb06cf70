/* What stands at the front of a log that was rotated: a banner, one line that tells where the
 * earlier ones are. It is no line of the service: whoever reads a log begins behind it.
 *
 *   --- earlier lines are in FILE --- rotated by fota_monitor WHEN, ID AT SINCE LENGTH ---
 *
 * Spaces fill it up to its length. Where the file system can't take the front of a file away
 * there is a hole before it (zero bytes). */
#ifndef FM_CONSOLE_FRONT_H
#define FM_CONSOLE_FRONT_H

#include "base.h"
#include "buf.h"

#include <limits.h>

struct console_front {
    int64_t begin;           /* where the banner begins in the file, behind a hole */
    int64_t start;           /* where the service's lines begin; = begin without a banner */
    int64_t at;              /* so many bytes of it were moved away so far: the place of `start` in all it ever wrote */
    int64_t since_ms;        /* the rotation (wall clock): what follows is younger; 0: not known */
    uint64_t id;             /* of the rotation; 0: there is no banner */
    char file[NAME_MAX + 1]; /* where the bytes before `at` are; "" without a banner */
};

/* Finds the front of an open log of that size. What can't be read has none. */
void console_front_read(int fd, int64_t size, struct console_front *out);

/* Does a banner of that rotation begin there? Maybe only a part of it was written. */
bool console_front_has(int fd, int64_t begin, uint64_t id);

/* The least length of a banner that names this file. */
size_t console_front_need(const char *file);

/* Makes the banner of length start - begin. The buffer's memory may run out. */
void console_front_make(const struct console_front *f, struct buf *out);

/* In this process the banner at that place of this file counts as its front from now on, whatever
 * still stands before it: to take that away may take its time. -1: no more. false: too many files
 * are in that state already. Only between console_front_lock and _unlock. */
bool console_front_move(int fd, int64_t begin);

/* For a moment the front of some log is changed, and offsets in it mean nothing. Who reads with
 * offsets found before holds this meanwhile; `wait`: until it can be had, else false. For threads
 * other than the loop's: waiting may take as long as a busy disk. */
bool console_front_hold(bool wait);
void console_front_release(void);

/* The same for who changes it. */
void console_front_lock(void);
void console_front_unlock(void);

#endif
