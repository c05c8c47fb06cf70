/* The Lua library (lua/fm/NAME.lua), put into the program when it is built. */
#ifndef FM_LIBRARY_H
#define FM_LIBRARY_H

#include "base.h"

struct library_chunk {
    const char *name; /* "@lua/fm/NAME.lua", as tracebacks show it */
    const char *text;
    size_t len;
};

/* In the order they are run; ended by a NULL name. */
extern const struct library_chunk library_chunks[];

/* What tests have besides (lua/fm/sim.lua). */
extern const struct library_chunk library_sim;

#endif
