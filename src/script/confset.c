#include "confset.h"

#include "buf.h"
#include "confjson.h"

#include <lua.h>

#include <lauxlib.h>

#include <stdlib.h>
#include <string.h>

#define QUOTE_MAX 120 /* how much of an item a message shows */

void confset_fini(struct confset *set)
{
    free(set->items);
    free(set->names);
    *set = (struct confset){0};
}

bool confset_fail(const struct confset_item *item, const struct jsonpath_step *steps, size_t nsteps, struct err *err,
                  const char *message)
{
    struct buf path = {0}, text = {0};
    for (size_t i = 0; i < nsteps; i++)
        jsonpath_add(&path, &steps[i]);
    jsonpath_clip(&path);
    jsonpath_quote(&text, item->text, item->text_len, QUOTE_MAX);
    err_set(err, "-conf: %s: %s (from %s)", buf_str(&path), message, buf_str(&text));
    buf_fini(&path);
    buf_fini(&text);
    return false;
}

/* An item that cannot be read has no path to name. */
static bool fail_item(const char *text, struct err *err, const char *message)
{
    struct buf quoted = {0};
    size_t len = strcspn(text, ";");
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    jsonpath_quote(&quoted, text, len, QUOTE_MAX);
    err_set(err, "-conf: %s: %s", buf_str(&quoted), message);
    buf_fini(&quoted);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *p)
{
    while (is_blank(*p))
        p++;
    return p;
}

static size_t trimmed(const char *s, const char *end)
{
    while (end > s && is_blank(end[-1]))
        end--;
    return (size_t)(end - s);
}

/* The closing quote of the string that begins at p, or NULL. Only in double quotes a backslash escapes. */
static const char *closing_quote(const char *p)
{
    char quote = *p++;
    for (; *p && *p != quote; p++)
        if (*p == '\\' && quote == '"' && p[1])
            p++;
    return *p ? p : NULL;
}

/* Reads one part of a path at *p. `key` is where its plain text goes: the same place in the copy of the text, which is
 * never shorter. */
static bool parse_step(const char **p, char *key, struct jsonpath_step *step, const char *item, struct err *err)
{
    const char *s = *p;
    if (*s != '"') {
        *p = s + strcspn(s, ".=;");
        *step = (struct jsonpath_step){.key = key, .len = trimmed(s, *p)};
        return step->len > 0 || fail_item(item, err, "a part of the path is empty");
    }
    const char *end = closing_quote(s);
    if (!end)
        return fail_item(item, err, "a quote in the path is never closed");
    struct buf plain = {0};
    jsonpath_unescape(s + 1, (size_t)(end - s - 1), &plain);
    bool ok = !plain.failed;
    if (ok)
        memcpy(key, buf_str(&plain), plain.len);
    *step = (struct jsonpath_step){.key = key, .len = plain.len};
    buf_fini(&plain);
    *p = skip_blanks(end + 1);
    return ok || err_nomem(err);
}

static bool parse_path(struct confset *set, const char *text, const char **p, struct confset_item *item,
                       struct err *err)
{
    for (;;) {
        if (item->nsteps == CONFSET_DEPTH)
            return fail_item(item->text, err, "the path is too long");
        *p = skip_blanks(*p);
        if (!parse_step(p, set->names + (*p - text), &item->steps[item->nsteps], item->text, err))
            return false;
        item->nsteps++;
        char next = *(*p)++;
        if (next == '=')
            return true;
        if (next != '.')
            return fail_item(item->text, err, "must be written dotted.path=value");
    }
}

/* The `;` that ends the value at p, or the end of the text. NULL (message set): a quote or bracket stays open. */
static const char *value_end(const char *p, const char *item, struct err *err)
{
    bool json = *p == '{' || *p == '[';
    size_t depth = 0;
    for (; *p && (depth > 0 || *p != ';'); p++) {
        if (*p == '"' || (*p == '\'' && !json)) {
            p = closing_quote(p);
            if (!p) {
                fail_item(item, err,
                          "a quote is never closed (a value with a lone quote in it is written as a JSON "
                          "string)");
                return NULL;
            }
        } else if (json && (*p == '{' || *p == '[')) {
            depth++;
        } else if (json && (*p == '}' || *p == ']') && depth > 0 && --depth == 0) {
            json = false; /* what follows is plain text, if anything */
        }
    }
    if (depth > 0) {
        fail_item(item, err, "a bracket is never closed");
        return NULL;
    }
    return p;
}

