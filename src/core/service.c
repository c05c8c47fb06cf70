#include "service.h"

#include "clog.h"
#include "complain.h"
#include "ending.h"
#include "monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KILL_AGAIN_MS 5000 /* a process that even SIGKILL does not end (yet) is looked at again after this */

static void step(struct service *s, enum machine_event event, uint64_t cause);

static struct world *world_of(const struct service *s)
{
    return s->mon->world;
}

static int64_t now_ms(const struct service *s)
{
    struct world *w = world_of(s);
    return w->ops->mono_ms(w);
}

static int64_t wall_ms(const struct service *s)
{
    struct world *w = world_of(s);
    return w->ops->wall_ms(w);
}

int64_t service_uptime_ms(const struct service *s)
{
    return s->proc.pid ? now_ms(s) - s->start_ms : 0;
}

unsigned service_failures(const struct service *s)
{
    return s->state == STATE_UP && service_uptime_ms(s) >= POLICY_STABLE_MS ? 0 : s->failures;
}

bool service_is_leaving(const struct service *s)
{
    return s->state != STATE_DOWN || s->held;
}

bool service_hangs(const struct service *s)
{
    return s->state == STATE_STOPPING && s->proc.pid &&
           now_ms(s) - s->since_ms >= s->conf->stop.timeout_ms + KILL_AGAIN_MS;
}

int64_t service_next_try_ms(const struct service *s)
{
    return s->state == STATE_WAITING ? MAX(s->since_ms + s->delay_ms - now_ms(s), 0) : 0;
}

/* ---- state */

static enum event_kind kind_of(enum machine_state state)
{
    static const enum event_kind kinds[MACHINE_STATES] = {
        [STATE_DOWN] = EVENT_DOWN, [STATE_WAITING] = EVENT_WAITING,   [STATE_STARTING] = EVENT_STARTING,
        [STATE_UP] = EVENT_UP,     [STATE_STOPPING] = EVENT_STOPPING, [STATE_FAILED] = EVENT_FAILED,
    };
    return kinds[state];
}

/* The only place that writes `state`. */
static void set_state(struct service *s, enum machine_state state, uint64_t cause)
{
    world_timer_clear(world_of(s), &s->timer);
    s->state = state;
    s->since_ms = now_ms(s);
    s->since_wall_ms = wall_ms(s);
    s->mon->generation++;
    struct event e = {.kind = kind_of(state), .cause = cause, .pid = s->proc.pid};
    if (state == STATE_WAITING)
        e.duration_ms = s->delay_ms;
    if (state == STATE_STOPPING)
        e.signal = s->conf->stop.signal;
    /* "Starting" is told once there is a pid to tell (service_launch). */
    if (state != STATE_STARTING)
        s->state_seq = monitor_emit(s->mon, s, &e);
    if (state == STATE_DOWN || state == STATE_FAILED)
        s->unsure = true; /* while nobody looks, somebody may start one by hand */
    service_wait_tell_met(s);
}

/* ---- actions */

static void act_spawn(struct service *s, uint64_t cause)
{
    s->spawn_cause = cause;
    if (s->unsure) {
        monitor_seek(s->mon, s);
    } else {
        monitor_queue_start(s->mon, s);
    }
}

static void act_term(struct service *s, uint64_t cause)
{
    (void)cause;
    monitor_unqueue(s->mon, s);
    if (s->seeking) /* what the look under way finds is stopped (service_adopt), if anything (service_gone) */
        return;
    s->graceful = false;
    if (!s->proc.pid) { /* the start had not happened yet */
        step(s, EV_END, s->state_seq);
        return;
    }
    struct world *w = world_of(s);
    enum proc_scope scope = s->conf->stop.scope == CONF_SCOPE_GROUP ? PROC_GROUP : PROC_ONE;
    int64_t now = now_ms(s);
    int r = w->ops->signal(w, &s->proc, s->conf->stop.signal, scope);
    if (!r)
        s->group.seen_ms = now;
    else
        clog_error("service[%s]: %s to pid %d: %s", s->conf->name, conf_signal_name(s->conf->stop.signal), s->proc.pid,
                   strerror(-r));
    w->ops->signal(w, &s->proc, SIGCONT, scope); /* a stopped process could not act on it */
    world_timer_set(w, &s->timer, s->conf->stop.timeout_ms);
}

