#include "simlater.h"

#include <errno.h>
#include <stdlib.h>

struct simlater_scan {
    struct simlater_scan *next;
    int64_t due_ms;
    struct simproc_picture picture;
    world_scan_fn *fn;
    void *arg;
};

struct simlater_job {
    struct simlater_job *next;
    int64_t due_ms;
    struct world_work *work;
};

/* ---- scans */

static void free_scan(struct simlater_scan *s)
{
    simproc_picture_fini(&s->picture);
    free(s);
}

int simlater_scan(struct simlater *l, const struct simproc_table *processes, struct procfs_known *known, size_t nknown,
                  world_scan_fn *fn, void *arg)
{
    struct simlater_scan *s = l->scan_error ? NULL : calloc(1, sizeof *s), **last = &l->scans;
    int r = s ? simproc_picture(processes, known, nknown, &s->picture) : l->scan_error ? -l->scan_error : -ENOMEM;
    free(known);
    if (!s || r) {
        free(s);
        return r;
    }
    s->due_ms = *l->now_ms + l->scan_ms;
    s->fn = fn;
    s->arg = arg;
    s->picture.table.error = -l->table_error;
    if (l->table_error)
        s->picture.table.count = 0;
    while (*last && (*last)->due_ms <= s->due_ms)
        last = &(*last)->next;
    s->next = *last;
    *last = s;
    return 0;
}

void simlater_unscan(struct simlater *l, const void *arg)
{
    for (struct simlater_scan **link = &l->scans; *link;) {
        struct simlater_scan *s = *link;
        if (s->arg != arg) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        free_scan(s);
    }
}

static void run_scans(struct simlater *l)
{
    size_t due = 0;
    for (const struct simlater_scan *s = l->scans; s && s->due_ms <= *l->now_ms; s = s->next)
        due++;
    for (; due && l->scans; due--) {
        struct simlater_scan *s = l->scans;
        l->scans = s->next;
        s->fn(s->arg, &s->picture.table);
        free_scan(s);
    }
}

/* ---- work */

int simlater_work(struct simlater *l, struct world_work *k)
{
    struct simlater_job *j = calloc(1, sizeof *j), **last = &l->jobs;
    if (!j)
        return -ENOMEM;
    *j = (struct simlater_job){.due_ms = *l->now_ms + l->work_ms, .work = k};
    while (*last && (*last)->due_ms <= j->due_ms)
        last = &(*last)->next;
    j->next = *last;
    *last = j;
    return 0;
}

void simlater_unwork(struct simlater *l, const void *owner)
{
    for (struct simlater_job **link = &l->jobs; *link;) {
        struct simlater_job *j = *link;
        if (j->work->owner != owner) {
            link = &j->next;
            continue;
        }
        *link = j->next;
        j->work->done(j->work, false);
        free(j);
    }
}

static void run_work(struct simlater *l)
{
    size_t due = 0;
    for (const struct simlater_job *j = l->jobs; j && j->due_ms <= *l->now_ms; j = j->next)
        due++;
    for (; due && l->jobs; due--) {
        struct simlater_job *j = l->jobs;
        l->jobs = j->next;
        j->work->run(j->work);
        j->work->done(j->work, true);
        free(j);
    }
}

/* ---- all of it */

int64_t simlater_next(const struct simlater *l)
{
    int64_t scan = l->scans ? l->scans->due_ms : -1, job = l->jobs ? l->jobs->due_ms : -1;
    return scan < 0 ? job : job < 0 ? scan : MIN(scan, job);
}

void simlater_run(struct simlater *l)
{
    run_scans(l);
    run_work(l);
}

void simlater_fini(struct simlater *l)
{
    while (l->scans) {
        struct simlater_scan *s = l->scans;
        l->scans = s->next;
        free_scan(s);
    }
    while (l->jobs) {
        struct simlater_job *j = l->jobs;
        l->jobs = j->next;
        j->work->done(j->work, false);
        free(j);
    }
}
