/* The one Lua state: made, capped, entered and freed here. */
#ifndef FM_VM_H
#define FM_VM_H

#include "base.h"
#include "err.h"

struct lua_State;
struct vm;

/* A new state with the libraries that touch nothing outside it (no io, os,
 * package, debug; nothing that loads code) and cjson, which is found among the
 * loaded modules and is no global. memory_mb caps what Lua may allocate, in
 * MiB; 0: no cap. NULL when memory runs out. The caller frees it with vm_free. */
struct vm *vm_new(int memory_mb, struct err *err);

/* Closes the state and all in it; NULL is allowed. Not from inside a call. */
void vm_free(struct vm *vm);

/* The state; owned by vm. */
struct lua_State *vm_state(struct vm *vm);

/* Another cap from now on. What is in use stays, even if it is more. */
void vm_set_memory(struct vm *vm, int memory_mb);

/* Bytes that Lua holds now. */
size_t vm_memory(const struct vm *vm);

/* The door from C into Lua: calls the function below its nargs arguments on the
 * stack of L, a state or coroutine of a vm. No Lua error gets past it. On
 * success the nresults results (LUA_MULTRET allowed) stand in their place; on
 * failure nothing does, and the message has the traceback in its further lines. */
bool vm_call(struct lua_State *L, int nargs, int nresults, struct err *err);

#endif
