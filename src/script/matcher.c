#include "matcher.h"

#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <ctype.h>
#include <string.h>

#define LOOK_EVERY 4096 /* steps of about two nanoseconds */

enum { LEN_OPEN = -1, LEN_POSITION = -2 }; /* a capture that is not closed yet; one that is a position */

/* What to do when the match fails further on. */
enum kind {
    TRY_WITHOUT, /* an optional character was taken: go on without it */
    TRY_FEWER,   /* give one of the characters back, down to `least` */
    TRY_MORE,    /* take one more, if it fits */
    UNDO_OPEN,   /* forget the capture opened last */
    UNDO_CLOSE,  /* open it again */
};

void matcher_spend(struct matcher *m, size_t steps)
{
    m->steps += (unsigned)MIN(steps, LOOK_EVERY);
    if (m->steps < LOOK_EVERY)
        return;
    m->steps = 0;
    vm_look(m->L);
}

static int byte_at(const char *s)
{
    return (unsigned char)*s;
}

static bool is_control(int c)
{
    return iscntrl(c);
}

static bool is_zero(int c)
{
    return c == 0;
}

#define CTYPE(name)                                                                                                    \
    static bool class_##name(int c)                                                                                    \
    {                                                                                                                  \
        return is##name(c);                                                                                            \
    }
CTYPE(alpha)
CTYPE(digit)
CTYPE(graph)
CTYPE(lower)
CTYPE(punct)
CTYPE(space)
CTYPE(upper)
CTYPE(alnum)
CTYPE(xdigit)

static bool (*const classes[26])(int c) = {
    ['a' - 'a'] = class_alpha, ['c' - 'a'] = is_control,   ['d' - 'a'] = class_digit, ['g' - 'a'] = class_graph,
    ['l' - 'a'] = class_lower, ['p' - 'a'] = class_punct,  ['s' - 'a'] = class_space, ['u' - 'a'] = class_upper,
    ['w' - 'a'] = class_alnum, ['x' - 'a'] = class_xdigit, ['z' - 'a'] = is_zero,
};

/* %a and the like; any other character after % is itself. */
static bool in_class(int c, int name)
{
    int letter = name | 32;
    if (letter < 'a' || letter > 'z' || !classes[letter - 'a'])
        return c == name;
    return classes[letter - 'a'](c) == (name == letter);
}

/* set: just after `[`; end: its `]`. */
static bool in_set(struct matcher *m, int c, const char *set, const char *end)
{
    matcher_spend(m, (size_t)(end - set));
    bool found_means = true;
    if (*set == '^') {
        found_means = false;
        set++;
    }
    while (set < end) {
        bool found;
        if (*set == '%') {
            found = in_class(c, byte_at(set + 1));
            set += 2;
        } else if (set[1] == '-' && set + 2 < end) {
            found = byte_at(set) <= c && c <= byte_at(set + 2);
            set += 3;
        } else {
            found = byte_at(set) == c;
            set++;
        }
        if (found)
            return found_means;
    }
    return !found_means;
}

