#include "pattern.h"

#include "base.h"
#include "matcher.h"

#include <lua.h>

#include <lauxlib.h>

#include <ctype.h>
#include <string.h>

/* The offset where a search begins, from 0; more than len: beyond the subject. */
static size_t first_offset(lua_State *L, int arg, size_t len)
{
    lua_Integer i = luaL_optinteger(L, arg, 1);
    if (i > 0)
        return (size_t)i - 1;
    if (i == 0 || i < -(lua_Integer)len)
        return 0;
    return len - (size_t)-i;
}

static int find_plain(lua_State *L, const char *s, size_t len, size_t from, const char *p, size_t plen)
{
    const char *at = plen == 0 ? s + from : memmem(s + from, len - from, p, plen); /* linear, unlike a plain loop */
    if (!at) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, at - s + 1);
    lua_pushinteger(L, at - s + (ptrdiff_t)plen);
    return 2;
}

static bool has_specials(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] && strchr("^$*+?.([%-", p[i]))
            return true;
    return false;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t len = 0, plen = 0;
    const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &plen);
    size_t from = first_offset(L, 3, len);
    if (from > len) {
        luaL_pushfail(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(p, plen)))
        return find_plain(L, s, len, from, p, plen);
    struct matcher m;
    matcher_begin(&m, L, s, len, p, plen);
    bool anchored = *p == '^';
    for (const char *at = s + from; at <= m.src_end; at++) {
        const char *end = matcher_run(&m, at, p + anchored);
        if (end && !find)
            return matcher_push_captures(&m, 1, at, end);
        if (end) {
            lua_pushinteger(L, at - s + 1);
            lua_pushinteger(L, end - s);
            return 2 + matcher_push_captures(&m, 0, NULL, NULL);
        }
        if (anchored)
            break;
    }
    luaL_pushfail(L);
    return 1;
}

static int pattern_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int pattern_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, the offset to go on at, the end of the last match (or -1). */
static int gmatch_next(lua_State *L)
{
    size_t len = 0, plen = 0;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &len), *p = lua_tolstring(L, lua_upvalueindex(2), &plen);
    size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    struct matcher m;
    matcher_begin(&m, L, s, len, p, plen);
    for (; from <= len; from++) {
        const char *end = matcher_run(&m, s + from, p);
        if (!end || end - s == last)
            continue;
        lua_pushinteger(L, end - s);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return matcher_push_captures(&m, 1, s + from, end);
    }
    return 0;
}

static int pattern_gmatch(lua_State *L)
{
    size_t len = 0;
    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t from = first_offset(L, 3, len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)MIN(from, len + 1));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* Stack indices of gsub's arguments, and of its matcher: on the heap, for replacing calls back into Lua. */
enum { ARG_SUBJECT = 1, ARG_PATTERN, ARG_REPL, ARG_MAX, INDEX_MATCHER };

/* The replacement text with %0 to %9 and %% in it. It may be long and yet add nothing. */
static void add_text(struct matcher *m, luaL_Buffer *b, const char *s, const char *end)
{
    size_t len = 0;
    const char *text = lua_tolstring(m->L, ARG_REPL, &len), *text_end = text + len;
    for (;;) {
        const char *percent = memchr(text, '%', (size_t)(text_end - text));
        matcher_spend(m, 1);
        luaL_addlstring(b, text, (size_t)((percent ? percent : text_end) - text));
        if (!percent)
            return;
        text = percent + 2;
        if (percent[1] == '%' && percent + 1 < text_end)
            luaL_addchar(b, '%');
        else if (percent[1] == '0')
            luaL_addlstring(b, s, (size_t)(end - s));
        else if (!isdigit((unsigned char)percent[1]))
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        else {
            matcher_push_capture(m, percent[1] - '1', s, end);
            luaL_tolstring(m->L, -1, NULL); /* a position becomes a text */
            lua_remove(m->L, -2);
            luaL_addvalue(b);
        }
    }
}

/* Adds what stands in for the match from s to end; false when that is the match itself. */
static bool add_replacement(struct matcher *m, luaL_Buffer *b, int type, const char *s, const char *end)
{
    lua_State *L = m->L;
    if (type == LUA_TSTRING || type == LUA_TNUMBER) {
        add_text(m, b, s, end);
        return true;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, ARG_REPL);
        lua_call(L, matcher_push_captures(m, 1, s, end), 1);
    } else {
        matcher_push_capture(m, 0, s, end);
        lua_gettable(L, ARG_REPL);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int pattern_gsub(lua_State *L)
{
    size_t len = 0, plen = 0, before = 0;
    const char *s = luaL_checklstring(L, ARG_SUBJECT, &len), *p = luaL_checklstring(L, ARG_PATTERN, &plen);
    const char *last = NULL, *at = s;
    int type = lua_type(L, ARG_REPL);
    lua_Integer max = luaL_optinteger(L, ARG_MAX, (lua_Integer)len + 1), n = 0;
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
                     ARG_REPL, "string/function/table");
    lua_settop(L, ARG_MAX);
    struct matcher *m = lua_newuserdatauv(L, sizeof *m, 0);
    matcher_begin(m, L, s, len, p, plen);
    bool anchored = *p == '^', changed = false;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n < max) {
        const char *end = matcher_run(m, at, p + anchored);
        if (end && end != last) {
            n++;
            before = luaL_bufflen(&b);
            changed = add_replacement(m, &b, type, at, end) || changed;
            matcher_spend(m, luaL_bufflen(&b) - before);
            at = last = end;
        } else if (at < m->src_end) {
            char c = *at++;
            luaL_addchar(&b, c);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (changed) {
        luaL_addlstring(&b, at, (size_t)(m->src_end - at));
        luaL_pushresult(&b);
    } else {
        lua_pushvalue(L, ARG_SUBJECT);
    }
    lua_pushinteger(L, n);
    return 2;
}

void pattern_open(struct lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", pattern_find}, {"match", pattern_match}, {"gmatch", pattern_gmatch}, {"gsub", pattern_gsub},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
