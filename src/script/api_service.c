/* Services as scripts see them: facts, and what can be done to them. */
#include "api.h"
#include "conf.h"
#include "monitor.h"
#include "procfs.h"
#include "task.h"
#include "world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_LINES_MAX 10000
#define LOG_BYTES (256 * 1024)

static struct service *find(lua_State *L, const char *what)
{
    return monitor_find(scripts_acting(L, what)->mon, luaL_checkstring(L, 1));
}

static int gone(lua_State *L)
{
    lua_pushnil(L);
    lua_pushfstring(L, "service[%s] not configured", lua_tostring(L, 1));
    return 2;
}

static void set_text(lua_State *L, const char *key, const char *text)
{
    if (!text)
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
}

static void set_seconds(lua_State *L, const char *key, int64_t ms)
{
    lua_pushnumber(L, (double)ms / 1000);
    lua_setfield(L, -2, key);
}

/* Pushes the first `max` lines of a text (or NULL) as a list; returns how many bytes those are. */
static size_t push_lines(lua_State *L, const char *text, lua_Integer max)
{
    const char *line = text;
    lua_newtable(L);
    for (lua_Integer n = 0; line && *line && n < max;) {
        const char *end = strchrnul(line, '\n');
        lua_pushlstring(L, line, (size_t)(end - line));
        lua_rawseti(L, -2, ++n);
        line = *end ? end + 1 : end;
    }
    return text ? (size_t)(line - text) : 0;
}

void api_push_exit(lua_State *L, const struct service_exit *x)
{
    if (!x->valid) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 12);
    if (x->started && x->how.known && x->how.code >= 0) {
        lua_pushinteger(L, x->how.code);
        lua_setfield(L, -2, "code");
    }
    set_text(L, "signal", x->how.signal ? conf_signal_name(x->how.signal) : NULL);
    lua_pushboolean(L, x->how.core);
    lua_setfield(L, -2, "core");
    lua_pushboolean(L, x->requested);
    lua_setfield(L, -2, "requested");
    lua_pushboolean(L, x->started);
    lua_setfield(L, -2, "started");
    set_seconds(L, "uptime", x->uptime_ms);
    set_seconds(L, "at", x->wall_ms);
    set_text(L, "reason", x->reason ? x->reason : "");
    if (x->how.cpu_ms >= 0)
        set_seconds(L, "cpu", x->how.cpu_ms);
    if (x->how.max_rss_kib >= 0) {
        lua_pushinteger(L, (lua_Integer)x->how.max_rss_kib * 1024);
        lua_setfield(L, -2, "max_rss");
    }
    push_lines(L, x->tail, LOG_LINES_MAX);
    lua_setfield(L, -2, "tail");
}

/* ---- facts */

static void push_pid(lua_State *L, const struct service *s)
{
    if (s->proc.pid)
        lua_pushinteger(L, s->proc.pid);
    else
        lua_pushnil(L);
}

static void push_state(lua_State *L, const struct service *s)
{
    lua_pushstring(L, machine_state_name(s->state));
}

static void push_restarts(lua_State *L, const struct service *s)
{
    lua_pushinteger(L, s->restarts);
}

static void push_failures(lua_State *L, const struct service *s)
{
    lua_pushinteger(L, service_failures(s));
}

static void push_uptime(lua_State *L, const struct service *s)
{
    lua_pushnumber(L, (double)service_uptime_ms(s) / 1000);
}

static void push_wanted(lua_State *L, const struct service *s)
{
    lua_pushboolean(L, s->want == WANT_UP);
}

static void push_last_exit(lua_State *L, const struct service *s)
{
    api_push_exit(L, &s->last_exit);
}

static void push_policy(lua_State *L, const struct service *s)
{
    lua_pushstring(L, s->conf->policy ? s->conf->policy : "core");
}

static void push_env(lua_State *L, char **env)
{
    lua_newtable(L);
    for (char **e = env; e && *e; e++) {
        const char *eq = strchr(*e, '=');
        lua_pushlstring(L, *e, (size_t)(eq - *e));
        lua_pushstring(L, eq + 1);
        lua_rawset(L, -3);
    }
}

static void push_signal_conf(lua_State *L, int signal, int64_t timeout_ms)
{
    lua_newtable(L);
    set_text(L, "signal", conf_signal_name(signal));
    set_seconds(L, "timeout", timeout_ms);
}

