/* Opens what lies at the path of a console log, though parts of that path may belong to the user of a service, who
 * could put a link there to have us, as root, write to any file on the host.
 *
 * A symbolic link of root's or of our own user's is followed as always. One of anybody else is followed only on the way
 * (never as the last part), and only when it leads to a folder of that same user: "current -> releases/7" works, and
 * gives nobody what is not his already. A file with several names (hard links) in a folder of somebody else has to
 * be a file of that user; in one of ours that others may write to it is not opened. */
#ifndef FM_CONSOLE_PATH_H
#define FM_CONSOLE_PATH_H

#include "base.h"

/* open(2) with these flags (and 0644) under those rules. Returns a descriptor for the caller to close, or -errno;
 * -EPERM for what is not followed. */
int console_path_open(const char *path, int flags);

/* A folder, under the same rules; `flags` beside O_DIRECTORY: O_PATH or O_RDONLY. */
int console_path_folder(const char *path, int flags);

#endif
