#include "scriptfiles.h"

#include "conf.h"

#include <stdlib.h>
#include <string.h>

bool scriptfiles_add(struct scriptfiles *f, const char *name, const char *text)
{
    size_t at = 0;
    if (f->full)
        return true;
    while (at < f->count && strcmp(f->items[at].name, name) < 0)
        at++;
    if (at < f->count && !strcmp(f->items[at].name, name)) {
        f->items[at].mark = conf_mark(text);
        return true;
    }
    struct scriptfile *items = reallocarray(f->items, f->count + 1, sizeof *items);
    if (items)
        f->items = items;
    char *own = items ? strdup(name) : NULL;
    if (!own)
        return false;
    memmove(items + at + 1, items + at, (f->count - at) * sizeof *items);
    items[at] = (struct scriptfile){.name = own, .mark = conf_mark(text)};
    f->count++;
    return true;
}

void scriptfiles_fini(struct scriptfiles *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].name);
    free(f->items);
    *f = (struct scriptfiles){0};
}

void scriptfiles_changes(struct buf *b, const struct scriptfiles *old, const struct scriptfiles *next)
{
    static const struct scriptfiles none;
    old = old ? old : &none;
    next = next ? next : &none;
    for (size_t i = 0, k = 0; i < old->count || k < next->count;) {
        const struct scriptfile *was = i < old->count ? &old->items[i] : NULL;
        const struct scriptfile *is = k < next->count ? &next->items[k] : NULL;
        int order = was && is ? strcmp(was->name, is->name) : was ? -1 : 1;
        if (was && order < 0)
            buf_addf(b, "removed: %s\n", was->name);
        else if (is && order > 0)
            buf_addf(b, "added: %s\n", is->name);
        else if (was && is && was->mark != is->mark)
            buf_addf(b, "changed: %s\n", is->name);
        i += order <= 0;
        k += order >= 0;
    }
}