static void act_kill(struct service *s, uint64_t cause)
{
    (void)cause;
    struct world *w = world_of(s);
    enum proc_scope scope = s->conf->stop.scope == CONF_SCOPE_GROUP ? PROC_GROUP : PROC_ONE;
    if (!service_hangs(s)) {
        struct event e = {.kind = EVENT_SIGNAL, .cause = s->state_seq, .pid = s->proc.pid, .signal = SIGKILL};
        event_text(&e, "it did not end within %g s", (double)s->conf->stop.timeout_ms / 1000);
        monitor_emit(s->mon, s, &e);
        clog_warn("service[%s]: pid %d did not end within %g s of %s: SIGKILL", s->conf->name, s->proc.pid,
                  (double)s->conf->stop.timeout_ms / 1000, conf_signal_name(s->conf->stop.signal));
    } else if (now_ms(s) - s->since_ms < s->conf->stop.timeout_ms + 2 * KILL_AGAIN_MS) {
        complain_hangs(s, KILL_AGAIN_MS / 1000);
    }
    w->ops->signal(w, &s->proc, SIGKILL, scope);
    world_timer_set(w, &s->timer, KILL_AGAIN_MS);
}

static void act_graceful(struct service *s, uint64_t cause)
{
    struct world *w = world_of(s);
    struct event e = {.kind = EVENT_SIGNAL, .cause = cause, .pid = s->proc.pid, .signal = s->conf->graceful.signal};
    event_text(&e, "graceful restart");
    monitor_emit(s->mon, s, &e);
    s->graceful = true;
    w->ops->signal(w, &s->proc, s->conf->graceful.signal, PROC_ONE);
    world_timer_set(w, &s->timer, s->conf->graceful.timeout_ms);
}

static void act_wait(struct service *s, uint64_t cause)
{
    (void)cause;
    world_timer_set(world_of(s), &s->timer, s->delay_ms);
}

/* Asks the policy after an end nobody asked for; the core's own answers where it has none. */
static void act_decide(struct service *s, uint64_t cause)
{
    static const enum machine_event answer[] = {
        [DECISION_RESTART] = EV_RETRY_NOW, [DECISION_STOP] = EV_FINISH, [DECISION_FAIL] = EV_GIVE_UP};
    const struct monitor_hooks *hooks = &s->mon->hooks;
    struct decision d = {0};
    if (!hooks->decide || !hooks->decide(hooks->arg, s, &s->last_exit, &d))
        policy_core(s->failures, &d);
    struct event e = {.kind = EVENT_DECISION, .cause = cause, .count = s->failures, .duration_ms = d.delay_ms};
    event_text(&e, "%s", d.reason);
    uint64_t seq = monitor_emit(s->mon, s, &e);
    s->delay_ms = d.delay_ms;
    enum machine_event event = answer[d.kind];
    if (event == EV_RETRY_NOW && d.delay_ms > 0) {
        complain_row(s, d.delay_ms);
        event = EV_RETRY_LATER;
    }
    if (event == EV_GIVE_UP)
        complain_given_up(s, d.reason);
    if (event == EV_FINISH)
        s->want = WANT_DOWN;
    if (event == EV_FINISH || event == EV_GIVE_UP)
        monitor_lose(s->mon, s, seq);
    step(s, event, seq);
}

