#include "jsontext.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The decoder refuses more than 1000 levels, so what lies deeper is never asked for. */
#define DEPTH_MAX 1024

/* One object or array that is open at the place of the walk. */
struct frame {
    bool object;
    bool wants_key;      /* the next string of an object is a key */
    size_t key, key_len; /* the key whose value is being walked, without its quotes; 0: none yet */
    size_t index;        /* of the array element */
    size_t first_key;    /* for the duplicate search: where the keys of this object begin */
};

enum event {
    WALK_KEY,   /* a key of an object */
    WALK_VALUE, /* a value; if it is an object or array, what is inside comes next, one level deeper */
    WALK_CLOSE, /* the end of an object or array, told before its frame goes */
    WALK_STOP,  /* no more text, or too deep */
};

struct walk {
    const char *text;
    size_t len;
    size_t pos;   /* what comes next */
    size_t start; /* of what was told last */
    size_t depth; /* frames open around it */
    bool opened, closed;
    struct frame frames[DEPTH_MAX + 1];
};

static void walk_init(struct walk *w, const char *text, size_t len)
{
    w->text = text;
    w->len = len;
    w->pos = w->start = w->depth = 0;
    w->opened = w->closed = false;
}

static struct frame *top(struct walk *w)
{
    return w->depth ? &w->frames[w->depth - 1] : NULL;
}

/* Offset just after the string that begins at start (its opening quote), or len when it does not end. */
static size_t string_end(const char *text, size_t len, size_t start, bool *ended)
{
    for (size_t i = start + 1; i < len; i++) {
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            *ended = true;
            return i + 1;
        }
    }
    *ended = false;
    return len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Goes into or out of what was told last, and over what only separates. False at the end of the text, or too deep. */
static bool walk_skip(struct walk *w)
{
    if (w->opened && w->depth == DEPTH_MAX)
        return false;
    if (w->opened) {
        bool object = w->text[w->start] == '{';
        w->frames[w->depth++] = (struct frame){.object = object, .wants_key = object};
    }
    if (w->closed && w->depth)
        w->depth--;
    w->opened = w->closed = false;
    for (; w->pos < w->len; w->pos++) {
        char c = w->text[w->pos];
        struct frame *f = top(w);
        if (c == ',' && f) {
            f->index++;
            f->wants_key = f->object;
            f->key_len = f->key = 0;
        } else if (c != ',' && c != ':' && !is_blank(c)) {
            return true;
        }
    }
    return false;
}

static enum event walk_string(struct walk *w)
{
    struct frame *f = top(w);
    bool ended = false;
    w->pos = string_end(w->text, w->len, w->start, &ended);
    if (!f || !f->object || !f->wants_key)
        return WALK_VALUE;
    f->wants_key = false;
    f->key = w->start + 1;
    f->key_len = w->pos - f->key - ended;
    return WALK_KEY;
}

static enum event walk_next(struct walk *w)
{
    if (!walk_skip(w))
        return WALK_STOP;
    w->start = w->pos;
    char c = w->text[w->pos];
    if (c == '"')
        return walk_string(w);
    w->pos++;
    w->opened = c == '{' || c == '[';
    w->closed = c == '}' || c == ']';
    if (w->opened)
        return WALK_VALUE;
    if (w->closed)
        return WALK_CLOSE;
    while (w->pos < w->len && !is_blank(w->text[w->pos]) && !strchr(",:{}[]\"", w->text[w->pos]))
        w->pos++;
    return WALK_VALUE;
}

/* The end of the comment that begins at start; false when it has none. */
static bool comment_end(const char *text, size_t len, size_t start, size_t *end)
{
    const char *from = text + start + 2;
    if (text[start + 1] == '/') {
        const char *newline = memchr(from, '\n', len - start - 2);
        *end = newline ? (size_t)(newline - text) : len;
        return true;
    }
    const char *close = memmem(from, len - start - 2, "*/", 2);
    if (close)
        *end = (size_t)(close - text) + 2;
    return close;
}

bool jsontext_blank(char *text, size_t len, size_t *bad)
{
    for (size_t i = 0; i < len;) {
        bool ended = false;
        size_t end = i + 1;
        if (text[i] == '"') {
            end = string_end(text, len, i, &ended);
        } else if (text[i] == '/' && end < len && (text[end] == '/' || text[end] == '*')) {
            if (!comment_end(text, len, i, &end)) {
                *bad = i;
                return false;
            }
            for (size_t k = i; k < end; k++)
                text[k] = text[k] == '\n' || text[k] == '\r' ? text[k] : ' ';
        }
        i = end;
    }
    return true;
}

bool jsontext_open_string(const char *text, size_t len, size_t *offset)
{
    for (size_t i = 0; i < len;) {
        bool ended = true;
        size_t end = text[i] == '"' ? string_end(text, len, i, &ended) : i + 1;
        if (!ended) {
            *offset = i;
            return true;
        }
        i = end;
    }
    return false;
}

void jsontext_position(const char *text, size_t len, size_t offset, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < MIN(offset, len); i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) { /* the first byte of a character */
            ++*column;
        }
    }
}

