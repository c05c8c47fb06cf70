/* The program's own account of itself: -h, -help NAME and the manual page, all from the tables of options and of
 * the core's commands. */
#ifndef FM_MANUAL_H
#define FM_MANUAL_H

#include "buf.h"
#include "command.h"

/* The text of -h. */
void manual_help(struct buf *b);

/* All about one option or core command; false when there is none of that name. */
bool manual_about(struct buf *b, const char *name);

/* The manual page fota_monitor(1), for man. */
void manual_page(struct buf *b);

/* How a command is written: "-drain SERVICES". */
void manual_usage(struct buf *b, const struct command *c);

/* One line of -h: what is written, what it does. */
void manual_line(struct buf *b, const char *usage, const char *help);

/* The core's command of that name as the command line knows it (not one that an option hides), or NULL. */
const struct command *manual_command(const char *name);

/* The option or core command that a mistyped name was probably meant to be, or NULL. */
const char *manual_nearest(const char *name);

#endif
