#include "confload.h"

#include "buf.h"
#include "confcheck.h"
#include "confjson.h"
#include "confkeys.h"
#include "conflist.h"
#include "confplace.h"
#include "confset.h"
#include "jsontext.h"
#include "overlay.h"
#include "textfile.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "conf.json" /* as messages name it */
#define FILE_MAX ((size_t)64 << 20)
#define ENV_LEN_MAX 200 /* files are named after it */
#define ENVS_SHOWN_MAX 20

/* Stack indices within one step of loading. */
enum { INDEX_LOAD = 1, INDEX_DECODER, INDEX_ENV };

/* Everything one load owns: freed in one place, whichever way it ends. */
struct load {
    const struct confload_input *in;
    struct err *err;
    struct buf file; /* as it is, without a byte order mark */
    struct buf text; /* without comments */
    struct confset set;
    struct confsource source;
    struct confplace place;
    struct confcheck check;
    struct conf *conf;
    int env; /* registry reference: the table of the chosen env; LUA_NOREF: none yet */
    bool ok;
};

static bool load_text(struct load *ld)
{
    if (ld->in->text)
        buf_adds(&ld->file, ld->in->text);
    else if (!textfile_read(ld->conf->path, FILE_NAME, FILE_MAX, &ld->file, ld->err))
        return false;
    buf_add(&ld->text, buf_str(&ld->file), ld->file.len);
    if (ld->file.failed || ld->text.failed)
        return err_nomem(ld->err);
    ld->place.original = buf_str(&ld->file);
    ld->place.text = ld->text.data;
    ld->place.len = ld->text.len;
    size_t bad = 0;
    return jsontext_blank(ld->text.data, ld->text.len, &bad) ||
           confplace_fail_offset(&ld->place, bad, bad, ld->err, "the comment is never closed");
}

static bool check_duplicates(struct load *ld)
{
    size_t first = 0, second = 0;
    int rc = jsontext_duplicate(ld->place.text, ld->place.len, &first, &second);
    if (rc == 0)
        return true;
    if (rc != -EEXIST)
        return err_nomem(ld->err);
    int line = 0, column = 0;
    char message[96];
    jsontext_position(ld->place.original, ld->place.len, first, &line, &column);
    snprintf(message, sizeof message, "duplicate key, the first one is at %s:%d:%d", FILE_NAME, line, column);
    return confplace_fail_offset(&ld->place, second, second + 1, ld->err, message);
}

/* Step 1: pushes the table of all envs. */
static bool decode(struct load *ld, lua_State *L)
{
    struct err why = {0};
    size_t offset = 0;
    if (!confjson_decode(L, INDEX_DECODER, ld->place.text, ld->place.len, &offset, &why)) {
        /* Where a string begins tells more than where the text ends. */
        if (strstr(why.text, "unexpected end of string") &&
            jsontext_open_string(ld->place.text, ld->place.len, &offset))
            err_set(&why, "the string is never closed");
        return confplace_fail_offset(&ld->place, offset, offset, ld->err, why.text);
    }
    return check_duplicates(ld);
}

static int compare_text(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool fail_unknown_env(struct load *ld, lua_State *L)
{
    size_t n = 0, i = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
    for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1))
        names[i++] = lua_tostring(L, -2);
    qsort(names, n, sizeof *names, compare_text);
    struct buf message = {0};
    buf_adds(&message, n ? "there is no such env; there are " : "there is no such env, nor any other");
    for (i = 0; i < MIN(n, ENVS_SHOWN_MAX); i++) {
        buf_adds(&message, i ? ", " : "");
        jsonpath_quote(&message, names[i], strlen(names[i]), 40);
    }
    if (n > ENVS_SHOWN_MAX)
        buf_addf(&message, " and %zu more", n - ENVS_SHOWN_MAX);
    const struct jsonpath_step step = {.key = ld->in->env, .len = strlen(ld->in->env)};
    confplace_fail(&ld->place, &step, 1, ld->err, buf_str(&message));
    buf_fini(&message);
    return false;
}

/* The envs that nobody asked for need only be objects. */
static bool check_envs(struct load *ld, lua_State *L)
{
    if (!lua_istable(L, -1) || lua_rawlen(L, -1) > 0)
        return confplace_fail_offset(&ld->place, strspn(ld->place.text, " \t\r\n"), 0, ld->err,
                                     "must be an object with one object for each env");
    const char *bad = NULL;
    size_t bad_len = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        size_t len = 0;
        const char *name = lua_tolstring(L, -2, &len);
        if ((!lua_istable(L, -1) || lua_rawlen(L, -1) > 0) && (!bad || strcmp(name, bad) < 0)) {
            bad = name;
            bad_len = len;
        }
    }
    const struct jsonpath_step step = {.key = bad, .len = bad_len};
    return !bad || confplace_fail(&ld->place, &step, 1, ld->err, "an env must be an object");
}