static struct confset_item *add(struct confset *set)
{
    /* Powers of two: it is full exactly when n is one. */
    if ((set->n & (set->n - 1)) == 0) {
        struct confset_item *items = realloc(set->items, MAX(set->n * 2, 1) * sizeof *items);
        if (!items)
            return NULL;
        set->items = items;
    }
    struct confset_item *item = &set->items[set->n++];
    *item = (struct confset_item){0};
    return item;
}

bool confset_parse(struct confset *set, const char *text, struct err *err)
{
    set->names = strdup(text);
    if (!set->names)
        return err_nomem(err);
    for (const char *p = skip_blanks(text); *p; p = skip_blanks(p)) {
        if (*p == ';') {
            p++;
            continue;
        }
        struct confset_item *item = add(set);
        if (!item)
            return err_nomem(err);
        item->text = p;
        if (!parse_path(set, text, &p, item, err))
            return false;
        item->value = skip_blanks(p);
        p = value_end(item->value, item->text, err);
        if (!p)
            return false;
        item->value_len = trimmed(item->value, p);
        item->text_len = trimmed(item->text, p);
    }
    return true;
}

static bool step_is(const struct jsonpath_step *step, const char *key)
{
    return step->len == strlen(key) && memcmp(step->key, key, step->len) == 0;
}

/* The key under which the text stays when the value at steps[0..n), a string, becomes an object: a service is its
 * command line, a policy its name. NULL: a string there is nothing else. */
static const char *short_form_key(const struct jsonpath_step *steps, size_t n)
{
    if (!step_is(&steps[0], "svrs"))
        return NULL;
    if (n == 2)
        return "cmd";
    return n == 3 && step_is(&steps[2], "policy") ? "name" : NULL;
}

/* From the table on the top into the object at steps[n - 1], which takes its place. False: nothing can be set inside.
 */
static bool enter(lua_State *L, const struct jsonpath_step *steps, size_t n)
{
    const struct jsonpath_step *step = &steps[n - 1];
    lua_pushlstring(L, step->key, step->len);
    lua_rawget(L, -2);
    const char *key = lua_type(L, -1) == LUA_TSTRING ? short_form_key(steps, n) : NULL;
    if (lua_istable(L, -1) && lua_rawlen(L, -1) == 0) {
        lua_remove(L, -2);
        return true;
    }
    if (!lua_isnil(L, -1) && !key)
        return false;
    lua_newtable(L);
    if (key) {
        lua_pushvalue(L, -2);
        lua_setfield(L, -2, key);
    }
    lua_remove(L, -2);
    lua_pushlstring(L, step->key, step->len);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    lua_remove(L, -2);
    return true;
}

/* Whether there is a value at the item's path, so that null has something to take out. Table on the top; left there. */
static bool exists(lua_State *L, const struct confset_item *item)
{
    int base = lua_gettop(L);
    lua_pushvalue(L, -1);
    for (size_t i = 0; i < item->nsteps && lua_istable(L, -1); i++) {
        lua_pushlstring(L, item->steps[i].key, item->steps[i].len);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        if (i + 1 == item->nsteps) {
            bool there = !lua_isnil(L, -1);
            lua_settop(L, base);
            return there;
        }
    }
    lua_settop(L, base);
    return false;
}

/* Pushes the value of an item; nil for null. */
static void push_value(lua_State *L, const struct confset_item *item, int decoder)
{
    size_t offset = 0;
    if (!confjson_decode(L, decoder, item->value, item->value_len, &offset, NULL))
        lua_pushlstring(L, item->value, item->value_len);
    if (confjson_is_null(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

bool confset_apply(const struct confset *set, struct lua_State *L, int table, int decoder, struct err *err)
{
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    int base = lua_gettop(L);
    for (size_t i = 0; i < set->n; i++) {
        const struct confset_item *item = &set->items[i];
        push_value(L, item, decoder);
        int value = lua_gettop(L);
        lua_pushvalue(L, table);
        bool nothing = lua_isnil(L, value) && !exists(L, item);
        for (size_t n = 1; !nothing && n < item->nsteps; n++) {
            if (!enter(L, item->steps, n))
                return confset_fail(item, item->steps, n, err, "is no object, so nothing can be set inside it");
        }
        if (!nothing) {
            const struct jsonpath_step *last = &item->steps[item->nsteps - 1];
            lua_pushlstring(L, last->key, last->len);
            lua_pushvalue(L, value);
            lua_rawset(L, -3);
        }
        lua_settop(L, base);
    }
    return true;
}
