#include "consoles_parts.h"
#include "day.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct looking {
    struct world_work work;
    struct consoles *consoles;
    bool full, left;
    int64_t left_day;
    atomic_size_t in_hand; /* which one is looked at; from 1, 0: none yet */
    size_t seen;           /* which one was */
    int64_t seen_ms;       /* when it was first seen at that (mono) */
    size_t count;
    struct look_item {
        char *path;
        struct console_look at;
        bool alias;
    } items[];
};

/* ---- when lines are to move */

/* Was a midnight missed? *day is then the day whose lines they are taken for: the last one that is over on which
 * some of them were written, for they can't be told apart. */
static bool missed(const struct console *g, const struct console_look *at, int64_t today, int64_t *day)
{
    int64_t written = day_of(at->mtime_ms), begun = g->since_ms ? day_of(g->since_ms) : written;
    *day = written != today ? written : today - 1;
    return at->size > at->start && (written != today || begun < today);
}

/* The first look at a log. */
static void meet(struct consoles *l, struct console *g, const struct console_look *at)
{
    struct consoles_due due = {.cut = at->end, .at_ms = consoles_wall_ms(l)};
    g->since_ms = consoles_memory_since(&l->memory, g->path, at->dev, at->inode);
    g->since_ms = MAX(g->since_ms, at->since_ms);
    g->fresh = false;
    l->changed = true;
    if (missed(g, at, l->day, &due.day))
        consoles_move_add(g, &due);
    else if (at->size == at->start)
        g->since_ms = due.at_ms;
}

/* The date has changed: what is there was written on the day before. */
static void settle(struct consoles *l, struct console *g, const struct console_look *at, int64_t day)
{
    struct consoles_due due = {.day = day, .cut = at->end, .at_ms = consoles_wall_ms(l)};
    int64_t written = day_of(at->mtime_ms);
    if (written > day && written < l->day) /* we were stopped for days, the service was not */
        due.day = written;
    if (at->size > at->start) {
        consoles_move_add(g, &due);
    } else {
        g->since_ms = due.at_ms;
        l->changed = true;
    }
}

static bool is_same(const struct console *g, const struct console_look *at)
{
    return g->inode == at->inode && g->dev == at->dev;
}

/* Another file is there than before, or the first one: it has just begun. */
static void replaced(struct consoles *l, struct console *g, const struct console_look *at)
{
    g->dev = at->dev;
    g->inode = at->inode;
    g->start = at->start;
    g->since_ms = consoles_wall_ms(l);
    g->ndue = g->tries = 0;
    g->retry_ms = 0;
    l->changed = true;
}

static void not_there(struct consoles *l, struct console *g, int error)
{
    if (error == -ENOENT && g->fresh) {
        g->fresh = false; /* whatever comes is new */
        l->changed = true;
    }
    if ((error == -ENOENT && !g->inode) || !consoles_is_used(l, g)) /* else a start says so */
        return;
    char text[EVENT_TEXT_SIZE];
    if (error == -ENOENT)
        snprintf(text, sizeof text, "the log is gone: what is written is lost until a restart makes a new one");
    else
        snprintf(text, sizeof text, "the log can't be read: %s", strerror(-error));
    consoles_trouble(l, g, error, text);
}

/* Has it grown past the limit? */
static void check_size(struct consoles *l, struct console *g, const struct console_look *at)
{
    int64_t max_size = l->m->conf->log.max_size, grown = MAX(at->size - g->size, 0);
    if (at->size < g->start) /* it was emptied */
        g->start = 0;
    g->size = at->size;
    l->hurry = l->hurry || at->size - g->start + grown > max_size;
    if (max_size && at->size - g->start > max_size && !g->ndue)
        consoles_move_add(g,
                          &(struct consoles_due){.day = l->day, .cut = -1, .at_ms = consoles_wall_ms(l), .part = true});
}

static void take_look(struct consoles *l, const struct looking *k, const struct look_item *item)
{
    const struct console_look *at = &item->at;
    struct console *g = consoles_find(l, item->path);
    if (!g)
        return;
    if (at->error) {
        not_there(l, g, at->error);
        return;
    }
    if (!g->tries)
        consoles_trouble(l, g, 0, "the log is well again");
    g->alias = item->alias;
    if (!at->regular || g->alias)
        return;
    if (!g->fresh && !is_same(g, at))
        replaced(l, g, at);
    g->dev = at->dev;
    g->inode = at->inode;
    g->start = at->start;
    if (at->unfinished && !g->rotation && !g->ndue) /* nothing more than that; then it is looked at again */
        consoles_move_add(g, &(struct consoles_due){.day = l->day, .at_ms = consoles_wall_ms(l)});
    else if (g->fresh)
        meet(l, g, at);
    else if (k->left)
        settle(l, g, at, k->left_day);
    check_size(l, g, at);
}

/* Only at its size. */
static void take_glance(struct consoles *l, const struct look_item *item)
{
    const struct console_look *at = &item->at;
    struct console *g = consoles_find(l, item->path);
    if (!g || g->fresh || g->alias || at->error || !at->regular)
        return;
    if (!is_same(g, at))
        replaced(l, g, at);
    check_size(l, g, at);
}

