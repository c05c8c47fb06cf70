/* The known word a mistyped one was probably meant to be. */
#ifndef FM_NEAR_H
#define FM_NEAR_H

#include "base.h"

/* How many letters must be changed, added, dropped or swapped with their neighbour to make `known` of the word, upper
 * and lower case being the same; anything over `limit` counts as limit + 1. */
unsigned near_distance(const char *word, size_t len, const char *known, unsigned limit);

/* The furthest distance at which a word of that length still looks like a slip. */
unsigned near_limit(size_t len);

#endif
