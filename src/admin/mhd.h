/* libmicrohttpd, loaded while somebody is connected, as long as TLS is spoken, and never by who only asks: with what
 * it needs itself it costs milliseconds before main and a megabyte.
 *
 * mhd.c defines the functions of <microhttpd.h> that we use and passes each call on, so
 * whoever uses them does so as always. A further one gets a row in its table. */
#ifndef FM_MHD_H
#define FM_MHD_H

#include "base.h"
#include "err.h"

/* Begins to load it, in a thread of its own, and returns at once; `done` is called in that thread when it is over, well
 * or not, and mhd_load is to be called then. Not while it is loaded or being loaded. False: there is no such thread. */
bool mhd_load_begin(void (*done)(void *arg), void *arg);

/* Waits until it is loaded (loads it now, where that was not begun). false with a message that names the package to
 * install; then no MHD_… may be called. Any number of times. */
bool mhd_load(struct err *err);

/* It is loaded, and mhd_load has said so. */
bool mhd_is_loaded(void);

/* Lets go of it, if it is loaded; nothing of it may be in use any more, and it may not be being loaded. */
void mhd_unload(void);

#endif
