#include "simcall.h"

#include "script_call.h"
#include "simop.h"

#include <lua.h>

#include <stdlib.h>
#include <string.h>

/* A command that was begun. */
struct simcall {
    struct simcall *next;
    struct simcase *c;
    uint64_t id;
    struct script_call *call; /* NULL: it has ended */
    struct buf text;          /* what it has written, then the answer */
    struct buf json;          /* or the table it returned */
    const char *outcome;
};

void simcall_free_all(struct simcase *c)
{
    while (c->calls) {
        struct simcall *call = c->calls;
        c->calls = call->next;
        buf_fini(&call->text);
        buf_fini(&call->json);
        free(call);
    }
}

static struct simcall *check_call(lua_State *L, int index)
{
    struct simcall *call = simop_case(L)->calls;
    while (call && call->id != (uint64_t)luaL_checkinteger(L, index))
        call = call->next;
    luaL_argcheck(L, call, index, "the number of a command");
    return call;
}

/* ---- its run */

static bool on_write(void *arg, const char *text, size_t len)
{
    struct simcall *call = arg;
    buf_add(&call->text, text, len);
    return true;
}

static bool full(void *arg)
{
    (void)arg;
    return false;
}

/* What it raised was logged last; here the case learns of it. */
static void expect_error(struct simcase *c)
{
    if (c->nlines && c->lines[c->nlines - 1].raised)
        c->lines[c->nlines - 1].seen = true;
}

static void on_done(void *arg, const struct script_answer *a)
{
    static const char *const outcomes[] = {
        [SCRIPT_DONE] = "done", [SCRIPT_FAILED] = "failed", [SCRIPT_BAD] = "bad", [SCRIPT_ERROR] = "error"};
    struct simcall *call = arg;
    call->call = NULL;
    call->outcome = outcomes[a->outcome];
    buf_add(a->json ? &call->json : &call->text, a->text, a->len);
    if (a->outcome == SCRIPT_ERROR)
        expect_error(call->c);
}

static struct script_ask make_ask(const struct simcase_ask *a)
{
    return (struct script_ask){.command = a->name,
                               .services = a->command.names,
                               .nservices = a->command.nnames,
                               .keys = a->command.keys,
                               .values = a->command.values,
                               .nargs = a->command.nargs,
                               .who = "the test",
                               .peer = a->command.peer,
                               .principal = a->command.principal,
                               .json = a->command.json};
}

static void do_begin(struct simcase *c)
{
    static const struct script_call_ops ops = {.write = on_write, .full = full, .done = on_done};
    const struct simcase_ask *a = &c->ask;
    const struct script_ask ask = make_ask(a);
    struct simcall *call = calloc(1, sizeof *call);
    if (!call) {
        err_nomem(&c->ask.err);
        return;
    }
    monitor_note(c->w.mon, NULL, EVENT_COMMAND, 0, "%s asked for by the test", a->name);
    *call = (struct simcall){.next = c->calls, .c = c, .id = ++c->last_call};
    c->calls = c->ask.call = call;
    call->call = script_call_start(c->w.scripts, &ask, &ops, call, &c->ask.err);
    c->ask.done = call->call != NULL;
}

/* The texts of a list; how many there are. */
static const char **read_list(lua_State *L, int index, size_t *count)
{
    luaL_checktype(L, index, LUA_TTABLE);
    size_t n = lua_rawlen(L, index);
    const char **list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        list[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1); /* the table keeps it */
    }
    *count = n;
    return list;
}

static void read_ask(lua_State *L, struct simcase_ask *a)
{
    size_t nvalues;
    a->name = luaL_checkstring(L, 1);
    a->command.names = read_list(L, 2, &a->command.nnames);
    a->command.keys = read_list(L, 3, &a->command.nargs);
    a->command.values = read_list(L, 4, &nvalues);
    luaL_argcheck(L, nvalues == a->command.nargs, 4, "as many values as keys");
    a->command.json = !strcmp(luaL_checkstring(L, 5), "json");
    a->command.peer = luaL_checkstring(L, 6);
    a->command.principal = luaL_checkstring(L, 7);
}

