/* fm.exec and fm.http: what lies outside the monitor. */
#include "api.h"
#include "buf.h"
#include "conf.h"
#include "exec.h"
#include "fetch.h"
#include "outside.h"
#include "task.h"
#include "vm.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 1000
#define EXECS_MAX 100 /* at a time; the monitor needs descriptors and processes too */
#define TIMEOUT_S 30.0
#define TIMEOUT_MAX_S 86400.0
#define OUTPUT_BYTES (1024 * 1024)
#define OUTPUT_MAX ((int)VM_STRING_MAX) /* it becomes a string */

/* Pushes a field of the options table at that index, which is nil or of that type; false: nil. */
static bool field(lua_State *L, int options, const char *key, int type, const char *call)
{
    int given = lua_getfield(L, options, key);
    if (given != LUA_TNIL && !(type == LUA_TNUMBER ? lua_isnumber(L, -1) : lua_isstring(L, -1)))
        api_error(L, "%s: %s: a %s expected, got a %s", call, key, lua_typename(L, type), lua_typename(L, given));
    return given != LUA_TNIL;
}

/* Fields of the options table at that index; the value is left on the stack. */

static double seconds(lua_State *L, int options, const char *call)
{
    lua_Number s = field(L, options, "timeout", LUA_TNUMBER, call) ? lua_tonumber(L, -1) : TIMEOUT_S;
    if (!(s > 0) || s > TIMEOUT_MAX_S)
        api_error(L, "%s: timeout: seconds, above 0 up to a day", call);
    return s;
}

static size_t bytes(lua_State *L, int options, const char *call)
{
    lua_Number n = field(L, options, "max", LUA_TNUMBER, call) ? lua_tonumber(L, -1) : OUTPUT_BYTES;
    if (!(n >= 1) || n > OUTPUT_MAX)
        api_error(L, "%s: max: bytes, from 1 to %d", call, OUTPUT_MAX);
    return (size_t)n;
}

static const char *text(lua_State *L, int options, const char *key, size_t *len, const char *call)
{
    if (len)
        *len = 0;
    return field(L, options, key, LUA_TSTRING, call) ? lua_tolstring(L, -1, len) : NULL;
}

static void set_bytes(lua_State *L, const char *key, const char *data, size_t len)
{
    lua_pushlstring(L, data ? data : "", len);
    lua_setfield(L, -2, key);
}

/* A copy of bytes that outlives the callback; NULL when memory ran out. */
static char *copy_bytes(const char *data, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        return NULL;
    memcpy(copy, len ? data : "", len);
    copy[len] = 0;
    return copy;
}

/* ---- helper processes */

struct execution {
    struct task *task;
    struct scripts *scripts;
    bool counted; /* among those that run */
    void *handle;
    struct exec_result r;
    char *out, *err;
};

static void unwait_turn(struct task *t)
{
    (void)t; /* whoever leaves looks at the tasks themselves */
}

/* The place goes to the one that has waited longest, or is free. */
static void leave(struct scripts *s)
{
    struct task *first = NULL;
    for (struct task *t = s->tasks; t; t = t->next) /* the latest comes first */
        if (t->unwait == unwait_turn)
            first = t;
    if (!first) {
        s->nexecs--;
        return;
    }
    ((struct execution *)first->waiting)->counted = true;
    first->unwait = NULL;
    task_wake(first);
}

static void drop_execution(void *result)
{
    struct execution *x = result;
    if (x->counted)
        leave(x->scripts);
    free(x->out);
    free(x->err);
    free(x);
}

static void unwait_execution(struct task *t)
{
    struct execution *x = t->waiting;
    t->scripts->outside->ops->exec_cancel(t->scripts->outside, x->handle);
}

static void on_executed(void *arg, const struct exec_result *r)
{
    struct execution *x = arg;
    x->r = *r;
    x->out = copy_bytes(r->out, r->out_len);
    x->err = copy_bytes(r->err, r->err_len);
    x->task->unwait = NULL;
    task_wake(x->task);
}

