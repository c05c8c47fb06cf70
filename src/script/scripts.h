/* One generation of scripts: the Lua state, what the files in HOME/lua have asked for in
 * it (overlays, policies, commands, handlers, timers), and the tasks that run.
 *
 * Life: scripts_new, scripts_load (runs the files; nothing acts yet), scripts_attach (its
 * policies decide), scripts_start (handlers listen, timers run), and after a reload
 * scripts_retire: handlers and timers
 * end, commands that are running finish, then it frees itself.
 *
 * Lua holds no pointers: a service is a name, looked up at each use. */
#ifndef FM_SCRIPTS_H
#define FM_SCRIPTS_H

#include "base.h"
#include "conf.h"
#include "err.h"
#include "event.h"
#include "hush.h"
#include "outside.h"
#include "scriptfiles.h"
#include "timers.h"

struct lua_State;
struct monitor;
struct script_call;
struct script_timer;
struct task;
struct vm;
struct world;

/* An event on its way to the handlers. */
struct script_event;

struct scripts {
    struct vm *vm;
    char *home, *env;
    bool (*reserved)(const char *name); /* may no command of a script be called so? */
    int door;                           /* registry reference: the table of Lua functions that C calls */
    size_t nfiles;                      /* scripts that were run */
    struct scriptfiles files;           /* these, and the modules they required */
    uint64_t errors;                    /* raised by callbacks since */
    struct hush hush;                   /* of these in the log */

    char **policies; /* names, sorted, NULL-terminated */
    size_t npolicies;
    struct script_command *commands; /* sorted by name */
    size_t ncommands;
    bool authorizes; /* a hook narrows who may do what */

    /* what they act on; NULL until attached */
    struct monitor *mon;
    struct world *world;
    struct outside *outside;

    struct task *tasks; /* all of them */
    size_t ntasks, ntimers;
    struct task *current; /* the one that is running now */
    bool deciding;        /* a policy is being asked, maybe from inside a task's own command */
    struct task *ready, *ready_last;
    struct timer runner; /* resumes what is ready, outside of anybody's call */
    bool running;        /* it does so just now */

    size_t nexecs; /* helper processes of tasks that run */

    struct script_timer *timers;         /* those to come */
    struct script_timer *due, *due_last; /* those whose time has come, for the runner */
    struct script_call *calls;
    struct script_call *spawning; /* the one that is being started */
    uint64_t last_id;             /* of tasks and calls */

    struct event_listener listener;
    bool listening;
    struct state_wait *state_waits; /* tasks that wait for a state */
    unsigned kinds;                 /* bits of enum event_kind that have handlers */
    struct script_event *events, *events_last;
    size_t nevents;
    uint64_t events_lost;
    bool losing;

    /* Takes what they log and what callbacks raised (with the traceback), as enum clog_level says; NULL: it goes to the
     * monitor's own log. */
    void (*told)(void *arg, int level, const char *text, bool raised);
    void *told_arg;

    /* A script to be tried: read in place of the one of that name in HOME/lua, or after all of them; what is defined in
     * it replaces what was defined before. NULL: none. Borrowed. */
    const char *stand_in;

    unsigned holders; /* who may still start a command of it */
    bool retired;
    struct scripts *next_retired, **retired_at; /* where it is on the list of those; NULL: on none */
};

/* A state with the library in it and no script run yet. `reserved` says which names commands
 * must not have; NULL: none. NULL with a message on failure. */
struct scripts *scripts_new(const char *home, const char *env, bool (*reserved)(const char *name), struct err *err);

/* Cancels everything and frees it at once; not from inside a call of Lua. NULL is allowed. */
void scripts_free(struct scripts *s);

/* Runs HOME/lua/NAME.lua, in byte order of their names, within `limits`. False with a message
 * that names file and line, and the traceback in its further lines. A missing folder
 * has no scripts. */
bool scripts_load(struct scripts *s, const struct conf_lua *limits, struct err *err);

/* The same for one further file (a test, a script to be tried). */
bool scripts_run_file(struct scripts *s, const char *path, struct err *err);

/* Reads from the state what the files have defined: policies, commands. For scripts_load. */
bool scripts_collect(struct scripts *s, struct err *err);

/* Its policies decide from now on. May be called again, to take that back from another one. */
void scripts_attach(struct scripts *s, struct monitor *mon, struct outside *outside);

/* Events reach the handlers, timers run. Once, when attached. */
void scripts_start(struct scripts *s);

/* Are there any in HOME/lua? Also when that can't be told: loading them will say why. */
bool scripts_found(const char *home);

/* Ends handlers, timers and tasks but for the commands that are running; frees itself
 * when the last of them has ended and nobody holds it. Until then it is on the list, so that who must end before
 * can free it; NULL: on none. */
void scripts_retire(struct scripts *s, struct scripts **list);
/* Keeps a retired one from being freed, until as many drops. */
void scripts_hold(struct scripts *s);
void scripts_drop(struct scripts *s);

/* For the runner: hands the events that have come to their handlers. */
void scripts_deliver(struct scripts *s);

/* For scripts_call.c: a retired one may have nothing left to do. */
void scripts_rest(struct scripts *s);

/* Calls `work` protected and within the budget, on the thread that runs just now. False
 * with a message when Lua raised an error. */
bool scripts_enter(struct scripts *s, int (*work)(struct lua_State *L, void *arg), void *arg, struct err *err);

/* For work: pushes the door's function of that name. */
void scripts_door(struct lua_State *L, const struct scripts *s, const char *name);

/* Logs what a callback raised, line by line and once per cause, and counts it. */
void scripts_report(struct scripts *s, const char *what, const struct err *err);

/* For functions of the raw table: whose they are. */
struct scripts *scripts_of(struct lua_State *L);

/* The same, or a Lua error when it acts on nothing (yet): `what` says what was tried. */
struct scripts *scripts_acting(struct lua_State *L, const char *what);

#endif
