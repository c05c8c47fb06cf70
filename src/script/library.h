/* The Lua library (lua/fm/NAME.lua), put into the program when it is built. */
#ifndef FM_LIBRARY_H
#define FM_LIBRARY_H

#include "embed.h"

/* In the order they are run; ended by a NULL name. */
extern const struct embedded library_chunks[];

/* What tests have besides: lua/fm/sim.lua alone. */
extern const struct embedded library_sim[];

#endif
