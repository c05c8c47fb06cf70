/* Tasks: coroutines that wait without keeping the loop. They are resumed by a timer of the
 * world, never from inside somebody's call, so whatever a task does happens at the top of
 * the loop (or of the simulation). */
#ifndef FM_TASK_H
#define FM_TASK_H

#include "err.h"
#include "scripts.h"

#include <lua.h>

struct task {
    struct task *prev, *next;             /* of scripts->tasks */
    struct task *prev_ready, *next_ready; /* of scripts->ready */
    struct scripts *scripts;
    uint64_t id;
    lua_State *co;
    int ref;            /* registry: keeps the coroutine */
    struct timer timer; /* of what it waits for */
    char *name;         /* for messages: "timer of lua/x.lua:3" */
    int nargs;          /* of its first run */
    bool started, ready;
    bool cancelled; /* raises an error at each wait */
    bool timed_out; /* the timer ended the wait */

    /* While it waits: lets go of whatever would wake it. NULL: nothing but the timer would. */
    void (*unwait)(struct task *t);
    void *waiting; /* for unwait and the continuation */
    struct task_result {
        void *data;
        void (*drop)(void *data);
    } result, brought; /* of the wait that is on or to come; of the last one, for its continuation */

    struct script_call *call; /* the command it belongs to, or NULL */
    struct task *joiners;     /* who waits for its end, linked by next_joiner */
    struct task *next_joiner, *joined;
    /* Told once when it has ended, with a message when it failed (NULL: it did not). */
    void (*done)(struct task *t, const struct err *err);
};

/* For C functions called by Lua: makes a task of the function and nargs arguments on the
 * top of L, and pops them. It runs later, never from inside. `what` (copied) is for
 * messages. Raises when memory runs out. */
struct task *task_spawn(lua_State *L, struct scripts *s, int nargs, const char *what);

/* The running task, for a function that waits; a Lua error where there is none (a policy,
 * a file being loaded, a coroutine of the script's own, a callback of a C function). `what` is the function's name. */
struct task *task_current(lua_State *L, const char *what);

/* An optional argument in seconds as milliseconds; -1, no end: left out, negative, or more than anybody waits. */
int64_t task_timeout_ms(lua_State *L, int arg);

/* For C functions called by Lua, at their end: suspends the task; `resumed` is called in
 * it when it is woken and returns the results. after_ms >= 0 wakes it (timed_out) then. */
int task_wait(lua_State *L, struct task *t, int64_t after_ms, lua_KFunction resumed);

/* For the continuation: raises when the task was cancelled meanwhile. */
struct task *task_resumed(lua_State *L);

/* A continuation for waits that bring a message when they have failed: returns true, or nil
 * and the message or "timeout". */
int task_outcome(lua_State *L, int status, lua_KContext context);

/* Has it go on, soon. May be called from anywhere. */
void task_wake(struct task *t);

/* Its wait raises "cancelled" (and each further one), soon. */
void task_cancel(struct task *t);

/* The task of that number, or NULL when it has ended. */
struct task *task_find(const struct scripts *s, uint64_t id);

/* What the wait brings: `brought` for its continuation, then freed by drop. */
void task_keep(struct task *t, void *data, void (*drop)(void *data));

/* While t waits, it is woken by the end of the other one. */
void task_join(struct task *t, struct task *other);

/* Forgets it without running it again. */
void task_free(struct task *t);

/* The runner of a world of scripts, and that there is something for it. */
void task_arm_runner(struct scripts *s);
void task_on_run(struct timer *runner);

#endif
