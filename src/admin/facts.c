#include "facts.h"

#include <stdlib.h>

#define JOBS 2 /* read side by side */

struct job {
    struct world_work work;
    struct facts *facts;
    struct fact *begin, *end;
};

struct facts {
    struct admin *admin;     /* NULL: nobody is interested any more */
    const struct conf *conf; /* the configuration they were read under: it says which services there are */
    int64_t since_ms;        /* when they were asked for */
    struct facts_wait *waits;
    int running; /* jobs */
    struct job jobs[JOBS];
    size_t count;
    struct fact items[];
};

/* What a process is was settled by who holds it; its number can't be another's unless it ended just now. */
static void read_fact(struct fact *f)
{
    struct procfs_stat st;
    if (!f->pid || !procfs_stat(f->pid, &st) || (f->start_ticks && f->start_ticks != st.start_ticks))
        return;
    f->known = true;
    f->cpu_ms = st.cpu_ms;
    f->rss_kib = st.rss_kib;
    f->fds = procfs_count_fds(f->pid);
}

static void on_work(struct world_work *work)
{
    struct job *j = CONTAINER_OF(work, struct job, work);
    for (struct fact *f = j->begin; f < j->end; f++)
        read_fact(f);
}

static void forget(struct admin *admin)
{
    struct facts *f = admin->facts;
    admin->facts = NULL;
    f->admin = NULL;
    if (!f->running)
        free(f);
}

/* All of them are there. After a reload others are wanted. */
static void tell(struct facts *f)
{
    struct admin *admin = f->admin;
    struct facts_wait *w = f->waits, *next;
    if (f->conf == admin->mon->conf) {
        for (; (w = f->waits); w->ready(w, f->items))
            f->waits = w->next;
        return;
    }
    forget(admin);
    for (; w; w = next) {
        next = w->next;
        facts_ask(admin, w);
    }
}

static void on_done(struct world_work *work, bool wanted)
{
    (void)wanted; /* what was not read is not known */
    struct facts *f = CONTAINER_OF(work, struct job, work)->facts;
    if (--f->running > 0)
        return;
    if (f->admin)
        tell(f);
    else
        free(f);
}

/* Where there is no thread to be had it is done here and now. */
static void start_job(struct facts *f, struct job *j)
{
    struct world *w = f->admin->mon->world;
    if (w->ops->work(w, &j->work))
        on_work(&j->work);
    else
        f->running++;
}

static struct facts *facts_new(struct admin *admin)
{
    const struct monitor *m = admin->mon;
    struct facts *f = calloc(1, sizeof *f + m->nsvcs * sizeof(struct fact));
    if (!f)
        return NULL;
    *f = (struct facts){
        .admin = admin, .conf = m->conf, .count = m->nsvcs, .since_ms = m->world->ops->mono_ms(m->world)};
    for (size_t i = 0; i < m->nsvcs; i++) {
        const struct proc *p = &m->svcs[i]->proc;
        f->items[i] = (struct fact){.pid = p->pid, .start_ticks = p->start_ticks, .fds = -1};
    }
    for (size_t i = 0; i < JOBS; i++) {
        f->jobs[i] = (struct job){.work = {.run = on_work, .done = on_done, .owner = f},
                                  .facts = f,
                                  .begin = f->items + f->count * i / JOBS,
                                  .end = f->items + f->count * (i + 1) / JOBS};
        start_job(f, &f->jobs[i]);
    }
    return admin->facts = f;
}

static bool is_fresh(const struct facts *f)
{
    struct world *w = f->admin->mon->world;
    return f->conf == f->admin->mon->conf && w->ops->mono_ms(w) - f->since_ms < FACTS_FRESH_MS;
}

void facts_ask(struct admin *admin, struct facts_wait *w)
{
    if (admin->facts && !admin->facts->running && !is_fresh(admin->facts))
        forget(admin);
    if (!admin->facts && !facts_new(admin)) {
        w->ready(w, NULL);
        return;
    }
    w->next = admin->facts->waits;
    admin->facts->waits = w;
    if (!admin->facts->running)
        tell(admin->facts);
}

void facts_forget(struct admin *admin, struct facts_wait *w)
{
    for (struct facts_wait **p = admin->facts ? &admin->facts->waits : NULL; p && *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            return;
        }
}

void facts_free(struct admin *admin)
{
    if (admin->facts)
        forget(admin);
}
