#include "survey.h"

#include "clog.h"
#include "complain.h"
#include "match.h"
#include "probe.h"
#include "resume.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A rest that even SIGKILL does not end must not hold up the start for ever. */
#define SWEEPS_MAX 20

/* A service whose adopted process has ended, by the group that led. */
struct orphan {
    pid_t pgrp;
    int index;
};

struct judgement {
    struct monitor *m;
    const struct procfs_table *table;
    struct match match;     /* its owners: also by the group */
    struct orphan *orphans; /* sorted by group */
    size_t norphans;
    bool *has_rest; /* by the index of a service: something in the table is its own */
    bool *has_old;  /* and is older than its process, which was started without a look */
    int failed;     /* why a process of the service in hand could not be held, though it is there (-errno) */
    int error;      /* the same for all of them */
};

/* What a survey found nothing of, or has cleaned up after: its start goes ahead. */
static void go_ahead(struct monitor *m, struct service *s)
{
    if (s->fresh)
        resume_tell_end(s);
    if (s->seeking && s->state == STATE_STOPPING) {
        service_gone(s);
    } else if (s->seeking) {
        s->seeking = false;
        monitor_queue_start(m, s);
    } else if (s->fresh && !resume_missed(s) && resume_wants(s)) {
        s->unsure = false; /* just looked */
        service_start(s, m->start_seq);
    }
    s->fresh = false;
    resume_over(s);
    if (s->held)
        service_stop(s, s->spawn_cause); /* now it is known that there is nothing to stop */
}

/* What led to looking at it: who wants it started, how it got into its state, or that the monitor has just begun. */
static uint64_t cause_of(const struct monitor *m, const struct service *s)
{
    return s->seeking ? s->spawn_cause : s->state_seq ? s->state_seq : m->start_seq;
}

/* Kills one process left behind by a former instance. A look at its identity comes
 * first: the table is some milliseconds old. */
static bool kill_left(struct judgement *j, struct service *s, const struct procfs_entry *e)
{
    struct proc p;
    struct monitor *m = j->m;
    struct world *w = m->world;
    int r = w->ops->adopt(w, e->pid, e->stat.start_ticks, &p);
    if (r && r != -ESRCH)
        j->failed = r;
    if (r)
        return false;
    bool killed = w->ops->signal(w, &p, SIGKILL, PROC_ONE) == 0;
    w->ops->release(w, &p);
    if (!killed)
        return false;
    struct event ev = {.kind = EVENT_CLEANUP, .cause = cause_of(m, s), .pid = e->pid, .signal = SIGKILL};
    event_text(&ev, "left behind by an earlier instance: %s", e->cmdline ? e->cmdline : "?");
    monitor_emit(m, s, &ev);
    return true;
}

/* Is it older than the process we started, so none of its children? What is adopted may have elders: of a graceful
 * restart the former one goes on for a while. */
static bool is_old(const struct judgement *j, const struct service *s, const struct procfs_entry *e)
{
    const struct procfs_entry *now = s->proc.pid && !s->adopted ? procfs_table_find(j->table, s->proc.pid) : NULL;
    return now && e->stat.start_ticks < now->stat.start_ticks;
}

/* Kills every process that is the service's, or those of its group, but for what the running one has; true when there
 * was one. */
static bool clean_up(struct judgement *j, size_t index, pid_t pgrp)
{
    struct service *s = j->m->looked[index];
    const struct procfs_entry *last = NULL;
    size_t killed = 0;
    for (size_t i = 0; i < j->table->count; i++) {
        const struct procfs_entry *e = &j->table->entries[i];
        bool left = j->match.owner[i] == (int)index && (!pgrp || e->stat.pgrp == pgrp);
        if (!left || (s->proc.pid && !is_old(j, s, e)) || !kill_left(j, s, e))
            continue;
        last = e;
        killed++;
    }
    if (last)
        complain_left(s, killed, last);
    return last != NULL;
}

static void report_copy(struct judgement *j, struct service *s, pid_t pid)
{
    monitor_note(j->m, s, EVENT_AUDIT, cause_of(j->m, s), "a second copy of it runs as pid %d; it is left alone", pid);
    clog_error("service[%s]: a second copy runs as pid %d (the service is pid %d); it is left alone", s->conf->name,
               pid, s->proc.pid);
}

/* All that was found beside the service itself (NULL: none). Told once each, for as long as it is there. */
static void report_copies(struct judgement *j, struct service *s, const struct procfs_entry *a,
                          const struct procfs_entry *b)
{
    const struct procfs_entry *found[] = {a, b};
    pid_t seen[ARRAY_LEN(s->reported)] = {0};
    for (size_t i = 0; i < ARRAY_LEN(found); i++) {
        if (!found[i] || found[i]->pid == s->proc.pid)
            continue;
        seen[i] = found[i]->pid;
        if (seen[i] != s->reported[0] && seen[i] != s->reported[1])
            report_copy(j, s, seen[i]);
    }
    memcpy(s->reported, seen, sizeof seen);
}