static void (*const actions[MACHINE_ACTIONS])(struct service *s, uint64_t cause) = {
    [ACT_SPAWN] = act_spawn,       [ACT_TERM] = act_term,     [ACT_KILL] = act_kill,
    [ACT_GRACEFUL] = act_graceful, [ACT_DECIDE] = act_decide, [ACT_WAIT] = act_wait,
};

static void step(struct service *s, enum machine_event event, uint64_t cause)
{
    struct machine_result r = machine_step(s->state, s->want, event);
    if (r.state != s->state) {
        if (r.action == ACT_SPAWN && s->state != STATE_DOWN && s->state != STATE_FAILED)
            s->restarts++;
        set_state(s, r.state, cause);
    } else if (r.action == ACT_SPAWN) {
        s->restarts++;
    }
    if (r.action < MACHINE_ACTIONS && actions[r.action])
        actions[r.action](s, cause);
    if (s->own_conf && s->state == STATE_DOWN)
        monitor_reap_removed(s->mon);
}

/* ---- ends */

/* What a waiting start is told. */
static void tell_failed(struct service *s)
{
    struct buf b = {0};
    lastexit_say(&b, &s->last_exit);
    service_wait_tell(s, GOAL_UP, b.failed ? "it ended" : b.data);
    buf_fini(&b);
}

/* May something of it run on that killing its group did not reach? That is so when it was no child of ours, when some
 * of it was seen to have left the group, and when nobody has looked since it was started but it was told to end or
 * ended well: a daemon does, and goes on. Died young: it may have met a rest of itself. */
static bool is_unsure(const struct service *s, const struct proc_exit *how, bool requested)
{
    const struct monitor *m = s->mon;
    bool looked = m->scans > s->start_scan + m->surveying, well = how->known && how->code == 0;
    return s->escapes || !s->proc.child || s->graceful || (!requested && s->state == STATE_STARTING) ||
           (!looked && (requested || well));
}

static void on_ended(struct world_watch *watch)
{
    struct service *s = CONTAINER_OF(watch, struct service, watch);
    struct world *w = world_of(s);
    bool requested = s->state == STATE_STOPPING || s->graceful, graceful = s->graceful;
    /* With scope "parent" what stays behind is left alone until the next start. */
    bool keep_group =
        graceful || (s->state == STATE_STOPPING && s->want == WANT_DOWN && s->conf->stop.scope == CONF_SCOPE_PARENT);
    struct proc_exit how;
    pid_t pid = s->proc.pid;
    int64_t uptime_ms = service_uptime_ms(s);
    if (!pid || !w->ops->reap(w, &s->proc, !keep_group, &how))
        return;
    s->unsure = s->unsure || is_unsure(s, &how, requested);
    if (s->state == STATE_STOPPING && s->want == WANT_UP && s->proc.child)
        s->renew = MAX(s->renew, RENEW_RESTART); /* what it left behind is not taken for the new one */
    bool sweep = s->state == STATE_STOPPING && s->want == WANT_DOWN && !keep_group && s->group.pgrp;
    w->ops->release(w, &s->mon->ended);
    s->mon->ended = s->proc;
    s->proc = (struct proc){.pidfd = -1};
    s->watched = s->adopted = s->marked = false;
    s->mon->generation++;
    uint64_t seq = ending_record(s, &how, pid, uptime_ms, requested);
    if (!requested)
        tell_failed(s);
    if (sweep || graceful)
        world_timer_clear(w, &s->timer);
    if (sweep) {
        s->sweeping = true;
        s->spawn_cause = seq;
        monitor_seek(s->mon, s);
    } else {
        /* Graceful: no question for the policy; the survey looks for the successor first. */
        step(s, graceful ? EV_RETRY_NOW : EV_END, seq);
    }
    if (!s->proc.pid) /* else the new one shall run first: the monitor does it later */
        w->ops->release(w, &s->mon->ended);
}

/* ---- starts */

