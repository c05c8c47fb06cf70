#include "confjson.h"

#include "vm.h"

#include <lua.h>

#include <lauxlib.h>
#include <lua-cjson.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 1000
#define LOOK_EVERY 256 /* values */

/* The names the decoder has for what it finds, and ours. */
static const struct {
    const char *name, *text;
} tokens[] = {
    {"T_OBJ_BEGIN", "\"{\""}, {"T_OBJ_END", "\"}\""},   {"T_ARR_BEGIN", "\"[\""},         {"T_ARR_END", "\"]\""},
    {"T_STRING", "a string"}, {"T_NUMBER", "a number"}, {"T_BOOLEAN", "true or false"},   {"T_NULL", "null"},
    {"T_COLON", "\":\""},     {"T_COMMA", "\",\""},     {"T_END", "the end of the text"},
};

void confjson_open(struct lua_State *L)
{
    lua_pushcfunction(L, luaopen_cjson);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "decode_invalid_numbers");
    lua_pushboolean(L, false);
    lua_call(L, 1, 0);
    lua_getfield(L, -1, "decode");
    lua_remove(L, -2);
}

/* "Expected value but found T_END at character 7" to "expected value but found the end of the text" and 6. */
static void translate(const char *msg, size_t *offset, struct err *err)
{
    static const char mark[] = " at character ";
    const char *at = strstr(msg, mark);
    size_t len = at ? (size_t)(at - msg) : strlen(msg);
    unsigned long long n = at ? strtoull(at + sizeof mark - 1, NULL, 10) : 0;
    *offset = n > 0 ? (size_t)n - 1 : 0;
    const char *token = strstr(msg, "T_"), *text = NULL;
    for (size_t i = 0; token && i < ARRAY_LEN(tokens); i++) {
        size_t name_len = strlen(tokens[i].name);
        if (strncmp(token, tokens[i].name, name_len) == 0 && token + name_len == msg + len)
            text = tokens[i].text;
    }
    int head = (int)(text ? (size_t)(token - msg) : len);
    err_set(err, "%c%.*s%s", tolower((unsigned char)*msg), MAX(head - 1, 0), *msg ? msg + 1 : msg, text ? text : "");
}

/* The decoder knows floats alone; a whole number becomes an integer, whose text has no ".0". The value is at the top.
 */
static void make_integers(lua_State *L, unsigned *steps)
{
    int whole = 0;
    if (++*steps % LOOK_EVERY == 0)
        vm_look(L);
    if (lua_type(L, -1) == LUA_TNUMBER) {
        lua_Integer n = lua_tointegerx(L, -1, &whole);
        if (whole) {
            lua_pop(L, 1);
            lua_pushinteger(L, n);
        }
        return;
    }
    if (lua_type(L, -1) != LUA_TTABLE)
        return;
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        make_integers(L, steps);
        lua_rawseti(L, -2, i);
    }
    if (n > 0) /* a list has no names */
        return;
    for (lua_pushnil(L); lua_next(L, -2);) {
        make_integers(L, steps);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4); /* there is such a key: the walk goes on */
    }
}

bool confjson_decode(struct lua_State *L, int decoder, const char *text, size_t len, size_t *offset, struct err *err)
{
    *offset = 0;
    const char *nul = memchr(text, 0, len); /* the decoder would end there, and say nothing */
    if (nul) {
        *offset = (size_t)(nul - text);
        return err_set(err, "a NUL byte does not belong in JSON");
    }
    luaL_checkstack(L, 3, NULL);
    lua_pushvalue(L, decoder);
    lua_pushlstring(L, text, len);
    int status = vm_pcall_generous(L, 1, 1);
    unsigned steps = 0;
    if (status == LUA_OK) {
        make_integers(L, &steps);
        return true;
    }
    if (status == LUA_ERRMEM || lua_type(L, -1) != LUA_TSTRING)
        lua_error(L);
    translate(lua_tostring(L, -1), offset, err);
    lua_pop(L, 1);
    return false;
}

