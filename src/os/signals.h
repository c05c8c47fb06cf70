/* Signals that are read from a descriptor, not caught: none gets lost when this process becomes another program
 * meanwhile, as they stay pending until somebody reads them. */
#ifndef FM_SIGNALS_H
#define FM_SIGNALS_H

#include "base.h"

/* Blocks them in the calling thread, and so in those it starts later: to be called before there are others. Children
 * are started with none blocked. */
void signals_hold(const int *list, size_t n);

/* A descriptor that becomes readable when one of those is pending, which must be held; or -errno. */
int signals_open(const int *list, size_t n);

/* Takes the next one; 0: there is none. */
int signals_next(int fd);

#endif
