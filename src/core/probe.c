#include "probe.h"

#include "complain.h"

#include <errno.h>

#define AHEAD 4 /* services fetched while the kernel looks at those before: after 300 ms none is in the cache */

/* What was found of it, as of now_ms (mono). */
static void found(struct service *s, bool gone, int64_t now_ms)
{
    if (!s->proc.pid)
        return;
    if (s->said_failing)
        complain_over(s);
    if (gone || !s->watched)
        s->watch.ended(&s->watch); /* judges whether it has */
    else if (s->adopted)
        s->group.seen_ms = now_ms;
}

void probe_service(struct service *s)
{
    struct world *w = s->mon->world;
    int64_t now = s->adopted ? w->ops->mono_ms(w) : 0;
    if (s->proc.pid)
        found(s, w->ops->signal(w, &s->proc, 0, PROC_ONE) == -ESRCH, now);
}

static void fetch(const struct monitor *m, size_t i)
{
    if (i < m->nsvcs)
        __builtin_prefetch(m->svcs[i]);
}

static void by_signal(const struct monitor *m)
{
    for (size_t i = 0; i < m->nsvcs; i++) {
        fetch(m, i + AHEAD);
        probe_service(m->svcs[i]);
    }
}

/* An answer may be out of date by the time it is told, as those before have consequences: the end is judged anew. */
static void by_pidfd(const struct monitor *m)
{
    const struct proc *procs[PROC_MANY];
    bool ended[PROC_MANY];
    for (size_t done = 0; done < m->nsvcs; done += PROC_MANY) {
        size_t n = MIN(m->nsvcs - done, PROC_MANY);
        int64_t now = m->world->ops->mono_ms(m->world);
        for (size_t i = 0; i < n; i++) {
            fetch(m, done + i + AHEAD);
            procs[i] = &m->svcs[done + i]->proc;
        }
        m->world->ops->have_ended(m->world, procs, n, ended);
        for (size_t i = 0; i < n && done + i < m->nsvcs; i++)
            found(m->svcs[done + i], ended[i], now);
    }
}

void probe_all(struct monitor *m)
{
    if (m->conf->probe == CONF_PROBE_PIDFD)
        by_pidfd(m);
    else
        by_signal(m);
    for (struct service *s = m->removed, *next; s; s = next) {
        next = s->next_queued;
        probe_service(s);
    }
}
