/* A plan as text: in short, in full, and for programs. */
#include "reconf.h"

#include "utf8.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 100 /* bytes of a value, for people */

/* ---- values */

static void add_text(struct buf *b, const char *text)
{
    buf_adds(b, text ? text : "");
}

static void add_list(struct buf *b, char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        buf_addf(b, "%s%s", i ? " " : "", list[i]);
}

static void add_seconds(struct buf *b, int64_t ms)
{
    buf_addf(b, "%g s", (double)ms / 1000);
}

static void add_field(struct buf *b, const struct conf_service *s, unsigned field)
{
    switch (field) {
    case CONF_FIELD_CMD:
        add_text(b, s->cmd);
        break;
    case CONF_FIELD_DIR:
        add_text(b, s->dir);
        break;
    case CONF_FIELD_ENVIRON:
        add_text(b, s->environ);
        break;
    case CONF_FIELD_ENV:
        add_list(b, s->env);
        break;
    case CONF_FIELD_USER:
        add_text(b, s->user);
        break;
    case CONF_FIELD_GROUP:
        add_text(b, s->group);
        break;
    case CONF_FIELD_UMASK:
        if (s->umask >= 0)
            buf_addf(b, "%03o", (unsigned)s->umask);
        break;
    case CONF_FIELD_AUTOSTART:
        add_text(b, s->autostart ? "true" : "false");
        break;
    case CONF_FIELD_ESSENTIAL:
        add_text(b, s->essential ? "true" : "false");
        break;
    case CONF_FIELD_POLICY:
        buf_addf(b, "%s%s%s", s->policy ? s->policy : "core", s->policy_params ? " " : "",
                 s->policy_params ? s->policy_params : "");
        break;
    case CONF_FIELD_STOP:
        buf_addf(b, "%s to the %s, KILL after ", conf_signal_name(s->stop.signal) + 3,
                 s->stop.scope == CONF_SCOPE_GROUP ? "group" : "parent");
        add_seconds(b, s->stop.timeout_ms);
        break;
    case CONF_FIELD_GRACEFUL:
        buf_addf(b, "%s, within ", conf_signal_name(s->graceful.signal) + 3);
        add_seconds(b, s->graceful.timeout_ms);
        break;
    case CONF_FIELD_LOG:
        add_text(b, s->log);
        break;
    case CONF_FIELD_VARS:
        add_text(b, s->vars);
        break;
    default:
        break;
    }
}

static void add_limits(struct buf *b, const struct conf_http *h)
{
    buf_addf(b, "idle_timeout %d, backlog_kb %d, body_kb %d, header_kb %d, max_connections %d, max_per_client %d",
             h->idle_timeout, h->backlog_kb, h->body_kb, h->header_kb, h->max_connections, h->max_per_client);
}

static void add_setting(struct buf *b, const struct conf *c, unsigned setting)
{
    static const char *const auths[] = {
        [CONF_AUTH_LOCAL] = "local", [CONF_AUTH_TOKEN] = "token", [CONF_AUTH_OPEN] = "open"};
    switch (setting) {
    case RECONF_LISTEN:
        add_list(b, c->bind);
        buf_addf(b, " port %d", c->port);
        break;
    case RECONF_ROOTPATH:
        add_text(b, c->rootpath);
        break;
    case RECONF_ENVIRON:
        add_text(b, c->environ);
        break;
    case RECONF_CLOG:
        buf_addf(b, "name %s, addr %s, mode %d, level %d", c->clog.name, c->clog.addr ? c->clog.addr : "none",
                 c->clog.mode, c->clog.level);
        break;
    case RECONF_LOG:
        buf_addf(b, "keep_days %d, max_size %lld, day %s", c->log.keep_days, (long long)c->log.max_size, c->log.day);
        break;
    case RECONF_AUTH:
        add_text(b, auths[c->auth]);
        break;
    case RECONF_LUA:
        buf_addf(b, "budget_ms %d, memory_mb %d, autoreload %s", c->lua.budget_ms, c->lua.memory_mb,
                 c->lua.autoreload ? "true" : "false");
        break;
    case RECONF_VARS:
        add_text(b, c->vars);
        break;
    case RECONF_HTTP:
        add_limits(b, &c->http);
        break;
    case RECONF_TLS:
        if (c->tls.cert)
            buf_addf(b, "cert %s, key %s", c->tls.cert, c->tls.key);
        break;
    case RECONF_RUNDIR:
        add_text(b, c->rundir);
        break;
    case RECONF_PROBE:
        add_text(b, c->probe == CONF_PROBE_PIDFD ? "pidfd" : "signal");
        break;
    default:
        break;
    }
}

