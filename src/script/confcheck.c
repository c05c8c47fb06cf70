#include "confcheck.h"

#include "confjson.h"
#include "near.h"

#include <lua.h>

#include <lauxlib.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 60 /* bytes of a value that a message shows */

_Static_assert(sizeof(enum conf_auth) == sizeof(int) && sizeof(enum conf_scope) == sizeof(int), "words are ints");

void confcheck_enter(struct confcheck *c, const char *key, size_t len)
{
    if (c->nsteps < CONFCHECK_DEPTH)
        c->steps[c->nsteps] = (struct jsonpath_step){.key = key, .len = len};
    c->nsteps++;
}

void confcheck_enter_index(struct confcheck *c, size_t index)
{
    confcheck_enter(c, NULL, 0);
    if (c->nsteps <= CONFCHECK_DEPTH)
        c->steps[c->nsteps - 1].index = index;
}

void confcheck_leave(struct confcheck *c)
{
    c->nsteps--;
}

bool confcheck_fail(struct confcheck *c, const char *fmt, ...)
{
    char message[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return confplace_fail(c->place, c->steps, MIN(c->nsteps, CONFCHECK_DEPTH), c->err, message);
}

/* The value on the top as a message shows it. */
static void describe(lua_State *L, struct buf *out)
{
    size_t len = 0;
    const char *s = NULL;
    char number[CONFJSON_NUMBER_SIZE];
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        s = lua_tolstring(L, -1, &len);
        jsonpath_quote(out, s, len, SHOWN_MAX);
        break;
    case LUA_TNUMBER:
        confjson_number(lua_tonumber(L, -1), number);
        buf_adds(out, number);
        break;
    case LUA_TBOOLEAN:
        buf_adds(out, lua_toboolean(L, -1) ? "true" : "false");
        break;
    case LUA_TTABLE:
        buf_adds(out, lua_rawlen(L, -1) ? "an array" : "an object");
        break;
    default:
        if (confjson_is_null(L, -1))
            buf_adds(out, "null");
        else
            buf_addf(out, "a %s", luaL_typename(L, -1));
    }
}

bool confcheck_expected(struct confcheck *c, const char *what)
{
    struct buf got = {0};
    describe(c->L, &got);
    confcheck_fail(c, "must be %s, got %s", what, buf_str(&got));
    buf_fini(&got);
    return false;
}

bool confcheck_object(struct confcheck *c)
{
    return (lua_istable(c->L, -1) && lua_rawlen(c->L, -1) == 0) || confcheck_expected(c, "an object");
}

bool confcheck_store(struct confcheck *c, char **out, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return err_nomem(c->err);
    free(*out);
    *out = copy;
    return true;
}

/* The string on the top; NULL when it is none, or has a NUL inside. */
static const char *plain_string(lua_State *L)
{
    size_t len = 0;
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    return s && strlen(s) == len ? s : NULL;
}

bool confcheck_text(struct confcheck *c, char **out)
{
    if (lua_type(c->L, -1) != LUA_TSTRING)
        return confcheck_expected(c, "a string");
    const char *s = plain_string(c->L);
    if (!s)
        return confcheck_fail(c, "must not contain a NUL character");
    return confcheck_store(c, out, s);
}

bool confcheck_whole(struct confcheck *c, int64_t min, int64_t max, int64_t *out)
{
    double d = lua_type(c->L, -1) == LUA_TNUMBER ? lua_tonumber(c->L, -1) : NAN;
    if (!(d >= (double)min && d <= (double)max) || d != (double)(int64_t)d) {
        char what[96];
        snprintf(what, sizeof what, "a whole number from %lld to %lld", (long long)min, (long long)max);
        return confcheck_expected(c, what);
    }
    *out = (int64_t)d;
    return true;
}

bool confcheck_json(struct confcheck *c, char **out)
{
    if (!confcheck_object(c))
        return false;
    free(*out);
    *out = NULL;
    lua_pushnil(c->L);
    if (!lua_next(c->L, -2))
        return true;
    lua_pop(c->L, 2);
    struct err why = {0};
    buf_clear(&c->scratch);
    if (!confjson_encode(c->L, -1, &c->scratch, &why))
        return confcheck_fail(c, "%s", why.text);
    return confcheck_store(c, out, buf_str(&c->scratch));
}

