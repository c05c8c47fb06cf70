#include "clog.h"
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

int64_t consoles_now_ms(const struct consoles *l)
{
    return l->m->world->ops->mono_ms(l->m->world);
}

int64_t consoles_wall_ms(const struct consoles *l)
{
    return l->m->world->ops->wall_ms(l->m->world);
}

bool consoles_work(struct consoles *l, struct world_work *k)
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

void consoles_save(struct consoles *l)
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

/* ---- time */

void consoles_set_tick(struct consoles *l)
{
    int64_t wall = consoles_wall_ms(l), wait = l->m->conf->log.max_size ? SIZE_TICK_MS : TICK_MS;
    wait = MIN(wait, day_next_ms(wall) - wall);
    if (l->looked || l->old_days)
        wait = MIN(wait, START_MS);
    if (l->hurry && l->m->conf->log.max_size)
        wait = MIN(wait, SOON_MS);
    if (l->looking)
        wait = MIN(wait, CONSOLES_HANG_MS);
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].ndue && !l->items[i].rotation && !l->items[i].hangs)
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
    consoles_look_check(l);
    consoles_tell_looked(l); /* it takes too long: one log that can't be reached must not hold up all services */
    if (l->left || consoles_now_ms(l) - l->full_ms >= TICK_MS)
        consoles_look(l, true);
    else if (l->m->conf->log.max_size)
        consoles_look(l, false);
    l->old_days = l->old_days || today == before + 1; /* not when the clock was set: it may be wrong */
    if (l->old_days && !l->m->queue_head)
        consoles_prune(l);
    consoles_move_start(l);
    consoles_set_tick(l);
}

void consoles_start(struct consoles *l, void (*looked)(struct monitor *m))
{
    l->looked = looked;
    if (!l->memory_file) {
        consoles_tell_looked(l);
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
        consoles_save(l);
    free(l->items);
    free_paths(l->paths, l->npaths);
    consoles_memory_fini(&l->memory);
    free(l->memory_file);
    free(l);
}
