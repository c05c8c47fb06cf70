#include "sandbox.h"

#include "chunk.h"
#include "lib.h"
#include "scriptfiles.h"
#include "textfile.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define COPY_DEPTH_MAX 4
#define NAME_LEN_MAX 128

/* Kept in the registry under these addresses. */
static const char home_key;    /* the folder, a string */
static const char files_key;   /* struct scriptfiles: what was read */
static const char modules_key; /* name to struct module */
static const char loaded_key;  /* name to what the module returned, or LOADING */

struct module {
    const char *text; /* whose it is: sandbox_add_module's caller */
    size_t len;
};

static void push_env(lua_State *L, bool embedded);

void sandbox_globals(struct lua_State *L)
{
    lua_pushglobaltable(L);
}

/* Replaces the plain table on the top by a copy, its plain tables copied as well. */
static void copy_table(lua_State *L, int depth)
{
    if (lua_type(L, -1) != LUA_TTABLE)
        return;
    if (lua_getmetatable(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    if (depth > COPY_DEPTH_MAX)
        luaL_error(L, "a shared table has more than %d levels", COPY_DEPTH_MAX);
    luaL_checkstack(L, 6, NULL);
    lua_newtable(L);
    int copy = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, copy - 1);) {
        copy_table(L, depth + 1);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, copy);
    }
    lua_remove(L, copy - 1);
}

/* __index of an _ENV: what came into the shared globals after the file was loaded. */
static int env_index(lua_State *L)
{
    lua_pushglobaltable(L);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    copy_table(L, 0);
    if (lua_istable(L, -1) && lua_istable(L, 1)) { /* the copy stays the one of this file */
        lua_pushvalue(L, 2);
        lua_pushvalue(L, -2);
        lua_rawset(L, 1);
    }
    return 1;
}

static int env_load(lua_State *L)
{
    return chunk_load(L, lua_upvalueindex(1));
}

static bool is_module_name(const char *name, size_t len)
{
    bool ok = len > 0 && len <= NAME_LEN_MAX && name[0] != '.' && name[len - 1] != '.' && !strstr(name, "..");
    for (size_t i = 0; i < len; i++)
        ok = ok && (strchr("._-", name[i]) || (name[i] >= '0' && name[i] <= '9') ||
                    ((name[i] | 32) >= 'a' && (name[i] | 32) <= 'z'));
    return ok && !memchr(name, 0, len);
}

/* Whether a file that is there lies in a folder, symbolic links followed. */
static bool is_inside(const char *path, const char *folder)
{
    char file[PATH_MAX], top[PATH_MAX];
    if (!realpath(path, file) || !realpath(folder, top))
        return false;
    size_t len = strlen(top);
    return strncmp(file, top, len) == 0 && file[len] == '/';
}

/* Pushes the chunk of a text: "name" as messages show it; embedded: from inside the program. */
static void load_text(lua_State *L, const char *text, size_t len, const char *name, bool embedded)
{
    lua_pushfstring(L, "@%s", name);
    if (chunk_compile(L, text, len, lua_tostring(L, -1)) != LUA_OK)
        lua_error(L);
    lua_remove(L, -2);
    push_env(L, embedded);
    lua_setupvalue(L, -2, 1);
}

/* One file on its way to a chunk; freed by whoever called into Lua. */
struct file {
    const char *path, *name;
    struct buf text;
    bool ok;
    struct err *err;
};

/* The first line may be one for the shell. */
static void skip_shebang(struct buf *text)
{
    const char *end = text->len && text->data[0] == '#' ? memchr(text->data, '\n', text->len) : NULL;
    if (end)
        buf_drop(text, (size_t)(end - text->data)); /* lines keep their numbers */
    else if (text->len && text->data[0] == '#')
        buf_clear(text);
}

static bool file_read(lua_State *L, struct file *f)
{
    if (!textfile_read(f->path, f->name, FILE_BYTES_MAX, &f->text, f->err))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &files_key);
    struct scriptfiles *files = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (files && !scriptfiles_add(files, f->name, buf_str(&f->text)))
        return err_nomem(f->err);
    skip_shebang(&f->text);
    return true;
}