bool confjson_is_null(struct lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

void confjson_number(double number, char out[CONFJSON_NUMBER_SIZE])
{
    if (number == 0) {
        strcpy(out, "0"); /* not -0 */
        return;
    }
    if (number > -1e17 && number < 1e17 && number == (double)(int64_t)number) {
        snprintf(out, CONFJSON_NUMBER_SIZE, "%.0f", number);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* as many as it takes to mean the same number again */
        snprintf(out, CONFJSON_NUMBER_SIZE, "%.*g", digits, number);
        if (strtod(out, NULL) == number)
            return;
    }
}

static bool encode_value(lua_State *L, int index, int depth, struct buf *out, struct err *err);

static bool encode_number(lua_State *L, int index, struct buf *out, struct err *err)
{
    if (lua_isinteger(L, index)) {
        buf_addf(out, "%lld", (long long)lua_tointeger(L, index));
        return true;
    }
    char text[CONFJSON_NUMBER_SIZE];
    double number = lua_tonumber(L, index);
    if (!isfinite(number))
        return err_set(err, isnan(number) ? "NaN is no JSON value" : "a number is too large");
    confjson_number(number, text);
    buf_adds(out, text);
    return true;
}

static bool encode_list(lua_State *L, int index, int depth, struct buf *out, struct err *err)
{
    buf_addc(out, '[');
    lua_Unsigned n = lua_rawlen(L, index);
    for (lua_Unsigned i = 1; i <= n; i++) {
        if (i > 1)
            buf_addc(out, ',');
        lua_rawgeti(L, index, (lua_Integer)i);
        if (i % LOOK_EVERY == 0)
            vm_look(L);
        if (!encode_value(L, lua_gettop(L), depth, out, err))
            return false;
        lua_pop(L, 1);
    }
    buf_addc(out, ']');
    return true;
}

struct key {
    const char *s; /* kept alive by the table */
    size_t len;
};

static int compare_key(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    int order = memcmp(a->s, b->s, MIN(a->len, b->len));
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static bool encode_map(lua_State *L, int index, size_t n, int depth, struct buf *out, struct err *err)
{
    /* Lua owns the array: an error that passes through leaks nothing. */
    struct key *keys = lua_newuserdatauv(L, MAX(n, 1) * sizeof *keys, 0);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1), i++)
        keys[i].s = lua_tolstring(L, -2, &keys[i].len);
    qsort(keys, n, sizeof *keys, compare_key);
    buf_addc(out, '{');
    for (i = 0; i < n; i++) {
        if (i > 0)
            buf_addc(out, ',');
        buf_add_jsonn(out, keys[i].s, keys[i].len);
        buf_addc(out, ':');
        lua_pushlstring(L, keys[i].s, keys[i].len);
        lua_rawget(L, index);
        if (i % LOOK_EVERY == 0)
            vm_look(L);
        if (!encode_value(L, lua_gettop(L), depth, out, err))
            return false;
        lua_pop(L, 1);
    }
    buf_addc(out, '}');
    lua_pop(L, 1);
    return true;
}

static bool encode_table(lua_State *L, int index, int depth, struct buf *out, struct err *err)
{
    if (depth > DEPTH_MAX)
        return err_set(err, "more than %d levels deep", DEPTH_MAX);
    vm_look(L);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    size_t n = 0, names = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1), n++)
        names += lua_type(L, -2) == LUA_TSTRING;
    if (names == n)
        return encode_map(L, index, n, depth, out, err);
    if (names > 0 || lua_rawlen(L, index) != n)
        return err_set(err, "a table must be either a list without holes or have names for keys");
    return encode_list(L, index, depth, out, err);
}

static bool encode_value(lua_State *L, int index, int depth, struct buf *out, struct err *err)
{
    size_t len = 0;
    const char *s = NULL;
    if (out->len > CONFJSON_TEXT_MAX)
        return err_set(err, "the text would be larger than %d MB", CONFJSON_TEXT_MAX >> 20);
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        s = lua_tolstring(L, index, &len);
        buf_add_jsonn(out, s, len);
        return true;
    case LUA_TNUMBER:
        return encode_number(L, index, out, err);
    case LUA_TBOOLEAN:
        buf_adds(out, lua_toboolean(L, index) ? "true" : "false");
        return true;
    case LUA_TTABLE:
        return encode_table(L, index, depth + 1, out, err);
    default:
        if (!confjson_is_null(L, index))
            return err_set(err, "a %s is no JSON value", luaL_typename(L, index));
        buf_adds(out, "null");
        return true;
    }
}

bool confjson_encode(struct lua_State *L, int index, struct buf *out, struct err *err)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    int base = lua_gettop(L);
    bool ok = encode_value(L, index, 0, out, err);
    lua_settop(L, base);
    if (ok && out->failed)
        return err_nomem(err);
    return ok;
}
