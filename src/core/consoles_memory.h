/* What has to be known of the logs when the monitor is started again: since when the lines that
 * are in a log were written. A file of lines SINCE_MS DEV INODE PATH. */
#ifndef FM_CONSOLES_MEMORY_H
#define FM_CONSOLES_MEMORY_H

#include "base.h"

struct consoles_memory_item {
    int64_t since_ms; /* wall clock */
    uint64_t dev, inode;
    char *path;
};

struct consoles_memory {
    struct consoles_memory_item *items; /* sorted by path */
    size_t count;
};

/* Reads the file; where there is none, or it is not one of these, nothing is remembered. */
void consoles_memory_read(struct consoles_memory *m, const char *file);
void consoles_memory_fini(struct consoles_memory *m);

/* Since when the lines of the log are there, which is this very file; 0: not known. */
int64_t consoles_memory_since(const struct consoles_memory *m, const char *path, uint64_t dev, uint64_t inode);

/* Writes the file, all or nothing. 0 or -errno. */
int consoles_memory_write(const struct consoles_memory *m, const char *file);

#endif
