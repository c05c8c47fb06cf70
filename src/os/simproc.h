/* The processes of a simulated world: a table of them, how they take signals and end,
 * and the handles they are held by. Only world_sim uses it. */
#ifndef FM_SIMPROC_H
#define FM_SIMPROC_H

#include "world_sim.h"

struct simproc;

/* A process held by someone: what a pidfd is in the real world. */
struct simproc_handle {
    struct simproc_handle *next; /* of the same process */
    int number;                  /* never given twice */
    struct simproc *process;
    struct world_watch *watch;
    bool queued; /* its watch is to be told of the end */
    int64_t queued_ms;
    struct simproc_handle *next_queued;
};

struct simproc {
    struct simproc *prev, *next; /* in the table, oldest first */
    struct simproc_table *table;
    struct procfs_entry entry; /* its strings lie in `strings` */
    char *strings;
    const char *service; /* the end of the marker, or NULL */
    struct world_sim_behaviour b;
    struct simproc_handle *handles;
    struct timer end; /* it will end then, and so: */
    struct proc_exit how;
    bool ours;           /* a child of the monitor that lives now */
    bool ended;          /* a zombie, or gone */
    bool gone;           /* in the table no more; freed with its last handle */
    bool parent, leader; /* it has had children; others were in its group */
};

struct simproc_table {
    const int64_t *now_ms;
    struct simproc *first, *last;
    size_t count;
    pid_t next_pid;
    bool pids_mixed;                 /* the next pid may be in use */
    struct timers ends;              /* those to come */
    struct simproc_handle **handles; /* by number */
    size_t nhandles, handles_cap;
    int next_handle;
    struct simproc_handle *told_first, *told_last; /* those whose watch is to be told */
    enum world_sim_watching watching;
    bool slow_init;
};

void simproc_table_init(struct simproc_table *t, const int64_t *now_ms);
void simproc_table_fini(struct simproc_table *t);

/* The process of that pid that is in the table (it may be a zombie), or NULL. */
struct simproc *simproc_find(const struct simproc_table *t, pid_t pid);

/* The next free pid. */
pid_t simproc_take_pid(struct simproc_table *t);

/* The present moment as start time of a process. */
uint64_t simproc_ticks(const struct simproc_table *t);

/* Adds a process; strings and behaviour are copied. NULL when memory ran out. */
struct simproc *simproc_add(struct simproc_table *t, const struct procfs_entry *e, const struct world_sim_behaviour *b);

/* See world_sim_add and world_sim_orphan. */
pid_t simproc_arrive(struct simproc_table *t, const struct procfs_entry *given, const struct world_sim_behaviour *b);
void simproc_orphan(struct simproc_table *t);

/* What it does by itself once it runs: start children (as far as there is memory), die.
 * May free p, if nobody holds it. */
void simproc_come_alive(struct simproc *p);

/* Ends it after so long, unless it ends earlier; sig 0: with code. May free p. */
void simproc_end(struct simproc *p, int64_t after_ms, int code, int sig, bool core);
void simproc_end_as(struct simproc *p, int64_t after_ms, const struct proc_exit *how);

/* Takes it out of the table: collected by its parent. May free p. */
void simproc_leave(struct simproc *p);

/* A signal, to the process or to the others in the group it leads (or led). May free p. */
void simproc_receive(struct simproc *p, int sig);
void simproc_receive_group(struct simproc *p, int sig);

/* What it does about that signal, or NULL when it has no handler for it. */
const struct world_sim_reaction *simproc_reaction(const struct simproc *p, int sig);

/* Takes hold of a process and fills *out. 0 or -ENOMEM. */
int simproc_hold(struct simproc *p, struct proc *out);

/* The handle in *p, or NULL when it is none (any more). */
struct simproc_handle *simproc_handle(const struct simproc_table *t, const struct proc *p);

/* Has the watch of the handle told of the end. */
void simproc_tell(struct simproc_handle *h);

/* Takes the first handle to be told from the queue; NULL when there is none. */
struct simproc_handle *simproc_take_told(struct simproc_table *t);

void simproc_let_go(struct simproc_handle *h);

/* What a scan shows: the table as it is now. A copy: processes go while it is looked at. */
struct simproc_picture {
    struct procfs_table table;
    char *strings;
};

/* Of the known ones it shows no more than procfs_scan. 0 or -ENOMEM. */
int simproc_picture(const struct simproc_table *t, const struct procfs_known *known, size_t nknown,
                    struct simproc_picture *out);
void simproc_picture_fini(struct simproc_picture *p);

#endif
