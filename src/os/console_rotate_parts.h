/* Inside of console_rotate: what its two halves share. console_rotate.c finds, copies and marks the lines,
 * console_free.c gives the space back that they had in the log. */
#ifndef FM_CONSOLE_ROTATE_PARTS_H
#define FM_CONSOLE_ROTATE_PARTS_H

#include "console_rotate.h"

static inline int64_t copied(const struct console_intent *in)
{
    return in->cut - in->start;
}

/* Where the lines begin in the file they go to. */
static inline int64_t placed_at(const struct console_intent *in)
{
    return MAX(in->append_at, 0);
}

/* Is there room for a banner in what was moved? */
static inline bool has_banner(const struct console_intent *in)
{
    return in->cut - in->from >= (int64_t)console_front_need(in->file);
}

int64_t console_rotate_length_of(const struct console_rotate *r);

/* Nobody has written since the cut, nor for a while before it. */
bool console_rotate_is_quiet(const struct console_rotate *r);

/* Does that errno say that the file system can't do it? */
bool console_rotate_is_unsupported(int error);

/* Gives the file the lines went to the time of the last one of them, by which one day's file is told from last
 * month's. 0 or -errno. */
int console_rotate_set_time(struct console_rotate *r);

/* console_free.c: */

/* All of it that can be done while others write, so that console_free_front is quick. */
void console_free_prepare(const struct console_rotate *r);

/* Takes away what stands before the banner, in the best way there is; or, without room for one, takes the copy back
 * when the log can't be emptied. The front is locked. 0 or -errno. */
int console_free_front(struct console_rotate *r);

/* The log of that length keeps the time of its last line, unless somebody has written since. */
void console_free_keep_time(const struct console_rotate *r, int64_t length);

#endif
