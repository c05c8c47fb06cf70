#include "vmerror.h"

#include <lua.h>

#include <lauxlib.h>

#include <string.h>

#define LIBRARY "lua/fm/"
#define DEEP 1000       /* levels of a stack */
#define LEVELS_SHOWN 20 /* of a deep one */

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Pushes a text for whatever was raised. */
static void push_message(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TSTRING) {
        lua_pushvalue(L, index);
    } else if (lua_type(L, index) == LUA_TNUMBER || luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
        lua_pushcfunction(L, to_text);
        lua_pushvalue(L, index);
        if (lua_pcall(L, 1, 1, 0) != LUA_OK)
            lua_pushfstring(L, "(error object is a %s whose __tostring fails%s%s)", luaL_typename(L, index),
                            lua_isstring(L, -1) ? ": " : "", lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
    } else {
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
    }
}

/* Adds the line of a traceback to the text on the top. */
static void add_level(lua_State *L, lua_State *of, lua_Debug *ar)
{
    lua_getinfo(of, "Slnt", ar);
    lua_pushfstring(L, "\n\t%s:", ar->short_src);
    if (ar->currentline > 0)
        lua_pushfstring(L, "%d:", ar->currentline);
    else
        lua_pushliteral(L, "");
    if (*ar->namewhat)
        lua_pushfstring(L, " in %s '%s'", ar->namewhat, ar->name);
    else if (*ar->what == 'm')
        lua_pushliteral(L, " in main chunk");
    else if (*ar->what == 'C')
        lua_pushliteral(L, " in ?");
    else
        lua_pushfstring(L, " in function <%s:%d>", ar->short_src, ar->linedefined);
    lua_pushstring(L, ar->istailcall ? "\n\t(...tail calls...)" : "");
    lua_concat(L, 5);
}

void vmerror_traceback(struct lua_State *L, struct lua_State *of, const char *message, int level)
{
    lua_Debug ar;
    if (!lua_getstack(of, DEEP, &ar)) {
        luaL_traceback(L, of, message, level);
        return;
    }
    /* Lua's own looks for the other end of the stack, again and again from this one: 70 ms. */
    lua_pushfstring(L, message ? "%s\nstack traceback:" : "%sstack traceback:", message ? message : "");
    for (int i = level; i < level + LEVELS_SHOWN && lua_getstack(of, i, &ar); i++)
        add_level(L, of, &ar);
    lua_pushliteral(L, "\n\t...\t(many more levels)");
    lua_concat(L, 2);
}

bool vmerror_script_line(struct lua_State *of, struct lua_Debug *ar)
{
    for (int level = 0; lua_getstack(of, level, ar); level++) {
        lua_getinfo(of, "Sl", ar);
        if (ar->currentline > 0 && strncmp(ar->source, "@" LIBRARY, sizeof LIBRARY) != 0)
            return true;
    }
    return false;
}

/* What the library was given wrongly is a mistake of the script that called it: the message on the top, when it has a
 * place in the library, gets that of the script. */
static void name_script(lua_State *L, lua_State *of)
{
    const char *text = lua_tostring(L, -1), *rest = strstr(text, ": ");
    lua_Debug ar;
    if (strncmp(text, LIBRARY, sizeof LIBRARY - 1) != 0 || !rest || !vmerror_script_line(of, &ar))
        return;
    lua_pushfstring(L, "%s:%d%s", ar.short_src, ar.currentline, rest);
    lua_remove(L, -2);
}

/* Replaces the message on the top by one with the traceback of a thread; one that has it already (it was raised again)
 * stays. */
static void add_traceback(lua_State *L, lua_State *of, int level)
{
    if (!strstr(lua_tostring(L, -1), "\nstack traceback:\n"))
        vmerror_traceback(L, of, lua_tostring(L, -1), level);
}

int vmerror_describe(struct lua_State *L)
{
    push_message(L, 1);
    name_script(L, L);
    add_traceback(L, L, 1);
    return 1;
}

int vmerror_describe_dead(struct lua_State *L)
{
    push_message(L, 2);
    name_script(L, lua_touserdata(L, 1));
    add_traceback(L, lua_touserdata(L, 1), 0);
    return 1;
}