/* Files are named after the env. */
static bool check_env_name(struct load *ld)
{
    const char *env = ld->in->env;
    size_t len = strlen(env);
    bool ok = len > 0 && len <= ENV_LEN_MAX && !strchr(env, '/') && env[0] != '.' && env[0] != '-';
    for (size_t i = 0; i < len; i++)
        ok = ok && (unsigned char)env[i] >= ' ' && env[i] != 127;
    return ok || err_set(ld->err,
                         "the env must be a name of 1 to %d bytes without \"/\" and control characters that does not "
                         "begin with \".\" or \"-\"",
                         ENV_LEN_MAX);
}

/* Step 2: replaces the table of all envs by that of the chosen one. */
static bool choose(struct load *ld, lua_State *L)
{
    if (!check_envs(ld, L))
        return false;
    lua_pushstring(L, ld->in->env);
    lua_rawget(L, -2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return fail_unknown_env(ld, L);
    }
    lua_remove(L, -2);
    return true;
}

/* Step 3: what is stronger than the file. */
static bool override(struct load *ld, lua_State *L)
{
    return confset_apply(&ld->set, L, INDEX_ENV, INDEX_DECODER, ld->err);
}

/* Step 4: judges the final table and fills struct conf from it. */
static bool judge(struct load *ld, lua_State *L)
{
    ld->check.L = L;
    ld->check.place = &ld->place;
    ld->check.err = ld->err;
    ld->check.conf = ld->conf;
    ld->check.policies = ld->in->scripts ? ld->in->scripts->policies : ld->in->policies;
    confcheck_enter(&ld->check, ld->in->env, strlen(ld->in->env));
    return confkeys_read(&ld->check);
}

/* Before the overlays. */
static int read_env(lua_State *L)
{
    struct load *ld = lua_touserdata(L, INDEX_LOAD);
    confjson_open(L);
    ld->ok = decode(ld, L) && choose(ld, L);
    if (ld->ok)
        ld->env = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* Behind them. */
static int finish_env(lua_State *L)
{
    struct load *ld = lua_touserdata(L, INDEX_LOAD);
    confjson_open(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ld->env);
    ld->ok = override(ld, L) && judge(ld, L);
    if (ld->ok && ld->in->listing)
        conflist_add(ld->in->listing, ld->in->listing_json, L, INDEX_ENV, &ld->place, ld->in->env);
    return 0;
}

/* Neither is bounded by what scripts may use: the first comes before them, the second grows with the configuration. */
static bool protected_step(struct load *ld, lua_State *L, lua_CFunction step)
{
    struct vm *vm = vm_of(L);
    if (ld->in->scripts) {
        bool after = step == finish_env;
        vm_set_budget(vm, after ? CONFLOAD_READ_MS : 0);
        vm_set_memory(vm, after ? CONFLOAD_READ_MB((int)(vm_memory(vm) >> 20)) : 0);
    }
    lua_pushcfunction(L, step);
    lua_pushlightuserdata(L, ld);
    return vm_call(L, 1, 0, ld->err) && ld->ok;
}

static bool begin(struct load *ld)
{
    struct conf *conf = calloc(1, sizeof *conf);
    if (!conf) {
        err_nomem(ld->err);
        return false;
    }
    ld->conf = conf;
    struct buf path = {0};
    buf_addf(&path, "%s/conf/%s", ld->in->home, FILE_NAME);
    conf->path = buf_take(&path);
    conf->home = strdup(ld->in->home);
    conf->env = strdup(ld->in->env);
    return (conf->path && conf->home && conf->env) || err_nomem(ld->err);
}

static bool load(struct load *ld, struct lua_State *L)
{
    if (!check_env_name(ld) || !begin(ld) || !load_text(ld))
        return false;
    if (ld->in->overrides && !confset_parse(&ld->set, ld->in->overrides, ld->err))
        return false;
    if (!lua_checkstack(L, LUA_MINSTACK))
        return err_nomem(ld->err);
    struct scripts *scripts = ld->in->scripts;
    bool ok = protected_step(ld, L, read_env) && (!scripts || overlay_apply(scripts, ld->env, &ld->source, ld->err)) &&
              protected_step(ld, L, finish_env);
    luaL_unref(L, LUA_REGISTRYINDEX, ld->env);
    if (ok && scripts) {
        vm_set_budget(scripts->vm, ld->conf->lua.budget_ms);
        vm_set_memory(scripts->vm, ld->conf->lua.memory_mb);
        lua_gc(L, LUA_GCCOLLECT); /* the tables of the configuration */
    }
    return ok;
}

struct conf *confload(struct lua_State *L, const struct confload_input *in, char **warnings, struct err *err)
{
    struct load ld = {.in = in, .err = err, .env = LUA_NOREF, .place = {.file = FILE_NAME}};
    ld.place.set = &ld.set;
    ld.place.source = &ld.source;
    if (warnings)
        *warnings = NULL;
    bool ok = load(&ld, L);
    if (ok && ld.check.warnings.failed)
        ok = err_nomem(err);
    if (ok && warnings && ld.check.warnings.len > 0)
        *warnings = buf_take(&ld.check.warnings);
    buf_fini(&ld.file);
    buf_fini(&ld.text);
    buf_fini(&ld.check.warnings);
    buf_fini(&ld.check.scratch);
    confset_fini(&ld.set);
    confsource_fini(&ld.source);
    if (ok)
        return ld.conf;
    conf_free(ld.conf);
    return NULL;
}
