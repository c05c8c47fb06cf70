/* The one Lua state: made, capped, entered and freed here.
 *
 * A turn is what runs between the outermost vm_call or vm_resume and its return. It has a budget of time: a hook looks
 * at the clock every so many instructions, and a turn that is over its budget is stopped by an error that comes again
 * and again, whatever catches it, until the turn is left. */
#ifndef FM_VM_H
#define FM_VM_H

#include "base.h"
#include "err.h"

struct lua_State;
struct vm;

#define VM_STRING_MAX ((size_t)4 << 20) /* bytes of a string that a turn with a budget may make */
#define VM_RESULTS_MAX 50000            /* results that a function may give at once */

/* A new state with the libraries that touch nothing outside it (no io, os,
 * package, debug; nothing that loads code) and cjson, which is found among the
 * loaded modules and is no global. memory_mb caps what Lua may allocate, in
 * MiB; 0: no cap. No budget yet. NULL when memory runs out. The caller frees it with vm_free. */
struct vm *vm_new(int memory_mb, struct err *err);

/* Closes the state and all in it; NULL is allowed. Not from inside a call. */
void vm_free(struct vm *vm);

/* The state; owned by vm. */
struct lua_State *vm_state(struct vm *vm);

/* The vm of a state or of one of its coroutines. */
struct vm *vm_of(struct lua_State *L);

/* Another cap from now on. What is in use stays, even if it is more. */
void vm_set_memory(struct vm *vm, int memory_mb);

/* Bytes that Lua holds now. */
size_t vm_memory(const struct vm *vm);

/* Collects all garbage when Lua holds no more than VM_COLLECT_MAX bytes, garbage included: that takes a millisecond or
 * so. Once it took more than VM_COLLECT_MS of processor time (weak tables may), it is left to Lua. Not from inside a
 * call. */
#define VM_COLLECT_MAX (4 * 1024 * 1024)
#define VM_COLLECT_MS 5
void vm_collect(struct vm *vm);

/* The budget of each turn from the next one on, in milliseconds of processor time (a monitor that has to wait for a
 * processor blames no script); twenty times that in real time. 0: none. */
void vm_set_budget(struct vm *vm, int budget_ms);

/* Whether the turn, or the last one when none is on, went over its budget. */
bool vm_tripped(const struct vm *vm);

/* For C functions that may run long: raises an error when the turn is over its budget. Costs 30 ns. */
void vm_look(struct lua_State *L);

/* Real time spent in turns so far, in microseconds; the turn that is on is not in it. */
int64_t vm_spent_us(const struct vm *vm);

/* The time that scripts see, in milliseconds since 1970: wall_ms(arg); NULL: the real one, as at first. */
void vm_set_clock(struct vm *vm, int64_t (*wall_ms)(void *arg), void *arg);
int64_t vm_wall_ms(const struct vm *vm);

/* Makes math.random repeatable. A new state is seeded at random. */
void vm_seed(struct vm *vm, int64_t seed);

/* The door from C into Lua: calls the function below its nargs arguments on the
 * stack of L, a state or coroutine of a vm. No Lua error gets past it. On
 * success the nresults results (LUA_MULTRET allowed) stand in their place; on
 * failure nothing does, and the message has the traceback in its further lines. */
bool vm_call(struct lua_State *L, int nargs, int nresults, struct err *err);

/* lua_pcall, without a handler, of a foreign function that would leave memory of its own behind if it were refused any:
 * neither cap nor budget holds meanwhile, so it must be short. */
int vm_pcall_generous(struct lua_State *L, int nargs, int nresults);

enum vm_status { VM_DONE, VM_YIELDED, VM_FAILED };

/* The same door for a coroutine: starts co (the function below nargs arguments on its stack) or goes on with it (nargs
 * values for the yield that waits). from: the thread that is running, NULL when none is. VM_DONE and VM_YIELDED: the
 * *nresults values on the top of co are what it returned or yielded; the caller pops them. VM_FAILED: nothing is left
 * on its stack, the message has its traceback, and it is closed: its to-be-closed variables have run, under the same
 * budget (not those of a coroutine that was stopped for being over it). */
enum vm_status vm_resume(struct lua_State *co, struct lua_State *from, int nargs, int *nresults, struct err *err);

/* What scripts' own coroutines are made of (lib_coroutine), inside a turn: a new thread, on the stack too; whether it
 * is one of those (a task's is not for scripts to go on with); and lua_resume with the books kept. */
struct lua_State *vm_new_coroutine(struct lua_State *L);
bool vm_is_scripts_own(struct lua_State *co);
int vm_switch(struct lua_State *co, struct lua_State *from, int nargs, int *nresults);

/* lua_resetthread for a coroutine that does not run; its to-be-closed variables run. LUA_OK, or the status of the
 * error, whose object is then the top of co. -1: refused, because it was stopped for being over the budget (nothing may
 * run in it any more), or because too many are being closed one inside the other. */
int vm_close(struct lua_State *co);

#endif