/* ---- looks */

static int by_file(const void *a, const void *b)
{
    const struct look_item *x = *(struct look_item *const *)a, *y = *(struct look_item *const *)b;
    if (x->at.dev != y->at.dev)
        return x->at.dev < y->at.dev ? -1 : 1;
    if (x->at.inode != y->at.inode)
        return x->at.inode < y->at.inode ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Of several paths to one file the first counts. */
static void find_aliases(struct looking *k)
{
    struct look_item **order = calloc(k->count + 1, sizeof(struct look_item *));
    for (size_t i = 0; order && i < k->count; i++)
        order[i] = &k->items[i];
    if (order && k->count > 1)
        qsort(order, k->count, sizeof *order, by_file);
    for (size_t i = 1; order && i < k->count; i++)
        order[i]->alias = order[i]->at.regular && order[i]->at.inode == order[i - 1]->at.inode &&
                          order[i]->at.dev == order[i - 1]->at.dev;
    free(order);
}

static void run_looking(struct world_work *w)
{
    struct looking *k = CONTAINER_OF(w, struct looking, work);
    for (size_t i = 0; i < k->count; i++) {
        atomic_store(&k->in_hand, i + 1);
        (k->full ? console_look : console_glance)(k->items[i].path, &k->items[i].at);
    }
    if (k->full)
        find_aliases(k);
}

void consoles_tell_looked(struct consoles *l)
{
    void (*looked)(struct monitor * m) = l->looked;
    l->looked = NULL;
    if (looked)
        looked(l->m);
}

static void free_looking(struct looking *k)
{
    for (size_t i = 0; i < k->count; i++)
        free(k->items[i].path);
    free(k);
}

/* The disk answers again. What happened to its logs meanwhile is found out as at a start. */
static void hang_over(struct consoles *l)
{
    l->hung = NULL;
    for (size_t i = 0; i < l->count; i++) {
        l->items[i].fresh = l->items[i].fresh || l->items[i].hangs;
        l->items[i].hangs = false;
    }
    consoles_look(l, true);
    consoles_set_tick(l);
}

static void looking_done(struct world_work *w, bool wanted)
{
    struct looking *k = CONTAINER_OF(w, struct looking, work);
    struct consoles *l = k->consoles;
    if (wanted && k == l->hung) {
        hang_over(l);
    } else if (wanted) {
        l->looking = NULL;
        for (size_t i = 0; i < k->count; i++) {
            if (k->full)
                take_look(l, k, &k->items[i]);
            else
                take_glance(l, &k->items[i]);
        }
        consoles_tell_looked(l);
        if (k->full)
            consoles_memory_fini(&l->memory);
        if (k->full && l->changed)
            consoles_save(l);
        if (l->look_again || l->left)
            consoles_look(l, true);
        consoles_move_start(l);
        if (l->hurry)
            consoles_set_tick(l);
    }
    free_looking(k);
}

void consoles_look(struct consoles *l, bool full)
{
    l->look_again = l->looking && (l->look_again || full);
    if (l->looking)
        return;
    struct looking *k = calloc(1, sizeof *k + (l->count + 1) * sizeof *k->items);
    if (!k)
        return; /* the next tick tries again */
    *k = (struct looking){.work = {.run = run_looking, .done = looking_done, .owner = l},
                          .consoles = l,
                          .full = full,
                          .left = full && l->left,
                          .left_day = l->left_day};
    bool ok = true;
    for (size_t i = 0; ok && i < l->count; i++)
        if (!l->items[i].hangs) {
            ok = (k->items[k->count].path = strdup(l->items[i].path));
            k->count += ok;
        }
    if (!ok || !consoles_work(l, &k->work)) {
        free_looking(k);
        return;
    }
    l->looking = k;
    l->hurry = false;
    if (!full)
        return;
    l->left = false;
    l->full_ms = consoles_now_ms(l);
}

/* A disk may never answer (a network file system without its server): its logs must not hold up the looks at all
 * others. One thread is left waiting there; another look that hangs is waited for, as there are few of them. */
void consoles_look_check(struct consoles *l)
{
    struct looking *k = l->looking;
    size_t in_hand = k ? atomic_load(&k->in_hand) : 0;
    if (in_hand && in_hand != k->seen) {
        k->seen = in_hand;
        k->seen_ms = consoles_now_ms(l);
    }
    if (!in_hand || l->hung || consoles_now_ms(l) - k->seen_ms < CONSOLES_HANG_MS)
        return;
    const struct console *at = consoles_find(l, k->items[in_hand - 1].path);
    dev_t dev = at ? at->dev : 0;
    l->hung = k;
    l->looking = NULL;
    if (k->left && !l->left) {
        l->left = true;
        l->left_day = k->left_day;
    }
    for (size_t i = 0; at && i < l->count; i++) {
        struct console *g = &l->items[i];
        g->hangs = g == at || (dev && g->dev == dev);
        if (g->hangs)
            consoles_trouble(l, g, -ETIMEDOUT, "the log can't be reached: its file system does not answer");
    }
    consoles_look(l, k->full || l->look_again);
}
