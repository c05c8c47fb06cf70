/* What is done off the loop in the simulated world: looks at the process table and other work. Each
 * comes to its time on the loop's own thread, after as long as was set. Only world_sim uses it. */
#ifndef FM_SIMLATER_H
#define FM_SIMLATER_H

#include "simproc.h"

struct simlater {
    const int64_t *now_ms;
    int64_t scan_ms, work_ms;    /* how long they take */
    int scan_error, table_error; /* see world_sim_fail_scans and _spoil_scans */
    struct simlater_scan *scans; /* in due order */
    struct simlater_job *jobs;   /* in due order */
};

/* Forgets all: of work `done` is called, as unwanted. */
void simlater_fini(struct simlater *l);

/* See struct world_ops. */
int simlater_scan(struct simlater *l, const struct simproc_table *processes, struct procfs_known *known, size_t nknown,
                  world_scan_fn *fn, void *arg);
void simlater_unscan(struct simlater *l, const void *arg);
int simlater_work(struct simlater *l, struct world_work *k);
void simlater_unwork(struct simlater *l, const void *owner);

/* When the next of them comes due; -1: never. */
int64_t simlater_next(const struct simlater *l);

/* Does what is due now; what is asked for meanwhile waits for the next call. */
void simlater_run(struct simlater *l);

#endif
