/* Asking the monitor of an env, from the command line: where it is, and what is asked of it. */
#ifndef FM_ASK_H
#define FM_ASK_H

#include "buf.h"
#include "options.h"

/* Asks what the options say, prints the answer; the exit code. */
int ask(const struct options *o);

/* Asks one command, for a short time; false when nothing well came of it. Says nothing. */
bool ask_quietly(const struct options *o, const char *command, struct buf *out);

#endif
