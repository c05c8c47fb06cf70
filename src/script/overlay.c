#include "overlay.h"

#include "confload.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <string.h>

struct step {
    struct scripts *scripts;
    int table; /* registry references */
    int before;
    lua_Integer index; /* of the overlay */
    char where[256];   /* its place; "": it is not meant for this env */
    bool past;         /* there is no overlay of that number */
    struct confsource *source;
    struct conf_lua limits;
};

/* So that an overlay can say conf.svrs.web = … and conf.vars.x = … whatever the file has. */
static void ensure_table(lua_State *L, const char *key)
{
    lua_pushstring(L, key);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pushstring(L, key);
        lua_newtable(L);
        lua_rawset(L, -4);
    }
    lua_pop(L, 1);
}

/* What the table says of `lua`, as far as it makes sense; it is judged later, with everything else. */
static int read_limits(lua_State *L, void *arg)
{
    struct step *st = arg;
    st->limits = (struct conf_lua){.budget_ms = CONFLOAD_BUDGET_MS, .memory_mb = CONFLOAD_MEMORY_MB};
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->table);
    ensure_table(L, "svrs");
    ensure_table(L, "vars");
    lua_pushstring(L, "lua");
    if (lua_rawget(L, -2) != LUA_TTABLE)
        return 0;
    static const char *const keys[] = {"budget_ms", "memory_mb"};
    int *const fields[] = {&st->limits.budget_ms, &st->limits.memory_mb};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        lua_pushstring(L, keys[i]);
        double n = lua_rawget(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (n >= 1 && n <= 1000000)
            *fields[i] = (int)n;
        lua_pop(L, 1);
    }
    return 0;
}

static int begin(lua_State *L, void *arg)
{
    struct step *st = arg;
    scripts_door(L, st->scripts, "overlay");
    lua_pushinteger(L, st->index);
    lua_pushstring(L, st->scripts->env);
    lua_call(L, 2, 1);
    const char *where = lua_tostring(L, -1);
    st->past = !where;
    st->where[0] = 0;
    if (!where || !where[0])
        return 0;
    strncat(st->where, where, sizeof st->where - 1);
    scripts_door(L, st->scripts, "copy");
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->table);
    lua_call(L, 1, 1);
    st->before = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int run(lua_State *L, void *arg)
{
    struct step *st = arg;
    scripts_door(L, st->scripts, "overlay_run");
    lua_pushinteger(L, st->index);
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->table);
    lua_pushstring(L, st->scripts->env);
    lua_call(L, 3, 0);
    return 0;
}

static int compare(lua_State *L, void *arg)
{
    struct step *st = arg;
    scripts_door(L, st->scripts, "changes");
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->before);
    lua_rawgeti(L, LUA_REGISTRYINDEX, st->table);
    lua_call(L, 2, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, st->before);
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
        size_t len;
        const char *path = lua_tolstring(L, -1, &len);
        if (confsource_add(st->source, path, len, st->where))
            return luaL_error(L, "out of memory");
        lua_pop(L, 1);
    }
    return 0;
}

/* The library's own work is not bounded by what scripts may use: it grows with the configuration. */
static bool with_room(struct step *st, int (*work)(lua_State *, void *), struct err *err)
{
    struct vm *vm = st->scripts->vm;
    vm_set_budget(vm, CONFLOAD_READ_MS);
    vm_set_memory(vm, CONFLOAD_READ_MB((int)(vm_memory(vm) >> 20)));
    return scripts_enter(st->scripts, work, st, err);
}

/* What is there already, the configuration above all, is not the script's. */
static void bound(const struct step *st)
{
    vm_set_budget(st->scripts->vm, st->limits.budget_ms);
    vm_set_memory(st->scripts->vm, st->limits.memory_mb + (int)(vm_memory(st->scripts->vm) >> 20) + 1);
}

static bool run_overlay(struct step *st, struct err *err)
{
    bound(st);
    if (scripts_enter(st->scripts, run, st, err))
        return with_room(st, compare, err) || err_prefix(err, "overlay of %s", st->where);
    return err_prefix(err, "overlay of %s", st->where);
}

bool overlay_apply(struct scripts *s, int table_ref, struct confsource *source, struct err *err)
{
    struct step st = {.scripts = s, .table = table_ref, .source = source};
    if (!with_room(&st, read_limits, err))
        return false;
    bound(&st);
    struct conf_lua limits = st.limits;
    limits.memory_mb += (int)(vm_memory(s->vm) >> 20) + 1;
    if (!scripts_load(s, &limits, err))
        return false;
    for (st.index = 1;; st.index++) {
        if (!with_room(&st, begin, err))
            return false;
        if (st.past)
            return true;
        if (st.where[0] && !run_overlay(&st, err))
            return false;
    }
}
