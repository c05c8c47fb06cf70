#include "clog.h"
#include "console_prune.h"
#include "consoles_parts.h"
#include "day.h"
#include "launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 60000     /* between two looks at everything, and the longest that a jump of the clock goes unnoticed */
#define SIZE_TICK_MS 1000 /* between two looks at the sizes, where they matter */
#define SOON_MS 100       /* the same, where one grows so fast that it would be late then */
#define START_MS 1000     /* so long services wait for the first look, and old days for the services */

struct looking {
    struct world_work work;
    struct consoles *consoles;
    bool full, left;
    int64_t left_day;
    size_t count;
    struct look_item {
        char *path;
        struct console_look at;
        bool alias;
    } items[];
};

struct pruning {
    struct world_work work;
    struct consoles *consoles;
    char **paths, *format;
    int64_t today;
    int keep_days, removed, error;
    size_t failed; /* which path */
};

int64_t consoles_now_ms(const struct consoles *l)
{
    return l->m->world->ops->mono_ms(l->m->world);
}

int64_t consoles_wall_ms(const struct consoles *l)
{
    return l->m->world->ops->wall_ms(l->m->world);
}

static bool work(struct consoles *l, struct world_work *k)
{
    return l->m->world->ops->work(l->m->world, k) == 0;
}

const struct consoles_counts *consoles_counts(const struct consoles *l)
{
    return &l->counts;
}

/* ---- the set */

