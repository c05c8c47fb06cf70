#include "request.h"

#include "guard.h"
#include "near.h"
#include "scripted.h"
#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS 60000
#define TIMEOUT_MAX_S (7 * 24 * 3600)
#define HINT_MAX 200
#define TIMEOUT_SLACK_MS 20000 /* beyond the longest stop timeout of the services concerned */

const char *request_arg(const struct request *r, const char *key)
{
    for (size_t i = 0; i < r->nargs; i++)
        if (!strcmp(r->args[i].key, key))
            return r->args[i].value;
    return NULL;
}

static void on_timeout(struct timer *t);

struct request *request_new(struct admin *admin, const char *who)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->admin = admin;
    r->timer.fire = on_timeout;
    r->who = strdup(who);
    admin->requests++;
    if (r->who)
        return r;
    free(r);
    return NULL;
}

/* Tells the command that nobody waits any more. */
static void cancel(struct request *r)
{
    void (*fn)(struct request *) = r->cancel;
    r->cancel = NULL;
    if (fn && !r->done)
        fn(r);
}

void request_free(struct request *r)
{
    if (!r)
        return;
    r->news = NULL;
    cancel(r);
    world_timer_clear(r->admin->mon->world, &r->timer);
    if (r->working) {
        request_slots_drop(r);
        r->done = r->orphaned = true;
        return;
    }
    request_slots_free(r);
    for (size_t i = 0; i < r->nargs; i++) {
        free(r->args[i].key);
        free(r->args[i].value);
    }
    free(r->bad.text);
    free(r->hint);
    free(r->service_text);
    free(r->who);
    buf_fini(&r->body);
    buf_fini(&r->members);
    command_let_go(r->table);
    free(r);
}

static void tell_news(struct request *r)
{
    if (r->news)
        r->news(r, r->arg);
}

/* Nobody will read the rest. */
static void cut(struct request *r)
{
    r->cut = true;
    buf_fini(&r->body);
}

void request_done(struct request *r, int status, int exit_code)
{
    if (r->done)
        return;
    if (r->body.failed && r->streamed) {
        cut(r);
    } else if (r->body.failed) {
        buf_fini(&r->body);
        status = 500;
        exit_code = EXIT_COMMAND;
        buf_adds(&r->body, "Error: out of memory\n");
    }
    r->status = r->streamed ? 200 : status;
    r->exit_code = exit_code;
    r->done = true;
    world_timer_clear(r->admin->mon->world, &r->timer);
    request_slots_drop(r);
    tell_news(r);
}

void request_fail(struct request *r, int status, int exit_code, const char *code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    if (r->done)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!r->streamed)
        buf_clear(&r->body);
    else if (r->open_line)
        buf_addc(&r->body, '\n');
    if (r->format == FORMAT_JSON) {
        buf_adds(&r->body, "{\"error\":{\"code\":");
        buf_add_json(&r->body, code);
        buf_adds(&r->body, ",\"message\":");
        buf_add_json(&r->body, text);
        buf_adds(&r->body, "}}\n");
    } else {
        buf_addf(&r->body, "Error: %s\n", text);
    }
    request_done(r, status, exit_code);
}

void request_hint(struct request *r, const char *fmt, ...)
{
    va_list ap;
    free(r->hint);
    va_start(ap, fmt);
    if (vasprintf(&r->hint, fmt, ap) < 0)
        r->hint = NULL;
    va_end(ap);
    for (char *p = r->hint; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    if (r->hint && strlen(r->hint) > HINT_MAX)
        r->hint[utf8_cut(r->hint, strlen(r->hint), HINT_MAX)] = 0;
}

void request_abort(struct request *r, int status, int exit_code, const char *code, const char *text)
{
    cancel(r);
    request_fail(r, status, exit_code, code, "%s", text);
}

bool request_number(struct request *r, const char *key, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *text = request_arg(r, key);
    char *end = NULL;
    if (!text)
        return true;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && !errno && n >= min && n <= max) {
        *out = n;
        return true;
    }
    request_fail(r, 400, EXIT_USAGE, "bad_argument", "%s: must be a number from %" PRIu64 " to %" PRIu64 ", got \"%s\"",
                 key, min, max, text);
    return false;
}

