/* The final configuration as a list, a value a line, each with where it came from. */
#ifndef FM_CONFLIST_H
#define FM_CONFLIST_H

#include "buf.h"
#include "confplace.h"

struct lua_State;

/* Adds every value of the env's table at that stack index, sorted by path:
 *   svrs.web.cmd = "web/server -p 8081"  # lua/site.lua:2
 * or as JSON, with commas between:
 *   {"path":"svrs.web.cmd","value":"web/server -p 8081","from":"lua/site.lua:2"}
 * Inside a protected call: a Lua error ("out of memory") may pass through. */
void conflist_add(struct buf *out, bool json, struct lua_State *L, int table, const struct confplace *place,
                  const char *env);

#endif