static void push_conf(lua_State *L, const struct service *s)
{
    const struct conf_service *c = s->conf;
    lua_newtable(L);
    set_text(L, "name", c->name);
    set_text(L, "cmd", c->cmd);
    set_text(L, "dir", c->dir);
    set_text(L, "environ", c->environ);
    set_text(L, "user", c->user);
    set_text(L, "group", c->group);
    set_text(L, "log", c->log);
    push_env(L, c->env);
    lua_setfield(L, -2, "env");
    if (c->umask >= 0) {
        lua_pushinteger(L, c->umask);
        lua_setfield(L, -2, "umask");
    }
    lua_pushboolean(L, c->autostart);
    lua_setfield(L, -2, "autostart");
    lua_pushboolean(L, c->essential);
    lua_setfield(L, -2, "essential");
    push_signal_conf(L, c->stop.signal, c->stop.timeout_ms);
    set_text(L, "scope", c->stop.scope == CONF_SCOPE_GROUP ? "group" : "parent");
    lua_setfield(L, -2, "stop");
    push_signal_conf(L, c->graceful.signal, c->graceful.timeout_ms);
    lua_setfield(L, -2, "graceful");
    if (c->policy) {
        api_push_json(L, c->policy_params ? c->policy_params : "{}");
        set_text(L, "name", c->policy);
        lua_setfield(L, -2, "policy");
    }
}

static void push_vars(lua_State *L, const struct service *s)
{
    api_push_json(L, s->conf->vars ? s->conf->vars : "{}");
}

/* Of its process, not of what that has started; nil where it can't be seen. */
static bool look(const struct service *s, struct procfs_stat *st)
{
    return s->proc.pid && procfs_stat(s->proc.pid, st);
}

static void push_cpu(lua_State *L, const struct service *s)
{
    struct procfs_stat st;
    if (look(s, &st))
        lua_pushnumber(L, (double)st.cpu_ms / 1000);
    else
        lua_pushnil(L);
}

static void push_memory(lua_State *L, const struct service *s)
{
    struct procfs_stat st;
    if (look(s, &st))
        lua_pushinteger(L, (lua_Integer)st.rss_kib * 1024);
    else
        lua_pushnil(L);
}

static void push_descriptors(lua_State *L, const struct service *s)
{
    int n = s->proc.pid ? procfs_count_fds(s->proc.pid) : -1;
    if (n >= 0)
        lua_pushinteger(L, n);
    else
        lua_pushnil(L);
}

static const struct fact {
    const char *name;
    void (*push)(lua_State *L, const struct service *s);
} facts[] = {
    {"state", push_state},
    {"pid", push_pid},
    {"restarts", push_restarts},
    {"failures", push_failures},
    {"uptime", push_uptime},
    {"last_exit", push_last_exit},
    {"conf", push_conf},
    {"vars", push_vars},
    {"policy", push_policy},
    {"wanted", push_wanted},
    {"cpu", push_cpu},
    {"memory", push_memory},
    {"descriptors", push_descriptors},
};

/* fact(name, key): the value; nothing at all when there is no such fact; an error when the service is gone. */
static int raw_fact(lua_State *L)
{
    const struct service *s = find(L, "svc");
    const char *key = luaL_checkstring(L, 2);
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        if (!strcmp(facts[i].name, key)) {
            if (!s)
                return api_error(L, "service[%s] not configured", lua_tostring(L, 1));
            facts[i].push(L, s);
            return 1;
        }
    return 0;
}