bool confcheck_filled(struct confcheck *c, char **out)
{
    if (!confcheck_text(c, out))
        return false;
    return (*out)[strspn(*out, " \t\r\n")] || confcheck_fail(c, "must not be empty");
}

static bool read_text(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    bool ok = key->empty_ok ? confcheck_text(c, field) : confcheck_filled(c, field);
    return ok && (!key->check || key->check(c, base, field));
}

static bool read_int(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)base;
    int64_t n = 0;
    if (!confcheck_whole(c, key->min, key->max, &n))
        return false;
    *(int *)field = (int)n;
    return true;
}

static bool read_bool(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)key;
    (void)base;
    if (!lua_isboolean(c->L, -1))
        return confcheck_expected(c, "true or false");
    *(bool *)field = lua_toboolean(c->L, -1);
    return true;
}

static bool read_word(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)base;
    const char *s = plain_string(c->L);
    char what[128] = "";
    size_t len = 0;
    for (int i = 0; key->words[i]; i++) {
        if (s && strcmp(s, key->words[i]) == 0) {
            memcpy(field, &i, sizeof i);
            return true;
        }
        const char *glue = i == 0 ? "" : key->words[i + 1] ? ", " : " or ";
        int n = snprintf(what + len, sizeof what - len, "%s\"%s\"", glue, key->words[i]);
        len = MIN(len + (size_t)MAX(n, 0), sizeof what - 1);
    }
    return confcheck_expected(c, what);
}

static bool read_seconds(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)base;
    if (lua_type(c->L, -1) != LUA_TNUMBER)
        return confcheck_expected(c, "a number of seconds");
    double d = lua_tonumber(c->L, -1);
    if (!(d >= (double)key->min && d <= (double)key->max)) {
        char what[96];
        snprintf(what, sizeof what, "from %lld to %lld seconds", (long long)key->min, (long long)key->max);
        return confcheck_expected(c, what);
    }
    *(int64_t *)field = (int64_t)(d * 1000 + 0.5);
    return true;
}

static bool read_signal(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)key;
    (void)base;
    int number = 0;
    char text[16] = "";
    const char *s = plain_string(c->L);
    double d = lua_type(c->L, -1) == LUA_TNUMBER ? lua_tonumber(c->L, -1) : 0;
    if (d >= 1 && d < 1000 && d == (int)d)
        snprintf(text, sizeof text, "%.0f", d);
    if (s || *text)
        number = conf_signal_number(s ? s : text);
    if (!number)
        return confcheck_expected(c, "a signal, such as \"TERM\", \"SIGUSR1\" or 15");
    *(int *)field = number;
    return true;
}

static bool read_object(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)base;
    return confcheck_read(c, key->sub, field);
}

static bool read_json(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)key;
    (void)base;
    return confcheck_json(c, field);
}

static bool read_other(struct confcheck *c, const struct confkey *key, void *base, void *field)
{
    (void)field;
    return key->read(c, base);
}

static bool (*const readers[])(struct confcheck *c, const struct confkey *key, void *base, void *field) = {
    [CONFKEY_TEXT] = read_text,     [CONFKEY_INT] = read_int,         [CONFKEY_BOOL] = read_bool,
    [CONFKEY_WORD] = read_word,     [CONFKEY_SECONDS] = read_seconds, [CONFKEY_SIGNAL] = read_signal,
    [CONFKEY_OBJECT] = read_object, [CONFKEY_JSON] = read_json,       [CONFKEY_OTHER] = read_other,
};

static bool set_default(struct confcheck *c, const struct confkey *key, void *base);

bool confcheck_defaults(struct confcheck *c, const struct confkeys *keys, void *base)
{
    for (size_t i = 0; i < keys->n; i++)
        if (!set_default(c, &keys->keys[i], base))
            return false;
    return true;
}

