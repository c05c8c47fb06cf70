#include "chunk.h"

#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <string.h>

#define PIECE_BYTES 1024 /* compiling that takes no millisecond, whatever it is */

/* What is still to be compiled. */
struct source {
    const char *text;
    size_t len;
    int function; /* stack index of what gives more text; 0: nothing does */
    int anchor;   /* stack index that keeps its last answer alive */
};

/* The next text of a function that gives it; false at the end. */
static bool ask(lua_State *L, struct source *s)
{
    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, s->function);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "reader function must return a string");
    lua_replace(L, s->anchor);
    s->text = lua_tolstring(L, s->anchor, &s->len);
    return s->len > 0;
}

static const char *next_piece(lua_State *L, void *data, size_t *size)
{
    struct source *s = data;
    vm_look(L);
    *size = 0;
    if (s->len == 0 && (!s->function || !ask(L, s)))
        return NULL;
    const char *piece = s->text;
    *size = MIN(s->len, PIECE_BYTES);
    s->text += *size;
    s->len -= *size;
    return piece;
}

int chunk_compile(struct lua_State *L, const char *text, size_t len, const char *name)
{
    struct source s = {.text = text, .len = len};
    return lua_load(L, next_piece, &s, name, "t");
}

int chunk_load(struct lua_State *L, int env)
{
    struct source s = {0};
    bool is_text = lua_type(L, 1) == LUA_TSTRING;
    luaL_argexpected(L, is_text || lua_isfunction(L, 1), 1, "string or function");
    const char *name = luaL_optstring(L, 2, is_text ? lua_tostring(L, 1) : "=(load)");
    const char *mode = luaL_optstring(L, 3, "t");
    bool has_env = !lua_isnone(L, 4);
    lua_settop(L, 5);
    if (!strchr(mode, 't')) {
        luaL_pushfail(L);
        lua_pushfstring(L, "only text can be loaded (mode is '%s')", mode);
        return 2;
    }
    if (is_text) {
        s.text = lua_tolstring(L, 1, &s.len);
    } else {
        s.function = 1;
        s.anchor = 5;
    }
    if (lua_load(L, next_piece, &s, name, "t") != LUA_OK) {
        luaL_pushfail(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_pushvalue(L, has_env ? 4 : env);
    lua_setupvalue(L, -2, 1);
    return 1;
}

static int push_protected(lua_State *L)
{
    const struct buf *text = lua_touserdata(L, 1);
    lua_pushlstring(L, buf_str(text), text->len);
    return 1;
}

bool chunk_push_text(struct lua_State *L, const struct buf *text)
{
    lua_pushcfunction(L, push_protected);
    lua_pushlightuserdata(L, (void *)text);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return true;
    lua_pop(L, 1);
    return false;
}
