/* A service's console log: the file its stdout and stderr go to. No process sits
 * between; what is here only opens it and looks at its end. */
#ifndef FM_CONSOLE_H
#define FM_CONSOLE_H

#include "base.h"

/* Opens (creates, 0644) the file for appending. Never blocks, whatever lies at that
 * path. Returns a descriptor for the caller to close, or -errno (-EISDIR and the like;
 * -ENOTSUP for a pipe or socket). */
int console_open(const char *path);

/* How long the file is; 0 when there is none. */
int64_t console_size(const char *path);

/* The last `lines` lines of the file, of at most `bytes` bytes, as text ended by a
 * newline; an unfinished last line counts. NULL when there is none or it can't be
 * read. The caller frees it. */
char *console_tail(const char *path, int lines, size_t bytes);

#endif
