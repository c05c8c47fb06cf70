/* A whole text file in memory. */
#ifndef FM_TEXTFILE_H
#define FM_TEXTFILE_H

#include "base.h"
#include "buf.h"
#include "err.h"

/* Adds the content of a file to out (which is empty), without a byte order mark. Only regular files are read, so that
 * nothing (a FIFO, a terminal) keeps us waiting, and none of more than `max` bytes. Messages begin with `name`. */
bool textfile_read(const char *path, const char *name, size_t max, struct buf *out, struct err *err);

#endif
