#include "confsvrs.h"

#include "confjson.h"
#include "environ.h"
#include "launch.h"
#include "near.h"

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#include <errno.h>
#include <grp.h>
#include <math.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN_MAX 255
#define TIMEOUT_MAX 86400 /* seconds */

bool confsvrs_check_environ(struct confcheck *c, void *base, char **text)
{
    (void)base;
    struct environ e = {0};
    struct err why = {0};
    bool ok = environ_add(&e, *text, &why);
    environ_fini(&e);
    return ok || confcheck_fail(c, "%s", why.text);
}

static bool check_user(struct confcheck *c, void *base, char **text)
{
    (void)base;
    errno = 0;
    const struct passwd *pw = getpwnam(*text);
    if (!pw && errno && errno != ENOENT)
        return confcheck_fail(c, "the user cannot be looked up: %s", strerror(errno));
    if (!pw)
        return confcheck_fail(c, "there is no user \"%s\" on this host", *text);
    return geteuid() == 0 || pw->pw_uid == geteuid() ||
           confcheck_fail(c, "needs root: only it can start a service as another user");
}

static bool check_group(struct confcheck *c, void *base, char **text)
{
    (void)base;
    errno = 0;
    const struct group *gr = getgrnam(*text);
    if (!gr && errno && errno != ENOENT)
        return confcheck_fail(c, "the group cannot be looked up: %s", strerror(errno));
    if (!gr)
        return confcheck_fail(c, "there is no group \"%s\" on this host", *text);
    return geteuid() == 0 || gr->gr_gid == getegid() ||
           confcheck_fail(c, "needs root: only it can start a service in another group");
}

/* Puts the service's name in. */
static bool check_log(struct confcheck *c, void *base, char **text)
{
    const struct conf_service *s = base;
    static const char mark[] = "{name}";
    struct buf *path = &c->scratch;
    buf_clear(path);
    const char *from = *text;
    for (const char *at = strstr(from, mark); at; at = strstr(from, mark)) {
        buf_add(path, from, (size_t)(at - from));
        buf_adds(path, s->name);
        from = at + sizeof mark - 1;
    }
    buf_adds(path, from);
    if (path->failed)
        return err_nomem(c->err);
    if (path->data[path->len - 1] == '/')
        return confcheck_fail(c, "must name a file, not a folder");
    return confcheck_store(c, text, buf_str(path));
}

/* Octal in both forms: "022", and 22 because JSON allows no leading zero. */
static bool read_umask(struct confcheck *c, void *base)
{
    struct conf_service *s = base;
    char number[CONFJSON_NUMBER_SIZE];
    size_t len = 0;
    const char *text = "";
    if (lua_type(c->L, -1) == LUA_TSTRING) {
        text = lua_tolstring(c->L, -1, &len);
    } else if (lua_type(c->L, -1) == LUA_TNUMBER) {
        confjson_number(lua_tonumber(c->L, -1), number);
        text = number;
        len = strlen(number);
    }
    if (len == 0 || len > 4 || strspn(text, "01234567") != len || strtol(text, NULL, 8) > 0777)
        return confcheck_expected(c, "an octal mask from \"000\" to \"777\"");
    s->umask = (int)strtol(text, NULL, 8);
    return true;
}

/* The value on the top as that of an environment variable, into the scratch buffer. */
static bool add_env_value(struct confcheck *c)
{
    char number[CONFJSON_NUMBER_SIZE];
    size_t len = 0;
    const char *s = NULL;
    switch (lua_type(c->L, -1)) {
    case LUA_TSTRING:
        s = lua_tolstring(c->L, -1, &len);
        if (strlen(s) != len)
            return confcheck_fail(c, "must not contain a NUL character");
        buf_adds(&c->scratch, s);
        return true;
    case LUA_TNUMBER:
        if (!isfinite(lua_tonumber(c->L, -1)))
            return confcheck_fail(c, "the number is too large");
        confjson_number(lua_tonumber(c->L, -1), number);
        buf_adds(&c->scratch, number);
        return true;
    case LUA_TBOOLEAN:
        buf_adds(&c->scratch, lua_toboolean(c->L, -1) ? "true" : "false");
        return true;
    default:
        if (confjson_is_null(c->L, -1))
            return confcheck_fail(c, "must not be null");
        return confcheck_expected(c, "a string, a number, true or false");
    }
}