/* It may have renamed itself; or conf.json was changed while no monitor ran. */
static void report_other_command(struct judgement *j, struct service *s)
{
    monitor_note(j->m, s, EVENT_AUDIT, s->state_seq,
                 s->cmd_mark ? "its command line was changed in the configuration meanwhile; restart it"
                             : "it shows another command line than the configuration; if that was changed, restart it");
    clog_warn("service[%s]: pid %d %s", s->conf->name, s->proc.pid,
              s->cmd_mark ? "runs with the command line from before the configuration was changed; restart it"
                          : "shows another command line than the configuration; if that was changed, restart it");
}

/* A service that wants a look before it starts, or after its end. Returns true when the
 * table must be looked at again, because something is still on its way out. */
static bool settle(struct judgement *j, size_t index)
{
    struct service *s = j->m->looked[index];
    const struct match_found *f = &j->match.found[index];
    const struct procfs_entry *known = resume_find(s, j->table);
    bool graceful = s->graceful || resume_was_graceful(s), fresh = s->fresh && !(f->best && resume_is_rest(s, f->best));
    const struct procfs_entry *best = s->sweeping ? NULL
                                      : known     ? known
                                      : f->best   ? f->best
                                      : graceful  ? f->heir
                                                  : NULL;
    /* Its process was seen to end: another marked leader is something it left behind, unless it looks like it. */
    if (best && best == f->best && best != known && !f->same && !fresh && !graceful)
        best = NULL;
    uint64_t cause = s->seeking ? s->spawn_cause : known && s->state_seq ? s->state_seq : j->m->start_seq;
    int r = best ? service_adopt(s, best, cause) : -ESRCH;
    if (r == 0) {
        s->fresh = false;
        resume_found(s);
        resume_over(s);
        report_copies(j, s, f->copy, f->same && f->best != best ? f->best : NULL);
        if (s->cmd_mark ? s->cmd_mark != conf_mark(s->conf->cmd) : best == f->best && !f->same)
            report_other_command(j, s);
        s->cmd_mark = conf_mark(s->conf->cmd); /* told once */
        if (s->held)
            service_stop(s, s->spawn_cause);
        return false;
    }
    j->failed = r == -ESRCH ? 0 : r;
    bool again = false;
    /* A service nobody wants keeps its rests: they are only reported. But what is stopped goes with its group. */
    pid_t group = resume_group(s);
    bool wanted =
        s->sweeping || group || (s->want == WANT_UP && s->state != STATE_FAILED) || (s->fresh && resume_wants(s));
    if (!j->failed && wanted && j->has_rest[index] && s->sweeps < SWEEPS_MAX) {
        bool killed = clean_up(j, index, s->sweeping ? s->group.pgrp : group);
        /* What has ended by itself since the table was read may have forked before: a daemon does. */
        again = killed || (!j->failed && !s->sweeping && !group);
    }
    if (again) {
        s->sweeps++;
        s->seek_scan = j->m->scans + 1;
        return true;
    }
    if (j->failed) {
        j->error = j->failed;
        return false;
    }
    s->sweeps = 0;
    go_ahead(j->m, s);
    return false;
}

/* The audit of a service that is not about to be started. */
static void check(struct judgement *j, size_t index)
{
    struct service *s = j->m->looked[index];
    const struct match_found *f = &j->match.found[index];
    if (s->proc.pid) {
        if (!procfs_table_find(j->table, s->proc.pid))
            probe_service(s);
        bool other = f->best && f->same && s->proc.pid && f->best != f->copy && f->best->stat.session != s->proc.pid;
        report_copies(j, s, f->copy, other ? f->best : NULL);
        s->reported_rest = false;
        return;
    }
    report_copies(j, s, f->same ? f->best : NULL, NULL);
    bool rest = !f->same && j->has_rest[index];
    if (rest && !s->reported_rest) {
        monitor_note(j->m, s, EVENT_AUDIT, cause_of(j->m, s), "processes it started are still running, though it is %s",
                     machine_state_name(s->state));
        clog_warn("service[%s] is %s, but processes it started are still running", s->conf->name,
                  machine_state_name(s->state));
    }
    s->reported_rest = rest;
}

static bool wants_look(const struct monitor *m, const struct service *s)
{
    return !s->proc.pid && !s->blocked && (s->seeking || s->fresh) && s->seek_scan <= m->scans;
}

void survey_skip(struct monitor *m)
{
    m->surveyed = true;
    for (size_t i = 0; i < m->nsvcs; i++)
        if (wants_look(m, m->svcs[i]))
            go_ahead(m, m->svcs[i]);
    for (struct service *s = m->removed, *next; s; s = next) {
        next = s->next_queued;
        if (wants_look(m, s))
            go_ahead(m, s);
    }
}

static int by_pgrp(const void *a, const void *b)
{
    const struct orphan *x = a, *y = b;
    return (x->pgrp > y->pgrp) - (x->pgrp < y->pgrp);
}

