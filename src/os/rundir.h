/* The folder that holds lock, token, journal and what is remembered: whoever may replace one of them is the master of
 * the monitor. */
#ifndef FM_RUNDIR_H
#define FM_RUNDIR_H

#include "buf.h"
#include "err.h"

/* Makes the folder (0700) where there is none. false with a message when that can't be done, or when somebody but us
 * and root may write there. */
bool rundir_ensure(const char *path, struct err *err);

/* Could somebody else put another folder in its place, as one of those above it is his, or open to everybody? Then
 * `who` is told, as a sentence, and the answer is true. */
bool rundir_is_replaceable(const char *path, struct buf *who);

#endif
