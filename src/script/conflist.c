#include "conflist.h"

#include "confjson.h"

#include <lua.h>

#include <lauxlib.h>

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32 /* deeper ones are shown as one value */

struct walk {
    struct buf *out;
    bool json;
    lua_State *L;
    const struct confplace *place;
    struct jsonpath_step steps[DEPTH_MAX];
    size_t n;
};

static void add_path(struct walk *w, struct buf *out)
{
    for (size_t i = 1; i < w->n; i++) {
        struct buf path = {0};
        jsonpath_add(&path, &w->steps[i]);
        buf_addf(out, "%s%s", i > 1 && w->steps[i].key ? "." : "", buf_str(&path));
        buf_fini(&path);
    }
}

static void add_line(struct walk *w, int index)
{
    struct err err = {0};
    add_path(w, w->out);
    buf_adds(w->out, " = ");
    confjson_encode(w->L, index, w->out, &err);
    buf_addf(w->out, "  # %s\n", confplace_name(w->place, w->steps, w->n));
}

static void add_json(struct walk *w, int index)
{
    struct err err = {0};
    struct buf path = {0};
    add_path(w, &path);
    buf_adds(w->out, w->out->len ? ",\n{\"path\":" : "{\"path\":");
    buf_add_json(w->out, buf_str(&path));
    buf_adds(w->out, ",\"value\":");
    confjson_encode(w->L, index, w->out, &err);
    buf_adds(w->out, ",\"from\":");
    buf_add_json(w->out, confplace_name(w->place, w->steps, w->n));
    buf_addc(w->out, '}');
    buf_fini(&path);
}

static int by_name(const void *x, const void *y)
{
    const struct jsonpath_step *a = x, *b = y;
    int order = memcmp(a->key, b->key, MIN(a->len, b->len));
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static void add_value(struct walk *w, int index)
{
    lua_State *L = w->L;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    size_t n = 0, i = 0;
    if (!lua_istable(L, index) || lua_rawlen(L, index) || w->n == DEPTH_MAX) {
        (w->json ? add_json : add_line)(w, index);
        return;
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        n++;
    if (!n) /* nothing is said in it; overlays may have been given an empty one */
        return;
    struct jsonpath_step *keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1), i++) {
        keys[i] = (struct jsonpath_step){0};
        keys[i].key = lua_tolstring(L, -2, &keys[i].len); /* names alone: it has been judged */
    }
    qsort(keys, n, sizeof *keys, by_name);
    for (i = 0; i < n; i++) {
        lua_pushlstring(L, keys[i].key, keys[i].len);
        lua_rawget(L, index);
        w->steps[w->n++] = keys[i];
        add_value(w, lua_gettop(L));
        w->n--;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void conflist_add(struct buf *out, bool json, struct lua_State *L, int table, const struct confplace *place,
                  const char *env)
{
    struct walk w = {.out = out, .json = json, .L = L, .place = place, .n = 1};
    w.steps[0] = (struct jsonpath_step){.key = env, .len = strlen(env)};
    add_value(&w, lua_absindex(L, table));
}