static int load_protected(lua_State *L)
{
    struct file *f = lua_touserdata(L, 1);
    lua_pushfstring(L, "@%s", f->name);
    int status = chunk_compile(L, buf_str(&f->text), f->text.len, lua_tostring(L, -1));
    if (status == LUA_ERRSYNTAX) {
        f->ok = err_set(f->err, "%s", lua_tostring(L, -1)); /* the traceback would be ours */
        return 0;
    }
    if (status != LUA_OK)
        return lua_error(L);
    push_env(L, false);
    lua_setupvalue(L, -2, 1);
    return 1;
}

/* The path as messages show it. */
static const char *name_in_home(lua_State *L, const char *path)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
    const char *home = lua_tostring(L, -1);
    size_t len = home ? strlen(home) : 0;
    lua_pop(L, 1); /* the registry keeps it */
    return len && strncmp(path, home, len) == 0 && path[len] == '/' ? path + len + 1 : path;
}

bool sandbox_load(struct vm *vm, const char *path, struct err *err)
{
    lua_State *L = vm_state(vm);
    struct file f = {.path = path, .ok = true, .err = err};
    if (!lua_checkstack(L, LUA_MINSTACK))
        return err_nomem(err);
    f.name = name_in_home(L, path);
    bool ok = file_read(L, &f);
    if (ok) {
        lua_pushcfunction(L, load_protected);
        lua_pushlightuserdata(L, &f);
        ok = vm_call(L, 1, 1, err);
        if (ok && !f.ok)
            lua_pop(L, 1);
    }
    buf_fini(&f.text);
    return ok && f.ok;
}

/* Pushes the chunk of a module from home, or raises. */
static void load_module_file(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
    const char *home = lua_tostring(L, -1);
    const char *inner = luaL_gsub(L, name, ".", "/");
    lua_pushfstring(L, "%s/lua", home);
    const char *folder = lua_tostring(L, -1);
    const char *path = lua_pushfstring(L, "%s/%s.lua", folder, inner);
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG))
        luaL_error(L, "module '%s' not found: there is no lua/%s.lua", name, inner);
    if (!is_inside(path, folder))
        luaL_error(L, "module '%s': lua/%s.lua leads out of the folder lua", name, inner);
    /* The text becomes a string of Lua, so that an error that passes through leaves nothing behind. */
    struct err err = {0};
    struct file f = {.path = path, .name = path + strlen(home) + 1, .err = &err};
    bool ok = file_read(L, &f);
    bool pushed = ok && chunk_push_text(L, &f.text);
    buf_fini(&f.text);
    if (!ok)
        luaL_error(L, "%s", err.text);
    if (!pushed)
        luaL_error(L, "not enough memory");
    size_t len = 0;
    const char *text = lua_tolstring(L, -1, &len);
    load_text(L, text, len, f.name, false);
}

/* Pushes the chunk of a module. */
static void load_module(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    if (lua_getfield(L, -1, name) == LUA_TUSERDATA) {
        const struct module *m = lua_touserdata(L, -1);
        lua_pushfstring(L, "lua/%s.lua", luaL_gsub(L, name, ".", "/"));
        load_text(L, m->text, m->len, lua_tostring(L, -1), true);
    } else {
        load_module_file(L, name);
    }
}

static bool is_embedded(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    bool found = lua_getfield(L, -1, name) != LUA_TNIL;
    lua_pop(L, 2);
    return found;
}

/* Pushes what a module is, loading it when it is the first time. `false` stands for one that is being loaded. */
static void push_module(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    int loaded = lua_gettop(L);
    if (lua_getfield(L, loaded, name) == LUA_TLIGHTUSERDATA)
        luaL_error(L, "module '%s' requires itself, or could not be loaded before", name);
    if (!lua_isnil(L, -1))
        return;
    lua_pushlightuserdata(L, (void *)&loaded_key);
    lua_setfield(L, loaded, name);
    load_module(L, name);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1))
        lua_pushboolean(L, true);
    lua_pushvalue(L, -1);
    lua_setfield(L, loaded, name);
}

