#include "clog.h"
#include "console_prune.h"
#include "consoles_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pruning {
    struct world_work work;
    struct consoles *consoles;
    char **paths, *format;
    int64_t today;
    int keep_days, removed, error;
    size_t failed; /* which path */
};

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
            consoles_prune(l);
    }
    free_pruning(p);
}

void consoles_prune(struct consoles *l)
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
                          .paths = consoles_others(l, NULL),
                          .format = strdup(l->m->conf->log.day),
                          .today = l->day,
                          .keep_days = l->m->conf->log.keep_days};
    l->pruning = p->paths && p->format && consoles_work(l, &p->work);
    if (!l->pruning)
        free_pruning(p); /* tried again at the next midnight */
}