static bool set_default(struct confcheck *c, const struct confkey *key, void *base)
{
    void *field = (char *)base + key->offset;
    const int number = (int)key->number;
    switch (key->type) {
    case CONFKEY_TEXT:
        return !key->text || (confcheck_store(c, field, key->text) && (!key->check || key->check(c, base, field)));
    case CONFKEY_INT:
    case CONFKEY_WORD:
    case CONFKEY_SIGNAL:
        memcpy(field, &number, sizeof number);
        return true;
    case CONFKEY_BOOL:
        *(bool *)field = number;
        return true;
    case CONFKEY_SECONDS:
        *(int64_t *)field = key->number;
        return true;
    case CONFKEY_OBJECT:
        return confcheck_defaults(c, key->sub, field);
    case CONFKEY_JSON:
    case CONFKEY_OTHER:
        break; /* zero, or what the owner of the struct put there */
    }
    return true;
}

static bool is_known(const struct confkeys *keys, const char *name)
{
    for (size_t i = 0; i < keys->n; i++)
        if (strcmp(keys->keys[i].name, name) == 0)
            return true;
    return false;
}

static bool fail_unknown(struct confcheck *c, const struct confkeys *keys, const char *name, size_t len)
{
    const char *nearest = NULL;
    unsigned limit = near_limit(len), best = limit + 1;
    struct buf message = {0};
    for (size_t i = 0; i < keys->n; i++) {
        unsigned d = near_distance(name, len, keys->keys[i].name, limit);
        nearest = d < best ? keys->keys[i].name : nearest;
        best = MIN(best, d);
    }
    buf_adds(&message, "unknown key ");
    jsonpath_quote(&message, name, len, SHOWN_MAX);
    if (nearest)
        buf_addf(&message, "; did you mean \"%s\"?", nearest);
    for (size_t i = 0; !nearest && i < keys->n; i++)
        buf_addf(&message, "%s\"%s\"", i ? ", " : "; known are ", keys->keys[i].name);
    confcheck_enter(c, name, len);
    confcheck_fail(c, "%s", buf_str(&message));
    buf_fini(&message);
    return false;
}

/* Of several unknown keys the first in byte order is named: the order of a Lua table is no order. */
static bool check_known(struct confcheck *c, const struct confkeys *keys)
{
    const char *unknown = NULL;
    size_t unknown_len = 0;
    for (lua_pushnil(c->L); lua_next(c->L, -2); lua_pop(c->L, 1)) {
        if (lua_type(c->L, -2) != LUA_TSTRING)
            return confcheck_fail(c, "must have names for keys, got a %s", luaL_typename(c->L, -2));
        size_t len = 0;
        const char *name = lua_tolstring(c->L, -2, &len);
        if (strlen(name) == len && is_known(keys, name))
            continue;
        if (!unknown || strcmp(name, unknown) < 0) {
            unknown = name;
            unknown_len = len;
        }
    }
    return !unknown || fail_unknown(c, keys, unknown, unknown_len);
}

void confcheck_get(struct confcheck *c, const char *key)
{
    lua_pushstring(c->L, key);
    lua_rawget(c->L, -2);
}

static bool read_key(struct confcheck *c, const struct confkey *key, void *base)
{
    confcheck_get(c, key->name);
    confcheck_enter(c, key->name, strlen(key->name));
    bool ok = true;
    if (confjson_is_null(c->L, -1))
        ok = confcheck_fail(c, "must not be null");
    else if (!lua_isnil(c->L, -1))
        ok = readers[key->type](c, key, base, (char *)base + key->offset);
    else if (key->required)
        ok = confcheck_fail(c, "is required");
    if (!ok)
        return false;
    confcheck_leave(c);
    lua_pop(c->L, 1);
    return true;
}

bool confcheck_read(struct confcheck *c, const struct confkeys *keys, void *base)
{
    luaL_checkstack(c->L, LUA_MINSTACK, NULL);
    if (!confcheck_object(c) || !check_known(c, keys) || !confcheck_defaults(c, keys, base))
        return false;
    for (size_t i = 0; i < keys->n; i++)
        if (!read_key(c, &keys->keys[i], base))
            return false;
    return true;
}
