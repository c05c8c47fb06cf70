#include "scripts.h"

#include "api.h"
#include "clock.h"
#include "clog.h"
#include "decide.h"
#include "library.h"
#include "monitor.h"
#include "sandbox.h"
#include "script_call.h"
#include "script_event.h"
#include "script_timer.h"
#include "task.h"
#include "vm.h"
#include "world.h"

#include <lua.h>

#include <lauxlib.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "lua"
#define SUFFIX ".lua"

/* ---- into Lua */

static char owner_key; /* its address: where the registry has the struct scripts */

struct scripts *scripts_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &owner_key);
    struct scripts *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

struct scripts *scripts_acting(lua_State *L, const char *what)
{
    struct scripts *s = scripts_of(L);
    if (!s->mon)
        api_error(L, "%s: the monitor does not run yet while the scripts are loaded; use it in a callback", what);
    return s;
}

void scripts_door(lua_State *L, const struct scripts *s, const char *name)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->door);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

struct entry {
    int (*work)(lua_State *L, void *arg);
    void *arg;
};

static int enter(lua_State *L)
{
    struct entry *e = lua_touserdata(L, 1);
    lua_settop(L, 0);
    e->work(L, e->arg);
    return 0;
}

bool scripts_enter(struct scripts *s, int (*work)(lua_State *L, void *arg), void *arg, struct err *err)
{
    lua_State *L = s->current ? s->current->co : vm_state(s->vm);
    struct entry e = {work, arg};
    if (!lua_checkstack(L, LUA_MINSTACK))
        return err_nomem(err);
    lua_pushcfunction(L, enter);
    lua_pushlightuserdata(L, &e);
    return vm_call(L, 1, 0, err);
}

void scripts_report(struct scripts *s, const char *what, const struct err *err)
{
    char text[sizeof err->text], cause[sizeof err->text + 400], more[HUSH_MORE_SIZE];
    s->errors++;
    snprintf(cause, sizeof cause, "%s: %s", what, err->text);
    if (s->told) {
        s->told(s->told_arg, CLOG_ERROR, cause, true);
        return;
    }
    cause[strcspn(cause, "\n")] = 0; /* the traceback makes no other one of it */
    if (!hush_says(&s->hush, cause, clock_mono_ms(), more))
        return;
    memcpy(text, err->text, sizeof text);
    char *rest = text, *line = strsep(&rest, "\n");
    clog_error("%s: %s%s", what, line, more);
    while ((line = strsep(&rest, "\n")))
        clog_error("  %s", line + strspn(line, "\t "));
}

/* ---- made and freed */

static int open_library(lua_State *L, void *arg)
{
    struct scripts *s = arg;
    lua_pushlightuserdata(L, s);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &owner_key);
    api_push(L, s);
    int raw = lua_gettop(L);
    lua_newtable(L);
    int fm = lua_gettop(L);
    lua_newtable(L);
    int door = lua_gettop(L);
    for (const struct embedded *c = library_chunks; c->name; c++) {
        if (luaL_loadbufferx(L, c->text, c->len, c->name, "t"))
            lua_error(L);
        lua_pushvalue(L, raw);
        lua_pushvalue(L, fm);
        lua_pushvalue(L, door);
        lua_call(L, 3, 0);
    }
    static const char *const globals[] = {"fm", "print", "warn"}; /* fm: a view of it that can't be written to */
    sandbox_globals(L);
    for (size_t i = 0; i < ARRAY_LEN(globals); i++) {
        lua_getfield(L, door, globals[i]);
        lua_setfield(L, -2, globals[i]);
    }
    lua_pushvalue(L, door);
    s->door = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

struct scripts *scripts_new(const char *home, const char *env, bool (*reserved)(const char *name), struct err *err)
{
    struct scripts *s = calloc(1, sizeof *s);
    if (!s) {
        err_nomem(err);
        return NULL;
    }
    s->runner.fire = task_on_run;
    s->reserved = reserved;
    s->home = strdup(home);
    s->env = strdup(env);
    s->vm = vm_new(0, err);
    if (!s->vm || !s->home || !s->env || !sandbox_open(s->vm, home, &s->files, err) ||
        !scripts_enter(s, open_library, s, err)) {
        if (s->vm && err && !err->text[0])
            err_nomem(err);
        scripts_free(s);
        return NULL;
    }
    return s;
}

static void free_commands(struct scripts *s)
{
    for (size_t i = 0; i < s->ncommands; i++)
        script_command_fini(&s->commands[i]);
    free(s->commands);
    s->commands = NULL;
    s->ncommands = 0;
}

static void free_policies(struct scripts *s)
{
    for (size_t i = 0; i < s->npolicies; i++)
        free(s->policies[i]);
    free(s->policies);
    s->policies = NULL;
    s->npolicies = 0;
}

void scripts_free(struct scripts *s)
{
    if (!s)
        return;
    if (s->retired_at)
        *s->retired_at = s->next_retired;
    if (s->next_retired)
        s->next_retired->retired_at = s->retired_at;
    while (s->calls)
        script_call_free(s->calls);
    script_event_stop(s); /* with no call left it listens no more */
    while (s->tasks)
        task_free(s->tasks);
    script_timer_free_all(s);
    if (s->world)
        world_timer_clear(s->world, &s->runner);
    vm_free(s->vm);
    free_commands(s);
    free_policies(s);
    scriptfiles_fini(&s->files);
    free(s->home);
    free(s->env);
    free(s);
}

/* ---- loading */

struct run {
    struct scripts *s;
    const char *path;
};

static int run_file(lua_State *L, void *arg)
{
    struct run *r = arg;
    struct err err = {0};
    if (!sandbox_load(r->s->vm, r->path, &err))
        return luaL_error(L, "%s", err.text);
    lua_call(L, 0, 0);
    return 0;
}

