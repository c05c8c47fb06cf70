#include "simconsole.h"

#include "buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 16384

struct simconsole {
    char *path;
    struct buf text;
    int64_t size;
};

static struct simconsole *find(const struct simconsoles *c, const char *path)
{
    for (size_t i = 0; i < c->count; i++)
        if (!strcmp(c->items[i].path, path))
            return &c->items[i];
    return NULL;
}

static struct simconsole *add(struct simconsoles *c, const char *path)
{
    if (!(c->count & (c->count - 1))) { /* it grows at each power of two */
        struct simconsole *items = realloc(c->items, (c->count ? c->count * 2 : 1) * sizeof *items);
        if (!items)
            return NULL;
        c->items = items;
    }
    struct simconsole *s = &c->items[c->count];
    *s = (struct simconsole){.path = strdup(path)};
    c->count += s->path != NULL;
    return s->path ? s : NULL;
}

int simconsole_write(struct simconsoles *c, const char *path, const char *text)
{
    struct simconsole *s = find(c, path);
    if (!s && !(s = add(c, path)))
        return -ENOMEM;
    if (s->text.len > TEXT_MAX)
        buf_clear(&s->text);
    buf_adds(&s->text, text);
    s->size += (int64_t)strlen(text);
    return s->text.failed ? -ENOMEM : 0;
}

int64_t simconsole_size(const struct simconsoles *c, const char *path)
{
    const struct simconsole *s = find(c, path);
    return s ? s->size : 0;
}

/* Where the last n lines of text begin. */
static const char *last_lines(const char *text, size_t len, int lines)
{
    size_t i = len && text[len - 1] == '\n' ? len - 1 : len;
    for (; i > 0; i--)
        if (text[i - 1] == '\n' && --lines == 0)
            break;
    return text + i;
}

char *simconsole_tail(const struct simconsoles *c, const char *path, int lines, size_t bytes)
{
    const struct simconsole *s = find(c, path);
    if (!s || !s->text.len)
        return NULL;
    const char *text = s->text.data;
    size_t len = s->text.len, cut = len > bytes ? len - bytes : 0;
    struct buf b = {0};
    buf_adds(&b, last_lines(text + cut, len - cut, lines));
    if (text[len - 1] != '\n')
        buf_addc(&b, '\n');
    return buf_take(&b);
}

char *simconsole_since(const struct simconsoles *c, const char *path, int64_t *at, size_t bytes)
{
    const struct simconsole *s = find(c, path);
    if (!s)
        return NULL;
    int64_t begin = s->size - (int64_t)s->text.len; /* the place where what is kept begins */
    *at = *at < begin || *at > s->size ? begin : *at;
    const char *text = buf_str(&s->text) + (*at - begin);
    size_t len = MIN((size_t)(s->size - *at), bytes);
    const char *end = len ? memrchr(text, '\n', len) : NULL;
    if (end)
        len = (size_t)(end + 1 - text);
    else if (len < bytes)
        return NULL;
    *at += (int64_t)len;
    return len ? strndup(text, len) : NULL;
}

void simconsole_fini(struct simconsoles *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->items[i].path);
        buf_fini(&c->items[i].text);
    }
    free(c->items);
    *c = (struct simconsoles){0};
}
