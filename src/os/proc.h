/* Processes: start one, know for certain which one it is, signal it, learn how it
 * ended. Knows nothing of services.
 *
 * A process is held by its pidfd from birth (or from adoption) on, so no call here
 * can ever hit a stranger that was given the same pid later. */
#ifndef FM_PROC_H
#define FM_PROC_H

#include "base.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A process we hold. `pid` 0: none. `child` tells whether we started it (its exit
 * status is ours to collect) or adopted it. */
struct proc {
    pid_t pid;
    int pidfd;            /* -1: none */
    uint64_t start_ticks; /* start time as in /proc/PID/stat; 0 until it was asked for */
    bool child;
    bool leader; /* it is the leader of its own process group */
    bool ended;  /* a child whose end proc_reap has told of */
};

struct proc_limit {
    int resource; /* RLIMIT_… */
    bool soft, hard;
    rlim_t value;
};

/* All that is decided before the fork. Borrowed for the call. */
struct proc_spec {
    const char *exe; /* absolute path, what is executed */
    char *const *argv;
    char *const *envp;
    const char *dir;
    int log_fd;     /* becomes stdout and stderr */
    int64_t log_at; /* where what the process writes to it begins (console_size); not for proc_spawn */
    const struct proc_limit *limits;
    size_t nlimits;
    bool set_ids; /* apply uid, gid and groups */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t ngroups;
    int umask; /* -1: as it is */
};

/* Where a start failed. */
enum proc_stage {
    PROC_STAGE_FORK,
    PROC_STAGE_SETSID,
    PROC_STAGE_STDIN,
    PROC_STAGE_LOG,
    PROC_STAGE_LIMIT,
    PROC_STAGE_GROUPS,
    PROC_STAGE_GID,
    PROC_STAGE_UID,
    PROC_STAGE_DIR,
    PROC_STAGE_EXEC,
    PROC_STAGES,
};

struct proc_fault {
    enum proc_stage stage;
    int error; /* errno */
    int limit; /* PROC_STAGE_LIMIT: index into the spec's limits */
};

/* How a process ended. `known` is false when nobody could tell (an adopted
 * process on a kernel that does not say). */
struct proc_exit {
    bool known;
    int code;   /* exit code, -1 when a signal ended it */
    int signal; /* 0: none */
    bool core;
    int64_t cpu_ms;      /* user + system time with the children it waited for; -1: unknown */
    int64_t max_rss_kib; /* -1: unknown */
};

/* Which processes a signal goes to. */
enum proc_scope { PROC_ONE, PROC_GROUP };

/* To be called once, early (it takes two descriptors with low numbers), before the
 * first spawn. Remembers the descriptor limit this program was started with, so that
 * services get that, and raises our own to the hard limit. 0 or -errno. */
int proc_init(void);

/* That limit, for what is started by other means; NULL before proc_init. */
const struct rlimit *proc_given_nofile(void);
/* It was this (the soft one): that of the program this process ran before, which had raised its own. */
void proc_set_given_nofile(rlim_t soft);

/* Every process that is started holds this descriptor too until it runs its program: a lock that
 * must not be free before the process can be told for what it is. 0 or -errno. */
int proc_keep(int fd);

/* To be called once more when this program has changed what it does about signals:
 * remembers which ones a child has to set back (asking for all of them in each child
 * would be a tenth of a start). SIGCHLD may change without. */
void proc_note_signals(void);

/* Starts a process in a session of its own, stdin from /dev/null, SIGHUP ignored
 * (as nohup does), every other signal at its default, no other descriptor open.
 * Returns 0 and fills *out (owned by the caller: proc_close), or -errno and fills
 * *fault. Allocates nothing; the caller's thread is suspended until the exec. */
int proc_spawn(const struct proc_spec *spec, struct proc *out, struct proc_fault *fault);

/* Takes hold of a running process that is no child of ours, if it is still the one
 * with that start time. 0, or -ESRCH (gone, or another one by now), or -errno. */
int proc_adopt(pid_t pid, uint64_t start_ticks, struct proc *out);

/* Sends a signal (0: only probe). PROC_GROUP goes to the whole process group when
 * the process leads one, else to the process alone. 0, or -ESRCH, -EPERM … */
int proc_signal(const struct proc *p, int sig, enum proc_scope scope);

/* Has it ended (also: is it a zombie nobody collected)? Collects nothing. */
bool proc_has_ended(const struct proc *p);

#define PROC_MANY 256
/* The same of n processes, at most PROC_MANY, in one system call: out[i] tells of procs[i] (false where there is none,
 * or no pidfd). What the kernel can't tell at the moment has not ended. */
void proc_have_ended(const struct proc *const *procs, size_t n, bool *out);

/* After its end: kills what is left of its process group while the group's number
 * can't be anybody else's yet, and tells how it ended. Returns false (and does
 * nothing) if it has not ended. A child stays in the process table until proc_close:
 * what the kernel does then takes longer than anything else here. */
bool proc_reap(struct proc *p, bool kill_group, struct proc_exit *out);

/* Lets go of the process without touching it; a child whose end proc_reap has told of is collected. */
void proc_close(struct proc *p);

/* A sentence for a failed start, such as "chdir /srv/x: No such file or directory". */
void proc_fault_text(const struct proc_spec *spec, const struct proc_fault *fault, char *out, size_t size);

#endif
