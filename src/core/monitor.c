#include "monitor.h"

#include "clog.h"
#include "consoles.h"
#include "match.h"
#include "probe.h"
#include "survey.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_MAX_BYTES (16 * 1024 * 1024)
#define OWN_TIMERS 10 /* of the monitor itself, beside one for each service */

static int64_t now_ms(const struct monitor *m)
{
    return m->world->ops->mono_ms(m->world);
}

/* ---- events */

uint64_t monitor_emit(struct monitor *m, struct service *s, struct event *e)
{
    e->wall_ms = m->world->ops->wall_ms(m->world);
    e->mono_ms = now_ms(m);
    if (s)
        remember_event(s, e->kind);
    return event_emit(&m->journal, s ? &s->events : &m->events, s ? s->conf->name : NULL, e);
}

uint64_t monitor_note(struct monitor *m, struct service *s, enum event_kind kind, uint64_t cause, const char *fmt, ...)
{
    char text[EVENT_TEXT_SIZE * 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct event e = {.kind = kind, .cause = cause};
    event_text(&e, "%s", text);
    return monitor_emit(m, s, &e);
}

/* It could not be written for a while, and can be again. What is missing is told where it is missing. */
static void journal_is_well(struct monitor *m)
{
    struct event_journal *j = &m->journal;
    uint64_t lost = j->lost - m->journal_lost;
    m->journal_lost = j->lost;
    clog_info("journal %s is written again%s", j->path, lost ? "; what there was no room for is missing" : "");
    if (lost)
        monitor_note(m, NULL, EVENT_AUDIT, 0,
                     "%" PRIu64 " events before this one are missing in the journal: it could not be written", lost);
    event_journal_flush(j);
}

void monitor_flush(struct monitor *m)
{
    bool was_ill = m->journal.complaining;
    /* The journal first: killed in between, the next monitor tells some of it again, instead of leaving it out. */
    int r = event_journal_flush(&m->journal);
    if (was_ill && !m->journal.complaining)
        journal_is_well(m);
    if (r)
        clog_error("journal %s: %s; events are kept in memory and tried again", m->journal.path, strerror(-r));
    remember_flush(m);
}

/* ---- commands and starts, in slices */

void monitor_unqueue(struct monitor *m, struct service *s)
{
    if (!s->queued)
        return;
    struct service *before = NULL;
    for (struct service *p = m->queue_head; p != s; p = p->next_queued)
        before = p;
    if (before)
        before->next_queued = s->next_queued;
    else
        m->queue_head = s->next_queued;
    if (m->queue_tail == s)
        m->queue_tail = before;
    s->next_queued = NULL;
    s->queued = false;
}

/* A slice begins with the first start of a turn of the loop and ends with the timer
 * that comes due in the next turn (timers_run). */
static bool slice_is_spent(struct monitor *m)
{
    if (m->slice.place)
        return now_ms(m) - m->slice_start_ms >= MONITOR_SLICE_MS;
    m->slice_start_ms = now_ms(m);
    world_timer_set(m->world, &m->slice, 0);
    return false;
}

static void queue_work(struct monitor *m, struct monitor_work *w)
{
    w->next = NULL;
    *(m->work_tail ? &m->work_tail->next : &m->work_head) = w;
    m->work_tail = w;
}

/* A piece of the first; whose turn comes again when all others have had theirs. */
static void do_piece(struct monitor *m)
{
    struct monitor_work *w = m->work_head;
    m->work_head = w->next;
    if (!m->work_head)
        m->work_tail = NULL;
    if (w->step(w))
        queue_work(m, w);
}

void monitor_do(struct monitor *m, struct monitor_work *w)
{
    queue_work(m, w);
    while (m->work_head && !slice_is_spent(m))
        do_piece(m);
}

void monitor_finish(struct monitor *m)
{
    while (m->work_head)
        do_piece(m);
}

void monitor_wind_down(struct monitor *m)
{
    m->ending = true;
    remember_afresh(m);
}

void monitor_lose(struct monitor *m, const struct service *s, uint64_t seq)
{
    const struct service_exit *x = &s->last_exit;
    if (!s->conf->essential || m->loss.is)
        return;
    m->loss = (struct monitor_loss){.is = true, .seq = seq};
    m->loss.code = !x->started ? 127 : !x->how.known ? 1 : x->how.signal ? 128 + x->how.signal : x->how.code;
    snprintf(m->loss.service, sizeof m->loss.service, "%s", s->conf->name);
}

void monitor_queue_start(struct monitor *m, struct service *s)
{
    if (!m->queue_head && !slice_is_spent(m)) {
        service_launch(s);
        return;
    }
    if (s->queued)
        return;
    s->queued = true;
    s->next_queued = NULL;
    if (m->queue_tail)
        m->queue_tail->next_queued = s;
    else
        m->queue_head = s;
    m->queue_tail = s;
}

static void on_slice(struct timer *t)
{
    struct monitor *m = CONTAINER_OF(t, struct monitor, slice);
    while (m->work_head && !slice_is_spent(m))
        do_piece(m);
    while (m->queue_head && !slice_is_spent(m)) {
        struct service *s = m->queue_head;
        monitor_unqueue(m, s);
        service_launch(s);
    }
}

/* ---- the regular looks */

static void on_probe(struct timer *t)
{
    struct monitor *m = CONTAINER_OF(t, struct monitor, probe);
    m->world->ops->release(m->world, &m->ended);
    probe_all(m);
    m->probes += m->nsvcs;
    world_timer_set(m->world, t, MONITOR_PROBE_MS);
}

static void on_audit(struct timer *t)
{
    struct monitor *m = CONTAINER_OF(t, struct monitor, audit);
    m->audit_due = true;
    monitor_survey(m);
    world_timer_set(m->world, t, MONITOR_AUDIT_MS);
}

/* Who waits for the look waits on: a start that has not looked could be a second copy. */
static void look_later(struct monitor *m, int error)
{
    if (error != m->look_error)
        clog_error("the process table can't be looked at: %s; starts that must look first wait until it can",
                   strerror(-error));
    m->look_error = error;
    world_timer_set(m->world, &m->retry, MONITOR_RETRY_MS);
}

static void on_retry(struct timer *t)
{
    monitor_survey(CONTAINER_OF(t, struct monitor, retry));
}

/* `table` is complete, or there is none at all, or it is of no use this time. */
static void on_survey(void *arg, const struct procfs_table *table)
{
    struct monitor *m = arg;
    bool audit = m->audit_due, again = m->survey_again;
    m->surveying = m->survey_again = m->audit_due = false;
    bool none = table->error && !procfs_is_passing(-table->error);
    int r = table->error ? table->error : survey_judge(m, table, audit);
    if (r && !none) {
        m->audit_due = audit;
        look_later(m, r);
        return;
    }
    if (r != m->look_error) {
        m->look_error = r;
        if (r)
            clog_warn("/proc can't be read: %s; services that run already are not recognised", strerror(-r));
        else
            clog_info("the process table can be looked at again");
    }
    if (r)
        survey_skip(m);
    if (again)
        monitor_survey(m);
}

void monitor_survey(struct monitor *m)
{
    if (m->surveying) {
        m->survey_again = true;
        return;
    }
    if (m->retry.place)
        return; /* it is tried again soon enough */
    m->scans++;
    size_t nknown;
    struct procfs_known *known = survey_known(m, &nknown); /* without memory: none */
    int r = m->world->ops->scan(m->world, known, nknown, on_survey, m);
    m->surveying = r == 0;
    if (r)
        look_later(m, r);
}

void monitor_seek(struct monitor *m, struct service *s)
{
    s->seeking = true;
    s->seek_scan = m->scans + 1; /* one under way may have passed by already */
    monitor_survey(m);
}

/* ---- the set */

struct service *monitor_find(const struct monitor *m, const char *name)
{
    size_t lo = 0, hi = m->nsvcs;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(name, m->svcs[mid]->conf->name);
        if (c == 0)
            return m->svcs[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static void free_removed(struct timer *t)
{
    struct monitor *m = CONTAINER_OF(t, struct monitor, reap);
    for (struct service **p = &m->removed; *p;) {
        struct service *s = *p;
        if (service_is_leaving(s)) {
            p = &s->next_queued;
            continue;
        }
        *p = s->next_queued;
        s->next_queued = NULL;
        m->indexed = false;
        struct service *heir = monitor_find(m, s->conf->name);
        if (heir && heir->blocked && !s->blocked) {
            heir->blocked = false;
            monitor_survey(m);
        }
        remember_drop(s, !heir);
        if (heir)
            remember_touch(heir);
        service_fini(s);
        free(s);
    }
}

static void on_settle(struct timer *t)
{
    monitor_survey(CONTAINER_OF(t, struct monitor, settle));
}

/* One look for all that are started in a while, however many. */
void monitor_started(struct monitor *m)
{
    if (!m->settle.place)
        world_timer_set(m->world, &m->settle, MONITOR_SETTLE_MS);
}

/* Not at once: it is called from inside a step of that very service. */
void monitor_reap_removed(struct monitor *m)
{
    world_timer_set(m->world, &m->reap, 0);
}

static void free_looks(struct monitor *m)
{
    for (size_t i = 0; i < m->nlooks; i++)
        match_look_fini(&m->looks[i]);
    free(m->looks);
    free(m->looked);
    m->looks = NULL;
    m->looked = NULL;
    m->nlooks = 0;
    m->indexed = false;
}

static int by_name(const void *a, const void *b)
{
    const struct service *const *x = a, *const *y = b;
    return strcmp((*x)->conf->name, (*y)->conf->name);
}

/* No name comes twice: where one was removed and added again, the new one is blocked until the old one has left. */
static void choose_looked(struct monitor *m)
{
    for (size_t i = 0; i < m->nsvcs; i++) {
        struct service *s = m->svcs[i];
        if (s && !s->blocked)
            m->looked[m->nlooks++] = s;
    }
    for (struct service *s = m->removed; s; s = s->next_queued)
        if (service_is_leaving(s))
            m->looked[m->nlooks++] = s;
    qsort(m->looked, m->nlooks, sizeof *m->looked, by_name);
}

static size_t count_services(const struct monitor *m)
{
    size_t count = m->nsvcs;
    for (const struct service *s = m->removed; s; s = s->next_queued)
        count++;
    return count;
}

/* What must be there before anything of a service is: room for its timer, what is known of its log. */
static int make_room(struct monitor *m)
{
    int r = timers_reserve(&m->world->timers, count_services(m) + 1 + OWN_TIMERS + m->world->timers.count);
    return r ? r : consoles_index(m->consoles);
}

static int index_looks(struct monitor *m)
{
    size_t count = count_services(m) + 1;
    free_looks(m);
    m->looks = calloc(count, sizeof *m->looks);
    m->looked = calloc(count, sizeof(struct service *));
    if (!m->looks || !m->looked) {
        free_looks(m);
        return -ENOMEM;
    }
    choose_looked(m);
    for (size_t i = 0; i < m->nlooks; i++) {
        const struct service *s = m->looked[i];
        match_look_init(&m->looks[i], m->conf, s->conf, s->ids ? s->ids->uid : geteuid());
    }
    m->indexed = true;
    return 0;
}

int monitor_index(struct monitor *m)
{
    free_looks(m); /* their names belong to a configuration that may be gone */
    int r = make_room(m);
    return r ? r : index_looks(m);
}

static bool add_services(struct monitor *m, struct err *err)
{
    m->svcs = calloc(m->conf->nsvrs + 1, sizeof(struct service *));
    if (!m->svcs)
        return err_nomem(err);
    for (size_t i = 0; i < m->conf->nsvrs; i++) {
        const struct conf_service *c = &m->conf->svrs[i];
        struct service *s = service_new(m, c, err);
        if (!s)
            return false;
        m->svcs[m->nsvcs++] = s;
    }
    return make_room(m) ? err_nomem(err) : true;
}

static bool open_journal(struct monitor *m, struct err *err)
{
    struct buf path = {0};
    if (!m->conf->rundir)
        return true;
    buf_addf(&path, "%s/%s.events.jsonl", m->conf->rundir, m->conf->env);
    int r = path.failed ? -ENOMEM : event_journal_open(&m->journal, path.data, JOURNAL_MAX_BYTES);
    if (r == -ENOMEM)
        err_nomem(err);
    else if (r) /* supervision goes on without it, and it is tried again */
        clog_error("journal %s: %s; events are kept in memory", path.data, strerror(-r));
    buf_fini(&path);
    return r != -ENOMEM;
}

struct monitor *monitor_new(struct world *world, struct conf *conf, struct err *err)
{
    struct monitor *m = calloc(1, sizeof *m);
    if (!m) {
        conf_free(conf);
        err_nomem(err);
        return NULL;
    }
    *m = (struct monitor){.world = world,
                          .conf = conf,
                          .journal.fd = -1,
                          .events.max = EVENT_RING_LARGE,
                          .ended.pidfd = -1,
                          .probe.fire = on_probe,
                          .audit.fire = on_audit,
                          .slice.fire = on_slice,
                          .reap.fire = free_removed,
                          .settle.fire = on_settle,
                          .retry.fire = on_retry};
    m->start_ms = now_ms(m);
    m->start_wall_ms = world->ops->wall_ms(world);
    m->marker_prefix = launch_marker(conf, "");
    m->consoles = consoles_new(m);
    bool ready = m->consoles && m->marker_prefix && !remember_init(&m->remember, conf->rundir, conf->env);
    if (!ready || !open_journal(m, err) || !add_services(m, err)) {
        if (err && !err->text[0])
            err_nomem(err);
        monitor_free(m);
        return NULL;
    }
    return m;
}

void monitor_prepare(struct monitor *m)
{
    if (m->prepared)
        return;
    m->prepared = true;
    /* When the last line was written must be seen before there are new ones. */
    consoles_start(m->consoles, monitor_survey);
    index_looks(m); /* meanwhile; without memory it is tried again by the survey */
}

void monitor_start(struct monitor *m)
{
    if (!m->upgraded_from)
        remember_load(m);
    m->start_seq =
        m->upgraded_from
            ? monitor_note(m, NULL, EVENT_MONITOR, 0, "the monitor " FM_VERSION " took over from %s, pid %d",
                           m->upgraded_from, getpid())
            : monitor_note(m, NULL, EVENT_MONITOR, 0, "the monitor " FM_VERSION " started, pid %d", getpid());
    world_timer_set(m->world, &m->probe, MONITOR_PROBE_MS);
    world_timer_set(m->world, &m->audit, MONITOR_AUDIT_MS);
    monitor_prepare(m);
}

void monitor_free(struct monitor *m)
{
    m->world->ops->unscan(m->world, m);
    m->world->ops->release(m->world, &m->ended);
    for (size_t i = 0; i < m->nsvcs; i++)
        order_drop(m->svcs[i]);
    monitor_finish(m); /* with nothing left to do but to end it */
    consoles_free(m->consoles);
    struct timer *own[] = {&m->probe, &m->audit, &m->slice, &m->reap, &m->settle, &m->retry};
    for (size_t i = 0; i < m->nsvcs; i++) {
        service_fini(m->svcs[i]);
        free(m->svcs[i]);
    }
    for (struct service *s = m->removed, *next; s; s = next) {
        next = s->next_queued;
        s->next_queued = NULL;
        service_fini(s);
        free(s);
    }
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        world_timer_clear(m->world, own[i]);
    free_looks(m);
    free(m->svcs);
    event_journal_close(&m->journal);
    remember_fini(&m->remember);
    event_ring_fini(&m->events);
    free(m->marker_prefix);
    conf_free(m->conf);
    free(m);
}