static void find_orphans(struct judgement *j)
{
    for (size_t i = 0; i < j->m->nlooks; i++) {
        const struct service *s = j->m->looked[i];
        if (s->group.pgrp && !s->proc.pid)
            j->orphans[j->norphans++] = (struct orphan){s->group.pgrp, (int)i};
    }
    qsort(j->orphans, j->norphans, sizeof *j->orphans, by_pgrp);
}

/* The service whose group the process is in, though it carries no marker; -1: none. See struct service_group. */
static int owner_by_group(const struct judgement *j, const struct procfs_entry *e)
{
    struct orphan key = {.pgrp = e->stat.pgrp};
    const struct orphan *o = bsearch(&key, j->orphans, j->norphans, sizeof key, by_pgrp);
    if (!o || e->stat.state == 'Z' || e->stat.state == 'X')
        return -1;
    const struct service_group *g = &j->m->looked[o->index]->group;
    /* It started within that tick of the clock. */
    bool older = procfs_start_ms(e->stat.start_ticks + 1) <= g->seen_ms;
    return e->stat.session == g->session && older ? o->index : -1;
}

/* Whose is what? */
static void find_owners(struct judgement *j)
{
    find_orphans(j);
    for (size_t i = 0; i < j->table->count; i++) {
        const struct procfs_entry *e = &j->table->entries[i];
        int *owner = &j->match.owner[i];
        if (*owner < 0 && j->norphans && e->pid != getpid())
            *owner = owner_by_group(j, e);
        if (*owner < 0)
            continue;
        struct service *s = j->m->looked[*owner];
        j->has_rest[*owner] = true;
        j->has_old[*owner] = j->has_old[*owner] || is_old(j, s, e);
        /* A child that left the group is not ended with it: look for it before the next start. */
        if (s->proc.pid && s->proc.pid != e->pid && e->stat.pgrp != s->proc.pid)
            s->escapes = true;
        if (s->proc.pid == e->pid && e->marker) { /* from now on its number and start time tell what it is */
            s->marked = true;
            s->proc.start_ticks = e->stat.start_ticks;
        }
    }
}

/* Of services that were taken out of the configuration while no monitor ran. */
static void report_unconfigured(const struct judgement *j)
{
    struct monitor *m = j->m;
    size_t len = strlen(m->marker_prefix);
    for (size_t i = 0; i < j->table->count; i++) {
        const struct procfs_entry *e = &j->table->entries[i];
        bool ours = e->marker && e->stat.session == e->pid && !strncmp(e->marker, m->marker_prefix, len);
        if (!ours || j->match.owner[i] >= 0 || monitor_find(m, e->marker + len))
            continue;
        monitor_note(m, NULL, EVENT_AUDIT, m->start_seq,
                     "service[%s] is not configured any more, but runs as pid %d; it is left alone", e->marker + len,
                     e->pid);
        clog_warn("service[%s] is not configured any more, but runs as pid %d; it is left alone", e->marker + len,
                  e->pid);
    }
}

struct procfs_known *survey_known(const struct monitor *m, size_t *count)
{
    struct procfs_known *known = calloc(m->nsvcs + 1, sizeof *known);
    *count = 0;
    for (size_t i = 0; known && i < m->nsvcs; i++) {
        const struct service *s = m->svcs[i];
        if (s->marked)
            known[(*count)++] = (struct procfs_known){.pid = s->proc.pid, .start_ticks = s->proc.start_ticks};
    }
    return known;
}

static bool prepare(struct judgement *j)
{
    struct monitor *m = j->m;
    if (!m->indexed && monitor_index(m))
        return false;
    for (size_t i = 0; i < m->nlooks; i++)
        m->looks[i].held = m->looked[i]->proc.pid;
    j->has_rest = calloc(m->nlooks + 1, sizeof *j->has_rest);
    j->has_old = calloc(m->nlooks + 1, sizeof *j->has_old);
    j->orphans = calloc(m->nlooks + 1, sizeof *j->orphans);
    return j->has_rest && j->has_old && j->orphans &&
           match_run(j->table, m->looks, m->nlooks, m->marker_prefix, getpid(), m->world->ops->script_fits,
                     &j->match) == 0;
}

int survey_judge(struct monitor *m, const struct procfs_table *table, bool audit)
{
    struct judgement j = {.m = m, .table = table};
    bool again = false;
    if (prepare(&j)) {
        find_owners(&j);
        for (size_t i = 0; i < m->nlooks; i++) {
            if (wants_look(m, m->looked[i]))
                again = settle(&j, i) || again;
            else if (j.has_old[i])
                clean_up(&j, i, 0);
            else if (audit)
                check(&j, i);
        }
        if (!m->surveyed)
            report_unconfigured(&j);
        m->surveyed = true;
        match_fini(&j.match);
    } else {
        j.error = -ENOMEM;
    }
    free(j.has_rest);
    free(j.has_old);
    free(j.orphans);
    if (again && !j.error)
        monitor_survey(m);
    return j.error;
}
