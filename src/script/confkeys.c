#include "confkeys.h"

#include "collector.h"
#include "confsvrs.h"

#include <lua.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOG_SIZE_MAX (INT64_C(1) << 50)

/* It is the first field of every line for the collector. */
static bool check_clog_name(struct confcheck *c, void *base, char **text)
{
    (void)base;
    if (strchr(*text, ','))
        return confcheck_fail(c, "must not contain a comma");
    for (const char *p = *text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            return confcheck_fail(c, "must not contain control characters");
    return strlen(*text) <= COLLECTOR_NAME_MAX ||
           confcheck_fail(c, "must be no longer than %d bytes", COLLECTOR_NAME_MAX);
}

static bool check_clog_addr(struct confcheck *c, void *base, char **text)
{
    (void)base;
    struct resolve_target target;
    if (**text)
        return resolve_parse(*text, &target) || confcheck_expected(c, "HOST:PORT, or a name such as \"clog.srv.ns\"");
    free(*text);
    *text = NULL;
    return true;
}

/* Relative to home, no slash at the end. */
static bool check_path(struct confcheck *c, void *base, char **text)
{
    const struct conf *conf = base;
    struct buf *path = &c->scratch;
    buf_clear(path);
    if (**text != '/')
        buf_addf(path, "%s/", conf->home);
    buf_adds(path, *text);
    if (path->failed)
        return err_nomem(c->err);
    while (path->len > 1 && path->data[path->len - 1] == '/')
        path->data[--path->len] = 0;
    return confcheck_store(c, text, buf_str(path));
}

static bool check_tls_file(struct confcheck *c, void *base, char **text)
{
    (void)base;
    return check_path(c, c->conf, text);
}

/* It becomes part of a file name. Two days far apart, so that a format with one side empty or odd shows. */
static bool check_log_day(struct confcheck *c, void *base, char **text)
{
    (void)base;
    static const struct tm days[] = {
        {.tm_year = 126, .tm_mon = 0, .tm_mday = 1, .tm_wday = 4},
        {.tm_year = 126, .tm_mon = 10, .tm_mday = 29, .tm_hour = 23, .tm_wday = 0, .tm_yday = 332},
    };
    for (size_t i = 0; i < ARRAY_LEN(days); i++) {
        char name[101];
        size_t len = strftime(name, sizeof name, *text, &days[i]);
        if (len == 0)
            return confcheck_fail(c, "must give a text of 1 to 100 bytes when a date is put in");
        for (size_t k = 0; k < len; k++)
            if (name[k] == '/' || (unsigned char)name[k] < ' ')
                return confcheck_fail(c, "must give a part of a file name, but gives \"%s\"", name);
    }
    return true;
}

/* "100M" to bytes, or -1. */
static int64_t parse_size(const char *s)
{
    static const char units[] = "KMG";
    size_t digits = strspn(s, "0123456789");
    if (digits == 0 || digits > 15)
        return -1;
    int64_t n = strtoll(s, NULL, 10);
    const char *unit = s[digits] ? strchr(units, toupper((unsigned char)s[digits])) : NULL;
    if (s[digits] && (!unit || s[digits + 1]))
        return -1;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    return n <= LOG_SIZE_MAX >> shift ? n << shift : -1;
}

static bool read_log_size(struct confcheck *c, void *base)
{
    struct conf_log *log = base;
    if (lua_type(c->L, -1) == LUA_TNUMBER)
        return confcheck_whole(c, 0, LOG_SIZE_MAX, &log->max_size);
    size_t len = 0;
    const char *s = lua_type(c->L, -1) == LUA_TSTRING ? lua_tolstring(c->L, -1, &len) : "";
    log->max_size = strlen(s) == len ? parse_size(s) : -1;
    return log->max_size >= 0 || confcheck_expected(c, "a number of bytes, or a text such as \"64K\", \"100M\" or "
                                                       "\"1G\"");
}

static bool is_address(const char *s)
{
    unsigned char address[16];
    return strcmp(s, "inner") == 0 || inet_pton(AF_INET, s, address) == 1 || inet_pton(AF_INET6, s, address) == 1;
}

/* The string on the top as number i of the listen addresses. */
static bool read_address(struct confcheck *c, size_t i)
{
    char **bind = c->conf->bind;
    if (!confcheck_text(c, &bind[i]))
        return false;
    if (!is_address(bind[i]))
        return confcheck_expected(c, "\"inner\" or an IPv4 or IPv6 address");
    for (size_t k = 0; k < i; k++)
        if (strcmp(bind[k], bind[i]) == 0)
            return confcheck_fail(c, "is there twice");
    return true;
}

static bool read_bind(struct confcheck *c, void *base)
{
    struct conf *conf = base;
    bool one = lua_type(c->L, -1) == LUA_TSTRING;
    size_t n = one ? 1 : lua_rawlen(c->L, -1);
    if (n == 0 || (!one && !lua_istable(c->L, -1)))
        return confcheck_expected(c, "an address or an array of addresses");
    conf->bind = calloc(n + 1, sizeof *conf->bind);
    if (!conf->bind)
        return err_nomem(c->err);
    if (one)
        return read_address(c, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(c->L, -1, (lua_Integer)i + 1);
        confcheck_enter_index(c, i);
        if (!read_address(c, i))
            return false;
        confcheck_leave(c);
        lua_pop(c->L, 1);
    }
    return true;
}

static bool default_bind(struct confcheck *c)
{
    static const char *const addresses[] = {"127.0.0.1", "inner"};
    char **bind = calloc(ARRAY_LEN(addresses) + 1, sizeof *bind);
    if (!bind)
        return err_nomem(c->err);
    c->conf->bind = bind;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
        if (!confcheck_store(c, &bind[i], addresses[i]))
            return false;
    return true;
}

static const char *const auth_words[] = {
    [CONF_AUTH_LOCAL] = "local", [CONF_AUTH_TOKEN] = "token", [CONF_AUTH_OPEN] = "open", NULL};

static const char *const probe_words[] = {[CONF_PROBE_SIGNAL] = "signal", [CONF_PROBE_PIDFD] = "pidfd", NULL};

static const struct confkey clog_keys[] = {
    {.name = "name",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf_clog, name),
     .text = "fota_monitor",
     .check = check_clog_name},
    {.name = "addr",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf_clog, addr),
     .empty_ok = true,
     .check = check_clog_addr},
    {.name = "mode",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_clog, mode),
     .max = 3,
     .number = CONF_CLOG_LOCAL},
    {.name = "level",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_clog, level),
     .max = 15,
     .number = CONF_LEVEL_WARN | CONF_LEVEL_ERROR | CONF_LEVEL_INFO},
};
static const struct confkeys clog_table = {clog_keys, ARRAY_LEN(clog_keys)};

