#include "script_call.h"

#include "api.h"
#include "task.h"
#include "vm.h"

#include <lauxlib.h>

#include <stdlib.h>
#include <string.h>

struct script_call {
    struct script_call *prev, *next; /* of scripts->calls */
    struct scripts *scripts;
    uint64_t id;
    const struct script_call_ops *ops; /* NULL: nobody listens any more */
    void *arg;
    struct task *main;
    bool finished;
    struct script_answer answer; /* once finished; the text is owned */
    char *text;
};

static struct script_call *find_call(const struct scripts *s, uint64_t id)
{
    struct script_call *c = s->calls;
    while (c && c->id != id)
        c = c->next;
    return c;
}

/* ---- what there is */

void script_command_fini(struct script_command *c)
{
    for (size_t i = 0; i < c->nargs; i++) {
        free(c->args[i].name);
        free(c->args[i].help);
    }
    free(c->args);
    free(c->name);
    free(c->help);
    *c = (struct script_command){0};
}

static char *field(lua_State *L, const char *key)
{
    lua_getfield(L, -1, key);
    char *text = strdup(luaL_checkstring(L, -1));
    lua_pop(L, 1);
    if (!text)
        luaL_error(L, "out of memory");
    return text;
}

static void collect_args(lua_State *L, struct script_command *c)
{
    lua_getfield(L, -1, "args");
    size_t n = lua_rawlen(L, -1);
    c->args = calloc(n + 1, sizeof *c->args);
    if (!c->args) {
        luaL_error(L, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        c->nargs++;
        c->args[i].name = field(L, "name");
        c->args[i].help = field(L, "help");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void script_call_collect(lua_State *L, struct scripts *s)
{
    static const char *const kinds[] = {"optional", "required", "none", NULL};
    scripts_door(L, s, "command_list");
    lua_call(L, 0, 1);
    size_t n = lua_rawlen(L, -1);
    s->commands = calloc(n + 1, sizeof *s->commands);
    if (!s->commands) {
        luaL_error(L, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct script_command *c = &s->commands[s->ncommands++];
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        c->name = field(L, "name");
        c->help = field(L, "help");
        lua_getfield(L, -1, "services");
        c->services = (enum script_services)luaL_checkoption(L, -1, NULL, kinds);
        lua_getfield(L, -2, "changes");
        c->changes = lua_toboolean(L, -1);
        lua_pop(L, 2);
        collect_args(L, c);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* ---- those who wait to write */

static void unwait_write(struct task *t)
{
    (void)t; /* whoever drains looks at the tasks themselves */
}

void script_call_drained(struct script_call *c)
{
    for (struct task *t = c->scripts->tasks; t; t = t->next)
        if (t->unwait == unwait_write && t->waiting == c) { /* maybe a task that got the request from elsewhere */
            t->unwait = NULL;
            task_wake(t);
        }
}

/* ---- the end */

void script_call_free(struct script_call *c)
{
    struct scripts *s = c->scripts;
    for (struct task *t = s->tasks, *next; t; t = next) {
        next = t->next;
        if (t->call == c && t != s->current)
            task_free(t);
    }
    script_call_drained(c); /* those that are left learn that it has been answered */
    if (c->prev)
        c->prev->next = c->next;
    else
        s->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    free(c->text);
    free(c);
}

/* Takes the call's main task off it, so that freeing the call leaves that to its owner. */
static void finish(struct script_call *c, struct task *main)
{
    const struct script_call_ops *ops = c->ops;
    void *arg = c->arg;
    struct script_answer answer = c->answer;
    char *text = c->text;
    c->text = NULL;
    if (main)
        main->call = NULL;
    script_call_free(c);
    if (ops)
        ops->done(arg, &answer);
    free(text);
}

static void on_main_done(struct task *t, const struct err *err)
{
    struct script_call *c = t->call;
    char first[sizeof err->text];
    if (err) {
        if (c->ops) /* one that was cancelled has no more to say */
            scripts_report(t->scripts, t->name, err);
        strcpy(first, err->text);
        first[strcspn(first, "\n")] = 0;
        c->answer = (struct script_answer){.outcome = SCRIPT_ERROR, .text = first, .len = strlen(first)};
    } else if (!c->finished) {
        c->answer = (struct script_answer){.outcome = SCRIPT_DONE, .text = ""};
    }
    finish(c, t);
}

/* reserved(name) */
int script_call_reserved(lua_State *L)
{
    const struct scripts *s = scripts_of(L);
    lua_pushboolean(L, s->reserved && s->reserved(luaL_checkstring(L, 1)));
    return 1;
}

/* finish(call, outcome, text, json) */
int script_call_finish(lua_State *L)
{
    static const char *const outcomes[] = {"done", "failed", "bad", NULL};
    struct script_call *c = find_call(scripts_of(L), (uint64_t)luaL_checkinteger(L, 1));
    int outcome = luaL_checkoption(L, 2, NULL, outcomes);
    size_t len;
    const char *text = luaL_checklstring(L, 3, &len);
    if (!c || c->finished)
        return 0;
    c->text = malloc(len + 1);
    if (!c->text)
        return luaL_error(L, "out of memory");
    memcpy(c->text, text, len + 1);
    c->answer = (struct script_answer){
        .outcome = (enum script_outcome)outcome, .text = c->text, .len = len, .json = lua_toboolean(L, 4)};
    c->finished = true;
    return 0;
}

/* ---- the start */

struct start {
    struct script_call *call;
    const struct script_ask *ask;
};

static void set_text(lua_State *L, const char *key, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static void push_ask(lua_State *L, const struct script_ask *ask)
{
    lua_newtable(L);
    set_text(L, "command", ask->command);
    set_text(L, "who", ask->who);
    set_text(L, "peer", ask->peer);
    set_text(L, "principal", ask->principal);
    set_text(L, "format", ask->json ? "json" : "text");
    lua_createtable(L, (int)ask->nservices, 0);
    for (size_t i = 0; i < ask->nservices; i++) {
        lua_pushstring(L, ask->services[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "services");
    lua_createtable(L, 0, (int)ask->nargs);
    for (size_t i = 0; i < ask->nargs; i++) {
        lua_pushstring(L, ask->keys[i]);
        lua_pushstring(L, ask->values[i]);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "args");
}

static int begin(lua_State *L, void *arg)
{
    struct start *st = arg;
    struct scripts *s = st->call->scripts;
    scripts_door(L, s, "command");
    lua_pushinteger(L, (lua_Integer)st->call->id);
    push_ask(L, st->ask);
    lua_call(L, 2, 1);
    st->call->main = task_find(s, (uint64_t)luaL_checkinteger(L, -1));
    return 0;
}

struct script_call *script_call_start(struct scripts *s, const struct script_ask *ask,
                                      const struct script_call_ops *ops, void *arg, struct err *err)
{
    struct script_call *c = calloc(1, sizeof *c);
    if (!c) {
        err_nomem(err);
        return NULL;
    }
    *c = (struct script_call){.scripts = s, .id = ++s->last_id, .ops = ops, .arg = arg, .next = s->calls};
    if (s->calls)
        s->calls->prev = c;
    s->calls = c;
    struct start st = {c, ask};
    s->spawning = c;
    bool ok = scripts_enter(s, begin, &st, err);
    s->spawning = NULL;
    if (ok) {
        c->main->done = on_main_done;
        return c;
    }
    script_call_free(c);
    return NULL;
}

void script_call_cancel(struct script_call *c)
{
    struct scripts *s = c->scripts;
    c->ops = NULL;
    for (struct task *t = s->tasks; t; t = t->next)
        if (t->call == c)
            task_cancel(t);
}

/* ---- writing */

static int write_on(lua_State *L, int status, lua_KContext context);

/* write(call, text): first waits until its client has taken enough of what was written before. */
static int write_text(lua_State *L, struct task *t)
{
    struct script_call *c = find_call(scripts_of(L), (uint64_t)luaL_checkinteger(L, 1));
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    if (!c)
        return api_error(L, "req:write: the command has been answered already");
    if (!c->ops)
        return api_error(L, "cancelled");
    if (c->ops->full(c->arg)) {
        t->waiting = c;
        t->unwait = unwait_write;
        return task_wait(L, t, -1, write_on);
    }
    if (!c->ops->write(c->arg, text, len))
        return api_error(L, "req:write: more than one answer in JSON may have");
    return 0;
}

static int write_on(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return write_text(L, task_resumed(L));
}

int script_call_write(lua_State *L)
{
    return write_text(L, task_current(L, "req:write"));
}

/* ---- fm.authorize */

struct authorization {
    const struct script_ask *ask;
    struct err *err;
    bool granted;
};

static int authorize(lua_State *L, void *arg)
{
    struct authorization *a = arg;
    scripts_door(L, scripts_of(L), "authorize");
    push_ask(L, a->ask);
    lua_call(L, 1, 2);
    a->granted = lua_toboolean(L, -2);
    if (!a->granted)
        err_set(a->err, "%s", lua_isstring(L, -1) ? lua_tostring(L, -1) : "a script's fm.authorize refused it");
    return 0;
}

bool script_call_authorized(struct scripts *s, const struct script_ask *ask, struct err *err)
{
    struct authorization a = {.ask = ask, .err = err};
    struct err why = {0};
    if (!s->authorizes)
        return true;
    if (scripts_enter(s, authorize, &a, &why))
        return a.granted;
    scripts_report(s, "fm.authorize", &why);
    return err_set(err, "fm.authorize failed; the monitor's log tells more");
}
