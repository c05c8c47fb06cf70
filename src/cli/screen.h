/* What a person at a terminal gets beyond the plain answer: colours, lines cut at its width, a line that tells how far
 * a command is. Nothing of it where the output is no terminal. */
#ifndef FM_SCREEN_H
#define FM_SCREEN_H

#include "buf.h"

/* May escape codes be written there? It is a terminal, and TERM is not "dumb". */
bool screen_is_capable(int fd);

/* May colours? Also NO_COLOR is not set. */
bool screen_has_colours(int fd);

/* Columns of the terminal; 0: it is none, or does not say. */
unsigned screen_width(int fd);

/* A table of services as status renders it, for people: the words in the column STATE in colours, lines cut at `width`
 * columns (0: they are left as they are). */
void screen_table(struct buf *out, const char *table, bool colours, unsigned width);

/* A line on a terminal that is written over and over. Zeroed: there is none. */
struct screen_progress {
    const char *doing; /* "restarting"; NULL: nothing is shown */
    int fd;
    int64_t due_ms; /* not before that (mono) */
    unsigned done, total;
    bool shown;
};

/* So many of all are done. */
void screen_progress_set(struct screen_progress *p, unsigned done, unsigned total, int64_t now_ms);

/* Shows it, if there is something to show and it is time. */
void screen_progress_tick(struct screen_progress *p, int64_t now_ms);

/* Takes the line away. */
void screen_progress_erase(struct screen_progress *p);

#endif
