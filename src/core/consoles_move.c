#include "clog.h"
#include "console_rotate.h"
#include "consoles_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROTATIONS_MAX 2 /* at a time; the thread pool has other work too */
#define BUSY_MS 1000    /* until the next try, when another monitor is at it */
#define RETRY_MS 2000   /* until the next try after a failure; doubled RETRY_STEPS times */
#define RETRY_STEPS 8

struct rotation {
    struct world_work work;
    struct consoles *consoles;
    struct rotation *next;
    struct console_rotate r;
    char *path, *format, **others;
    int error;
};

/* ---- troubles */

static bool writes_to(const struct consoles *l, size_t service, const struct console *g)
{
    return service < l->npaths && l->paths[service] && !strcmp(l->paths[service], g->path);
}

bool consoles_is_used(const struct consoles *l, const struct console *g)
{
    for (size_t i = 0; i < l->m->nsvcs; i++)
        if (writes_to(l, i, g) && l->m->svcs[i]->proc.pid)
            return true;
    return false;
}

void consoles_trouble(struct consoles *l, struct console *g, int error, const char *text)
{
    char more[HUSH_MORE_SIZE], cause[EVENT_TEXT_SIZE * 2];
    bool news = error != g->trouble;
    g->trouble = error;
    for (size_t i = 0; news && i < l->m->nsvcs; i++)
        if (writes_to(l, i, g))
            monitor_note(l->m, l->m->svcs[i], EVENT_LOG, l->m->start_seq, "%s", text);
    snprintf(cause, sizeof cause, "%s: %s", g->path, text);
    if (error && hush_says(&l->hush, cause, consoles_now_ms(l), more))
        clog_error("%s%s", cause, more);
    if (!error && news)
        clog_info("%s", cause);
}

/* ---- rotations */

static void free_rotation(struct rotation *t)
{
    free(t->path);
    free(t->format);
    free(t->others);
    free(t);
}

static void run_rotation(struct world_work *k)
{
    struct rotation *t = CONTAINER_OF(k, struct rotation, work);
    t->error = console_rotate_run(&t->r);
}

void consoles_move_add(struct console *g, const struct consoles_due *due)
{
    if (g->ndue == ARRAY_LEN(g->due))
        g->ndue--;
    g->due[g->ndue++] = *due;
}

/* What this rotation was for is done with; meanwhile another file may have come, and all been forgotten. */
static void pop_due(struct console *g, const struct rotation *t)
{
    if (!g->ndue || g->due[0].at_ms != t->r.now_ms || g->due[0].cut != t->r.cut)
        return;
    g->due[0] = g->due[1];
    g->ndue--;
    g->tries = 0;
    g->retry_ms = 0;
}

static void went_well(struct consoles *l, struct console *g, const struct rotation *t)
{
    const struct console_rotate *r = &t->r;
    g->start = r->start;
    if (r->file[0]) {
        g->since_ms = r->since_ms;
        l->changed = true;
    }
    if (r->later) {
        g->retry_ms = consoles_now_ms(l) + RETRY_MS;
        return;
    }
    pop_due(g, t);
    consoles_trouble(l, g, 0, "the log is well again");
    if (g->fresh) /* one that was broken off had to be finished first */
        consoles_look(l, true);
}

static void went_wrong(struct consoles *l, struct console *g, const struct rotation *t)
{
    if (t->error == -ENOENT || t->error == -ECANCELED) {
        pop_due(g, t);
        return;
    }
    if (t->error == -EAGAIN) {
        g->retry_ms = consoles_now_ms(l) + BUSY_MS;
        return;
    }
    g->retry_ms = consoles_now_ms(l) + ((int64_t)RETRY_MS << MIN(g->tries, RETRY_STEPS));
    g->tries++;
    l->counts.failures++;
    char text[EVENT_TEXT_SIZE];
    snprintf(text, sizeof text, "the log can't be rotated: %.*s; it is tried again", EVENT_TEXT_SIZE - 64,
             t->r.err.text);
    consoles_trouble(l, g, t->error, text);
}

static void count(struct consoles *l, const struct rotation *t)
{
    const struct console_rotate *r = &t->r;
    if (r->resumed && !t->error)
        clog_info("log %s: a rotation that was broken off is finished", t->path);
    if (r->file[0]) {
        l->counts.rotations++;
        l->counts.bytes += (uint64_t)r->moved;
        clog_debug("log %s: %lld bytes moved to %s", t->path, (long long)r->moved, r->file);
    }
    l->counts.emptied += r->emptied;
    if (r->uncollapsed && !l->warned) {
        l->warned = true;
        clog_warn(
            "log %s: its file system can't take lines away from the front of a file; a hole stays there until the "
            "log has been quiet for a moment, then it is emptied",
            t->path);
    }
}

static void rotation_done(struct world_work *k, bool wanted)
{
    struct rotation *t = CONTAINER_OF(k, struct rotation, work);
    struct consoles *l = t->consoles;
    if (!wanted) {
        free_rotation(t);
        return;
    }
    struct rotation **link = &l->rotations;
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    l->running--;
    count(l, t);
    struct console *g = consoles_find(l, t->path);
    if (g && g->rotation == t) {
        g->rotation = NULL;
        if (t->error)
            went_wrong(l, g, t);
        else
            went_well(l, g, t);
    }
    free_rotation(t);
    consoles_move_start(l);
    consoles_set_tick(l);
}

static bool begin_rotation(struct consoles *l, struct console *g)
{
    const struct consoles_due *due = &g->due[0];
    struct world *w = l->m->world;
    struct rotation *t = calloc(1, sizeof *t);
    if (!t)
        return false;
    t->work = (struct world_work){.run = run_rotation, .done = rotation_done, .owner = l};
    t->consoles = l;
    t->path = strdup(g->path);
    t->format = strdup(l->m->conf->log.day);
    t->others = consoles_others(l, g->path);
    t->r.path = t->path;
    t->r.format = t->format;
    t->r.others = t->others;
    t->r.day = due->day;
    t->r.part = due->part;
    t->r.cut = due->cut;
    t->r.more_than = due->part ? l->m->conf->log.max_size : 0;
    t->r.now_ms = due->at_ms;
    t->r.ways = CONSOLE_ROTATE_ALL;
    if (!t->path || !t->format || !t->others || w->ops->work(w, &t->work)) {
        free_rotation(t);
        return false;
    }
    t->next = l->rotations;
    l->rotations = t;
    l->running++;
    g->rotation = t;
    return true;
}

/* Each log in its turn, so that one that grows fast does not keep the others waiting. */
void consoles_move_start(struct consoles *l)
{
    int64_t now = consoles_now_ms(l);
    for (size_t left = l->count; left && l->running < ROTATIONS_MAX; left--) {
        struct console *g = &l->items[l->next % l->count];
        l->next = (l->next + 1) % l->count;
        if (g->ndue && !g->rotation && !g->hangs && g->retry_ms <= now && !begin_rotation(l, g))
            return; /* no memory: the next tick tries again */
    }
}

void consoles_move_stop(struct consoles *l)
{
    for (struct rotation *t = l->rotations; t; t = t->next)
        atomic_store(&t->r.stop, true);
}
