/* Which running process belongs to which service: one look at the process table for
 * all services at once.
 *
 * First choice is the marked session leader (we started it); then, as the Go tool did
 * it, a process with the same command line and user, the top-most parent of such. Of
 * several the marked, then the one with the right command line, then the oldest. */
#ifndef FM_MATCH_H
#define FM_MATCH_H

#include "base.h"
#include "launch.h"
#include "procfs.h"

/* What a service looks like from outside. */
struct match_look {
    const char *name;
    char *cmdline; /* arguments, each ended by a NUL; NULL: can't be told beforehand */
    size_t cmdline_len;
    uid_t uid;
    uint64_t hash;
    pid_t held; /* the process of it that we hold; 0: none. Set before each match_run */
};

/* Fills *out for one service that runs as uid; the look borrows the name. A command
 * line that can't be resolved leaves cmdline NULL. */
void match_look_init(struct match_look *out, const struct conf *conf, const struct conf_service *svc, uid_t uid);
void match_look_fini(struct match_look *look);

/* What was found for one service. */
struct match_found {
    const struct procfs_entry *best; /* the process to take over; NULL: none */
    bool same;                       /* best shows the service's command line, or that can't be told beforehand */
    const struct procfs_entry *copy; /* another one with the service's command line; NULL: none */
    const struct procfs_entry *heir; /* the oldest marked one that leads no session and whose parent is none of the
                                        service's: what a graceful restart leaves in charge; NULL: none */
};

/* The result for all. */
struct match {
    struct match_found *found; /* one per look, in the same order */
    int *owner; /* one per table entry: index of the look whose marker it carries (or that holds it, for a
                   `known` entry), or -1 */
};

/* Does an executable interpret a script? As shebang_fits. */
typedef bool match_script_fn(const char *script, const char *exe);

/* Compares. `looks` sorted by name; `prefix` is the marker up to the service's name
 * ("HOME:ENV/"). The entry of `self` (the monitor) never matches. A `known` entry is
 * the best of the look that holds it. 0 or -ENOMEM. */
int match_run(const struct procfs_table *table, const struct match_look *looks, size_t nlooks, const char *prefix,
              pid_t self, match_script_fn *script_fits, struct match *out);
void match_fini(struct match *m);

#endif