/* Where the path is, or would be. */
static size_t place_of(const struct consoles *l, const char *path)
{
    size_t lo = 0, hi = l->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(path, l->items[mid].path) > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct console *consoles_find(const struct consoles *l, const char *path)
{
    size_t i = place_of(l, path);
    return i < l->count && !strcmp(l->items[i].path, path) ? &l->items[i] : NULL;
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

/* Is it in the folder of that other log? NULL: any is. */
static bool is_beside(const char *path, const char *other)
{
    size_t folder = other ? folder_length(other) : 0;
    return !other || (folder_length(path) == folder && !strncmp(path, other, folder) && strcmp(path, other) != 0);
}

/* Copies the paths of all logs, or of those beside another one, and a NULL behind them, into one block. */
static char **copy_paths(const struct consoles *l, const char *beside)
{
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < l->count; i++)
        if (is_beside(l->items[i].path, beside)) {
            n++;
            bytes += strlen(l->items[i].path) + 1;
        }
    char **block = malloc((n + 1) * sizeof *block + bytes);
    if (!block)
        return NULL;
    char *text = (char *)(block + n + 1);
    n = 0;
    for (size_t i = 0; i < l->count; i++)
        if (is_beside(l->items[i].path, beside)) {
            block[n++] = text;
            text = stpcpy(text, l->items[i].path) + 1;
        }
    block[n] = NULL;
    return block;
}

char **consoles_others(const struct consoles *l, const char *path)
{
    return copy_paths(l, path);
}

static int by_path(const void *a, const void *b)
{
    const struct console *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static void free_paths(char **paths, size_t n)
{
    for (size_t i = 0; paths && i < n; i++)
        free(paths[i]);
    free(paths);
}

/* The logs of all services, each once, as if never seen. */
static bool list_logs(const struct monitor *m, struct consoles *next)
{
    size_t n = 0;
    next->items = calloc(m->nsvcs + 1, sizeof *next->items);
    next->paths = calloc(m->nsvcs + 1, sizeof *next->paths);
    if (!next->items || !next->paths)
        return false;
    for (; next->npaths < m->nsvcs; next->npaths++) {
        const struct service *s = m->svcs[next->npaths];
        char *path = s ? launch_log_path(m->conf, s->conf) : NULL;
        next->paths[next->npaths] = path;
        if (path) /* without one its command line is broken, and it never starts */
            next->items[next->count++] = (struct console){.path = path, .fresh = true};
    }
    qsort(next->items, next->count, sizeof *next->items, by_path);
    for (size_t i = 0; i < next->count; i++)
        if (!n || strcmp(next->items[n - 1].path, next->items[i].path) != 0)
            next->items[n++] = next->items[i];
    next->count = n;
    return true;
}

/* ---- what the monitor before this one knew */

static void save(struct consoles *l)
{
    char more[HUSH_MORE_SIZE];
    struct consoles_memory now = {.items = calloc(l->count + 1, sizeof *now.items)};
    for (size_t i = 0; now.items && i < l->count; i++) {
        const struct console *g = &l->items[i];
        if (!g->fresh && g->inode)
            now.items[now.count++] =
                (struct consoles_memory_item){g->since_ms, g->dev, g->inode, (char *)(uintptr_t)g->path};
    }
    int r = now.items ? consoles_memory_write(&now, l->memory_file) : -ENOMEM;
    if (!r)
        l->changed = false;
    else if (hush_says(&l->hush, "memory", consoles_now_ms(l), more))
        clog_error("%s: %s%s", l->memory_file, strerror(-r), more);
    free(now.items);
}

/* ---- old days */

static void free_pruning(struct pruning *p)
{
    free(p->paths);
    free(p->format);
    free(p);
}

static void run_pruning(struct world_work *k)
{
    struct pruning *p = CONTAINER_OF(k, struct pruning, work);
    for (size_t i = 0; p->paths[i]; i++) {
        struct console_name name;
        int r = console_name_init(&name, p->paths[i], p->format, p->paths);
        if (!r) {
            r = console_prune(&name, p->today, p->keep_days);
            console_name_fini(&name);
        }
        p->removed += MAX(r, 0);
        if (r < 0 && r != -ENOENT && !p->error) {
            p->error = r;
            p->failed = i;
        }
    }
}

static void prune(struct consoles *l);

static void pruning_done(struct world_work *k, bool wanted)
{
    struct pruning *p = CONTAINER_OF(k, struct pruning, work);
    struct consoles *l = p->consoles;
    char more[HUSH_MORE_SIZE];
    if (wanted) {
        l->pruning = false;
        if (p->removed)
            clog_debug("%d console log files of more than %d days ago are removed", p->removed, p->keep_days);
        if (p->error && hush_says(&l->hush, "prune", consoles_now_ms(l), more))
            clog_error("log %s: files of old days can't be removed: %s%s", p->paths[p->failed], strerror(-p->error),
                       more);
        if (l->prune_again)
            prune(l);
    }
    free_pruning(p);
}

static void prune(struct consoles *l)
{
    l->prune_again = l->pruning;
    l->old_days = false;
    if (l->pruning)
        return;
    struct pruning *p = calloc(1, sizeof *p);
    if (!p)
        return;
    *p = (struct pruning){.work = {.run = run_pruning, .done = pruning_done, .owner = l},
                          .consoles = l,
                          .paths = copy_paths(l, NULL),
                          .format = strdup(l->m->conf->log.day),
                          .today = l->day,
                          .keep_days = l->m->conf->log.keep_days};
    l->pruning = p->paths && p->format && work(l, &p->work);
    if (!l->pruning)
        free_pruning(p); /* tried again at the next midnight */
}

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
    for (size_t i = 0; i < k->count; i++)
        (k->full ? console_look : console_glance)(k->items[i].path, &k->items[i].at);
    if (k->full)
        find_aliases(k);
}

static void tell_looked(struct consoles *l)
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

static void looking_done(struct world_work *w, bool wanted)
{
    struct looking *k = CONTAINER_OF(w, struct looking, work);
    struct consoles *l = k->consoles;
    if (wanted) {
        l->looking = NULL;
        for (size_t i = 0; i < k->count; i++) {
            if (k->full)
                take_look(l, k, &k->items[i]);
            else
                take_glance(l, &k->items[i]);
        }
        tell_looked(l);
        if (k->full)
            consoles_memory_fini(&l->memory);
        if (k->full && l->changed)
            save(l);
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
    for (; ok && k->count < l->count; k->count += ok)
        ok = (k->items[k->count].path = strdup(l->items[k->count].path));
    if (!ok || !work(l, &k->work)) {
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

/* ---- time */

void consoles_set_tick(struct consoles *l)
{
    int64_t wall = consoles_wall_ms(l), wait = l->m->conf->log.max_size ? SIZE_TICK_MS : TICK_MS;
    wait = MIN(wait, day_next_ms(wall) - wall);
    if (l->looked || l->old_days)
        wait = MIN(wait, START_MS);
    if (l->hurry && l->m->conf->log.max_size)
        wait = MIN(wait, SOON_MS);
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].ndue && !l->items[i].rotation)
            wait = MIN(wait, MAX(l->items[i].retry_ms - consoles_now_ms(l), SIZE_TICK_MS));
    world_timer_set(l->m->world, &l->tick, MAX(wait, 1));
}

static void on_tick(struct timer *t)
{
    struct consoles *l = CONTAINER_OF(t, struct consoles, tick);
    day_refresh_zone();
    int64_t today = day_of(consoles_wall_ms(l)), before = l->day;
    l->day = today;
    if (today != before && !l->left) {
        l->left = true;
        l->left_day = before;
    }
    tell_looked(l); /* it takes too long: one log that can't be reached must not hold up all services */
    if (l->left || consoles_now_ms(l) - l->full_ms >= TICK_MS)
        consoles_look(l, true);
    else if (l->m->conf->log.max_size)
        consoles_look(l, false);
    l->old_days = l->old_days || today == before + 1; /* not when the clock was set: it may be wrong */
    if (l->old_days && !l->m->queue_head)
        prune(l);
    consoles_move_start(l);
    consoles_set_tick(l);
}

void consoles_start(struct consoles *l, void (*looked)(struct monitor *m))
{
    l->looked = looked;
    if (!l->memory_file) {
        tell_looked(l);
        return;
    }
    day_refresh_zone();
    l->day = day_of(consoles_wall_ms(l));
    consoles_look(l, true);
    l->old_days = true;
    consoles_set_tick(l);
}

int consoles_index(struct consoles *l)
{
    struct consoles next = {0};
    if (!l->memory_file)
        return 0;
    if (!list_logs(l->m, &next)) {
        free(next.items);
        free_paths(next.paths, next.npaths);
        return -ENOMEM;
    }
    for (size_t i = 0; i < next.count; i++) { /* what is known of those that stay */
        struct console *old = consoles_find(l, next.items[i].path);
        const char *path = next.items[i].path;
        if (old)
            next.items[i] = *old;
        next.items[i].path = path;
    }
    free(l->items);
    free_paths(l->paths, l->npaths);
    l->items = next.items;
    l->count = next.count;
    l->paths = next.paths;
    l->npaths = next.npaths;
    if (l->full_ms) { /* it has begun */
        consoles_look(l, true);
        l->old_days = true;
        consoles_set_tick(l);
    }
    return 0;
}

struct consoles *consoles_new(struct monitor *m)
{
    struct consoles *l = calloc(1, sizeof *l);
    struct buf file = {0};
    if (!l)
        return NULL;
    *l = (struct consoles){.m = m, .tick.fire = on_tick};
    if (!m->conf->rundir)
        return l;
    buf_addf(&file, "%s/%s.logs", m->conf->rundir, m->conf->env);
    l->memory_file = buf_take(&file);
    if (l->memory_file) {
        consoles_memory_read(&l->memory, l->memory_file);
        return l;
    }
    free(l);
    return NULL;
}

void consoles_free(struct consoles *l)
{
    if (!l)
        return;
    world_timer_clear(l->m->world, &l->tick);
    consoles_move_stop(l);
    l->m->world->ops->unwork(l->m->world, l);
    if (l->changed)
        save(l);
    free(l->items);
    free_paths(l->paths, l->npaths);
    consoles_memory_fini(&l->memory);
    free(l->memory_file);
    free(l);
}
