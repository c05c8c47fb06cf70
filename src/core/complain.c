#include "complain.h"

#include "clock.h"
#include "clog.h"
#include "monitor.h"

#include <stdio.h>

#define CAUSE_SIZE 1200

static int64_t now_ms(const struct service *s)
{
    return s->mon->world->ops->mono_ms(s->mon->world);
}

/* What makes two ends the same: how, not when or of which process. */
static void cause_of_end(const struct service *s, const char *kind, char cause[CAUSE_SIZE])
{
    const struct service_exit *x = &s->last_exit;
    if (x->started)
        snprintf(cause, CAUSE_SIZE, "%s: %d %d %d", kind, x->how.known, x->how.code, x->how.signal);
    else
        snprintf(cause, CAUSE_SIZE, "%s: %s", kind, x->reason ? x->reason : "");
}

static const char *reason_of(const struct service *s)
{
    return s->last_exit.reason ? s->last_exit.reason : "ended";
}

void complain_end(struct service *s)
{
    char cause[CAUSE_SIZE], more[HUSH_MORE_SIZE];
    cause_of_end(s, "end", cause);
    if (hush_says(&s->hush, cause, now_ms(s), more))
        clog_warn("service[%s] pid %d %s%s", s->conf->name, s->last_exit.pid, reason_of(s), more);
}

void complain_start(struct service *s, const char *why)
{
    char more[HUSH_MORE_SIZE];
    if (hush_says(&s->hush, why, now_ms(s), more))
        clog_error("service[%s] could not be started: %s%s", s->conf->name, why, more);
}

void complain_log(struct service *s, const char *why)
{
    char more[HUSH_MORE_SIZE];
    if (hush_says(&s->hush, why, now_ms(s), more))
        clog_error("service[%s]: %s; what it writes is lost until it is restarted%s", s->conf->name, why, more);
}

void complain_row(struct service *s, int64_t delay_ms)
{
    char cause[CAUSE_SIZE], more[HUSH_MORE_SIZE], wait[CLOCK_DURATION_SIZE];
    if (s->failures <= POLICY_BURST)
        return;
    cause_of_end(s, "row", cause);
    if (!hush_says(&s->hush, cause, now_ms(s), more))
        return;
    clock_duration(delay_ms, wait);
    clog_error("service[%s] has failed %u times in a row: %s; next try in %s%s", s->conf->name, s->failures,
               reason_of(s), wait, more);
    s->said_failing = true;
}

void complain_given_up(struct service *s, const char *reason)
{
    clog_error("service[%s] is given up after %u failure%s in a row: %s; the last time it %s", s->conf->name,
               s->failures, s->failures == 1 ? "" : "s", reason, reason_of(s));
}

void complain_over(struct service *s)
{
    if (!s->said_failing || s->state != STATE_UP || service_uptime_ms(s) < POLICY_STABLE_MS)
        return;
    s->said_failing = false;
    clog_info("service[%s] is up again: pid %d, after %u failures in a row", s->conf->name, s->proc.pid, s->failures);
}

void complain_left(struct service *s, size_t count, const struct procfs_entry *e)
{
    char more[HUSH_MORE_SIZE], others[48] = "";
    if (!hush_says(&s->hush, "left behind", now_ms(s), more))
        return;
    if (count > 1)
        snprintf(others, sizeof others, " and %zu more", count - 1);
    clog_warn("service[%s]: killed pid %d (%s)%s, left behind by an earlier instance%s", s->conf->name, e->pid,
              e->cmdline ? e->cmdline : "?", others, more);
}

void complain_hangs(struct service *s, int seconds)
{
    monitor_note(s->mon, s, EVENT_AUDIT, s->state_seq,
                 "pid %d has not ended %d s after SIGKILL; it hangs in the kernel", s->proc.pid, seconds);
    clog_error("service[%s]: pid %d has not ended %d s after SIGKILL; it hangs in the kernel", s->conf->name,
               s->proc.pid, seconds);
}