static int executed(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    const struct execution *x = task_resumed(L)->brought.data;
    if (!x->out || !x->err) {
        lua_pushnil(L);
        lua_pushstring(L, "out of memory");
        return 2;
    }
    lua_createtable(L, 0, 6);
    if (!x->r.signal) {
        lua_pushinteger(L, x->r.code);
        lua_setfield(L, -2, "code");
    } else {
        lua_pushstring(L, conf_signal_name(x->r.signal));
        lua_setfield(L, -2, "signal");
    }
    lua_pushboolean(L, x->r.timed_out);
    lua_setfield(L, -2, "timed_out");
    lua_pushboolean(L, x->r.truncated);
    lua_setfield(L, -2, "truncated");
    set_bytes(L, "stdout", x->out, x->r.out_len);
    set_bytes(L, "stderr", x->err, x->r.err_len);
    return 1;
}

/* Strings stay on the stack of the options table; the array itself is Lua's. */
static const char **list(lua_State *L, int table, const char *call, size_t *count)
{
    size_t n = lua_rawlen(L, table);
    if (n > ARGS_MAX)
        api_error(L, "%s: more than %d arguments", call, ARGS_MAX);
    const char **items = lua_newuserdatauv(L, (n + 1) * sizeof *items, 0);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        if (lua_rawgeti(L, table, (lua_Integer)i + 1) != LUA_TSTRING)
            api_error(L, "%s: argument %d is no string", call, (int)i + 1);
        items[i] = lua_tolstring(L, -1, &len);
        if (strlen(items[i]) != len)
            api_error(L, "%s: argument %d has a NUL byte in it", call, (int)i + 1);
        lua_pop(L, 1); /* the table keeps it */
    }
    items[n] = NULL;
    *count = n;
    return items;
}

/* What it points to stays on the stack. */
static struct exec_spec read_spec(lua_State *L)
{
    size_t n;
    const char **argv = list(L, 1, "fm.exec", &n);
    if (!n)
        api_error(L, "fm.exec: a program must be named: fm.exec{ \"df\", \"-h\" }");
    struct exec_spec spec = {.argv = (char *const *)argv, .timeout_ms = (int64_t)(seconds(L, 1, "fm.exec") * 1000)};
    spec.max_output = bytes(L, 1, "fm.exec");
    spec.dir = text(L, 1, "dir", NULL, "fm.exec");
    spec.input = text(L, 1, "input", &spec.input_len, "fm.exec");
    return spec;
}

