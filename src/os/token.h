/* The secret that opens the admin port to who has no other right to it. */
#ifndef FM_TOKEN_H
#define FM_TOKEN_H

#include "base.h"
#include "err.h"

#define TOKEN_SIZE 65 /* 256 bits as hexadecimal digits, and a NUL */

/* Reads the token from the file, or makes one there (0600) if there is none yet. A file
 * that holds something else, or that others may read or write, is an error and is left
 * as it is. false with a message; out is then "". */
bool token_ensure(const char *path, char out[TOKEN_SIZE], struct err *err);

/* Are they the same? Takes equally long wherever they differ; an empty one is never the same. */
bool token_equal(const char *token, const char *given);

#endif
