/* The console logs of the simulated world: memory, of which only the end is kept. */
#ifndef FM_SIMCONSOLE_H
#define FM_SIMCONSOLE_H

#include "base.h"

struct simconsoles {
    struct simconsole *items;
    size_t count;
};

/* Adds text to a log. 0 or -ENOMEM. */
int simconsole_write(struct simconsoles *c, const char *path, const char *text);

/* As console_size, console_tail and console_since. */
int64_t simconsole_size(const struct simconsoles *c, const char *path);
char *simconsole_tail(const struct simconsoles *c, const char *path, int lines, size_t bytes);
char *simconsole_since(const struct simconsoles *c, const char *path, int64_t *at, size_t bytes);

void simconsole_fini(struct simconsoles *c);

#endif
