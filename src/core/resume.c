#include "resume.h"

#include "ending.h"
#include "monitor.h"

#include <fcntl.h>
#include <stdlib.h>

static bool stands(const struct service *s)
{
    return s->was && s->was->stands;
}

/* States without a process are entered at once; no event tells of it, as nothing has changed. */
static void go_back_to(struct service *s, const struct remembered *was)
{
    struct world *w = s->mon->world;
    int64_t left = was->since_ms + was->delay_ms - w->ops->mono_ms(w);
    s->state = was->state;
    s->want = was->want;
    s->delay_ms = was->delay_ms;
    if (s->state == STATE_WAITING)
        world_timer_set(w, &s->timer, MAX(MIN(left, was->delay_ms), 0));
}

void resume_prepare(struct service *s)
{
    struct remembered *was = s->was;
    struct event_journal *j = &s->mon->journal;
    if (!was)
        return;
    s->restarts = (unsigned)was->restarts;
    s->failures = (unsigned)was->failures;
    if (!was->stands)
        return;
    if (was->removed) { /* and now it is configured again */
        was->state = was->pid ? STATE_STOPPING : STATE_STARTING;
        was->want = s->conf->autostart ? WANT_UP : WANT_DOWN;
    }
    s->state_seq = was->seq;
    s->since_ms = was->since_ms;
    s->since_wall_ms = was->since_wall_ms;
    j->last_seq = MAX(j->last_seq, was->seq); /* where the journal was removed, numbers still go on */
    if (!was->pid && (was->state == STATE_WAITING || was->state == STATE_FAILED || was->state == STATE_DOWN))
        go_back_to(s, was);
    else if (was->pid && was->state == STATE_STOPPING && was->want == WANT_DOWN)
        s->held = true;
    s->spawn_cause = was->seq;
}

/* What the timer of the state was set to, counted from when it was entered. */
static void resume_timer(struct service *s)
{
    struct world *w = s->mon->world;
    int64_t now = w->ops->mono_ms(w), gone = now - s->since_ms, after = -1;
    if (s->state == STATE_STARTING)
        after = SERVICE_PROBE_MS - (now - s->start_ms);
    else if (s->state == STATE_STOPPING)
        after = s->conf->stop.timeout_ms - gone;
    else if (s->graceful)
        after = s->conf->graceful.timeout_ms;
    else
        return;
    world_timer_set(w, &s->timer, MAX(after, 0));
}

void resume_hold(struct service *s)
{
    struct world *w = s->mon->world;
    struct remembered *was = s->was;
    s->proc = (struct proc){.pid = was->pid,
                            .pidfd = was->pidfd,
                            .start_ticks = was->start_ticks,
                            .child = was->child,
                            .leader = was->leader};
    s->state = was->state;
    s->want = was->want;
    s->start_ms = was->start_ms;
    s->log_start = was->log_start;
    s->cmd_mark = (uint32_t)was->cmd_mark;
    s->adopted = was->adopted;
    s->graceful = was->graceful;
    s->escapes = was->escapes;
    s->group = (struct service_group){was->pgrp, was->session, was->seen_ms};
    s->fresh = s->held = s->unsure = false;
    fcntl(s->proc.pidfd, F_SETFD, FD_CLOEXEC);
    s->watched = w->ops->watch(w, &s->proc, &s->watch) == 0;
    resume_timer(s);
    monitor_started(s->mon);
    s->mon->generation++;
    resume_over(s);
}

const struct procfs_entry *resume_find(const struct service *s, const struct procfs_table *table)
{
    const struct procfs_entry *e = s->was && s->was->pid ? procfs_table_find(table, s->was->pid) : NULL;
    bool lives = e && e->stat.state != 'Z' && e->stat.state != 'X';
    return lives && procfs_start_ms(e->stat.start_ticks) <= s->was->start_ms ? e : NULL;
}

bool resume_is_rest(const struct service *s, const struct procfs_entry *e)
{
    bool none = stands(s) && !s->was->pid && s->was->state != STATE_STARTING && s->was->state != STATE_UP;
    /* A younger one may be what the monitor started last, and did not live to write down. */
    return none && procfs_start_ms(e->stat.start_ticks + 1) <= s->was->since_ms;
}

bool resume_was_graceful(const struct service *s)
{
    return stands(s) && s->was->graceful;
}

bool resume_wants(const struct service *s)
{
    if (s->held)
        return false;
    return stands(s) ? s->was->want == WANT_UP && s->was->state != STATE_FAILED : s->conf->autostart;
}

pid_t resume_group(const struct service *s)
{
    bool stops = s->fresh && s->held && s->was && s->conf->stop.scope == CONF_SCOPE_GROUP;
    return stops ? s->was->pid : 0;
}

void resume_found(struct service *s)
{
    struct world *w = s->mon->world;
    const struct remembered *was = s->was;
    if (!stands(s) || s->proc.pid != was->pid)
        return;
    s->log_start = was->log_start;
    s->cmd_mark = (uint32_t)was->cmd_mark;
    if (was->state == STATE_STOPPING && was->want == WANT_UP)
        service_restart(s, s->state_seq);
    if (s->state != STATE_UP || was->state != STATE_UP)
        return;
    s->since_ms = was->since_ms;
    s->since_wall_ms = was->since_wall_ms;
    if (!was->graceful)
        return;
    s->graceful = true;
    world_timer_set(w, &s->timer, s->conf->graceful.timeout_ms);
}

void resume_tell_end(struct service *s)
{
    const struct remembered *was = s->was;
    if (!was || was->stands || !was->pid || s->held)
        return;
    bool requested =
        was->state == STATE_STOPPING || was->graceful || s->state == STATE_STOPPING || s->renew != RENEW_NOT;
    struct proc_exit how = {.code = -1, .cpu_ms = -1, .max_rss_kib = -1};
    int64_t now = s->mon->world->ops->mono_ms(s->mon->world);
    ending_record(s, &how, was->pid, now - was->start_ms, requested);
}

/* Told to stop, and nothing of it is there: it is down. */
static void stopped(struct service *s)
{
    struct remembered was = *s->was;
    uint64_t cause = s->held ? s->spawn_cause : s->state_seq; /* 0: it was never anything but down */
    bool under_way = cause && (was.state == STATE_STARTING || was.state == STATE_STOPPING);
    was.state = STATE_STOPPING;
    was.want = WANT_DOWN;
    was.graceful = false;
    if (was.pid) {
        service_lost(s, &was);
    } else if (under_way && s->state == STATE_DOWN) {
        s->state = was.state;
        s->want = was.want;
        s->state_seq = cause;
        service_gone(s);
    }
}

bool resume_missed(struct service *s)
{
    const struct remembered *was = s->was;
    bool stops = stands(s) && was->state == STATE_STOPPING && was->want == WANT_DOWN;
    if (was && (s->held || stops)) {
        stopped(s);
        return true;
    }
    if (!stands(s))
        return false;
    s->unsure = s->state == STATE_DOWN || s->state == STATE_FAILED; /* else it was just looked */
    if (was->pid) {
        s->unsure = false;
        service_lost(s, was);
    } else if (was->want == WANT_UP && s->state == STATE_DOWN) {
        unsigned failures = s->failures;
        s->unsure = false;
        service_start(s, was->seq ? was->seq : s->mon->start_seq);
        s->failures += failures; /* nobody asked for this start: the row goes on */
    }
    return true;
}

void resume_over(struct service *s)
{
    if (!s->was)
        return;
    free(s->was);
    s->was = NULL;
    remember_touch(s);
}
