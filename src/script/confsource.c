#include "confsource.h"

#include "buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_item(struct confsource_item *item)
{
    free(item->path);
    free(item->where);
}

void confsource_fini(struct confsource *cs)
{
    for (size_t i = 0; i < cs->n; i++)
        free_item(&cs->items[i]);
    free(cs->items);
    *cs = (struct confsource){0};
}

static bool begins_with(const struct confsource_item *item, const char *path, size_t len)
{
    return item->len >= len && memcmp(item->path, path, len) == 0;
}

static void forget_inside(struct confsource *cs, const char *path, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < cs->n; i++) {
        if (begins_with(&cs->items[i], path, len))
            free_item(&cs->items[i]);
        else
            cs->items[kept++] = cs->items[i];
    }
    cs->n = kept;
}

int confsource_add(struct confsource *cs, const char *path, size_t len, const char *where)
{
    forget_inside(cs, path, len);
    struct confsource_item *items = realloc(cs->items, (cs->n + 1) * sizeof *items);
    if (!items)
        return -ENOMEM;
    cs->items = items;
    struct confsource_item item = {.path = malloc(len + 1), .len = len, .where = strdup(where)};
    if (!item.path || !item.where) {
        free_item(&item);
        return -ENOMEM;
    }
    memcpy(item.path, path, len);
    item.path[len] = 0;
    items[cs->n++] = item;
    return 0;
}

static void encode(struct buf *b, const struct jsonpath_step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (steps[i].key) {
            buf_addc(b, 'k');
            buf_add(b, steps[i].key, steps[i].len);
        } else {
            buf_addf(b, "i%zu", steps[i].index + 1);
        }
        buf_addc(b, 0);
    }
}

const char *confsource_of(const struct confsource *cs, const struct jsonpath_step *steps, size_t n)
{
    struct buf b = {0};
    const struct confsource_item *best = NULL;
    if (!cs->n)
        return NULL;
    encode(&b, steps, n);
    for (size_t i = 0; i < cs->n && !b.failed; i++) {
        const struct confsource_item *item = &cs->items[i];
        if (item->len <= b.len && memcmp(item->path, buf_str(&b), item->len) == 0 && (!best || item->len > best->len))
            best = item;
    }
    buf_fini(&b);
    return best ? best->where : NULL;
}

const char *confsource_inside(const struct confsource *cs, const struct jsonpath_step *steps, size_t n)
{
    struct buf b = {0};
    const char *where = NULL;
    if (!cs->n)
        return NULL;
    encode(&b, steps, n);
    for (size_t i = 0; i < cs->n && !b.failed && !where; i++)
        if (begins_with(&cs->items[i], buf_str(&b), b.len))
            where = cs->items[i].where;
    buf_fini(&b);
    return where;
}