static bool check_env_name(struct confcheck *c, const char *name, size_t len)
{
    if (len == 0)
        return confcheck_fail(c, "the name of a variable must not be empty");
    for (size_t i = 0; i < len; i++)
        if (name[i] == '=' || (unsigned char)name[i] <= ' ' || name[i] == 127)
            return confcheck_fail(c, "the name of a variable must not contain \"=\", blanks or control characters");
    return strcmp(name, "FOTA_MONITOR_SERVICE") != 0 ||
           confcheck_fail(c, "is set by fota_monitor itself, to know the service again");
}

static size_t count_keys(lua_State *L)
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    return n;
}

static int compare_text(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static bool read_env(struct confcheck *c, void *base)
{
    struct conf_service *s = base;
    if (!confcheck_object(c))
        return false;
    size_t n = count_keys(c->L), i = 0;
    if (n == 0)
        return true;
    s->env = calloc(n + 1, sizeof *s->env);
    if (!s->env)
        return err_nomem(c->err);
    for (lua_pushnil(c->L); lua_next(c->L, -2); lua_pop(c->L, 1), i++) {
        if (lua_type(c->L, -2) != LUA_TSTRING)
            return confcheck_fail(c, "must have names for keys, got a %s", luaL_typename(c->L, -2));
        size_t len = 0;
        const char *name = lua_tolstring(c->L, -2, &len);
        buf_clear(&c->scratch);
        buf_addf(&c->scratch, "%s=", name);
        confcheck_enter(c, name, len);
        if (!check_env_name(c, name, len) || !add_env_value(c))
            return false;
        if (c->scratch.failed || !confcheck_store(c, &s->env[i], buf_str(&c->scratch)))
            return err_nomem(c->err);
        confcheck_leave(c);
    }
    qsort(s->env, n, sizeof *s->env, compare_text); /* the order of a Lua table is no order */
    return true;
}

/* The parameters of a policy are its object but for the name. */
static bool read_policy_params(struct confcheck *c, struct conf_service *s)
{
    lua_newtable(c->L);
    for (lua_pushnil(c->L); lua_next(c->L, -3);) {
        lua_pushvalue(c->L, -2); /* copy, key, value, key */
        lua_insert(c->L, -2);
        lua_rawset(c->L, -4);
    }
    lua_pushstring(c->L, "name");
    lua_pushnil(c->L);
    lua_rawset(c->L, -3);
    bool ok = confcheck_json(c, &s->policy_params);
    lua_pop(c->L, 1);
    return ok;
}

/* Whether a script defines it; the message has the nearest one that is. */
static bool check_policy(struct confcheck *c, const char *name)
{
    const char *nearest = NULL;
    unsigned best = near_limit(strlen(name)) + 1;
    if (!c->policies || !strcmp(name, "core"))
        return true;
    for (char *const *p = c->policies; *p; p++) {
        unsigned distance = near_distance(name, strlen(name), *p, best);
        if (distance == 0 && !strcmp(name, *p))
            return true;
        if (distance < best) {
            best = distance;
            nearest = *p;
        }
    }
    if (nearest)
        return confcheck_fail(c, "no script defines a policy \"%s\"; did you mean \"%s\"?", name, nearest);
    return confcheck_fail(c, "no script in lua/ defines a policy \"%s\"", name);
}

static bool read_policy(struct confcheck *c, void *base)
{
    struct conf_service *s = base;
    if (lua_type(c->L, -1) == LUA_TSTRING)
        return confcheck_filled(c, &s->policy) && check_policy(c, s->policy);
    if (!lua_istable(c->L, -1) || lua_rawlen(c->L, -1) > 0)
        return confcheck_expected(c, "the name of a policy, or an object with a name in it");
    confcheck_get(c, "name");
    confcheck_enter(c, "name", 4);
    if (lua_isnil(c->L, -1))
        return confcheck_fail(c, "is required");
    if (!confcheck_filled(c, &s->policy) || !check_policy(c, s->policy))
        return false;
    confcheck_leave(c);
    lua_pop(c->L, 1);
    return read_policy_params(c, s);
}

static const char *const scope_words[] = {[CONF_SCOPE_GROUP] = "group", [CONF_SCOPE_PARENT] = "parent", NULL};

static const struct confkey stop_keys[] = {
    {.name = "signal", .type = CONFKEY_SIGNAL, .offset = offsetof(struct conf_stop, signal), .number = SIGTERM},
    {.name = "timeout",
     .type = CONFKEY_SECONDS,
     .offset = offsetof(struct conf_stop, timeout_ms),
     .max = TIMEOUT_MAX,
     .number = 10000},
    {.name = "scope",
     .type = CONFKEY_WORD,
     .offset = offsetof(struct conf_stop, scope),
     .words = scope_words,
     .number = CONF_SCOPE_GROUP},
};
static const struct confkeys stop_table = {stop_keys, ARRAY_LEN(stop_keys)};

static const struct confkey graceful_keys[] = {
    {.name = "signal", .type = CONFKEY_SIGNAL, .offset = offsetof(struct conf_graceful, signal), .number = SIGHUP},
    {.name = "timeout",
     .type = CONFKEY_SECONDS,
     .offset = offsetof(struct conf_graceful, timeout_ms),
     .max = TIMEOUT_MAX,
     .number = 10000},
};
static const struct confkeys graceful_table = {graceful_keys, ARRAY_LEN(graceful_keys)};

#define AT(member) .offset = offsetof(struct conf_service, member)

static const struct confkey service_keys[] = {
    {.name = "cmd", .type = CONFKEY_TEXT, AT(cmd), .required = true},
    {.name = "dir", .type = CONFKEY_TEXT, AT(dir)},
    {.name = "environ", .type = CONFKEY_TEXT, AT(environ), .empty_ok = true, .check = confsvrs_check_environ},
    {.name = "env", .type = CONFKEY_OTHER, .read = read_env},
    {.name = "user", .type = CONFKEY_TEXT, AT(user), .check = check_user},
    {.name = "group", .type = CONFKEY_TEXT, AT(group), .check = check_group},
    {.name = "umask", .type = CONFKEY_OTHER, .read = read_umask},
    {.name = "autostart", .type = CONFKEY_BOOL, AT(autostart), .number = true},
    {.name = "essential", .type = CONFKEY_BOOL, AT(essential)},
    {.name = "policy", .type = CONFKEY_OTHER, .read = read_policy},
    {.name = "stop", .type = CONFKEY_OBJECT, AT(stop), .sub = &stop_table},
    {.name = "graceful", .type = CONFKEY_OBJECT, AT(graceful), .sub = &graceful_table},
    {.name = "log", .type = CONFKEY_TEXT, AT(log), .check = check_log},
    {.name = "vars", .type = CONFKEY_JSON, AT(vars)},
};
static const struct confkeys service_table = {service_keys, ARRAY_LEN(service_keys)};

/* What is wrong with an executable, or NULL. */
static const char *exe_problem(const char *exe)
{
    struct stat st;
    if (stat(exe, &st) != 0)
        return errno == EACCES ? "cannot be reached" : "does not exist";
    if (S_ISDIR(st.st_mode))
        return "is a directory";
    return S_ISREG(st.st_mode) && access(exe, X_OK) == 0 ? NULL : "is not executable";
}

/* Warns of a command that cannot be executed now; one that never can be is an error. */
static bool judge_command(struct confcheck *c, const struct conf_service *s)
{
    struct cmdline cmd;
    struct err why = {0};
    if (!launch_cmdline(c->conf, s, &cmd, &why))
        return confcheck_fail(c, "%s", why.text);
    const char *odd = cmd.exe ? exe_problem(cmd.exe) : NULL;
    if (odd)
        buf_addf(&c->warnings, "service[%s]: %s %s\n", s->name, cmd.exe, odd);
    cmdline_fini(&cmd);
    return true;
}

static bool read_service(struct confcheck *c, struct conf_service *s)
{
    s->umask = -1;
    if (confjson_is_null(c->L, -1))
        return confcheck_fail(c, "must not be null");
    if (lua_type(c->L, -1) == LUA_TSTRING)
        return confcheck_defaults(c, &service_table, s) && confcheck_filled(c, &s->cmd) && judge_command(c, s);
    if (!lua_istable(c->L, -1) || lua_rawlen(c->L, -1) > 0)
        return confcheck_expected(c, "a command line or an object");
    if (!confcheck_read(c, &service_table, s))
        return false;
    confcheck_enter(c, "cmd", 3);
    bool ok = judge_command(c, s);
    confcheck_leave(c);
    return ok;
}

/* Lua knows what UTF-8 is. */
static bool is_utf8(lua_State *L, const char *s, size_t len)
{
    lua_pushcfunction(L, luaopen_utf8);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "len");
    lua_pushlstring(L, s, len);
    lua_call(L, 1, 1);
    bool valid = lua_isinteger(L, -1);
    lua_pop(L, 2);
    return valid;
}

