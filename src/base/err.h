/* An error a person reads: what is wrong, and where (file, line, column, key). */
#ifndef FM_ERR_H
#define FM_ERR_H

#include "base.h"

/* Filled in by the function that fails, shown by whoever handles it. Plain
 * data, no ownership; a zeroed struct means "no error". Long messages are cut. */
struct err {
    char text[2048];
};

/* Sets the message. Returns false, so that a failing function can end with
 * `return err_set(err, ...)`. `err` may be NULL. */
bool err_set(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same with a place before it: "FILE:LINE:COLUMN: message" (line 0: the
 * file alone; column 0: no column). Returns false. */
bool err_set_at(struct err *err, const char *file, int line, int column, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Puts text (and ": ") before what the message already says. Returns false. */
bool err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "Out of memory", the one message that must not be formatted. Returns false. */
bool err_nomem(struct err *err);

#endif
