/* The libraries that scripts see, where they differ from Lua's own: nothing in them reaches what a script must not
 * have, and no call in them goes on for long without a look at the budget (vm_look). Each function below has one Lua
 * table of functions on the top of the stack (for lib_base: the globals) and changes it; errors of Lua may pass
 * through. lua/README.md says what scripts get. */
#ifndef FM_LIB_H
#define FM_LIB_H

struct lua_State;

/* print, warn, xpcall, setmetatable, collectgarbage; without what loads code. */
void lib_base(struct lua_State *L);

/* Into an empty table: traceback. */
void lib_debug(struct lua_State *L);

/* create, resume, yield, wrap, close: not for the threads of tasks. The others stay. */
void lib_coroutine(struct lua_State *L);

/* All but pack, which stays. Lists may be tables, or whatever has the metamethods. */
void lib_table(struct lua_State *L);

/* Patterns (pattern.h), rep, byte, bounds for format and the packing ones; the others stay, dump goes. */
void lib_string(struct lua_State *L);
void lib_utf8(struct lua_State *L);

/* Into an empty table: what of the os library only asks, and works on files. Times are those of vm_wall_ms. */
void lib_os(struct lua_State *L);

/* Into an empty table: open, lines, type, close. Only regular files are opened, so that nothing waits for what may
 * never come; 64 at a time. */
void lib_io(struct lua_State *L);

#endif