/* services(): all names, sorted. */
static int raw_services(lua_State *L)
{
    const struct monitor *m = scripts_acting(L, "fm.services")->mon;
    lua_createtable(L, (int)m->nsvcs, 0);
    for (size_t i = 0; i < m->nsvcs; i++) {
        lua_pushstring(L, m->svcs[i]->conf->name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int raw_exists(lua_State *L)
{
    lua_pushboolean(L, find(L, "fm.service") != NULL);
    return 1;
}

/* vars(): of the env. */
static int raw_vars(lua_State *L)
{
    const struct monitor *m = scripts_acting(L, "fm.vars")->mon;
    api_push_json(L, m->conf->vars ? m->conf->vars : "{}");
    return 1;
}

/* ---- commands */

/* A task's wait for a service's goal. */
struct goal_wait {
    struct service_wait wait;
    struct service *service;
    struct task *task;
    bool ok;
    char *why;
};

static void drop_goal(void *result)
{
    struct goal_wait *g = result;
    free(g->why);
    free(g);
}

static void unwait_goal(struct task *t)
{
    struct goal_wait *g = t->waiting;
    service_wait_remove(g->service, &g->wait);
}

static void on_goal(struct service_wait *w, struct service *s, const char *why)
{
    (void)s;
    struct goal_wait *g = CONTAINER_OF(w, struct goal_wait, wait);
    g->ok = !why;
    g->why = why ? strdup(why) : NULL;
    g->task->unwait = NULL;
    task_wake(g->task);
}

static int goal_reached(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    struct task *t = task_resumed(L);
    const struct goal_wait *g = t->brought.data;
    if (g->ok) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, t->timed_out ? "timeout" : g->why ? g->why : "failed");
    return 2;
}

static uint64_t note(lua_State *L, struct service *s, const char *what)
{
    const struct task *t = scripts_of(L)->current;
    return monitor_note(s->mon, s, EVENT_COMMAND, 0, "%s asked for by a script (%s)", what, t ? t->name : "?");
}

static bool carry_out(lua_State *L, struct service *s, const char *what, struct err *err)
{
    order_settle(s);
    if (!strcmp(what, "grestart"))
        return service_grestart(s, note(L, s, what), err);
    if (!strcmp(what, "start"))
        service_start(s, note(L, s, what));
    else if (!strcmp(what, "stop"))
        service_stop(s, note(L, s, what));
    else if (!strcmp(what, "restart"))
        service_restart(s, note(L, s, what));
    else
        api_error(L, "no such command: %s", what);
    return true;
}

/* act(name, "start"|"stop"|"restart"|"grestart", timeout): waits for the goal. */
static int raw_act(lua_State *L)
{
    struct service *s = find(L, "svc");
    const char *what = luaL_checkstring(L, 2);
    int64_t timeout_ms = task_timeout_ms(L, 3);
    struct task *t = task_current(L, lua_pushfstring(L, "svc:%s", what));
    struct err err = {0};
    if (!s)
        return gone(L);
    struct goal_wait *g = calloc(1, sizeof *g);
    if (!g)
        return luaL_error(L, "out of memory");
    task_keep(t, g, drop_goal);
    *g = (struct goal_wait){.service = s, .task = t, .wait.done = on_goal};
    g->wait.goal = strcmp(what, "stop") != 0 ? GOAL_UP : GOAL_DOWN;
    if (!carry_out(L, s, what, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    t->waiting = g;
    t->unwait = unwait_goal;
    service_wait_add(s, &g->wait);
    return task_wait(L, t, t->unwait ? timeout_ms : -1, goal_reached);
}

/* signal(name, "USR1") */
static int raw_signal(lua_State *L)
{
    struct service *s = find(L, "svc:signal");
    const char *name = luaL_checkstring(L, 2);
    int number = conf_signal_number(name);
    if (!number)
        return api_error(L, "svc:signal: there is no signal \"%s\"", name);
    if (!s)
        return gone(L);
    task_current(L, "svc:signal");
    int r = service_signal(s, number, note(L, s, lua_pushfstring(L, "%s", conf_signal_name(number))));
    if (!r) {
        lua_pushboolean(L, true);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, r == -ESRCH ? "it does not run" : strerror(-r));
    return 2;
}

/* log(name, lines, since): the end of its console as a list of lines, or what came since; and the place behind it. */
static int raw_log(lua_State *L)
{
    const struct service *s = find(L, "svc:log");
    bool follows = !lua_isnoneornil(L, 3);
    lua_Integer lines = luaL_optinteger(L, 2, follows ? LOG_LINES_MAX : 20);
    luaL_argcheck(L, lines >= 0 && lines <= LOG_LINES_MAX, 2, "a number of lines from 0 to 10000");
    int64_t since = luaL_optinteger(L, 3, 0), at = since;
    if (!s)
        return gone(L);
    struct world *w = s->mon->world;
    char **text = api_hold(L);
    char *path = launch_log_path(s->mon->conf, s->conf);
    if (path && !follows)
        at = w->ops->log_size(w, path); /* first: better a line twice than never */
    if (path && lines > 0)
        *text = follows ? w->ops->since(w, path, &at, LOG_BYTES) : w->ops->tail(w, path, (int)lines, LOG_BYTES);
    free(path);
    size_t len = *text ? strlen(*text) : 0, used = push_lines(L, *text, lines);
    lua_pushinteger(L, follows ? at - (int64_t)(len - used) : at);
    free(*text);
    *text = NULL;
    return 2;
}

const luaL_Reg api_service_functions[] = {
    {"fact", raw_fact}, {"services", raw_services}, {"exists", raw_exists}, {"vars", raw_vars},
    {"act", raw_act},   {"signal", raw_signal},     {"log", raw_log},       {NULL, NULL},
};