static void spawn_failed(struct service *s, const char *why)
{
    uint64_t seq = ending_unstarted(s, why);
    tell_failed(s);
    s->unsure = true;
    step(s, EV_END, seq);
}

static void started(struct service *s)
{
    struct world *w = world_of(s);
    s->start_ms = now_ms(s);
    s->since_ms = s->start_ms;
    s->adopted = false;
    s->unsure = s->escapes = false;
    s->start_scan = s->mon->scans;
    s->cmd_mark = conf_mark(s->conf->cmd);
    s->group = (struct service_group){0};
    s->watched = w->ops->watch(w, &s->proc, &s->watch) == 0;
    monitor_started(s->mon);
    s->mon->generation++;
    struct event e = {.kind = EVENT_STARTING, .cause = s->spawn_cause, .pid = s->proc.pid};
    s->state_seq = monitor_emit(s->mon, s, &e);
    world_timer_set(w, &s->timer, SERVICE_PROBE_MS);
}

/* A disk that is full or broken must not keep a service down, nor one whose log is not there yet. */
static bool is_disk_trouble(const struct proc_fault *fault)
{
    static const int troubles[] = {ENOSPC, EDQUOT, EROFS, EIO};
    for (size_t i = 0; fault->stage == PROC_STAGE_LOG && i < ARRAY_LEN(troubles); i++)
        if (fault->error == troubles[i])
            return true;
    return false;
}

/* 0, or -errno with *fault filled. */
static int spawn(struct service *s, struct launch *l, struct proc_fault *fault)
{
    struct world *w = world_of(s);
    const char *log = l->log_path;
    int r = w->ops->spawn(w, &l->spec, log, &s->proc, fault);
    if (r && is_disk_trouble(fault)) {
        char why[1024];
        launch_fault_text(l, fault, why, sizeof why);
        complain_log(s, why);
        monitor_note(s->mon, s, EVENT_LOG, s->spawn_cause, "%s; what it writes is lost until it is restarted", why);
        log = "/dev/null";
        r = w->ops->spawn(w, &l->spec, log, &s->proc, fault);
        l->spec.log_at = w->ops->log_size(w, l->log_path); /* what is there already is not of this one */
    }
    if (r == -EAGAIN && fault->stage == PROC_STAGE_FORK && s->mon->ended.pid) {
        w->ops->release(w, &s->mon->ended); /* it may be the one process too many */
        r = w->ops->spawn(w, &l->spec, log, &s->proc, fault);
    }
    return r;
}

void service_launch(struct service *s)
{
    struct launch l;
    struct err err = {0};
    s->seeking = s->graceful = false;
    s->renew = RENEW_NOT;
    if (!launch_prepare(s->mon->conf, s->conf, s->ids, &l, &err)) {
        spawn_failed(s, err.text);
        return;
    }
    struct proc_fault fault;
    int r = spawn(s, &l, &fault);
    s->log_start = l.spec.log_at;
    if (r) {
        char why[1024];
        launch_fault_text(&l, &fault, why, sizeof why);
        spawn_failed(s, why);
    } else {
        started(s);
    }
    launch_fini(&l);
}

void service_gone(struct service *s)
{
    uint64_t cause = s->sweeping ? s->spawn_cause : s->state_seq;
    s->seeking = s->sweeping = s->graceful = false;
    s->renew = RENEW_NOT;
    step(s, EV_END, cause);
}

void service_lost(struct service *s, const struct remembered *was)
{
    bool requested = was->state == STATE_STOPPING || was->graceful;
    struct proc_exit how = {.code = -1, .cpu_ms = -1, .max_rss_kib = -1};
    s->state = was->state; /* for as long as it takes to leave it */
    s->want = was->want;
    s->log_start = was->log_start;
    uint64_t seq = ending_record(s, &how, was->pid, now_ms(s) - was->start_ms, requested);
    step(s, was->graceful ? EV_RETRY_NOW : EV_END, seq);
}