static const struct confkey log_keys[] = {
    {.name = "keep_days",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_log, keep_days),
     .max = 36500,
     .number = 30},
    {.name = "max_size", .type = CONFKEY_OTHER, .read = read_log_size},
    {.name = "day",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf_log, day),
     .text = "%-d",
     .check = check_log_day},
};
static const struct confkeys log_table = {log_keys, ARRAY_LEN(log_keys)};

static const struct confkey tls_keys[] = {
    {.name = "cert",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf_tls, cert),
     .required = true,
     .check = check_tls_file},
    {.name = "key",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf_tls, key),
     .required = true,
     .check = check_tls_file},
};
static const struct confkeys tls_table = {tls_keys, ARRAY_LEN(tls_keys)};

/* There is none, or one with all that belongs to it. */
static bool read_tls(struct confcheck *c, void *base)
{
    return confcheck_object(c) && confcheck_read(c, &tls_table, &((struct conf *)base)->tls);
}

static const struct confkey http_keys[] = {
    {.name = "idle_timeout",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_http, idle_timeout),
     .min = 1,
     .max = 86400,
     .number = 60},
    {.name = "backlog_kb",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_http, backlog_kb),
     .min = 16,
     .max = 1048576,
     .number = 1024},
    {.name = "body_kb",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_http, body_kb),
     .min = 1,
     .max = 65536,
     .number = 1024},
    {.name = "header_kb",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_http, header_kb),
     .min = 16,
     .max = 1024,
     .number = 32},
    {.name = "max_per_client",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_http, max_per_client),
     .min = 1,
     .max = 65536,
     .number = 256},
    {.name = "max_connections",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_http, max_connections),
     .min = 1,
     .max = 65536,
     .number = 1024},
    {.name = "refused_delay",
     .type = CONFKEY_SECONDS,
     .offset = offsetof(struct conf_http, refused_delay_ms),
     .min = 0,
     .max = 60,
     .number = 2000},
};
static const struct confkeys http_table = {http_keys, ARRAY_LEN(http_keys)};