/* Upvalue 1: what this file has got already; 2: whether it is an embedded module, which gets the others as they are. */
static int env_require(lua_State *L)
{
    size_t len = 0;
    const char *name = luaL_checklstring(L, 1, &len);
    if (!is_module_name(name, len))
        return luaL_error(L, "require: '%s' is no name of a module (letters, digits, _ and -, dots between)", name);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    push_module(L, name);
    if (is_embedded(L, name) && !lua_toboolean(L, lua_upvalueindex(2)))
        copy_table(L, 0);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(1));
    return 1;
}

/* Pushes a new _ENV. */
static void push_env(lua_State *L, bool embedded)
{
    luaL_checkstack(L, 8, NULL);
    lua_newtable(L);
    int env = lua_gettop(L);
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, env + 1);) {
        copy_table(L, 0);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, env);
    }
    lua_settop(L, env);
    lua_pushvalue(L, env);
    lua_setfield(L, env, LUA_GNAME);
    lua_pushvalue(L, env);
    lua_pushcclosure(L, env_load, 1);
    lua_setfield(L, env, "load");
    lua_newtable(L);
    lua_pushboolean(L, embedded);
    lua_pushcclosure(L, env_require, 2);
    lua_setfield(L, env, "require");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, env_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, env);
}

/* Replaces the functions of a library that is there, or makes it. */
static void change(lua_State *L, const char *name, void (*open)(lua_State *L))
{
    lua_pushglobaltable(L);
    luaL_getsubtable(L, -1, name);
    open(L);
    lua_pop(L, 2);
}

/* Methods of strings come from the shared library, which no script reaches. */
static void protect_strings(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_getglobal(L, LUA_STRLIBNAME);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

static int open_protected(lua_State *L)
{
    const char *home = lua_touserdata(L, 1);
    lua_pushstring(L, home);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &home_key);
    lua_pushlightuserdata(L, lua_touserdata(L, 2));
    lua_rawsetp(L, LUA_REGISTRYINDEX, &files_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &modules_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    lua_pushglobaltable(L);
    lib_base(L);
    lua_pushnil(L);
    lua_setfield(L, -2, LUA_GNAME); /* each file has its own */
    lua_pop(L, 1);
    change(L, LUA_COLIBNAME, lib_coroutine);
    change(L, LUA_OSLIBNAME, lib_os);
    change(L, LUA_IOLIBNAME, lib_io);
    change(L, LUA_STRLIBNAME, lib_string);
    change(L, LUA_TABLIBNAME, lib_table);
    change(L, LUA_UTF8LIBNAME, lib_utf8);
    change(L, LUA_DBLIBNAME, lib_debug);
    protect_strings(L);
    return 0;
}

bool sandbox_open(struct vm *vm, const char *home, struct scriptfiles *files, struct err *err)
{
    lua_State *L = vm_state(vm);
    if (!lua_checkstack(L, LUA_MINSTACK))
        return err_nomem(err);
    lua_pushcfunction(L, open_protected);
    lua_pushlightuserdata(L, (void *)home);
    lua_pushlightuserdata(L, files);
    return vm_call(L, 2, 0, err);
}

static int add_protected(lua_State *L)
{
    const struct module *given = lua_touserdata(L, 2);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    struct module *m = lua_newuserdatauv(L, sizeof *m, 0);
    *m = *given;
    lua_setfield(L, -2, lua_touserdata(L, 1));
    return 0;
}

bool sandbox_add_module(struct vm *vm, const char *name, const char *text, size_t len)
{
    lua_State *L = vm_state(vm);
    struct module m = {.text = text, .len = len};
    if (!lua_checkstack(L, LUA_MINSTACK))
        return false;
    lua_pushcfunction(L, add_protected);
    lua_pushlightuserdata(L, (void *)name);
    lua_pushlightuserdata(L, &m);
    return vm_call(L, 2, 0, NULL);
}
