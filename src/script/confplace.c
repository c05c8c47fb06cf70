#include "confplace.h"

#include "jsontext.h"

#include <string.h>

static bool same_steps(const struct jsonpath_step *a, const struct jsonpath_step *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!a[i].key || !b[i].key) {
            if (a[i].key || b[i].key || a[i].index != b[i].index)
                return false;
        } else if (a[i].len != b[i].len || memcmp(a[i].key, b[i].key, a[i].len) != 0) {
            return false;
        }
    }
    return true;
}

/* The last item that set the value at the steps, or one around it. */
static const struct confset_item *setter(const struct confset *set, const struct jsonpath_step *steps, size_t n)
{
    for (size_t i = set->n; i-- > 0;)
        if (set->items[i].nsteps <= n && same_steps(set->items[i].steps, steps, set->items[i].nsteps))
            return &set->items[i];
    return NULL;
}

/* The last item that set something inside the value at the steps. */
static const struct confset_item *maker(const struct confset *set, const struct jsonpath_step *steps, size_t n)
{
    for (size_t i = set->n; i-- > 0;)
        if (set->items[i].nsteps > n && same_steps(set->items[i].steps, steps, n))
            return &set->items[i];
    return NULL;
}

/* Takes the path over. */
static bool fail_at(const struct confplace *p, size_t offset, struct buf *path, struct err *err, const char *message)
{
    int line = 0, column = 0;
    jsontext_position(p->original, p->len, offset, &line, &column);
    jsonpath_clip(path);
    err_set_at(err, p->file, line, column, "%s%s%s", buf_str(path), path->len ? ": " : "", message);
    buf_fini(path);
    return false;
}

bool confplace_fail(const struct confplace *p, const struct jsonpath_step *steps, size_t nsteps, struct err *err,
                    const char *message)
{
    const struct confset_item *item = setter(p->set, steps + 1, nsteps - 1);
    size_t offset = 0;
    if (!item) {
        size_t found = jsontext_find(p->text, p->len, steps, nsteps, &offset);
        /* What the file does not have, an item may have made by setting something inside it. */
        if (found > 0 && found < nsteps)
            item = maker(p->set, steps + 1, found);
    }
    if (item)
        return confset_fail(item, steps + 1, nsteps - 1, err, message);
    struct buf path = {0};
    for (size_t i = 0; i < nsteps; i++)
        jsonpath_add(&path, &steps[i]);
    return fail_at(p, offset, &path, err, message);
}

bool confplace_fail_offset(const struct confplace *p, size_t offset, size_t end, struct err *err, const char *message)
{
    struct buf path = {0};
    jsontext_path_at(p->text, p->len, end, &path);
    return fail_at(p, offset, &path, err, message);
}