static const struct confkey lua_keys[] = {
    {.name = "budget_ms",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_lua, budget_ms),
     .min = 1,
     .max = 60000,
     .number = 50},
    {.name = "memory_mb",
     .type = CONFKEY_INT,
     .offset = offsetof(struct conf_lua, memory_mb),
     .min = 1,
     .max = 65536,
     .number = 64},
    {.name = "autoreload", .type = CONFKEY_BOOL, .offset = offsetof(struct conf_lua, autoreload)},
};
static const struct confkeys lua_table = {lua_keys, ARRAY_LEN(lua_keys)};

/* In the order they are read: services are judged with the paths and statements around them. */
static const struct confkey env_keys[] = {
    {.name = "port", .type = CONFKEY_INT, .offset = offsetof(struct conf, port), .max = 65535, .number = 29118},
    {.name = "bind", .type = CONFKEY_OTHER, .read = read_bind},
    {.name = "rootpath",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf, rootpath),
     .text = "",
     .empty_ok = true,
     .check = check_path},
    {.name = "rundir",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf, rundir),
     .text = "run",
     .check = check_path},
    {.name = "environ",
     .type = CONFKEY_TEXT,
     .offset = offsetof(struct conf, environ),
     .text = "",
     .empty_ok = true,
     .check = confsvrs_check_environ},
    {.name = "clog", .type = CONFKEY_OBJECT, .offset = offsetof(struct conf, clog), .sub = &clog_table},
    {.name = "log", .type = CONFKEY_OBJECT, .offset = offsetof(struct conf, log), .sub = &log_table},
    {.name = "auth",
     .type = CONFKEY_WORD,
     .offset = offsetof(struct conf, auth),
     .words = auth_words,
     .number = CONF_AUTH_LOCAL},
    {.name = "probe",
     .type = CONFKEY_WORD,
     .offset = offsetof(struct conf, probe),
     .words = probe_words,
     .number = CONF_PROBE_SIGNAL},
    {.name = "http", .type = CONFKEY_OBJECT, .offset = offsetof(struct conf, http), .sub = &http_table},
    {.name = "tls", .type = CONFKEY_OTHER, .read = read_tls},
    {.name = "lua", .type = CONFKEY_OBJECT, .offset = offsetof(struct conf, lua), .sub = &lua_table},
    {.name = "vars", .type = CONFKEY_JSON, .offset = offsetof(struct conf, vars)},
    {.name = "svrs", .type = CONFKEY_OTHER, .read = confsvrs_read},
};
static const struct confkeys env_table = {env_keys, ARRAY_LEN(env_keys)};

bool confkeys_read(struct confcheck *c)
{
    if (!confcheck_read(c, &env_table, c->conf) || (!c->conf->bind && !default_bind(c)))
        return false;
    if ((c->conf->clog.mode & CONF_CLOG_COLLECTOR) && !c->conf->clog.addr)
        buf_adds(&c->warnings, "clog.mode asks for the collector, but there is no clog.addr: the log goes to stderr\n");
    return true;
}
