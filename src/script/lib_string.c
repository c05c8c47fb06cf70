#include "base.h"
#include "lib.h"
#include "pattern.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <ctype.h>
#include <string.h>

#define FORMAT_ARGS_MAX 1000
#define PACK_FORMAT_MAX 16384 /* bytes */

static int string_rep(lua_State *L)
{
    size_t len = 0, sep_len = 0;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer n = luaL_checkinteger(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &sep_len);
    if (n <= 0 || len + sep_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((lua_Unsigned)n > VM_STRING_MAX || (len + sep_len) * (size_t)n - sep_len > VM_STRING_MAX)
        return luaL_error(L, "resulting string too large");
    size_t total = (len + sep_len) * (size_t)n - sep_len;
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, total);
    memcpy(mempcpy(out, s, len), sep, n > 1 ? sep_len : 0);
    for (size_t done = len + sep_len; done < total; done *= 2) /* twice as much each time */
        memcpy(out + done, out, MIN(done, total - done));
    luaL_pushresultsize(&b, total);
    return 1;
}

/* A position counted from the end when it is negative; beyond the beginning it is `low`. */
static lua_Integer position(lua_Integer i, size_t len, lua_Integer low)
{
    if (i > 0)
        return i;
    if (i == 0 || i < -(lua_Integer)len)
        return low;
    return (lua_Integer)len + i + 1;
}

static int string_byte(lua_State *L)
{
    size_t len = 0;
    const char *s = luaL_checklstring(L, 1, &len);
    lua_Integer first = luaL_optinteger(L, 2, 1);
    lua_Integer from = position(first, len, 1), to = position(luaL_optinteger(L, 3, position(first, len, 0)), len, 0);
    to = MIN(to, (lua_Integer)len);
    if (from > to)
        return 0;
    luaL_argcheck(L, to - from < VM_RESULTS_MAX, 3, "string slice too long");
    luaL_checkstack(L, (int)(to - from + 1), "string slice too long");
    for (lua_Integer i = from; i <= to; i++)
        lua_pushinteger(L, (unsigned char)s[i - 1]);
    return (int)(to - from + 1);
}

/* Lua's own function (the upvalue), which sees our arguments as its own. */
static int call_own(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* The sum of the texts is looked at because quoting (%q) takes five times as long as copying. */
static int string_format(lua_State *L)
{
    int n = lua_gettop(L);
    size_t total = 0;
    luaL_argcheck(L, n <= FORMAT_ARGS_MAX, FORMAT_ARGS_MAX, "too many arguments");
    for (int i = 1; i <= n; i++)
        total += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
    if (total > VM_STRING_MAX)
        return luaL_error(L, "resulting string too large");
    return call_own(L);
}

/* Formats of pack and the like: not too long, and no fixed size in it that takes long to fill. */
static int checked_pack(lua_State *L)
{
    size_t len = 0, total = 0;
    const char *format = luaL_checklstring(L, 1, &len);
    luaL_argcheck(L, len <= PACK_FORMAT_MAX, 1, "format too long");
    for (size_t i = 0; i < len; i++) {
        if (format[i] != 'c')
            continue;
        size_t size = 0;
        for (; isdigit((unsigned char)format[i + 1]) && size <= VM_STRING_MAX; i++)
            size = size * 10 + (size_t)(format[i + 1] - '0');
        total += size;
        luaL_argcheck(L, total <= VM_STRING_MAX, 1, "format result too large");
    }
    return call_own(L);
}

/* utf8.codepoint gives a result for each character. */
static int utf8_codepoint(lua_State *L)
{
    size_t len = 0;
    luaL_checklstring(L, 1, &len);
    lua_Integer from = position(luaL_optinteger(L, 2, 1), len, 1), to = position(luaL_optinteger(L, 3, from), len, 0);
    luaL_argcheck(L, to < from || to - from < VM_RESULTS_MAX, 3, "string slice too long");
    return call_own(L);
}

/* Puts ours in the place of a function, with that one as its upvalue. */
static void wrap(lua_State *L, const char *name, lua_CFunction ours)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, ours, 1);
    lua_setfield(L, -2, name);
}

void lib_string(struct lua_State *L)
{
    static const luaL_Reg functions[] = {{"rep", string_rep}, {"byte", string_byte}, {NULL, NULL}};
    pattern_open(L);
    luaL_setfuncs(L, functions, 0);
    wrap(L, "format", string_format);
    wrap(L, "pack", checked_pack);
    wrap(L, "packsize", checked_pack);
    wrap(L, "unpack", checked_pack);
    lua_pushnil(L);
    lua_setfield(L, -2, "dump"); /* there is no loading it again */
}

void lib_utf8(struct lua_State *L)
{
    wrap(L, "codepoint", utf8_codepoint);
}
