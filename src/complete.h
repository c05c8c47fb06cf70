/* What may stand at the end of a command line: for the completion of shells, which only show it. */
#ifndef FM_COMPLETE_H
#define FM_COMPLETE_H

#include "options.h"

/* Of the words in o->files (those behind the program's name, the last one as far as it is typed) tells what fits:
 * a line "words", then each word and, behind a tab, what it is; or the line "files" or "folders" alone. A running
 * monitor is asked for services and commands; without one there are none of these. Always exit code 0. */
int complete(const struct options *o);

#endif