static bool takes_graceful(const struct service *s, struct err *err)
{
    struct world *w = world_of(s);
    int sig = s->conf->graceful.signal;
    return w->ops->catches(w, &s->proc, sig) ||
           err_set(err, "it does not handle %s, so it can't restart gracefully; use restart", conf_signal_name(sig));
}

/* Found running, after it was told to restart gracefully. */
static void adopt_gracefully(struct service *s, uint64_t cause)
{
    struct err err = {0};
    s->want = WANT_UP;
    s->graceful = takes_graceful(s, &err); /* it does not count as up before that is done */
    if (!s->graceful)
        service_wait_tell(s, GOAL_UP, err.text);
    step(s, EV_ADOPT, cause);
    if (s->graceful)
        step(s, EV_GRESTART, cause);
}

int service_adopt(struct service *s, const struct procfs_entry *e, uint64_t cause)
{
    struct world *w = world_of(s);
    int r = w->ops->adopt(w, e->pid, e->stat.start_ticks, &s->proc);
    if (r)
        return r;
    s->seeking = s->graceful = false;
    s->adopted = true;
    s->unsure = false;
    s->start_ms = procfs_start_ms(e->stat.start_ticks);
    s->log_start = 0;
    s->cmd_mark = 0;
    s->group = (struct service_group){0};
    if (!s->proc.child && (s->proc.leader || e->marker)) /* what leads none may be in somebody else's */
        s->group = (struct service_group){e->stat.pgrp, e->stat.session, now_ms(s)};
    s->watched = w->ops->watch(w, &s->proc, &s->watch) == 0;
    struct event ev = {.kind = EVENT_ADOPT, .cause = cause, .pid = s->proc.pid};
    bool same = s->was && s->was->pid == e->pid;
    event_text(&ev, same        ? "it ran on while the monitor was away"
                    : e->marker ? "it was running already, started by a monitor"
                                : "it was running already, started by hand");
    clog_info("service[%s] pid %d was running already: adopted", s->conf->name, s->proc.pid);
    uint64_t seq = monitor_emit(s->mon, s, &ev);
    enum service_renew renew = s->renew;
    s->renew = RENEW_NOT;
    if (s->state == STATE_STOPPING) {
        act_term(s, seq);
    } else if (renew == RENEW_GRACEFUL) {
        adopt_gracefully(s, seq);
    } else if (renew == RENEW_RESTART) {
        step(s, EV_RESTART, seq);
    } else {
        s->want = WANT_UP;
        step(s, EV_ADOPT, seq);
    }
    return 0;
}

/* When the loop was kept from running, an end and a time that is up are told in the same turn: the end comes first. A
 * signal would not tell, as it reaches a process that nobody has collected. */
static bool has_ended_meanwhile(struct service *s)
{
    pid_t pid = s->proc.pid;
    uint64_t seq = s->state_seq;
    if (pid)
        on_ended(&s->watch);
    return pid && (s->proc.pid != pid || s->state_seq != seq);
}

static void on_timer(struct timer *t)
{
    struct service *s = CONTAINER_OF(t, struct service, timer);
    if (has_ended_meanwhile(s))
        return;
    if (s->state == STATE_STARTING) {
        if (s->proc.pid) /* alive at its first probe */
            step(s, EV_PROBE, s->state_seq);
    } else if (s->state == STATE_UP) {
        s->graceful = false; /* the same process is still there: it has reloaded in place */
        service_wait_tell_met(s);
    } else {
        step(s, EV_TIMEOUT, s->state_seq);
    }
}

/* ---- commands */

static void want(struct service *s, enum machine_want w)
{
    s->want = w;
    s->held = false;
    s->failures = 0;
    if (s->was)
        s->was->stands = false;
    remember_touch(s);
    s->said_failing = false;
    hush_forget(&s->hush);
    if (w == WANT_UP)
        service_wait_tell(s, GOAL_DOWN, "superseded by a newer command to start it");
    else
        service_wait_tell(s, GOAL_UP, "superseded by a newer command to stop it");
}

