/* What scripts may have: the libraries, a world of globals for each file, files and modules loaded.
 *
 * Each file gets an _ENV of its own, filled when it is loaded with what the shared globals hold then: functions and
 * values as they are, plain tables as copies (their tables too), so that no file changes what another one sees; a table
 * with a metatable is handed over as it is and must look after itself (__newindex, and __metatable, for getmetatable
 * would hand it out). What comes into the shared globals later is found as well. Modules of C are copied likewise for
 * each file that requires them; a module from a file is one, for all that require it.
 *
 * What no look at the budget interrupts is one step of Lua's own; lua/README.md says what the longest ones take
 * (20 ms over the budget, 120 ms when the script has filled its 64 MB).
 *
 * A function of C that scripts can call keeps these rules:
 * - what takes long looks at the budget: vm_look in loops, at least every millisecond;
 * - it goes on with a coroutine by vm_resume or vm_switch, and closes one by vm_close, never by lua_resume;
 * - the metatable of a userdata has __metatable: a script that can reach it could put a __gc there, which Lua runs with
 *   hooks off;
 * - it never gives out cjson.encode (which ends the process when memory runs out, and knows no budget):
 * confjson_encode;
 * - it takes a table from a script as what it is: __index, __len and the like may lie, raise or wait for ever. */
#ifndef FM_SANDBOX_H
#define FM_SANDBOX_H

#include "base.h"
#include "err.h"

struct lua_State;
struct scriptfiles;
struct vm;

/* Gives a new vm the libraries; home: where lua/ is, absolute. What is read from files is noted in `files` (NULL:
 * nowhere), which is borrowed for as long as the vm lives. */
bool sandbox_open(struct vm *vm, const char *home, struct scriptfiles *files, struct err *err);

/* Pushes the table of the shared globals. */
void sandbox_globals(struct lua_State *L);

/* What `require "NAME"` finds before it looks for a file: the text of a chunk, which must stay where it is as long as
 * the vm lives. Messages call it lua/NAME.lua, its dots as slashes. False: out of memory. */
bool sandbox_add_module(struct vm *vm, const char *name, const char *text, size_t len);

/* Reads a script (text only) and pushes its chunk, to be called by vm_call. Messages name it by its path within home.
 * False: nothing is pushed, the message says why. Compiling counts as a turn. */
bool sandbox_load(struct vm *vm, const char *path, struct err *err);

#endif
