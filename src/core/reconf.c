#include "reconf.h"

#include "launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_list(char *const *a, char *const *b)
{
    size_t i = 0;
    for (; a && b && a[i] && b[i]; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return (!a || !a[i]) && (!b || !b[i]);
}

static unsigned diff_settings(const struct conf *a, const struct conf *b)
{
    unsigned d = 0;
    d |= a->port != b->port || !same_list(a->bind, b->bind) ? RECONF_LISTEN : 0;
    d |= !same_text(a->rootpath, b->rootpath) ? RECONF_ROOTPATH : 0;
    d |= !same_text(a->environ, b->environ) ? RECONF_ENVIRON : 0;
    d |= !same_text(a->clog.name, b->clog.name) || !same_text(a->clog.addr, b->clog.addr) ||
                 a->clog.mode != b->clog.mode || a->clog.level != b->clog.level
             ? RECONF_CLOG
             : 0;
    d |=
        a->log.keep_days != b->log.keep_days || a->log.max_size != b->log.max_size || !same_text(a->log.day, b->log.day)
            ? RECONF_LOG
            : 0;
    d |= a->auth != b->auth ? RECONF_AUTH : 0;
    d |= a->lua.budget_ms != b->lua.budget_ms || a->lua.memory_mb != b->lua.memory_mb ||
                 a->lua.autoreload != b->lua.autoreload
             ? RECONF_LUA
             : 0;
    d |= !same_text(a->vars, b->vars) ? RECONF_VARS : 0;
    d |= a->http.idle_timeout != b->http.idle_timeout || a->http.backlog_kb != b->http.backlog_kb ||
                 a->http.max_connections != b->http.max_connections || a->http.body_kb != b->http.body_kb ||
                 a->http.header_kb != b->http.header_kb || a->http.max_per_client != b->http.max_per_client ||
                 a->http.refused_delay_ms != b->http.refused_delay_ms
             ? RECONF_HTTP
             : 0;
    d |= !same_text(a->tls.cert, b->tls.cert) || !same_text(a->tls.key, b->tls.key) ? RECONF_TLS : 0;
    d |= !same_text(a->rundir, b->rundir) ? RECONF_RUNDIR : 0;
    d |= a->probe != b->probe ? RECONF_PROBE : 0;
    return d;
}

static bool same_limits(const struct cmdline *a, const struct cmdline *b)
{
    if (a->nlimits != b->nlimits)
        return false;
    for (size_t i = 0; i < a->nlimits; i++) {
        const struct cmdline_limit *x = &a->limits[i], *y = &b->limits[i];
        if (x->resource != y->resource || x->soft != y->soft || x->hard != y->hard || x->value != y->value)
            return false;
    }
    return true;
}

/* A changed rootpath or global environ concerns a service only if it would be started
 * differently for it. */
static unsigned diff_launch(const struct conf *a, const struct conf_service *sa, const struct conf *b,
                            const struct conf_service *sb)
{
    struct cmdline ca = {0}, cb = {0};
    unsigned d = 0;
    bool oka = launch_cmdline(a, sa, &ca, NULL), okb = launch_cmdline(b, sb, &cb, NULL);
    if (oka != okb || !same_list(ca.argv, cb.argv))
        d |= CONF_FIELD_CMD;
    if (!sa->dir && !sb->dir ? !same_text(ca.dir, cb.dir) : !same_text(a->rootpath, b->rootpath))
        d |= sa->dir && sa->dir[0] == '/' ? 0 : CONF_FIELD_DIR;
    if (!same_list(ca.env, cb.env) || !same_limits(&ca, &cb))
        d |= CONF_FIELD_ENVIRON;
    cmdline_fini(&ca);
    cmdline_fini(&cb);
    return d;
}

static bool runs(const struct monitor *m, const char *name)
{
    const struct service *s = monitor_find(m, name);
    return s && (s->proc.pid || s->state == STATE_STARTING || s->state == STATE_WAITING);
}

static void add_item(struct reconf *r, struct reconf_item item)
{
    r->items[r->nitems++] = item;
}

static void compare(const struct monitor *m, const struct conf *next, const struct conf_service *a,
                    const struct conf_service *b, struct reconf *r)
{
    unsigned fields = conf_service_diff(a, b);
    if (r->settings & (RECONF_ROOTPATH | RECONF_ENVIRON))
        fields |= diff_launch(m->conf, a, next, b);
    r->same += !fields;
    if (!fields)
        return;
    bool wanted = runs(m, a->name) && monitor_find(m, a->name)->want == WANT_UP;
    add_item(r, (struct reconf_item){.kind = RECONF_CHANGED,
                                     .name = b->name,
                                     .fields = fields,
                                     .restart = wanted && (fields & CONF_FIELDS_RESTART),
                                     .before = a,
                                     .after = b});
}

int reconf_plan(const struct monitor *m, const struct conf *next, struct reconf *out)
{
    const struct conf *old = m->conf;
    *out = (struct reconf){.items = calloc(old->nsvrs + next->nsvrs + 1, sizeof *out->items),
                           .settings = diff_settings(old, next),
                           .before = old,
                           .after = next};
    if (!out->items)
        return -ENOMEM;
    size_t i = 0, k = 0;
    while (i < old->nsvrs || k < next->nsvrs) {
        const struct conf_service *a = i < old->nsvrs ? &old->svrs[i] : NULL;
        const struct conf_service *b = k < next->nsvrs ? &next->svrs[k] : NULL;
        int c = a && b ? strcmp(a->name, b->name) : 0;
        if (a && (!b || c < 0)) {
            add_item(out, (struct reconf_item){
                              .kind = RECONF_REMOVED, .name = a->name, .stop = runs(m, a->name), .before = a});
            i++;
        } else if (b && (!a || c > 0)) {
            add_item(out, (struct reconf_item){.kind = RECONF_ADDED, .name = b->name, .after = b});
            k++;
        } else if (a && b) {
            compare(m, next, a, b, out);
            i++;
            k++;
        }
    }
    return 0;
}

void reconf_fini(struct reconf *r)
{
    free(r->items);
    *r = (struct reconf){0};
}

#define ADDED "added to the configuration"
#define CHANGED "changed in the configuration"

/* Those that must be restarted, one after the other. Frees itself. */
struct restarts {
    struct monitor_work work;
    size_t count, next;
    struct restart {
        struct order order;
        uint64_t cause;
    } items[];
};

static void restart(struct order *o, struct service *s)
{
    if (!s)
        return;
    uint64_t cause = CONTAINER_OF(o, struct restart, order)->cause;
    monitor_note(s->mon, s, EVENT_CONFIG, cause, CHANGED);
    service_restart(s, cause);
}

static void add_restart(struct restarts *r, struct service *s, uint64_t cause)
{
    struct restart *item = &r->items[r->count++];
    *item = (struct restart){.order.run = restart, .cause = cause};
    order_add(s, &item->order);
}

static bool restart_next(struct monitor_work *w)
{
    struct restarts *r = CONTAINER_OF(w, struct restarts, work);
    if (r->next < r->count && r->items[r->next].order.service)
        order_settle(r->items[r->next].order.service);
    if (++r->next < r->count)
        return true;
    free(r);
    return false;
}

/* What the new set is made of, ready before anything is changed. */
struct next_set {
    struct service **svcs;     /* in the new order; kept ones are the old objects */
    struct launch_ids **ids;   /* in the same order */
    struct conf_service **own; /* one box for each service that goes */
    size_t count, nown;
    struct restarts *restarts;
};

static void next_fini(struct monitor *m, struct next_set *n, bool used)
{
    for (size_t i = 0; !used && n->svcs && i < n->count; i++) {
        bool kept = n->svcs[i] && monitor_find(m, n->svcs[i]->conf->name) == n->svcs[i];
        if (n->svcs[i] && !kept) {
            service_fini(n->svcs[i]);
            free(n->svcs[i]);
        }
        if (n->ids)
            launch_ids_free(n->ids[i]);
    }
    for (size_t i = 0; !used && i < n->nown; i++)
        free(n->own[i]);
    if (!used) {
        free(n->svcs);
        free(n->restarts);
    }
    free(n->ids);
    free(n->own);
}

/* Everything that can fail: memory, users that do not exist. */
static bool next_make(struct monitor *m, const struct conf *next, const struct reconf *plan, struct next_set *n,
                      struct err *err)
{
    n->svcs = calloc(next->nsvrs + 1, sizeof *n->svcs);
    n->ids = calloc(next->nsvrs + 1, sizeof *n->ids);
    n->own = calloc(m->nsvcs + 1, sizeof *n->own);
    n->restarts = calloc(1, sizeof *n->restarts + plan->nitems * sizeof *n->restarts->items);
    if (!n->svcs || !n->ids || !n->own || !n->restarts)
        return err_nomem(err);
    n->restarts->work.step = restart_next;
    for (; n->count < next->nsvrs; n->count++) {
        const struct conf_service *c = &next->svrs[n->count];
        struct err why = {0};
        n->svcs[n->count] = monitor_find(m, c->name);
        if (!n->svcs[n->count]) {
            struct service *s = service_new(m, c, err);
            if (!s)
                return false;
            n->svcs[n->count] = s;
            n->ids[n->count] = s->ids;
            s->ids = NULL;
            continue;
        }
        n->ids[n->count] = launch_ids_new(c, &why);
        if (why.text[0]) {
            n->count++;
            return err_set(err, "service[%s]: %s", c->name, why.text);
        }
    }
    for (size_t i = 0; i < plan->nitems; i++)
        if (plan->items[i].kind == RECONF_REMOVED && !(n->own[n->nown++] = malloc(sizeof **n->own)))
            return err_nomem(err);
    return timers_reserve(&m->world->timers, m->world->timers.count + m->nsvcs + next->nsvrs + 8) ? err_nomem(err)
                                                                                                  : true;
}

/* The service takes its configuration along and goes when it is down. */
static void remove_service(struct monitor *m, struct service *s, struct conf_service *own, uint64_t cause)
{
    struct conf_service *c = (struct conf_service *)s->conf; /* of the old configuration, which is ours to take apart */
    *own = *c;
    *c = (struct conf_service){0};
    s->conf = s->own_conf = own;
    monitor_note(m, s, EVENT_CONFIG, cause, "removed from the configuration");
    monitor_unqueue(m, s);
    if (s->blocked)
        s->fresh = false;
    s->next_queued = m->removed;
    m->removed = s;
    service_stop(s, cause);
    if (s->blocked && s->state == STATE_STOPPING) /* there was an older one to be stopped first: nothing of this one */
        service_gone(s);
    monitor_reap_removed(m);
}

bool reconf_apply(struct monitor *m, struct conf *next, struct reconf *plan, uint64_t cause, struct err *err)
{
    struct next_set n = {0};
    if (!next_make(m, next, plan, &n, err)) {
        next_fini(m, &n, false);
        return false;
    }
    /* From here on nothing fails. First those that go, while the old names still stand. */
    size_t own = 0;
    struct service **gone = calloc(plan->nitems + 1, sizeof *gone);
    for (size_t i = 0; gone && i < plan->nitems; i++)
        if ((gone[i] = monitor_find(m, plan->items[i].name)) && plan->items[i].kind == RECONF_REMOVED)
            order_settle(gone[i]); /* what was asked for before it goes */
    if (!gone) {
        next_fini(m, &n, false);
        return err_nomem(err);
    }
    struct conf *old = m->conf;
    struct service **old_svcs = m->svcs;
    m->conf = next;
    m->svcs = n.svcs;
    m->nsvcs = n.count;
    for (size_t i = 0; i < plan->nitems; i++)
        if (plan->items[i].kind == RECONF_REMOVED && gone[i] && own < n.nown && n.own[own])
            remove_service(m, gone[i], n.own[own++], cause);
    for (size_t i = 0; i < n.count; i++) {
        m->svcs[i]->conf = &next->svrs[i];
        launch_ids_free(m->svcs[i]->ids);
        m->svcs[i]->ids = n.ids[i];
    }
    for (size_t i = 0; i < plan->nitems; i++) {
        struct service *s = monitor_find(m, plan->items[i].name);
        if (s && plan->items[i].restart)
            add_restart(n.restarts, s, cause);
        else if (s && plan->items[i].kind != RECONF_REMOVED)
            monitor_note(m, s, EVENT_CONFIG, cause, plan->items[i].kind == RECONF_ADDED ? ADDED : CHANGED);
    }
    /* One that comes back while the old one is still stopping begins when that is gone. */
    for (const struct service *leaving = m->removed; leaving; leaving = leaving->next_queued) {
        struct service *s = service_is_leaving(leaving) ? monitor_find(m, leaving->conf->name) : NULL;
        if (s && !s->proc.pid)
            s->blocked = true;
    }
    monitor_index(m);
    m->generation++;
    monitor_survey(m); /* the added ones are fresh: taken over if they run, else started */
    free(gone);
    free(old_svcs);
    next_fini(m, &n, true);
    conf_free(old);
    monitor_do(m, &n.restarts->work);
    return true;
}