bool scripts_run_file(struct scripts *s, const char *path, struct err *err)
{
    struct run r = {s, path};
    return scripts_enter(s, run_file, &r, err);
}

static int is_script(const struct dirent *e)
{
    size_t len = strlen(e->d_name), suffix = strlen(SUFFIX);
    return e->d_name[0] != '.' && len > suffix && !strcmp(e->d_name + len - suffix, SUFFIX);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

bool scripts_found(const char *home)
{
    struct buf path = {0};
    buf_addf(&path, "%s/" FOLDER, home);
    DIR *dir = opendir(buf_str(&path));
    bool found = !dir && (path.failed || errno != ENOENT);
    for (const struct dirent *e; dir && !found && (e = readdir(dir));)
        found = is_script(e);
    if (dir)
        closedir(dir);
    buf_fini(&path);
    return found;
}

static int let_replace(lua_State *L, void *arg)
{
    scripts_door(L, arg, "let_replace");
    lua_call(L, 0, 0);
    return 0;
}

static bool is_stand_in(const struct scripts *s, const char *name)
{
    const char *slash = s->stand_in ? strrchr(s->stand_in, '/') : NULL;
    return s->stand_in && !strcmp(slash ? slash + 1 : s->stand_in, name);
}

static bool run_named(struct scripts *s, const char *name, struct buf *path, bool *stood_in, struct err *err)
{
    if (is_stand_in(s, name)) {
        *stood_in = true;
        return scripts_run_file(s, s->stand_in, err);
    }
    buf_clear(path);
    buf_addf(path, "%s/" FOLDER "/%s", s->home, name);
    return path->failed ? err_nomem(err) : scripts_run_file(s, path->data, err);
}

static bool run_stand_in(struct scripts *s, struct err *err)
{
    s->nfiles++;
    return scripts_enter(s, let_replace, s, err) && scripts_run_file(s, s->stand_in, err);
}

static bool run_folder(struct scripts *s, struct err *err)
{
    struct dirent **names = NULL;
    struct buf path = {0};
    bool stood_in = !s->stand_in;
    buf_addf(&path, "%s/" FOLDER, s->home);
    int n = path.failed ? -1 : scandir(path.data, &names, is_script, by_bytes);
    bool none = n < 0 && errno == ENOENT && !path.failed;
    bool ok = n >= 0 || none || err_set(err, "the scripts in %s can't be read: %s", buf_str(&path), strerror(errno));
    for (int i = 0; i < n; i++) {
        ok = ok && run_named(s, names[i]->d_name, &path, &stood_in, err);
        s->nfiles += ok;
        free(names[i]);
    }
    free(names);
    buf_fini(&path);
    return ok && (stood_in || run_stand_in(s, err));
}

bool scripts_load(struct scripts *s, const struct conf_lua *limits, struct err *err)
{
    vm_set_memory(s->vm, limits->memory_mb);
    vm_set_budget(s->vm, limits->budget_ms);
    bool ok = run_folder(s, err) && scripts_collect(s, err);
    s->files.full = true;
    return ok;
}

/* ---- what the files have defined */

static int collect_policies(lua_State *L, struct scripts *s)
{
    scripts_door(L, s, "policy_names");
    lua_call(L, 0, 1);
    int n = (int)lua_rawlen(L, -1);
    free_policies(s);
    s->policies = calloc((size_t)n + 1, sizeof *s->policies);
    if (!s->policies)
        return luaL_error(L, "out of memory");
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        s->policies[s->npolicies] = strdup(lua_tostring(L, -1));
        if (!s->policies[s->npolicies])
            return luaL_error(L, "out of memory");
        s->npolicies++;
        lua_pop(L, 1);
    }
    return 0;
}

static int collect(lua_State *L, void *arg)
{
    struct scripts *s = arg;
    collect_policies(L, s);
    free_commands(s);
    script_call_collect(L, s);
    scripts_door(L, s, "authorizers");
    lua_call(L, 0, 1);
    s->authorizes = lua_tointeger(L, -1) > 0;
    return 0;
}

bool scripts_collect(struct scripts *s, struct err *err)
{
    return scripts_enter(s, collect, s, err);
}

/* ---- acting */

static int64_t world_wall_ms(void *arg)
{
    struct world *w = arg;
    return w->ops->wall_ms(w);
}

void scripts_attach(struct scripts *s, struct monitor *mon, struct outside *outside)
{
    s->mon = mon;
    s->world = mon->world;
    s->outside = outside;
    vm_set_clock(s->vm, world_wall_ms, mon->world);
    mon->hooks = (struct monitor_hooks){.arg = s, .decide = s->npolicies ? decide_hook : NULL};
}

void scripts_start(struct scripts *s)
{
    script_event_start(s);
    script_timer_start_all(s);
}

void scripts_hold(struct scripts *s)
{
    s->holders++;
}

void scripts_drop(struct scripts *s)
{
    s->holders--;
    scripts_rest(s);
}

void scripts_rest(struct scripts *s)
{
    if (!s->retired || s->holders || s->calls || s->running)
        return;
    scripts_free(s);
}

void scripts_retire(struct scripts *s, struct scripts **list)
{
    s->retired = true;
    s->retired_at = list;
    if (list) {
        s->next_retired = *list;
        if (*list)
            (*list)->retired_at = &s->next_retired;
        *list = s;
    }
    if (s->mon && s->mon->hooks.arg == s)
        s->mon->hooks = (struct monitor_hooks){0};
    script_event_stop(s);
    script_timer_free_all(s);
    for (struct task *t = s->tasks, *next; t; t = next) {
        next = t->next;
        if (!t->call)
            task_free(t);
    }
    scripts_rest(s);
}