/* What a setting is called: by people, and in JSON. */
static const struct {
    const char *name, *key, *note;
} settings[] = {
    {"port or bind", "listen", ""},
    {"rootpath", "rootpath", ""},
    {"environ", "environ", ""},
    {"clog", "clog", ""},
    {"log", "log", ""},
    {"auth", "auth", ""},
    {"lua", "lua", ""},
    {"vars", "vars", ""},
    {"http", "http", ""},
    {"tls", "tls", ""},
    {"rundir", "rundir", " (takes effect when the monitor is started again)"},
    {"probe", "probe", ""},
};

static const char *const kinds[] = {
    [RECONF_ADDED] = "added", [RECONF_REMOVED] = "removed", [RECONF_CHANGED] = "changed"};

/* ---- in short */

static void print_fields(struct buf *b, const struct reconf_item *it)
{
    const char *between = ": ";
    for (unsigned f = 1; f && f <= it->fields; f <<= 1)
        if (it->fields & f) {
            buf_addf(b, "%s%s", between, conf_field_name((enum conf_field)f));
            between = ", ";
        }
}

void reconf_print(struct buf *b, const struct reconf *r)
{
    for (size_t i = 0; i < r->nitems; i++) {
        const struct reconf_item *it = &r->items[i];
        buf_addf(b, "%s: %s", kinds[it->kind], it->name);
        print_fields(b, it);
        buf_adds(b, it->restart ? " (restart)\n" : "\n");
    }
    const char *between = "changed: ";
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (r->settings & 1U << i) {
            buf_addf(b, "%s%s%s", between, settings[i].name, settings[i].note);
            between = ", ";
        }
    if (r->settings)
        buf_addc(b, '\n');
}

/* ---- in full */

/* In the order in which one wants to know. */
enum effect { EFFECT_STOP, EFFECT_RESTART, EFFECT_START, EFFECT_NONE, EFFECTS };

static enum effect effect_of(const struct reconf_item *it)
{
    if (it->kind == RECONF_ADDED && it->after->autostart)
        return EFFECT_START;
    return it->stop ? EFFECT_STOP : it->restart ? EFFECT_RESTART : EFFECT_NONE;
}

static const char *const effects[EFFECTS] = {
    [EFFECT_STOP] = "stop", [EFFECT_RESTART] = "restart", [EFFECT_START] = "start", [EFFECT_NONE] = "none"};

static void add_value(struct buf *b, const struct buf *value)
{
    if (!value->len) {
        buf_adds(b, "(none)");
        return;
    }
    size_t len = utf8_cut(value->data, value->len, SHOWN_MAX);
    buf_add_jsonn(b, value->data, len);
    buf_adds(b, len < value->len ? "..." : "");
}

/* ": "a" -> "b"". The same twice: a service takes it from the env, where it has changed. */
static void add_change(struct buf *b, const struct buf *from, const struct buf *to)
{
    buf_adds(b, ": ");
    if (!strcmp(buf_str(from), buf_str(to))) {
        buf_adds(b, "by rootpath or environ of the env\n");
        return;
    }
    add_value(b, from);
    buf_adds(b, " -> ");
    add_value(b, to);
    buf_addc(b, '\n');
}

static void explain_item(struct buf *b, const struct reconf_item *it)
{
    static const char *const notes[EFFECTS] = {
        [EFFECT_STOP] = " (stop)", [EFFECT_RESTART] = " (restart)", [EFFECT_START] = " (start)", [EFFECT_NONE] = ""};
    bool off = it->kind == RECONF_ADDED && !it->after->autostart;
    struct buf from = {0}, to = {0};
    buf_addf(b, "%s: %s%s\n", kinds[it->kind], it->name, off ? " (autostart is false)" : notes[effect_of(it)]);
    if (it->kind == RECONF_ADDED)
        buf_addf(b, "    cmd: %s\n", it->after->cmd);
    for (unsigned f = 1; f && f <= it->fields; f <<= 1)
        if (it->fields & f) {
            buf_clear(&from);
            buf_clear(&to);
            add_field(&from, it->before, f);
            add_field(&to, it->after, f);
            buf_addf(b, "    %s", conf_field_name((enum conf_field)f));
            add_change(b, &from, &to);
        }
    buf_fini(&from);
    buf_fini(&to);
}