static int begun(lua_State *L, int status, lua_KContext context)
{
    const struct simcase *c = (const struct simcase *)context;
    if (!c->ask.done)
        return simop_answer(L, status, context);
    lua_pushinteger(L, (lua_Integer)c->ask.call->id);
    return 1;
}

/* begin(command, services, keys, values, format, peer, principal): its number. */
static int begin(lua_State *L)
{
    read_ask(L, simop_ask(L));
    return simop_suspend(L, do_begin, begun);
}

static void cancel(struct simcall *call, const char *outcome)
{
    if (!call->call)
        return;
    script_call_cancel(call->call);
    call->call = NULL;
    call->outcome = outcome;
}

static void do_wait(struct simcase *c)
{
    struct simcall *call = c->ask.call;
    const int64_t until_ms = simworld_now_ms(&c->w) + c->ask.ms;
    world_sim_advance(c->w.world, 0);
    while (call->call && simworld_step(&c->w, until_ms))
        ;
    cancel(call, "timeout");
    world_sim_advance(c->w.world, 0);
}

/* The outcome, the text, the table as JSON or nil. */
static int waited(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    const struct simcall *call = ((const struct simcase *)context)->ask.call;
    lua_pushstring(L, call->outcome);
    lua_pushlstring(L, buf_str(&call->text), call->text.len);
    lua_pushlstring(L, buf_str(&call->json), call->json.len);
    return 3;
}

/* wait(number, seconds): until it has ended, or that time has passed: then it is cancelled. */
static int wait_call(lua_State *L)
{
    struct simcase_ask *a = simop_ask(L);
    a->call = check_call(L, 1);
    a->ms = simop_ms(L, 2);
    return simop_suspend(L, do_wait, waited);
}

static void do_cancel(struct simcase *c)
{
    cancel(c->ask.call, "cancelled");
    world_sim_advance(c->w.world, 0);
    c->ask.done = true;
}

/* cancel(number): as when its client is gone. */
static int cancel_call(lua_State *L)
{
    simop_ask(L)->call = check_call(L, 1);
    return simop_suspend(L, do_cancel, simop_answer);
}

/* has_ended(number), and what it has written so far */
static int has_ended(lua_State *L)
{
    const struct simcall *call = check_call(L, 1);
    lua_pushboolean(L, call->call == NULL);
    lua_pushlstring(L, buf_str(&call->text), call->text.len);
    return 2;
}

/* command(name): "required", "optional", "none": the services it takes; nil when there is no such command. */
static int command(lua_State *L)
{
    static const char *const kinds[] = {[SCRIPT_SERVICES_OPTIONAL] = "optional",
                                        [SCRIPT_SERVICES_REQUIRED] = "required",
                                        [SCRIPT_SERVICES_NONE] = "none"};
    const struct scripts *s = simop_case(L)->w.scripts;
    const char *name = luaL_checkstring(L, 1);
    for (size_t i = 0; i < s->ncommands; i++)
        if (!strcmp(s->commands[i].name, name)) {
            lua_pushstring(L, kinds[s->commands[i].services]);
            return 1;
        }
    return 0;
}

/* ---- fm.authorize */

static void do_authorize(struct simcase *c)
{
    const struct script_ask ask = make_ask(&c->ask);
    c->ask.done = script_call_authorized(c->w.scripts, &ask, &c->ask.why);
}

/* authorize(command, services, keys, values, format, peer, principal) */
static int authorize(lua_State *L)
{
    read_ask(L, simop_ask(L));
    return simop_suspend(L, do_authorize, simop_answer);
}

const luaL_Reg simcall_functions[] = {
    {"begin", begin},
    {"wait", wait_call},
    {"cancel", cancel_call},
    {"has_ended", has_ended},
    {"command", command},
    {"authorize", authorize},
    {NULL, NULL},
};
