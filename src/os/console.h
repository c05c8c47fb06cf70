/* A service's console log: the file its stdout and stderr go to. No process sits
 * between; what is here only opens it. */
#ifndef FM_CONSOLE_H
#define FM_CONSOLE_H

#include "base.h"

/* Opens (creates, 0644) the file for appending, by the rules of console_path. Never blocks,
 * whatever lies at that path. Returns a descriptor for the caller to close, or -errno
 * (-EISDIR and the like; -ENOTSUP for a pipe or socket; -EPERM for a planted link). */
int console_open(const char *path);

/* The same with other flags of open(2), for what is there already. */
int console_open_as(const char *path, int flags);

#endif
