#include "vm.h"

#include <lua.h>

#include <lauxlib.h>
#include <lua-cjson.h>
#include <lualib.h>

#include <stdlib.h>

struct vm {
    lua_State *L;
    size_t used;  /* bytes */
    size_t limit; /* bytes; 0: none */
};

/* What a state begins with. Anything that reaches files, processes or code is
 * not in the list; what scripts get of it comes with the scripts. */
static const luaL_Reg libraries[] = {
    {LUA_GNAME, luaopen_base},       {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
    {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8}, {LUA_COLIBNAME, luaopen_coroutine},
};

static const char *const taken_out[] = {"dofile", "loadfile", "load"};

static void *allocate(void *data, void *ptr, size_t old_size, size_t size)
{
    struct vm *vm = data;
    size_t old = ptr ? old_size : 0; /* without ptr it is the kind of the object */
    if (size == 0) {
        free(ptr);
        vm->used -= old;
        return NULL;
    }
    if (size > old && vm->limit && vm->used + (size - old) > vm->limit)
        return NULL;
    void *mem = realloc(ptr, size);
    if (!mem && size > old)
        return NULL;
    vm->used = vm->used - old + size;
    return mem ? mem : ptr; /* Lua takes it for granted that shrinking never fails */
}

static int open_libraries(lua_State *L)
{
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
        lua_pop(L, 1);
    }
    luaL_requiref(L, "cjson", luaopen_cjson, 0);
    lua_pop(L, 1);
    for (size_t i = 0; i < ARRAY_LEN(taken_out); i++) {
        lua_pushnil(L);
        lua_setglobal(L, taken_out[i]);
    }
    return 0;
}

struct vm *vm_new(int memory_mb, struct err *err)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        err_nomem(err);
        return NULL;
    }
    vm_set_memory(vm, memory_mb);
    vm->L = lua_newstate(allocate, vm);
    if (!vm->L) {
        err_nomem(err);
        vm_free(vm);
        return NULL;
    }
    *(struct vm **)lua_getextraspace(vm->L) = vm; /* coroutines inherit it */
    lua_pushcfunction(vm->L, open_libraries);
    if (!vm_call(vm->L, 0, 0, err)) {
        vm_free(vm);
        return NULL;
    }
    return vm;
}

void vm_free(struct vm *vm)
{
    if (!vm)
        return;
    if (vm->L)
        lua_close(vm->L);
    free(vm);
}

struct lua_State *vm_state(struct vm *vm)
{
    return vm->L;
}

void vm_set_memory(struct vm *vm, int memory_mb)
{
    vm->limit = memory_mb > 0 ? (size_t)memory_mb << 20 : 0;
}

size_t vm_memory(const struct vm *vm)
{
    return vm->used;
}

/* The message handler: makes a text of whatever was raised and adds the traceback. */
static int describe(lua_State *L)
{
    const char *msg = luaL_tolstring(L, 1, NULL);
    luaL_traceback(L, L, msg, 1);
    return 1;
}

static bool report(lua_State *L, int status, struct err *err)
{
    const struct vm *vm = *(struct vm **)lua_getextraspace(L);
    if (status == LUA_ERRMEM && vm->limit)
        return err_set(err, "out of memory: Lua may use %zu MB", vm->limit >> 20);
    if (status == LUA_ERRMEM)
        return err_nomem(err);
    /* The handler itself may have failed: then anything can lie there. */
    return err_set(err, "%s",
                   lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that has no message in Lua");
}

bool vm_call(struct lua_State *L, int nargs, int nresults, struct err *err)
{
    int base = lua_gettop(L) - nargs; /* the function; later the handler, below it */
    if (!lua_checkstack(L, LUA_MINSTACK)) {
        lua_settop(L, base - 1);
        return err_nomem(err);
    }
    lua_pushcfunction(L, describe);
    lua_insert(L, base);
    int status = lua_pcall(L, nargs, nresults, base);
    if (status == LUA_OK) {
        lua_remove(L, base);
        return true;
    }
    report(L, status, err);
    lua_settop(L, base - 1);
    if (status == LUA_ERRMEM) /* some libraries do not collect before they give up: leave room for the next call */
        lua_gc(L, LUA_GCCOLLECT);
    return false;
}
