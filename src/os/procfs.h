/* Facts about processes from /proc: one process, or all of them in one pass. */
#ifndef FM_PROCFS_H
#define FM_PROCFS_H

#include "base.h"

#include <sys/types.h>

/* From /proc/PID/stat. */
struct procfs_stat {
    pid_t ppid, pgrp, session;
    char state;           /* 'R', 'S', 'D', 'T', 'Z' … */
    uint64_t start_ticks; /* since boot, in clock ticks */
    int64_t cpu_ms;       /* user + system */
    int64_t rss_kib;
    bool exit_status_known; /* a zombie we are allowed to look at */
    int exit_status;        /* as wait(2) gives it */
};

/* false: no such process (or /proc can't be read). */
bool procfs_stat(pid_t pid, struct procfs_stat *out);

/* Start time of a process as milliseconds on the clock of clock_mono_ms. */
int64_t procfs_start_ms(uint64_t start_ticks);

/* What pids and start times mean: a text that is another one after the host, or the container we are in, was started
 * again. "" when it can't be told. */
void procfs_boot(char *out, size_t size);

/* Does the process run a handler of its own for this signal? false as well when it can't be told. */
bool procfs_catches(pid_t pid, int sig);

/* How many descriptors the process has open, or -1 when that is not to be seen. */
int procfs_count_fds(pid_t pid);

/* Is that errno one that goes by (no descriptors, no memory)? All others tell how things are: there is no /proc, it may
 * not be looked at, a process is gone. */
bool procfs_is_passing(int error);

/* The signal limits of setrlimit by name, "open files" for RLIMIT_NOFILE, for messages. Static. */
const char *procfs_limit_name(int resource);

/* One process of a pass over all. Strings are owned by the table. */
struct procfs_entry {
    pid_t pid;
    struct procfs_stat stat;
    uid_t uid;
    const char *marker;  /* value of the environment variable looked for, or NULL */
    const char *cmdline; /* arguments, each ended by a NUL; NULL: none (a kernel thread, a zombie) */
    size_t cmdline_len;
    const char *exe; /* path of the executable, or NULL when it may not be seen */
    const char *cwd; /* working folder, or NULL */
    bool known;      /* the caller said so: nothing but `stat` was read */
};

/* A process the caller knows all about. */
struct procfs_known {
    pid_t pid;
    uint64_t start_ticks;
};

struct procfs_table {
    struct procfs_entry *entries; /* by pid */
    size_t count;
    int error; /* 0, or the -errno for which it may be incomplete: something was passed over for a reason that goes by,
                  or /proc itself can't be read */
    struct procfs_chunk *strings;
};

/* Which process is being looked at closer, 0: none; for another thread. It may take for ever: the kernel lets nobody
 * read the memory of a process that is changing it, and that may hang in there. */
struct procfs_hand {
    _Atomic pid_t pid;
    _Atomic uint64_t start_ticks;
};

/* Looks at every process once, also at those that come meanwhile: one that ends before it is looked at hides none of
 * its children. `marker` is the name of the environment variable to look for. Slow with many processes (40 µs each, 10
 * for those in `known`, which it sorts): meant for the thread pool. `hand` (NULL: nobody asks) tells how far it is.
 * Always fills *out; free it with procfs_table_fini. */
void procfs_scan(const char *marker, struct procfs_known *known, size_t nknown, struct procfs_hand *hand,
                 struct procfs_table *out);

void procfs_table_fini(struct procfs_table *t);

/* The entry of a pid, or NULL. */
const struct procfs_entry *procfs_table_find(const struct procfs_table *t, pid_t pid);

#endif
