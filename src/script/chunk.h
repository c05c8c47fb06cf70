/* Text to a function of Lua, piece by piece, so that compiling a long text is within the budget too. No binary chunks.
 */
#ifndef FM_CHUNK_H
#define FM_CHUNK_H

#include "base.h"
#include "buf.h"

struct lua_State;

/* Pushes the function, or the message; the status is that of lua_load. name is a chunk name of Lua ("@file"). */
int chunk_compile(struct lua_State *L, const char *text, size_t len, const char *name);

/* The load of scripts: chunk (a string or a function), name, mode, environment; the environment is the value at index
 * `env` unless one is given. */
int chunk_load(struct lua_State *L, int env);

/* Pushes the content of a buffer as a string without raising; false (nothing is pushed): out of memory. */
bool chunk_push_text(struct lua_State *L, const struct buf *text);

#endif
