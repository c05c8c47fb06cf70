/* JSON text to Lua values and back, the way a configuration needs it. All of it
 * works on a stack that the caller owns, inside a protected call: Lua errors
 * (only "out of memory") may pass through. */
#ifndef FM_CONFJSON_H
#define FM_CONFJSON_H

#include "base.h"
#include "buf.h"
#include "err.h"

struct lua_State;

/* Pushes a decoder of our own: no number that JSON does not know, nesting capped
 * at 1000; what a script sets in the shared cjson module does not reach it. */
void confjson_open(struct lua_State *L);

/* Decodes a text with the decoder at that stack index and pushes the value; whole numbers are integers.
 * False: nothing is pushed, *offset is where the text went wrong and the message
 * says how, without the place. */
bool confjson_decode(struct lua_State *L, int decoder, const char *text, size_t len, size_t *offset, struct err *err);

/* Whether that value is JSON's null. */
bool confjson_is_null(struct lua_State *L, int index);

/* A value that makes a text longer than this fails: the same table may be in it many times. */
#define CONFJSON_TEXT_MAX (64 * 1024 * 1024)

/* Adds the value at index as JSON. Keys are sorted, so that equal values give
 * equal texts (the order of a Lua table differs from state to state); numbers
 * keep all their digits and whole ones are written as such. An empty table is
 * `{}`: Lua has no other. False (message without place): a function or the
 * like, a table that is list and map at once, nesting over 1000. */
bool confjson_encode(struct lua_State *L, int index, struct buf *out, struct err *err);

#define CONFJSON_NUMBER_SIZE 32
/* A finite number as confjson_encode writes it. */
void confjson_number(double number, char out[CONFJSON_NUMBER_SIZE]);

#endif
