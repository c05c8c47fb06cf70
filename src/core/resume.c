#include "resume.h"

#include "monitor.h"

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

bool resume_missed(struct service *s)
{
    const struct remembered *was = s->was;
    if (!stands(s))
        return false;
    s->unsure = false; /* just looked */
    if (was->pid) {
        service_lost(s, was);
    } else if (was->want == WANT_UP && s->state == STATE_DOWN) {
        unsigned failures = s->failures;
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
