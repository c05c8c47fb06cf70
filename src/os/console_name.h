/* Names of the files that rotated lines go to, beside the log they come from:
 *   STEM.DAY.EXT     what was written on that day
 *   STEM.DAY.N.EXT   parts of a day, moved before it was over
 * for a log STEM.EXT, and DAY as `log.day` has it. */
#ifndef FM_CONSOLE_NAME_H
#define FM_CONSOLE_NAME_H

#include "base.h"

#include <limits.h>
#include <sys/stat.h>

#define CONSOLE_DAY_SIZE 128 /* room for what a `log.day` makes */

struct console_name {
    char *dir;           /* the log's folder */
    char *base;          /* its name there */
    size_t stem;         /* length of the name without its extension */
    const char *ext;     /* ".log"; "" without */
    const char *format;  /* strftime, borrowed */
    char *const *others; /* paths of other logs, which must not be touched; NULL-terminated, borrowed; NULL: none */
};

/* Takes a path apart. 0 or -ENOMEM. */
int console_name_init(struct console_name *n, const char *path, const char *format, char *const *others);
void console_name_fini(struct console_name *n);

/* The name for a day and part of it (0: the day's own). 0 or -ENAMETOOLONG. */
int console_name_make(const struct console_name *n, int64_t day, unsigned part, char out[NAME_MAX + 1]);

/* Is that file one of ours, of this log? It is when its name is that of the day it was last
 * written on; one day off is allowed, as time zones change. *part is its number, 0: the day's own. */
bool console_name_is_ours(const struct console_name *n, const char *file, const struct stat *st, unsigned *part);

/* The name of the file that tells of a rotation under way (console_intent), and of the copy it
 * makes. 0 or -ENAMETOOLONG. */
int console_name_intent(const struct console_name *n, char out[NAME_MAX + 1]);
int console_name_copy(const struct console_name *n, char out[NAME_MAX + 1]);

/* Where the lines of a day go. */
struct console_place {
    char file[NAME_MAX + 1];
    unsigned part;     /* its number; 0: the day's own */
    int64_t append_at; /* the file has that many bytes already, which stay; -1: it is new, or replaces an older one */
};

/* Finds the place for a day's lines in the folder dirfd. `part`: as a numbered part of the day.
 * A file of that name from an earlier period is replaced; one of the same period is appended to,
 * or when that can't be (a link, not a file, lines in between) the next free number is taken. 0 or -errno. */
int console_name_place(const struct console_name *n, int dirfd, int64_t day, bool part, struct console_place *out);

/* Removes what is left of an earlier period's day of the same name, once the first file of this one
 * is in place. */
void console_name_drop_stale(const struct console_name *n, int dirfd, int64_t day, const struct console_place *place);

#endif
