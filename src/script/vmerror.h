/* What was raised, as a text with its traceback. Whatever it is: nothing in here goes on for long. */
#ifndef FM_VMERROR_H
#define FM_VMERROR_H

#include <stdbool.h>

struct lua_Debug;
struct lua_State;

/* The message handler of a protected call. A text that has a traceback already (it was raised again) stays. */
int vmerror_describe(struct lua_State *L);

/* The same afterwards, for a coroutine that ended in an error: argument 1 is that thread as a light userdata, 2 what
 * was raised. */
int vmerror_describe_dead(struct lua_State *L);

/* luaL_traceback, which does not take long for a deep stack either. */
void vmerror_traceback(struct lua_State *L, struct lua_State *of, const char *message, int level);

/* Finds the innermost line of a script (not of the library, lua/fm/) that a thread is at: `ar` has its source and
 * currentline. False when it is at none. */
bool vmerror_script_line(struct lua_State *of, struct lua_Debug *ar);

#endif