/* Nothing is started any more. */
static bool is_refused(struct service *s)
{
    if (s->mon->ending)
        service_wait_tell(s, GOAL_UP, SERVICE_ENDING);
    return s->mon->ending;
}

void service_start(struct service *s, uint64_t cause)
{
    if (is_refused(s))
        return;
    want(s, WANT_UP);
    step(s, EV_START, cause);
}

void service_stop(struct service *s, uint64_t cause)
{
    want(s, WANT_DOWN);
    s->held = s->fresh && !s->proc.pid && !s->seeking; /* down, or waiting or failed as the last monitor left it */
    if (s->held)
        s->spawn_cause = cause;
    step(s, EV_STOP, cause);
    service_wait_tell_met(s);
}

void service_restart(struct service *s, uint64_t cause)
{
    if (is_refused(s))
        return;
    want(s, WANT_UP);
    if (s->fresh && s->state == STATE_DOWN)
        s->renew = RENEW_RESTART;
    step(s, EV_RESTART, cause);
}

bool service_grestart(struct service *s, uint64_t cause, struct err *err)
{
    if (is_refused(s))
        return err_set(err, SERVICE_ENDING);
    if (s->state == STATE_UP && !takes_graceful(s, err))
        return false;
    want(s, WANT_UP);
    bool sought = s->state == STATE_STARTING && s->seeking;
    if (sought || (s->fresh && s->state == STATE_DOWN))
        s->renew = MAX(s->renew, RENEW_GRACEFUL);
    if (!sought)
        step(s, EV_GRESTART, cause);
    return true;
}

int service_signal(struct service *s, int sig, uint64_t cause)
{
    struct world *w = world_of(s);
    if (!s->proc.pid)
        return -ESRCH;
    int r = w->ops->signal(w, &s->proc, sig, PROC_ONE);
    struct event e = {.kind = EVENT_SIGNAL, .cause = cause, .pid = s->proc.pid, .signal = sig};
    if (!r)
        monitor_emit(s->mon, s, &e);
    return r;
}

struct service *service_new(struct monitor *mon, const struct conf_service *conf, struct err *err)
{
    struct err why = {0};
    struct service *s = calloc(1, sizeof *s);
    struct launch_ids *ids = s ? launch_ids_new(conf, &why) : NULL;
    if (!s || why.text[0]) {
        free(s);
        err_set(err, "service[%s]: %s", conf->name, why.text[0] ? why.text : "out of memory");
        return NULL;
    }
    *s = (struct service){.mon = mon,
                          .conf = conf,
                          .ids = ids,
                          .state = STATE_DOWN,
                          .want = WANT_DOWN,
                          .proc.pidfd = -1,
                          .watch.ended = on_ended,
                          .timer.fire = on_timer,
                          .events.max = mon->journal.path ? EVENT_RING_SMALL : EVENT_RING_LARGE,
                          .fresh = true,
                          .seek_scan = mon->scans + 1,
                          .unsure = true};
    s->since_ms = now_ms(s);
    s->since_wall_ms = mon->world->ops->wall_ms(mon->world);
    return s;
}

void service_fini(struct service *s)
{
    order_drop(s);
    service_wait_tell(s, GOAL_UP, "the monitor lets go of it");
    service_wait_tell(s, GOAL_DOWN, "the monitor lets go of it");
    world_timer_clear(world_of(s), &s->timer);
    world_of(s)->ops->release(world_of(s), &s->proc);
    monitor_unqueue(s->mon, s);
    remember_drop(s, false);
    event_ring_fini(&s->events);
    lastexit_fini(&s->last_exit);
    launch_ids_free(s->ids);
    if (s->own_conf)
        conf_service_fini(s->own_conf);
    free(s->own_conf);
}