/* The key that stands at raw, escapes and all, against one without. */
static bool same_key(const char *raw, size_t raw_len, const struct jsonpath_step *step)
{
    if (!memchr(raw, '\\', raw_len))
        return raw_len == step->len && memcmp(raw, step->key, raw_len) == 0;
    struct buf plain = {0};
    jsonpath_unescape(raw, raw_len, &plain);
    bool same = !plain.failed && plain.len == step->len && memcmp(buf_str(&plain), step->key, plain.len) == 0;
    buf_fini(&plain);
    return same;
}

/* Whether what the walk told last is where that step goes. */
static bool is_step(const struct walk *w, enum event event, const struct jsonpath_step *step)
{
    const struct frame *f = &w->frames[w->depth - 1];
    if (event == WALK_KEY)
        return step->key && same_key(w->text + f->key, f->key_len, step);
    return event == WALK_VALUE && !step->key && f->index == step->index;
}

size_t jsontext_find(const char *text, size_t len, const struct jsonpath_step *steps, size_t nsteps, size_t *offset)
{
    struct walk w;
    walk_init(&w, text, len);
    walk_skip(&w);
    *offset = w.pos;
    size_t found = 0;
    while (found < nsteps) {
        enum event event = walk_next(&w);
        const struct frame *f = top(&w);
        if (event == WALK_STOP)
            break;
        if (!f || (event == WALK_VALUE && f->object))
            continue;
        /* Back on the level of the last one found, or above: it has nothing more inside. */
        if (w.depth <= found)
            break;
        if (w.depth == found + 1 && is_step(&w, event, &steps[found])) {
            found++;
            *offset = w.start;
        }
    }
    return found;
}

/* A key seen by the duplicate search: where it stands, and its plain text in the pool. */
struct seen {
    size_t offset;
    size_t at, len;
};

struct search {
    struct seen *keys;
    size_t n, cap;
    struct buf pool;
    size_t *first, *second;
    bool hit;
};

static int compare_seen(const void *x, const void *y, void *data)
{
    const struct seen *a = x, *b = y;
    const char *pool = buf_str(data);
    int order = memcmp(pool + a->at, pool + b->at, MIN(a->len, b->len));
    if (order)
        return order;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->offset < b->offset ? -1 : 1;
}

static bool search_add(struct search *s, const struct walk *w, const struct frame *f)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 256;
        struct seen *keys = realloc(s->keys, cap * sizeof *keys);
        if (!keys)
            return false;
        s->keys = keys;
        s->cap = cap;
    }
    size_t at = s->pool.len;
    jsonpath_unescape(w->text + f->key, f->key_len, &s->pool);
    s->keys[s->n++] = (struct seen){.offset = w->start, .at = at, .len = s->pool.len - at};
    return !s->pool.failed;
}

/* The object that began with key number `from` is complete. */
static void search_judge(struct search *s, size_t from)
{
    if (!s->keys || s->n == from)
        return;
    struct seen *keys = s->keys + from;
    size_t n = s->n - from, pool_len = keys[0].at;
    qsort_r(keys, n, sizeof *keys, compare_seen, &s->pool);
    for (size_t i = 1; i < n; i++) {
        const struct seen *a = &keys[i - 1], *b = &keys[i];
        if (a->len != b->len || memcmp(buf_str(&s->pool) + a->at, buf_str(&s->pool) + b->at, a->len) != 0)
            continue;
        if (!s->hit || b->offset < *s->second) {
            *s->first = a->offset;
            *s->second = b->offset;
        }
        s->hit = true;
    }
    s->pool.len = pool_len;
    s->n = from;
}

int jsontext_duplicate(const char *text, size_t len, size_t *first, size_t *second)
{
    struct search s = {.first = first, .second = second};
    struct walk w;
    walk_init(&w, text, len);
    int rc = 0;
    size_t seen_depth = 0;
    for (enum event event = walk_next(&w); event != WALK_STOP; event = walk_next(&w)) {
        if (w.depth > seen_depth) /* a new object begins where the keys of the outer ones end */
            w.frames[w.depth - 1].first_key = s.n;
        seen_depth = w.depth;
        if (event == WALK_KEY && !search_add(&s, &w, top(&w))) {
            rc = -ENOMEM;
            break;
        }
        if (event == WALK_CLOSE && w.depth) {
            search_judge(&s, top(&w)->first_key);
            seen_depth = w.depth - 1; /* its frame goes; the next one of this level is another */
        }
    }
    free(s.keys);
    buf_fini(&s.pool);
    return rc ? rc : s.hit ? -EEXIST : 0;
}

void jsontext_path_at(const char *text, size_t len, size_t end, struct buf *out)
{
    struct walk w;
    walk_init(&w, text, len);
    while (w.pos < end && walk_skip(&w) && w.pos < end && walk_next(&w) != WALK_STOP)
        continue;
    /* The frame of what closed last is still there. */
    size_t depth = w.closed && w.depth ? w.depth - 1 : w.depth;
    struct buf key = {0};
    for (size_t i = 0; i < depth; i++) {
        const struct frame *f = &w.frames[i];
        if (f->object && !f->key)
            break;
        buf_clear(&key);
        jsonpath_unescape(text + f->key, f->object ? f->key_len : 0, &key);
        const struct jsonpath_step step = {.key = f->object ? buf_str(&key) : NULL, .len = key.len, .index = f->index};
        jsonpath_add(out, &step);
    }
    buf_fini(&key);
}