static const char *name_problem(lua_State *L, const char *name, size_t len)
{
    bool ascii = true;
    if (len == 0)
        return "the name of a service must not be empty";
    if (len > NAME_LEN_MAX)
        return "the name of a service must not be longer than 255 bytes";
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < ' ' || name[i] == 127)
            return "the name of a service must not contain control characters";
        ascii = ascii && (unsigned char)name[i] < 128;
    }
    if (!ascii && !is_utf8(L, name, len))
        return "the name of a service must be valid UTF-8";
    if (memchr(name, '/', len) || memchr(name, ',', len))
        return "the name of a service must not contain \"/\" or \",\"";
    if (name[0] == '-' || name[0] == ' ' || name[len - 1] == ' ')
        return "the name of a service must not begin with \"-\", or begin or end with a blank";
    if (strcmp(name, "all") == 0)
        return "\"all\" means every service and cannot be the name of one";
    return NULL;
}

static bool check_name(struct confcheck *c, const char *name, size_t len)
{
    const char *problem = name_problem(c->L, name, len);
    if (!problem)
        return true;
    confcheck_enter(c, name, len);
    return confcheck_fail(c, "%s", problem);
}

static int compare_name(const void *x, const void *y)
{
    const struct conf_service *a = x, *b = y;
    return strcmp(a->name, b->name);
}