/* ---- streams */

void request_write(struct request *r, const void *data, size_t len)
{
    if (r->done || r->cut || (len == 0 && r->streamed))
        return;
    r->streamed = true;
    if (r->body.len < (size_t)r->admin->mon->conf->http.backlog_kb * 1024)
        buf_add(&r->body, data, len);
    else
        r->body.failed = true;
    if (r->body.failed)
        cut(r);
    r->open_line = len > 0 && ((const char *)data)[len - 1] != '\n';
    tell_news(r);
}

size_t request_backlog(const struct request *r)
{
    return r->streamed ? r->body.len : 0;
}

size_t request_take(struct request *r, char *out, size_t max)
{
    size_t n = MIN(r->body.len, max);
    if (n == 0)
        return 0;
    memcpy(out, r->body.data, n);
    buf_drop(&r->body, n);
    if (!r->body.len && !r->done && r->drained)
        r->drained(r);
    return n;
}

void request_endless(struct request *r)
{
    if (!r->timeout_ms)
        world_timer_clear(r->admin->mon->world, &r->timer);
}

/* ---- parameters */

static bool no_memory(struct request *r)
{
    request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
    return false;
}

static void bad_parameter(struct request *r, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void bad_parameter(struct request *r, int status, const char *code, const char *fmt, ...)
{
    va_list ap;
    if (r->bad.text)
        return;
    va_start(ap, fmt);
    if (vasprintf(&r->bad.text, fmt, ap) < 0)
        r->bad.text = NULL;
    va_end(ap);
    r->bad.code = code;
    r->bad.status = status;
    r->bad.exit_code = status < 500 ? EXIT_USAGE : EXIT_COMMAND;
    if (!r->bad.text)
        no_memory(r);
}

static void set_format(struct request *r, const char *value)
{
    static const char *const names[] = {[FORMAT_TEXT] = "text", [FORMAT_TABLE] = "table", [FORMAT_JSON] = "json"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(value, names[i])) {
            r->format = (enum request_format)i;
            return;
        }
    bad_parameter(r, 400, "bad_argument", "format: must be text, table or json, got \"%s\"", value);
}

static void set_timeout(struct request *r, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end || !(seconds > 0) || seconds > TIMEOUT_MAX_S)
        bad_parameter(r, 400, "bad_argument",
                      "timeout: must be a number of seconds, more than 0 and up to %d, got \"%s\"", TIMEOUT_MAX_S,
                      value);
    else
        r->timeout_ms = (int64_t)ceil(seconds * 1000);
}

static void hint_command(struct request *r, const char *value)
{
    size_t len = strlen(value);
    unsigned best = near_limit(len);
    const struct command *c, *nearest = NULL;
    for (size_t i = 0; (c = command_at(r->admin, i)); i++) {
        unsigned d = near_distance(value, len, c->name, best);
        if (d <= best && d < len && (!nearest || d < best)) {
            nearest = c;
            best = d;
        }
    }
    if (nearest)
        request_hint(r, "Did you mean -%s?", nearest->name);
    else
        request_hint(r, "fota_monitor -h lists the commands.");
}

static void set_command(struct request *r, const char *value)
{
    command_let_go(r->table);
    r->table = NULL;
    r->command = command_find(r->admin, value, &r->table);
    command_hold(r->table);
    if (r->command)
        return;
    hint_command(r, value);
    bad_parameter(r, 404, "unknown_command", "command[%s] unknown; command=help lists them all", value);
}

static void set_service(struct request *r, const char *value)
{
    free(r->service_text);
    r->service_text = strdup(value);
    if (!r->service_text)
        no_memory(r);
}

