/* The files a log's older lines went to. */
#ifndef FM_CONSOLE_FILES_H
#define FM_CONSOLE_FILES_H

#include "console_front.h"
#include "console_name.h"

struct console_file {
    char *name;
    int64_t size;   /* of what is not in the log as well */
    int64_t time_s; /* when it was last written to: seconds, and the rest */
    long time_ns;
    unsigned part; /* 0: the day's own, the last of a day */
};

struct console_files {
    struct console_file *items; /* oldest first */
    size_t count;
};

/* Finds them. `front` is that of the log: where a rotation is under way, lines may be in both. NULL:
 * that does not matter. 0 or -errno. */
int console_files_find(struct console_files *f, const struct console_name *n, const struct console_front *front);
void console_files_fini(struct console_files *f);

#endif
