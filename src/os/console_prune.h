/* Removing the files of old days. */
#ifndef FM_CONSOLE_PRUNE_H
#define FM_CONSOLE_PRUNE_H

#include "console_name.h"

/* Removes the files of this log that were last written on more than keep_days days before `today`:
 * only those whose name is the one of that day. Returns how many, or -errno. Looks through the
 * log's folder: for threads other than the loop's. */
int console_prune(const struct console_name *n, int64_t today, int keep_days);

#endif