static void add_arg(struct request *r, const char *key, const char *value)
{
    if (r->nargs == REQUEST_ARGS) {
        bad_parameter(r, 400, "bad_argument", "too many arguments");
        return;
    }
    char *k = strdup(key), *v = strdup(value);
    if (k && v) {
        r->args[r->nargs].key = k;
        r->args[r->nargs++].value = v;
        return;
    }
    free(k);
    free(v);
    no_memory(r);
}

void request_set(struct request *r, const char *key, const char *value)
{
    if (r->done)
        return;
    if (!strcmp(key, "_progress"))
        r->progress = !strcmp(value, "1");
    else if (key[0] == '_') /* what scripts add against caches */
        return;
    else if (!strcmp(key, "format"))
        set_format(r, value);
    else if (!strcmp(key, "timeout"))
        set_timeout(r, value);
    else if (!strcmp(key, "command"))
        set_command(r, value);
    else if (!strcmp(key, "service"))
        set_service(r, value);
    else
        add_arg(r, key, value);
}

void request_set_bad(struct request *r, const char *why)
{
    bad_parameter(r, 400, "bad_argument", "%s", why);
}

static bool check_args(struct request *r)
{
    for (size_t i = 0; i < r->nargs && !r->command->any_args; i++) {
        bool known = false;
        struct buf b = {0};
        for (const struct command_arg *a = r->command->args; a && a->name; a++) {
            known = known || !strcmp(a->name, r->args[i].key);
            buf_addf(&b, "%s, ", a->name);
        }
        if (!known)
            request_fail(r, 400, EXIT_USAGE, "bad_argument",
                         "command[%s] has no argument \"%s\"; it takes %sformat, timeout", r->command->name,
                         r->args[i].key, buf_str(&b));
        buf_fini(&b);
        if (!known)
            return false;
    }
    return true;
}

/* ---- running */

static void set_deadline(struct request *r)
{
    int64_t ms = r->timeout_ms;
    if (!ms) {
        ms = TIMEOUT_DEFAULT_MS;
        for (size_t i = 0; i < r->nslots; i++) {
            const struct conf_service *c = r->slots[i].service->conf;
            ms = MAX(ms, MAX(c->stop.timeout_ms, c->graceful.timeout_ms) + TIMEOUT_SLACK_MS);
        }
    }
    struct world *w = r->admin->mon->world;
    r->limit_ms = ms;
    if (timers_set(&w->timers, &r->timer, w->ops->mono_ms(w) + ms))
        no_memory(r);
}

static void on_timeout(struct timer *t)
{
    struct request *r = CONTAINER_OF(t, struct request, timer);
    char why[80];
    snprintf(why, sizeof why, "not done within %g s", (double)r->limit_ms / 1000);
    r->timed_out = true;
    cancel(r);
    if (!r->done && r->open)
        request_slots_expire(r, why);
    else
        request_fail(r, 504, EXIT_COMMAND, "timeout", "%s", why);
}

void request_run(struct request *r, void (*news)(struct request *r, void *arg), void *arg)
{
    if (!r->done && r->bad.text)
        request_fail(r, r->bad.status, r->bad.exit_code, r->bad.code, "%s", r->bad.text);
    if (!r->done && !r->command)
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "no command given; command=help lists them all");
    if (r->done || !check_args(r) || !request_slots_find(r))
        return;
    struct err err = {0};
    if (!scripted_authorize(r, &err)) {
        request_hint(r, "fm.authorize in the scripts decides that, whatever token is shown; "
                        "fota_monitor.sh restart reads them again.");
        guard_refuse(r, REFUSAL_SCRIPT, err.text);
        return;
    }
    if (r->command->changes && r->admin->mon->ending) {
        request_fail(r, 503, EXIT_UNREACHABLE, "shutdown", SERVICE_ENDING);
        return;
    }
    set_deadline(r);
    if (!r->done)
        r->command->run(r);
    if (!r->done && !r->open) /* a reload may take services away: from now on they go by their names */
        request_slots_drop(r);
    /* Only from now on: who calls looks at the request itself. */
    r->news = news;
    r->arg = arg;
}
