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

/* Where a value is from: one of the three is set. */
struct origin {
    const struct confset_item *item;
    const char *script;
    size_t offset; /* in the file, when neither */
};

static struct origin origin_of(const struct confplace *p, const struct jsonpath_step *steps, size_t nsteps)
{
    struct origin o = {.item = setter(p->set, steps + 1, nsteps - 1)};
    if (!o.item && p->source)
        o.script = confsource_of(p->source, steps + 1, nsteps - 1);
    if (o.item || o.script)
        return o;
    size_t found = jsontext_find(p->text, p->len, steps, nsteps, &o.offset);
    if (found == nsteps && p->source) /* it is there, but a script has put something wrong into it */
        o.script = confsource_inside(p->source, steps + 1, nsteps - 1);
    if (found == 0 || found >= nsteps)
        return o;
    /* What the file does not have may have been made by setting something inside it. */
    o.item = maker(p->set, steps + 1, found);
    if (!o.item && p->source)
        o.script = confsource_inside(p->source, steps + 1, found > 1 ? found : nsteps - 1);
    return o;
}

bool confplace_fail(const struct confplace *p, const struct jsonpath_step *steps, size_t nsteps, struct err *err,
                    const char *message)
{
    struct origin o = origin_of(p, steps, nsteps);
    if (o.item)
        return confset_fail(o.item, steps + 1, nsteps - 1, err, message);
    struct buf path = {0};
    for (size_t i = 0; i < nsteps; i++)
        jsonpath_add(&path, &steps[i]);
    if (!o.script)
        return fail_at(p, o.offset, &path, err, message);
    jsonpath_clip(&path);
    err_set(err, "%s: %s: %s", o.script, buf_str(&path), message);
    buf_fini(&path);
    return false;
}

const char *confplace_name(const struct confplace *p, const struct jsonpath_step *steps, size_t nsteps)
{
    const char *script = p->source ? confsource_of(p->source, steps + 1, nsteps - 1) : NULL;
    return setter(p->set, steps + 1, nsteps - 1) ? "-conf" : script ? script : p->file;
}

bool confplace_fail_offset(const struct confplace *p, size_t offset, size_t end, struct err *err, const char *message)
{
    struct buf path = {0};
    jsontext_path_at(p->text, p->len, end, &path);
    return fail_at(p, offset, &path, err, message);
}
