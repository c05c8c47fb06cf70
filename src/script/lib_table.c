#include "base.h"
#include "lib.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <limits.h>

#define LOOK_EVERY 1024 /* elements */

/* One of the many steps of a long call. */
static void spend(lua_State *L, unsigned *steps)
{
    if (++*steps % LOOK_EVERY == 0)
        vm_look(L);
}

/* A table, or something that may behave like one. */
static void check_list(lua_State *L, int arg)
{
    if (lua_type(L, arg) == LUA_TTABLE)
        return;
    if (!lua_getmetatable(L, arg))
        luaL_typeerror(L, arg, "table");
    lua_pop(L, 1);
}

static int table_insert(lua_State *L)
{
    check_list(L, 1);
    lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1), pos = end;
    int n = lua_gettop(L);
    unsigned steps = 0;
    if (n == 3) {
        pos = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)pos - 1 < (lua_Unsigned)end, 2, "position out of bounds");
        for (lua_Integer i = end; i > pos; i--) {
            spend(L, &steps);
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
    } else if (n != 2) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, pos);
    return 0;
}

static int table_remove(lua_State *L)
{
    check_list(L, 1);
    lua_Integer size = luaL_len(L, 1), pos = luaL_optinteger(L, 2, size);
    unsigned steps = 0;
    luaL_argcheck(L, (lua_Unsigned)pos - 1 <= (lua_Unsigned)size || pos == size, 1, "position out of bounds");
    lua_geti(L, 1, pos);
    for (; pos < size; pos++) {
        spend(L, &steps);
        lua_geti(L, 1, pos + 1);
        lua_seti(L, 1, pos);
    }
    lua_pushnil(L);
    lua_seti(L, 1, pos);
    return 1;
}

/* Two lists that overlap are copied from the end that is not written over. */
static int table_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3), to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    unsigned steps = 0;
    check_list(L, 1);
    check_list(L, target);
    if (end >= from) {
        luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer n = end - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        bool forward = to > end || to <= from || (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
        for (lua_Integer i = 0; i < n; i++) {
            lua_Integer offset = forward ? i : n - 1 - i;
            spend(L, &steps);
            lua_geti(L, 1, from + offset);
            lua_seti(L, target, to + offset);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

static void add_element(lua_State *L, luaL_Buffer *b, lua_Integer i)
{
    lua_geti(L, 1, i);
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1), (LUAI_UACINT)i);
    luaL_addvalue(b);
}

static int table_concat(lua_State *L)
{
    check_list(L, 1);
    size_t sep_len = 0;
    const char *sep = luaL_optlstring(L, 2, "", &sep_len);
    lua_Integer i = luaL_optinteger(L, 3, 1), last = lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4);
    unsigned steps = 0;
    luaL_Buffer b;
    lua_settop(L, 2);
    luaL_buffinit(L, &b);
    for (; i < last; i++) {
        spend(L, &steps);
        add_element(L, &b, i);
        luaL_addlstring(&b, sep, sep_len);
    }
    if (i == last)
        add_element(L, &b, i);
    luaL_pushresult(&b);
    return 1;
}

static int table_unpack(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 2, 1), to = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
    if (from > to)
        return 0;
    lua_Unsigned n = (lua_Unsigned)to - (lua_Unsigned)from;
    if (n >= VM_RESULTS_MAX || !lua_checkstack(L, (int)n + 1))
        return luaL_error(L, "too many results to unpack");
    for (lua_Unsigned i = 0; i <= n; i++)
        lua_geti(L, 1, (lua_Integer)((lua_Unsigned)from + i));
    return (int)n + 1;
}

/* Whether the value at index a must stand before that at b. */
static bool is_less(lua_State *L, int a, int b)
{
    if (lua_isnil(L, 2))
        return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* Merges the runs [from, middle) and [middle, end) of the table at index `in` into the one at `out`. */
static void merge(lua_State *L, int in, int out, lua_Integer from, lua_Integer middle, lua_Integer end, unsigned *steps)
{
    lua_Integer a = from, b = middle;
    int left = lua_gettop(L) + 1, right = left + 1;
    lua_rawgeti(L, in, a);
    lua_rawgeti(L, in, b); /* nothing, when there is no second run; never looked at then */
    for (lua_Integer i = from; i < end; i++) {
        spend(L, steps);
        bool take_right = a == middle || (b < end && is_less(L, right, left));
        lua_pushvalue(L, take_right ? right : left);
        lua_rawseti(L, out, i);
        lua_rawgeti(L, in, take_right ? ++b : ++a);
        lua_replace(L, take_right ? right : left);
    }
    lua_settop(L, left - 1);
}

/* Merge sort: it ends after n log n comparisons whatever the order function says, and writes only when all is sorted.
 */
static int table_sort(lua_State *L)
{
    check_list(L, 1);
    lua_Integer n = luaL_len(L, 1);
    unsigned steps = 0;
    if (n < 2)
        return 0;
    luaL_argcheck(L, n < INT_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_newtable(L);
    lua_newtable(L);
    int in = 3, out = 4;
    for (lua_Integer i = 1; i <= n; i++) {
        spend(L, &steps);
        lua_geti(L, 1, i);
        lua_rawseti(L, in, i);
    }
    for (lua_Integer width = 1; width < n; width *= 2) {
        for (lua_Integer from = 1; from <= n; from += 2 * width)
            merge(L, in, out, from, MIN(from + width, n + 1), MIN(from + 2 * width, n + 1), &steps);
        int swap = in;
        in = out;
        out = swap;
    }
    for (lua_Integer i = 1; i <= n; i++) {
        spend(L, &steps);
        lua_rawgeti(L, in, i);
        lua_seti(L, 1, i);
    }
    return 0;
}

void lib_table(struct lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"insert", table_insert}, {"remove", table_remove}, {"move", table_move}, {"concat", table_concat},
        {"unpack", table_unpack}, {"sort", table_sort},     {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