/* Where the item ends that stands for one character; its suffix, if any, is there. */
static const char *item_end(struct matcher *m, const char *p)
{
    if (*p == '%') {
        if (p + 1 == m->pat_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p != '[')
        return p + 1;
    const char *q = p + 1 + (p[1] == '^');
    do { /* a `]` that comes first is one of the set */
        if (q >= m->pat_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        matcher_spend(m, 1);
        if (*q++ == '%')
            q++;
    } while (q >= m->pat_end || *q != ']');
    return q + 1;
}

/* Whether the item between p and end takes the character c. */
static bool takes(struct matcher *m, int c, const char *p, const char *end)
{
    if (*p == '.')
        return true;
    if (*p == '%')
        return in_class(c, byte_at(p + 1));
    if (*p == '[')
        return in_set(m, c, p + 1, end - 1);
    return byte_at(p) == c;
}

static bool takes_next(struct matcher *m, const char *s, const char *p, const char *end)
{
    return s < m->src_end && takes(m, byte_at(s), p, end);
}

static struct matcher_choice *push_choice(struct matcher *m, enum kind kind)
{
    if (m->nchoices == MATCHER_CHOICES_MAX)
        luaL_error(m->L, "pattern too complex");
    struct matcher_choice *c = &m->choices[m->nchoices++];
    c->kind = kind;
    return c;
}

/* Each of the following handles the item at m->p and says whether the match goes on. */

static bool open_capture(struct matcher *m)
{
    if (m->ncaptures == MATCHER_CAPTURES_MAX)
        luaL_error(m->L, "too many captures");
    bool position = m->p[1] == ')';
    m->captures[m->ncaptures++] = (struct matcher_capture){m->s, position ? LEN_POSITION : LEN_OPEN};
    m->p += position ? 2 : 1;
    push_choice(m, UNDO_OPEN);
    return true;
}

static bool close_capture(struct matcher *m)
{
    int i = m->ncaptures - 1;
    while (i >= 0 && m->captures[i].len != LEN_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[i].len = m->s - m->captures[i].start;
    m->p++;
    push_choice(m, UNDO_CLOSE)->capture = i;
    return true;
}

/* %b() */
static bool balanced(struct matcher *m)
{
    if (m->p + 3 >= m->pat_end)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    char opens = m->p[2], closes = m->p[3];
    if (m->s == m->src_end || *m->s != opens)
        return false;
    size_t depth = 1;
    for (const char *s = m->s + 1; s < m->src_end; s++) {
        matcher_spend(m, 1);
        if (*s == closes && --depth == 0) {
            m->s = s + 1;
            m->p += 4;
            return true;
        }
        if (*s == opens && *s != closes)
            depth++;
    }
    return false;
}

/* %f[set]: both ends of the subject count as \0. */
static bool frontier(struct matcher *m)
{
    const char *set = m->p + 2;
    if (*set != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *end = item_end(m, set);
    int before = m->s == m->src ? 0 : byte_at(m->s - 1), here = m->s == m->src_end ? 0 : byte_at(m->s);
    if (in_set(m, before, set + 1, end - 1) || !in_set(m, here, set + 1, end - 1))
        return false;
    m->p = end;
    return true;
}

/* %1: the same text as that capture. */
static bool again(struct matcher *m)
{
    int i = m->p[1] - '1';
    if (i < 0 || i >= m->ncaptures || m->captures[i].len == LEN_OPEN)
        luaL_error(m->L, "invalid capture index %%%d", i + 1);
    const struct matcher_capture *c = &m->captures[i];
    if (c->len < 0 || m->src_end - m->s < c->len || memcmp(c->start, m->s, (size_t)c->len) != 0)
        return false;
    matcher_spend(m, (size_t)c->len);
    m->s += c->len;
    m->p += 2;
    return true;
}

/* As many as there are, and fewer when that leads nowhere. */
static void take_all(struct matcher *m, const char *least, const char *end)
{
    const char *s = m->s;
    while (takes_next(m, s, m->p, end)) {
        s++;
        matcher_spend(m, 1);
    }
    if (s > least) {
        struct matcher_choice *c = push_choice(m, TRY_FEWER);
        c->s = s;
        c->least = least;
        c->after = end + 1;
    }
    m->s = s;
    m->p = end + 1;
}

/* One character, with its suffix. */
static bool single(struct matcher *m)
{
    const char *item = m->p, *end = item_end(m, item);
    char suffix = end < m->pat_end ? *end : 0;
    bool fits = takes_next(m, m->s, item, end);
    if (suffix == '*' || (suffix == '+' && fits)) {
        take_all(m, m->s + (suffix == '+'), end);
        return true;
    }
    if (suffix == '?' || suffix == '-') {
        if (fits) {
            struct matcher_choice *c = push_choice(m, suffix == '?' ? TRY_WITHOUT : TRY_MORE);
            c->s = m->s;
            c->item = item;
            c->after = end + 1;
        }
        m->s += fits && suffix == '?';
        m->p = end + 1;
        return true;
    }
    m->s++;
    m->p = end;
    return fits;
}

static bool step(struct matcher *m)
{
    switch (*m->p) {
    case '(':
        return open_capture(m);
    case ')':
        return close_capture(m);
    case '$':
        if (m->p + 1 != m->pat_end)
            return single(m);
        m->p++;
        return m->s == m->src_end;
    case '%':
        if (m->p + 1 == m->pat_end)
            return single(m);
        if (m->p[1] == 'b')
            return balanced(m);
        if (m->p[1] == 'f')
            return frontier(m);
        return isdigit(byte_at(m->p + 1)) ? again(m) : single(m);
    default:
        return single(m);
    }
}

/* Back to the latest choice that has something left to try; false when there is none. */
static bool step_back(struct matcher *m)
{
    while (m->nchoices > 0) {
        matcher_spend(m, 1);
        struct matcher_choice *c = &m->choices[m->nchoices - 1];
        if (c->kind == UNDO_OPEN) {
            m->ncaptures--;
        } else if (c->kind == UNDO_CLOSE) {
            m->captures[c->capture].len = LEN_OPEN;
        } else {
            m->p = c->after;
            if (c->kind == TRY_FEWER)
                m->s = --c->s;
            else
                m->s = c->kind == TRY_MORE ? ++c->s : c->s;
            bool more = c->kind == TRY_FEWER ? c->s > c->least
                                             : c->kind == TRY_MORE && takes_next(m, c->s, c->item, c->after - 1);
            m->nchoices -= !more;
            return true;
        }
        m->nchoices--;
    }
    return false;
}

const char *matcher_run(struct matcher *m, const char *s, const char *p)
{
    m->s = s;
    m->p = p;
    m->ncaptures = m->nchoices = 0;
    matcher_spend(m, 1); /* an empty pattern has no steps */
    while (m->p != m->pat_end) {
        matcher_spend(m, 1);
        if (!step(m) && !step_back(m))
            return NULL;
    }
    return m->s;
}

void matcher_begin(struct matcher *m, struct lua_State *L, const char *s, size_t len, const char *p, size_t plen)
{
    m->L = L;
    m->steps = 0;
    m->src = s;
    m->src_end = s + len;
    m->pat_end = p + plen;
}

void matcher_push_capture(const struct matcher *m, int i, const char *s, const char *end)
{
    if (i >= m->ncaptures) {
        if (i > 0)
            luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(end - s));
        return;
    }
    const struct matcher_capture *c = &m->captures[i];
    if (c->len == LEN_OPEN)
        luaL_error(m->L, "unfinished capture");
    if (c->len == LEN_POSITION)
        lua_pushinteger(m->L, c->start - m->src + 1);
    else
        lua_pushlstring(m->L, c->start, (size_t)c->len);
}

int matcher_push_captures(const struct matcher *m, int least, const char *s, const char *end)
{
    int n = MAX(m->ncaptures, least);
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        matcher_push_capture(m, i, s, end);
    return n;
}