static void explain_settings(struct buf *b, const struct reconf *r)
{
    struct buf from = {0}, to = {0};
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (r->settings & 1U << i) {
            buf_clear(&from);
            buf_clear(&to);
            add_setting(&from, r->before, 1U << i);
            add_setting(&to, r->after, 1U << i);
            buf_addf(b, "changed: %s%s", settings[i].name, settings[i].note);
            add_change(b, &from, &to);
        }
    buf_fini(&from);
    buf_fini(&to);
}

void reconf_count(struct buf *b, const struct reconf *r)
{
    static const char *const verbs[EFFECTS] = {[EFFECT_STOP] = "to be stopped",
                                               [EFFECT_RESTART] = "to be restarted",
                                               [EFFECT_START] = "to be started",
                                               [EFFECT_NONE] = "without an effect now"};
    size_t counts[EFFECTS] = {0};
    buf_adds(b, "services:");
    for (size_t i = 0; i < r->nitems; i++)
        counts[effect_of(&r->items[i])]++;
    for (size_t e = 0; e < EFFECTS; e++)
        if (counts[e])
            buf_addf(b, " %zu %s,", counts[e], verbs[e]);
    buf_addf(b, " %zu to stay as they are\n", r->same);
}

void reconf_explain(struct buf *b, const struct reconf *r)
{
    for (size_t e = 0; e < EFFECTS; e++)
        for (size_t i = 0; i < r->nitems; i++)
            if (effect_of(&r->items[i]) == (enum effect)e)
                explain_item(b, &r->items[i]);
    explain_settings(b, r);
}

/* ---- for programs */

static void json_value(struct buf *b, const struct buf *value)
{
    if (value->len)
        buf_add_json(b, buf_str(value));
    else
        buf_adds(b, "null");
}

static void json_change(struct buf *b, const char *key, const struct buf *from, const struct buf *to, bool first)
{
    buf_addf(b, "%s{\"key\":\"%s\",\"from\":", first ? "" : ",", key);
    json_value(b, from);
    buf_adds(b, ",\"to\":");
    json_value(b, to);
    buf_addc(b, '}');
}

static void json_item(struct buf *b, const struct reconf_item *it)
{
    bool first = true;
    buf_adds(b, "{\"name\":");
    buf_add_json(b, it->name);
    buf_addf(b, ",\"change\":\"%s\",\"action\":\"%s\",\"changes\":[", kinds[it->kind], effects[effect_of(it)]);
    for (unsigned f = 1; f && f <= it->fields; f <<= 1)
        if (it->fields & f) {
            struct buf from = {0}, to = {0};
            add_field(&from, it->before, f);
            add_field(&to, it->after, f);
            json_change(b, conf_field_name((enum conf_field)f), &from, &to, first);
            first = false;
            buf_fini(&from);
            buf_fini(&to);
        }
    buf_adds(b, "]}");
}

void reconf_json(struct buf *b, const struct reconf *r)
{
    bool first = true;
    buf_adds(b, "\"services\":[");
    for (size_t i = 0; i < r->nitems; i++) {
        buf_adds(b, i ? "," : "");
        json_item(b, &r->items[i]);
    }
    buf_adds(b, "],\"settings\":[");
    for (size_t i = 0; i < ARRAY_LEN(settings); i++)
        if (r->settings & 1U << i) {
            struct buf from = {0}, to = {0};
            add_setting(&from, r->before, 1U << i);
            add_setting(&to, r->after, 1U << i);
            json_change(b, settings[i].key, &from, &to, first);
            first = false;
            buf_fini(&from);
            buf_fini(&to);
        }
    buf_addf(b, "],\"same\":%zu", r->same);
}
