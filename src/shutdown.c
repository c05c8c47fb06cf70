#include "shutdown.h"

#include "clog.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define HANGS_MS 6000 /* what has not ended so long after SIGKILL hangs in the kernel */
#define HANGS "it has not ended after SIGKILL; it hangs in the kernel"
#define MANAGER_SLACK_MS 10000
#define TWICE_MS 2000 /* a second SIGINT within this stops the services too */

static int64_t now_ms(const struct shutdown *sd)
{
    struct world *w = sd->mon->world;
    return w->ops->mono_ms(w);
}

static bool is_down(const struct service *s)
{
    return !s->held && !s->proc.pid && (s->state == STATE_DOWN || s->state == STATE_FAILED);
}

static bool tell_next(struct monitor_work *w)
{
    struct shutdown *sd = CONTAINER_OF(w, struct shutdown, work);
    struct monitor *m = sd->mon;
    if (sd->next < m->nsvcs) {
        struct service *s = m->svcs[sd->next++];
        order_settle(s);
        if (!is_down(s) || s->fresh)
            service_stop(s, monitor_note(m, s, EVENT_COMMAND, sd->cause, "%s", sd->why));
    }
    sd->told = sd->next >= m->nsvcs;
    return !sd->told;
}

static int64_t longest_stop_ms(const struct monitor *m)
{
    int64_t longest = 0;
    for (size_t i = 0; i < m->nsvcs; i++)
        longest = MAX(longest, m->svcs[i]->conf->stop.timeout_ms);
    for (const struct service *s = m->removed; s; s = s->next_queued)
        longest = MAX(longest, s->conf->stop.timeout_ms);
    return longest;
}

void shutdown_begin(struct shutdown *sd, const char *why, uint64_t cause, int code)
{
    if (sd->on)
        return;
    struct monitor *m = sd->mon;
    int64_t limit_ms = longest_stop_ms(m) + HANGS_MS;
    sd->on = true;
    sd->code = code;
    snprintf(sd->why, sizeof sd->why, "%s", why);
    clog_info("%s: all services are stopped, then the monitor ends", why);
    sd->cause = monitor_note(m, NULL, EVENT_COMMAND, cause, "%s", why);
    sdnotify_tell(sd->manager, "STOPPING=1\nSTATUS=all services are being stopped\nEXTEND_TIMEOUT_USEC=%lld",
                  (long long)(limit_ms + MANAGER_SLACK_MS) * 1000);
    monitor_wind_down(m);
    sd->until_ms = now_ms(sd) + limit_ms;
    sd->work.step = tell_next;
    monitor_do(m, &sd->work);
}

/* Adds its name, if it could not be stopped; whoever waits for that is told. */
static unsigned add_if_left(struct buf *names, struct service *s)
{
    if (is_down(s))
        return 0;
    service_wait_tell(s, GOAL_DOWN, HANGS);
    buf_addf(names, "%s%s", names->len ? ", " : "", s->conf->name);
    return 1;
}

static void finish(struct shutdown *sd)
{
    struct monitor *m = sd->mon;
    struct buf names = {0};
    unsigned left = 0;
    for (size_t i = 0; i < m->nsvcs; i++)
        left += add_if_left(&names, m->svcs[i]);
    for (struct service *s = m->removed; s; s = s->next_queued)
        left += add_if_left(&names, s);
    if (left)
        clog_error("the monitor ends; %u could not be stopped: %s", left, buf_str(&names));
    else
        clog_info("all services are down: the monitor ends");
    if (left)
        monitor_note(m, NULL, EVENT_MONITOR, sd->cause, "the monitor ended; could not be stopped: %s", buf_str(&names));
    else
        monitor_note(m, NULL, EVENT_MONITOR, sd->cause, "the monitor ended, with all services down");
    sd->code = left && !sd->code ? 1 : sd->code;
    buf_fini(&names);
    uv_stop(sd->loop);
}

/* One without which the others are of no use has ended for good. */
static void begin_for_loss(struct shutdown *sd)
{
    const struct monitor_loss *loss = &sd->mon->loss;
    char why[EVENT_TEXT_SIZE];
    snprintf(why, sizeof why, "shutdown, as service[%s] is essential and has ended for good", loss->service);
    shutdown_begin(sd, why, loss->seq, loss->code);
}

void shutdown_turn(struct shutdown *sd)
{
    if (!sd->on && sd->mon->loss.is)
        begin_for_loss(sd);
    if (!sd->on || !sd->told)
        return;
    bool down = !sd->mon->removed;
    for (size_t i = 0; i < sd->mon->nsvcs && down; i++)
        down = is_down(sd->mon->svcs[i]);
    if (down || now_ms(sd) >= sd->until_ms)
        finish(sd);
}

/* ---- signals */

static bool is_first_process(void)
{
    return getpid() == 1;
}

size_t shutdown_signals(const int **list)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    *list = signals;
    return is_first_process() ? ARRAY_LEN(signals) : 2;
}

static void end_alone(struct shutdown *sd, int signum)
{
    const char *name = conf_signal_name(signum);
    clog_info("%s: the monitor ends; the services go on", name);
    monitor_note(sd->mon, NULL, EVENT_MONITOR, 0, "the monitor ended by %s; the services go on", name);
    sdnotify_tell(sd->manager, "STOPPING=1\nSTATUS=the services go on");
    uv_stop(sd->loop);
}

static void on_pause(uv_timer_t *timer)
{
    end_alone(timer->data, SIGINT);
}

static void begin_by(struct shutdown *sd, const char *what)
{
    char why[80];
    snprintf(why, sizeof why, "shutdown asked for by %s", what);
    shutdown_begin(sd, why, 0, 0);
}

static void hand_on(struct shutdown *sd, int signum)
{
    const char *name = conf_signal_name(signum);
    uint64_t cause = 0;
    for (size_t i = 0; i < sd->mon->nsvcs; i++) {
        struct service *s = sd->mon->svcs[i];
        if (!s->conf->essential || !s->proc.pid)
            continue;
        if (!cause)
            cause = monitor_note(sd->mon, NULL, EVENT_COMMAND, 0, "%s is handed on to the essential services", name);
        service_signal(s, signum, cause);
    }
    if (!cause)
        clog_info("%s: there is no essential service to hand it on to", name);
}

static void as_first_process(struct shutdown *sd, int signum)
{
    if (signum != SIGTERM && signum != SIGINT)
        hand_on(sd, signum);
    else if (!sd->on)
        begin_by(sd, conf_signal_name(signum));
}

void shutdown_on_signal(struct shutdown *sd, int signum)
{
    if (is_first_process()) {
        as_first_process(sd, signum);
    } else if (signum != SIGINT || sd->on || !isatty(STDERR_FILENO)) {
        end_alone(sd, signum);
    } else if (uv_is_active((uv_handle_t *)&sd->pause)) {
        uv_timer_stop(&sd->pause);
        begin_by(sd, "SIGINT, twice");
    } else {
        fprintf(stderr, "The monitor ends in %d s, and the services go on. Once more stops them too.\n",
                TWICE_MS / 1000);
        uv_timer_start(&sd->pause, on_pause, TWICE_MS, 0);
    }
}

void shutdown_init(struct shutdown *sd, uv_loop_t *loop, struct monitor *m, struct sdnotify *manager)
{
    *sd = (struct shutdown){.loop = loop, .mon = m, .manager = manager};
    uv_timer_init(loop, &sd->pause);
    sd->pause.data = sd;
}
