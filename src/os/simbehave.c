#include "simbehave.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct simbehave_setting {
    char *service; /* NULL: of all others */
    struct world_sim_behaviour b;
    unsigned used;
};

static struct simbehave_setting *find(const struct simbehave *all, const char *service)
{
    for (size_t i = 0; i < all->count; i++) {
        struct simbehave_setting *s = &all->items[i];
        if (service && s->service ? !strcmp(service, s->service) : service == s->service)
            return s;
    }
    return NULL;
}

struct world_sim_behaviour simbehave_next(struct simbehave *all, const char *service)
{
    const char *const names[] = {service, NULL};
    for (size_t i = service ? 0 : 1; i < ARRAY_LEN(names); i++) {
        struct simbehave_setting *s = find(all, names[i]);
        if (s && (!s->b.starts || s->used < s->b.starts)) {
            s->used++;
            return s->b;
        }
    }
    return (struct world_sim_behaviour){0};
}

static struct simbehave_setting *add(struct simbehave *all, const char *service)
{
    char *name = service ? strdup(service) : NULL;
    struct simbehave_setting *items = service && !name ? NULL : realloc(all->items, (all->count + 1) * sizeof *items);
    if (!items) {
        free(name);
        return NULL;
    }
    all->items = items;
    items[all->count].service = name;
    return &items[all->count++];
}

int simbehave_set(struct simbehave *all, const char *service, const struct world_sim_behaviour *b)
{
    struct simbehave_setting *s = find(all, service);
    if (!s && !(s = add(all, service)))
        return -ENOMEM;
    s->b = *b;
    s->used = 0;
    return 0;
}

void simbehave_fini(struct simbehave *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i].service);
    free(all->items);
    *all = (struct simbehave){0};
}
