/* Moving bytes from one file to another without flooding the page cache, so that who writes to the
 * same disk meanwhile hardly notices. For threads other than the loop's. */
#ifndef FM_CONSOLE_COPY_H
#define FM_CONSOLE_COPY_H

#include "base.h"

#include <stdatomic.h>
#include <time.h>

/* Copies bytes [from, to) of `in` to offset `at` of `out`; at work a quarter of the time at most. 0 or -errno:
 * -ECANCELED when *stop was set, -ESTALE when `in` ends before `to`. */
int console_copy(int in, int64_t from, int64_t to, int out, int64_t at, const atomic_bool *stop);

/* Waits for so many ns; not much longer once *stop is set. */
void console_copy_rest(int64_t ns, const atomic_bool *stop);

/* A clock of clock_gettime in ns. */
int64_t console_copy_ns(clockid_t clock);

/* Writes back what is dirty from that offset on, so that little is left to do for who holds the
 * file locked. Gives up when somebody writes as fast. */
void console_copy_flush(int fd, int64_t from);

/* The block size of the file system, by which the front of a file can be taken away. */
int64_t console_copy_block(int fd);

/* Is there room for so many bytes more? True when the file system does not tell. */
bool console_copy_has_room(int fd, int64_t bytes);

/* Are these two ranges equal? false also when they can't be read. */
bool console_copy_same(int a, int64_t a_at, int b, int64_t b_at, int64_t len);

/* Writes all of it. 0 or -errno. */
int console_copy_write(int fd, const char *data, size_t len, int64_t at);

#endif
