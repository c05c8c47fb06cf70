/* string.find, match, gmatch and gsub, as the reference manual of Lua 5.4 describes them, with a look at the budget
 * every few thousand steps: Lua's own can take years for a pattern of some letters, and no hook runs meanwhile. */
#ifndef FM_PATTERN_H
#define FM_PATTERN_H

struct lua_State;

/* Puts the four functions into the table on the top of the stack. */
void pattern_open(struct lua_State *L);

#endif
