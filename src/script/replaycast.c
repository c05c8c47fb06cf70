#include "replaycast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_BACK_MS 3600000 /* what ran before the journal begins has been running no longer than this */

static int by_name(const void *a, const void *b)
{
    const struct replay_service *x = a, *y = b;
    return strcmp(x->name, y->name);
}

struct replay_service *replaycast_find(const struct replaycast *c, const char *name)
{
    const struct replay_service key = {.name = name};
    return c->nservices ? bsearch(&key, c->services, c->nservices, sizeof key, by_name) : NULL;
}

static bool add_names(struct replaycast *c, const struct replaylog *log)
{
    size_t n = 0;
    c->services = calloc(log->count, sizeof *c->services);
    c->running = calloc(log->count, sizeof *c->running);
    if (!c->services || !c->running)
        return false;
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i].service)
            c->services[n++] =
                (struct replay_service){.name = log->events[i].service, .runs_from_ms = REPLAYCAST_NEVER};
    qsort(c->services, n, sizeof *c->services, by_name);
    for (size_t i = 0; i < n; i++)
        if (c->nservices == 0 || strcmp(c->services[c->nservices - 1].name, c->services[i].name) != 0)
            c->services[c->nservices++] = c->services[i];
    return true;
}

/* "policy NAME (place): …" */
static void read_policy(struct replay_service *s, const struct replay_event *e)
{
    static const char head[] = "policy ";
    const char *end = e->kind == EVENT_DECISION ? strstr(e->text, " (") : NULL;
    if (!end || strncmp(e->text, head, sizeof head - 1) != 0)
        return;
    static const char failed[] = " failed";
    s->policy = e->text + sizeof head - 1;
    s->policy_len = (size_t)(end - s->policy);
    if (s->policy_len > sizeof failed - 1 && !strncmp(end - sizeof failed + 1, failed, sizeof failed - 1))
        s->policy_len -= sizeof failed - 1;
}

/* What its first events say of what was before them. */
static void read_beginning(struct replay_service *s, const struct replay_event *e)
{
    bool ran = e->kind == EVENT_UP || e->kind == EVENT_STOPPING || e->kind == EVENT_ADOPT || e->kind == EVENT_EXIT;
    bool began = e->kind == EVENT_STARTING || e->kind == EVENT_SPAWN_FAIL;
    if (s->begun)
        return;
    if (ran && s->runs_from_ms == REPLAYCAST_NEVER)
        s->runs_from_ms = e->at_ms;
    if (e->kind == EVENT_EXIT)
        s->runs_from_ms = MAX(e->at_ms - e->duration_ms, -LOOK_BACK_MS);
    s->begun = began || e->kind == EVENT_EXIT;
}

static int by_beginning(const void *a, const void *b)
{
    const struct replay_service *x = *(struct replay_service *const *)a, *y = *(struct replay_service *const *)b;
    return (x->runs_from_ms > y->runs_from_ms) - (x->runs_from_ms < y->runs_from_ms);
}

int replaycast_read(struct replaycast *c, const struct replaylog *log)
{
    *c = (struct replaycast){0};
    if (!add_names(c, log))
        return -ENOMEM;
    for (size_t i = 0; i < log->count; i++) {
        const struct replay_event *e = &log->events[i];
        struct replay_service *s = e->service ? replaycast_find(c, e->service) : NULL;
        if (!s)
            continue;
        read_policy(s, e);
        read_beginning(s, e);
    }
    for (size_t i = 0; i < c->nservices; i++) {
        c->services[i].begun = false; /* from here on: in the simulation */
        if (c->services[i].runs_from_ms != REPLAYCAST_NEVER)
            c->running[c->nrunning++] = &c->services[i];
    }
    qsort(c->running, c->nrunning, sizeof *c->running, by_beginning);
    return 0;
}

void replaycast_fini(struct replaycast *c)
{
    free(c->services);
    free(c->running);
    *c = (struct replaycast){0};
}
