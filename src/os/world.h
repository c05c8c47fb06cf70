/* Everything the core asks of the outside: time, timers, processes, their consoles.
 *
 * The core only ever talks to a struct world. world_linux is the real one, on a libuv
 * loop; world_sim is made of memory and a clock that jumps, so that the same core runs
 * in unit tests and simulations. */
#ifndef FM_WORLD_H
#define FM_WORLD_H

#include "base.h"
#include "proc.h"
#include "procfs.h"
#include "timers.h"

struct world;

/* Embedded in who wants to know that a process ended. `ended` may be called once too
 * often (the process may have been reaped already): ask reap. */
struct world_watch {
    void (*ended)(struct world_watch *w);
};

/* The result of looking at all processes; `table` is the callee's only during the call. */
typedef void world_scan_fn(void *arg, const struct procfs_table *table);

/* Something that takes its time. Embedded in what it works on, which must stay until `done`. */
struct world_work {
    /* In a thread of its own: touches nothing but its own struct. */
    void (*run)(struct world_work *k);
    /* On the loop, always and once. `wanted` false: unwork was called, and maybe it was not even
     * run; whoever asked may be gone. */
    void (*done)(struct world_work *k, bool wanted);
    const void *owner; /* for unwork */
};

struct world_ops {
    int64_t (*mono_ms)(struct world *w);
    int64_t (*wall_ms)(struct world *w);

    /* Starts a process whose console is the file log_path (opened for appending; log_fd
     * and log_at of the spec are filled in). As proc_spawn otherwise. */
    int (*spawn)(struct world *w, struct proc_spec *spec, const char *log_path, struct proc *out,
                 struct proc_fault *fault);
    int (*adopt)(struct world *w, pid_t pid, uint64_t start_ticks, struct proc *out);
    int (*signal)(struct world *w, const struct proc *p, int sig, enum proc_scope scope);
    /* As proc_have_ended. */
    void (*have_ended)(struct world *w, const struct proc *const *procs, size_t n, bool *out);
    /* As proc_reap: its entry in the process table goes with release. */
    bool (*reap)(struct world *w, struct proc *p, bool kill_group, struct proc_exit *out);
    bool (*catches)(struct world *w, const struct proc *p, int sig);

    /* watch->ended will be called, once, when the process ends. 0 or -errno. */
    int (*watch)(struct world *w, const struct proc *p, struct world_watch *watch);
    /* Stops watching and lets go of the process (proc_close). */
    void (*release)(struct world *w, struct proc *p);

    /* Looks at all processes, off the loop, and calls fn later (never from inside). Several
     * may be under way. Of those in `known` it only looks whether they are there; takes that
     * list over (NULL: none). 0 or -errno (then fn is never called). */
    int (*scan)(struct world *w, struct procfs_known *known, size_t nknown, world_scan_fn *fn, void *arg);
    /* Forgets the scans asked for with this arg: it is about to go, their fn is not called any more. */
    void (*unscan)(struct world *w, const void *arg);

    /* Does the work off the loop. 0 or -errno (then neither is ever called). */
    int (*work)(struct world *w, struct world_work *k);
    /* Forgets all work of that owner, which is about to go. */
    void (*unwork)(struct world *w, const void *owner);

    /* See shebang_fits. */
    bool (*script_fits)(const char *script, const char *exe);

    /* See console_size, console_tail, console_since. */
    int64_t (*log_size)(struct world *w, const char *log_path);
    char *(*tail)(struct world *w, const char *log_path, int lines, size_t bytes);
    char *(*since)(struct world *w, const char *log_path, int64_t *at, size_t bytes);
};

#define WORLD_BOOT_SIZE 80

struct world {
    const struct world_ops *ops;
    struct timers timers;
    char boot[WORLD_BOOT_SIZE]; /* see procfs_boot */
};

/* Arms a timer after_ms from now. Never fails: room was reserved (timers_reserve) by
 * whoever made its owner. */
void world_timer_set(struct world *w, struct timer *t, int64_t after_ms);
void world_timer_clear(struct world *w, struct timer *t);

/* The name of the environment variable every service carries: HOME:ENV/NAME. */
#define WORLD_MARKER "FOTA_MONITOR_SERVICE"

#endif