/* The names of the object on the top, sorted, as services that have nothing else yet. */
static bool read_names(struct confcheck *c)
{
    struct conf *conf = c->conf;
    size_t n = count_keys(c->L);
    conf->svrs = calloc(MAX(n, 1), sizeof *conf->svrs);
    if (!conf->svrs)
        return err_nomem(c->err);
    for (lua_pushnil(c->L); lua_next(c->L, -2); lua_pop(c->L, 1)) {
        if (lua_type(c->L, -2) != LUA_TSTRING)
            return confcheck_fail(c, "must have names for keys, got a %s", luaL_typename(c->L, -2));
        size_t len = 0;
        const char *name = lua_tolstring(c->L, -2, &len);
        if (!check_name(c, name, len))
            return false;
        if (!confcheck_store(c, &conf->svrs[conf->nsvrs++].name, name))
            return false;
    }
    qsort(conf->svrs, conf->nsvrs, sizeof *conf->svrs, compare_name);
    return true;
}

bool confsvrs_read(struct confcheck *c, void *base)
{
    struct conf *conf = base;
    if (!confcheck_object(c) || !read_names(c))
        return false;
    for (size_t i = 0; i < conf->nsvrs; i++) {
        struct conf_service *s = &conf->svrs[i];
        confcheck_get(c, s->name);
        confcheck_enter(c, s->name, strlen(s->name));
        if (!read_service(c, s))
            return false;
        confcheck_leave(c);
        lua_pop(c->L, 1);
    }
    return true;
}