static int execute(lua_State *L, struct task *t, struct execution *x, const struct exec_spec *spec)
{
    struct outside *outside = t->scripts->outside;
    struct err err = {0};
    x->handle = outside->ops->exec(outside, spec, on_executed, x, &err);
    if (!x->handle) {
        task_keep(t, NULL, NULL);
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    t->waiting = x;
    t->unwait = unwait_execution;
    return task_wait(L, t, -1, executed);
}

static int on_turn(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    struct task *t = task_resumed(L);
    struct execution *x = t->brought.data;
    const struct exec_spec spec = read_spec(L);
    t->brought = (struct task_result){0};
    task_keep(t, x, drop_execution);
    return execute(L, t, x, &spec);
}

/* exec{program, argument..., timeout=, max=, input=, dir=} */
static int raw_exec(lua_State *L)
{
    struct scripts *s = scripts_acting(L, "fm.exec");
    struct task *t = task_current(L, "fm.exec");
    luaL_checktype(L, 1, LUA_TTABLE);
    const struct exec_spec spec = read_spec(L);
    struct execution *x = calloc(1, sizeof *x);
    if (!x)
        return luaL_error(L, "out of memory");
    *x = (struct execution){.task = t, .scripts = s};
    task_keep(t, x, drop_execution);
    if (s->nexecs < EXECS_MAX) {
        s->nexecs++;
        x->counted = true;
        return execute(L, t, x, &spec);
    }
    t->waiting = x;
    t->unwait = unwait_turn;
    return task_wait(L, t, -1, on_turn);
}

/* ---- HTTP */

struct retrieval {
    struct task *task;
    void *handle;
    int status;
    char *error, *body, *headers;
    size_t body_len;
};

static void drop_retrieval(void *result)
{
    struct retrieval *x = result;
    free(x->error);
    free(x->body);
    free(x->headers);
    free(x);
}

static void unwait_retrieval(struct task *t)
{
    struct retrieval *x = t->waiting;
    t->scripts->outside->ops->fetch_cancel(t->scripts->outside, x->handle);
}

static void on_retrieved(void *arg, const struct fetch_result *r)
{
    struct retrieval *x = arg;
    x->status = r->status;
    x->error = r->error ? strdup(r->error) : NULL;
    x->body = r->error ? NULL : copy_bytes(r->body, r->body_len);
    x->body_len = r->body_len;
    struct buf headers = {0};
    for (const char *const *h = r->headers; h && *h; h++)
        buf_addf(&headers, "%s\n", *h);
    x->headers = buf_take(&headers);
    x->task->unwait = NULL;
    task_wake(x->task);
}

/* Names in lower case, as HTTP/2 has them; of several values the last one. */
static void push_headers(lua_State *L, const char *lines)
{
    lua_newtable(L);
    for (const char *line = lines, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        const char *colon = memchr(line, ':', (size_t)(end - line));
        if (!colon)
            continue;
        luaL_Buffer name;
        luaL_buffinit(L, &name);
        for (const char *p = line; p < colon; p++)
            luaL_addchar(&name, *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p);
        luaL_pushresult(&name);
        const char *value = colon + 1 + strspn(colon + 1, " \t");
        lua_pushlstring(L, value, value < end ? (size_t)(end - value) : 0);
        lua_rawset(L, -3);
    }
}

static int retrieved(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    const struct retrieval *x = task_resumed(L)->brought.data;
    if (x->error || !x->body) {
        lua_pushnil(L);
        lua_pushstring(L, x->error ? x->error : "out of memory");
        return 2;
    }
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, x->status);
    lua_setfield(L, -2, "status");
    set_bytes(L, "body", x->body, x->body_len);
    push_headers(L, x->headers);
    lua_setfield(L, -2, "headers");
    return 1;
}

/* http{url=, method=, headers={"K: v"}, body=, timeout=, max=, insecure=, ca=} */
static int raw_http(lua_State *L)
{
    struct scripts *s = scripts_acting(L, "fm.http");
    struct task *t = task_current(L, "fm.http");
    size_t n;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "headers");
    luaL_checktype(L, -1, LUA_TTABLE);
    struct fetch_spec spec = {.headers = list(L, lua_gettop(L), "fm.http: headers", &n),
                              .timeout_ms = (int64_t)(seconds(L, 1, "fm.http") * 1000)};
    spec.max_body = bytes(L, 1, "fm.http");
    spec.url = text(L, 1, "url", NULL, "fm.http");
    if (!spec.url)
        return api_error(L, "fm.http: url must be given");
    spec.method = text(L, 1, "method", NULL, "fm.http");
    spec.ca_file = text(L, 1, "ca", NULL, "fm.http");
    spec.body = text(L, 1, "body", &spec.body_len, "fm.http");
    lua_getfield(L, 1, "insecure");
    spec.insecure = lua_toboolean(L, -1);
    struct retrieval *x = calloc(1, sizeof *x);
    if (!x)
        return luaL_error(L, "out of memory");
    task_keep(t, x, drop_retrieval);
    x->task = t;
    struct err err = {0};
    x->handle = s->outside->ops->fetch(s->outside, &spec, on_retrieved, x, &err);
    if (!x->handle) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    t->waiting = x;
    t->unwait = unwait_retrieval;
    return task_wait(L, t, -1, retrieved);
}

const luaL_Reg api_outside_functions[] = {{"exec", raw_exec}, {"http", raw_http}, {NULL, NULL}};
