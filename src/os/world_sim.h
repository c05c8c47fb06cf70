/* A world made of memory: a clock that jumps, processes that only exist in a table.
 * What the core does in it takes no time and touches nothing, so years of supervision
 * can be played through in seconds, each time with the same outcome.
 *
 * Time stands still until world_sim_advance moves it. Whatever happens is told from
 * there, never from inside a call the core makes. */
#ifndef FM_WORLD_SIM_H
#define FM_WORLD_SIM_H

#include "world.h"

/* The first pid it gives: past what Linux gives, so that it is never our own. */
#define WORLD_SIM_FIRST_PID 5000000
/* The parent of what the monitor starts. It has no entry in the process table. */
#define WORLD_SIM_MONITOR_PID (WORLD_SIM_FIRST_PID - 1)

/* Makes a world whose clocks show these times; NULL when memory ran out. */
struct world *world_sim_new(int64_t mono_ms, int64_t wall_ms);

/* Frees it. Whoever lives in it must be gone; scans under way are forgotten. */
void world_sim_free(struct world *w);

/* ---- time */

/* Lets ms milliseconds pass: what is due on the way (timers, ends, scans) happens in
 * order, each at its own time. 0 tells what has happened already. So that nothing can
 * go on for ever within a millisecond, after a thousand rounds in one the next begins.
 * Not to be called from what it calls. */
void world_sim_advance(struct world *w, int64_t ms);

/* How many milliseconds from now the next thing happens (0: something is to be told);
 * -1: never. */
int64_t world_sim_next_ms(const struct world *w);

/* Sets the wall clock, which then goes on from there. The other clock does not notice. */
void world_sim_set_wall(struct world *w, int64_t wall_ms);

/* ---- how processes behave */

/* What a process does about a signal it has a handler for. */
struct world_sim_reaction {
    int signal;
    bool exits;       /* else it goes on running */
    int64_t after_ms; /* until it exits */
    int code;         /* with this */
    bool heir;        /* it leaves a successor: a process of the same service, in the same session */
};

#define WORLD_SIM_REACTIONS 4
/* Bit of a signal in a mask. */
#define WORLD_SIM_BIT(sig) (1ULL << ((sig)-1))

/* Zeroed: started at once, lives until a signal ends it. Plain data, copied. */
struct world_sim_behaviour {
    unsigned starts; /* for so many starts, later ones are as if nothing had been set; 0: for all */

    int spawn_error; /* errno of a start that fails; 0: it does not */
    enum proc_stage spawn_stage;
    int64_t spawn_ms;  /* the start takes that long: the clock moves on meanwhile */
    int64_t signal_ms; /* the same for each signal to it (no probe) */

    bool dies; /* of itself, life_ms after its start: with code, or of signal */
    int64_t life_ms;
    int code, signal;
    bool core;
    const char *console; /* what it writes; NULL: nothing. Must outlive the world */

    unsigned children; /* processes it starts; they stay when it ends, unless its group is killed */
    bool detached;     /* its children have left its session: no signal to the group reaches them */

    uint64_t ignores; /* signals without effect, as WORLD_SIM_BIT; SIGHUP is one for all that was started */
    bool hangs;       /* in the kernel: not even SIGKILL ends it */
    struct world_sim_reaction reactions[WORLD_SIM_REACTIONS]; /* signal 0: none */
};

/* Sets how the service's processes behave from their next start on. `service` NULL: of
 * all services without a setting of their own. 0 or -ENOMEM. */
int world_sim_behave(struct world *w, const char *service, const struct world_sim_behaviour *b);

/* ---- the process table */

/* Adds a process that the monitor did not start. What is 0 or NULL in *e is made up: the
 * next pid, parent 1, a session of its own, started now. Strings are copied; a cmdline
 * without cmdline_len is one string whose blanks part the arguments. `b` (how it
 * behaves) may be NULL. Returns the pid, or -EEXIST (in use), or -ENOMEM. */
pid_t world_sim_add(struct world *w, const struct procfs_entry *e, const struct world_sim_behaviour *b);

/* The running process of a service that leads its session (the newest of several), or
 * the running process of that pid; NULL when there is none. Valid until it is gone. */
const struct procfs_entry *world_sim_find(const struct world *w, const char *service);
const struct procfs_entry *world_sim_find_pid(const struct world *w, pid_t pid);

/* How many processes run with the marker of the service (NULL: all processes there are);
 * with `leaders`, only those that lead their session: the copies of the service. */
size_t world_sim_count(const struct world *w, const char *service, bool leaders);

/* The next process gets this pid, and those after it the pids that follow: as when the
 * numbers have been used up once. */
void world_sim_set_next_pid(struct world *w, pid_t pid);

/* Makes a process end, by itself or by a signal from outside. false: no such process. */
bool world_sim_exit(struct world *w, pid_t pid, int code);
bool world_sim_kill(struct world *w, pid_t pid, int sig);
/* The same in all detail: code or signal, core, what it had used. */
bool world_sim_end(struct world *w, pid_t pid, const struct proc_exit *how);

/* From now on these signals are without effect on it (WORLD_SIM_BIT), and it has no handler for any. false: no such
 * process. */
bool world_sim_ignore(struct world *w, pid_t pid, uint64_t signals);

/* It writes to its console. 0 or -ENOMEM. */
int world_sim_write(struct world *w, const char *log_path, const char *text);

/* The monitor dies: what it had started belongs to init now. To be called after the last
 * handle was released. */
void world_sim_orphan(struct world *w);

/* ---- troubles */

enum world_sim_watching {
    WORLD_SIM_WATCH_WORKS,
    WORLD_SIM_WATCH_FAILS, /* watch() says -ENOSPC */
    WORLD_SIM_WATCH_DEAF,  /* watch() works, but no end is ever told */
};
void world_sim_set_watching(struct world *w, enum world_sim_watching how);

/* So many processes there may be, the ended that were not collected included: one more is EAGAIN. 0: any number. */
void world_sim_set_room(struct world *w, size_t processes);

/* Does the host tell how a process ended that was no child (Linux 6.15)? At first: no. */
void world_sim_set_foreign_status(struct world *w, bool known);

/* Does init leave the zombies of adopted processes in the table? At first: no. */
void world_sim_set_slow_init(struct world *w, bool slow);

/* A scan takes that long, and shows what was there when it began. At first: 0. */
void world_sim_set_scan_ms(struct world *w, int64_t ms);

/* Work off the loop is run that long after it was asked for. At first: 0. */
void world_sim_set_work_ms(struct world *w, int64_t ms);

/* From now on scan() fails with this errno; 0: it works. */
void world_sim_fail_scans(struct world *w, int error);

/* From now on what scans show is incomplete for this errno: there is nothing in it; 0: they show all. */
void world_sim_spoil_scans(struct world *w, int error);

/* From now on adopt() fails with this errno; 0: it works. */
void world_sim_fail_adoptions(struct world *w, int error);

/* ---- what the monitor did */

struct world_sim_signal {
    int64_t mono_ms;
    pid_t pid;
    int signal;
    enum proc_scope scope;
};

/* The signals it sent, probes not counted; the oldest of very many are forgotten. Valid
 * until the next is sent. */
const struct world_sim_signal *world_sim_signals(const struct world *w, size_t *count);
void world_sim_forget_signals(struct world *w);

/* How many processes it has started. */
size_t world_sim_spawns(const struct world *w);

#endif
