#include "command.h"

#include "builtin.h"
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MS 60000
#define TIMEOUT_MAX_S (7 * 24 * 3600)
#define TIMEOUT_SLACK_MS 20000 /* beyond the longest stop timeout of the services concerned */

/* ---- the registry */

const struct command *command_at(const struct admin *admin, size_t i)
{
    for (size_t k = 0; builtin_commands[k].name; k++)
        if (i-- == 0)
            return &builtin_commands[k];
    return admin->extra && i < admin->extra->count ? admin->extra->commands[i] : NULL;
}

static const struct command *find_builtin(const char *name)
{
    for (size_t i = 0; builtin_commands[i].name; i++)
        if (!strcmp(builtin_commands[i].name, name))
            return &builtin_commands[i];
    return NULL;
}

static const struct command *find_extra(const struct command_table *t, const char *name)
{
    for (size_t i = 0; t && i < t->count; i++)
        if (!strcmp(t->commands[i]->name, name))
            return t->commands[i];
    return NULL;
}

const struct command *command_find(const struct admin *admin, const char *name)
{
    const struct command *c = find_builtin(name);
    return c ? c : find_extra(admin->extra, name);
}

bool command_is_reserved(const char *name)
{
    return find_builtin(name) || options_has(name);
}

static struct command_table *hold(struct command_table *t)
{
    if (t)
        t->holders++;
    return t;
}

static void let_go(struct command_table *t)
{
    if (t && --t->holders == 0 && t->unused)
        t->unused(t);
}

void command_set_extra(struct admin *admin, struct command_table *table)
{
    struct command_table *before = admin->extra;
    admin->extra = hold(table);
    let_go(before);
}

/* ---- a request's life */

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

static void drop_waits(struct request *r)
{
    for (size_t i = 0; i < r->nslots; i++) {
        if (r->slots[i].service)
            service_wait_remove(r->slots[i].service, &r->slots[i].wait);
        r->slots[i].service = NULL;
    }
}

void request_free(struct request *r)
{
    if (!r)
        return;
    world_timer_clear(r->admin->mon->world, &r->timer);
    drop_waits(r);
    for (size_t i = 0; i < r->nslots; i++) {
        free(r->slots[i].name);
        free(r->slots[i].why);
    }
    for (size_t i = 0; i < r->nargs; i++) {
        free(r->args[i].key);
        free(r->args[i].value);
    }
    free(r->slots);
    free(r->bad.text);
    free(r->service_text);
    free(r->who);
    buf_fini(&r->body);
    buf_fini(&r->members);
    let_go(r->table);
    free(r);
}

void request_done(struct request *r, int status, int exit_code)
{
    if (r->done)
        return;
    if (r->body.failed) {
        buf_fini(&r->body);
        status = 500;
        exit_code = EXIT_COMMAND;
        buf_adds(&r->body, "Error: out of memory\n");
    }
    r->status = status;
    r->exit_code = exit_code;
    r->done = true;
    world_timer_clear(r->admin->mon->world, &r->timer);
    drop_waits(r);
    if (r->finished)
        r->finished(r, r->arg);
}

void request_fail(struct request *r, int status, int exit_code, const char *code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_clear(&r->body);
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
        bad_parameter(r, 400, "bad_argument", "timeout: must be a number of seconds from 0 to %d, got \"%s\"",
                      TIMEOUT_MAX_S, value);
    else
        r->timeout_ms = (int64_t)ceil(seconds * 1000);
}

static void set_command(struct request *r, const char *value)
{
    let_go(r->table);
    r->table = NULL;
    r->command = command_find(r->admin, value);
    if (r->command && !find_builtin(value))
        r->table = hold(r->admin->extra);
    if (!r->command)
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
    if (r->done || key[0] == '_') /* what scripts add against caches */
        return;
    if (!strcmp(key, "format"))
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

/* ---- which services */

static bool add_slot(struct request *r, struct service *s)
{
    for (size_t i = 0; i < r->nslots; i++)
        if (r->slots[i].service == s) /* named twice */
            return true;
    struct request_slot *slot = &r->slots[r->nslots];
    *slot = (struct request_slot){.request = r, .service = s, .name = strdup(s->conf->name)};
    if (!slot->name)
        return false;
    r->nslots++;
    return true;
}

static bool all_services(struct request *r)
{
    struct monitor *m = r->admin->mon;
    r->slots = calloc(m->nsvcs + 1, sizeof *r->slots);
    if (!r->slots)
        return no_memory(r);
    for (size_t i = 0; i < m->nsvcs; i++) {
        r->slots[i] =
            (struct request_slot){.request = r, .service = m->svcs[i], .name = strdup(m->svcs[i]->conf->name)};
        r->nslots++;
        if (!r->slots[i].name)
            return no_memory(r);
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct request_slot *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The list of names; every one must be known before anything is done to any. */
static bool named_services(struct request *r)
{
    size_t names = 1;
    for (const char *p = r->service_text; *p; p++)
        names += *p == ',';
    r->slots = calloc(names, sizeof *r->slots);
    if (!r->slots)
        return no_memory(r);
    char *rest = r->service_text;
    for (char *name; (name = strsep(&rest, ","));) {
        name += strspn(name, " ");
        for (size_t n = strlen(name); n > 0 && name[n - 1] == ' ';)
            name[--n] = 0;
        if (!*name)
            continue;
        struct service *s = monitor_find(r->admin->mon, name);
        if (!s) {
            request_fail(r, 404, EXIT_USAGE, "unknown_service", "service[%s] not configured", name);
            return false;
        }
        if (!add_slot(r, s))
            return no_memory(r);
    }
    if (!r->nslots)
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "service: there is no name in the list");
    qsort(r->slots, r->nslots, sizeof *r->slots, by_name);
    return r->nslots > 0;
}

static bool find_services(struct request *r)
{
    const struct command *c = r->command;
    bool given = r->service_text && r->service_text[0];
    if (c->services == COMMAND_NO_SERVICE) {
        if (!given || !strcmp(r->service_text, "all"))
            return true;
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "command[%s] takes no service", c->name);
        return false;
    }
    if (!given && c->services == COMMAND_SERVICES) {
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "command[%s] needs a service: a name, a list a,b, or all",
                     c->name);
        return false;
    }
    return !given || !strcmp(r->service_text, "all") ? all_services(r) : named_services(r);
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
            const struct conf_service *c = r->slots[i].service ? r->slots[i].service->conf : NULL;
            if (c)
                ms = MAX(ms, MAX(c->stop.timeout_ms, c->graceful.timeout_ms) + TIMEOUT_SLACK_MS);
        }
    }
    r->timeout_ms = ms;
    struct world *w = r->admin->mon->world;
    if (timers_set(&w->timers, &r->timer, w->ops->mono_ms(w) + ms))
        no_memory(r);
}

void request_run(struct request *r, void (*finished)(struct request *r, void *arg), void *arg)
{
    if (!r->done && r->bad.text)
        request_fail(r, r->bad.status, r->bad.exit_code, r->bad.code, "%s", r->bad.text);
    if (!r->done && !r->command)
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "no command given; command=help lists them all");
    if (r->done || !check_args(r) || !find_services(r))
        return;
    set_deadline(r);
    if (!r->done)
        r->command->run(r);
    /* Only from now on: who calls looks at r->done itself. */
    r->finished = finished;
    r->arg = arg;
}

/* ---- waiting for services */

static void add_json_slots(struct request *r, bool ok)
{
    struct buf *b = &r->body;
    buf_clear(b);
    buf_addf(b, "{\"ok\":%s,%s\"services\":{", ok ? "true" : "false", buf_str(&r->members));
    for (size_t i = 0; i < r->nslots; i++) {
        const struct request_slot *s = &r->slots[i];
        buf_adds(b, i ? "," : "");
        buf_add_json(b, s->name);
        buf_addf(b, ":{\"ok\":%s", s->ok ? "true" : "false");
        if (s->pid)
            buf_addf(b, ",\"pid\":%d", s->pid);
        if (s->why) {
            buf_adds(b, ",\"error\":");
            buf_add_json(b, s->why);
        }
        buf_addc(b, '}');
    }
    buf_adds(b, "}}\n");
}

static void add_text_slots(struct request *r, bool ok)
{
    struct buf *b = &r->body;
    if (ok) {
        buf_adds(b, "SUCCESS\n");
        return;
    }
    const char *between = "FAIL: ";
    for (size_t i = 0; i < r->nslots; i++)
        if (!r->slots[i].ok) {
            buf_addf(b, "%s%s", between, r->slots[i].name);
            between = ", ";
        }
    buf_addc(b, '\n');
    for (size_t i = 0; i < r->nslots; i++)
        if (!r->slots[i].ok)
            buf_addf(b, "%s: %s\n", r->slots[i].name, r->slots[i].why ? r->slots[i].why : "failed");
}

static void answer_slots(struct request *r, int failed_status)
{
    bool ok = true;
    for (size_t i = 0; i < r->nslots; i++)
        ok = ok && r->slots[i].ok;
    if (r->format == FORMAT_JSON)
        add_json_slots(r, ok);
    else
        add_text_slots(r, ok);
    request_done(r, ok ? 200 : failed_status, ok ? EXIT_OK : EXIT_SERVICE);
}

static void settle(struct request_slot *slot, bool ok, const char *why)
{
    slot->ok = ok;
    slot->pid = slot->service ? slot->service->proc.pid : 0;
    slot->why = why ? strdup(why) : NULL;
    slot->service = NULL;
}

static void on_wait(struct service_wait *w, struct service *s, const char *why)
{
    (void)s;
    struct request_slot *slot = CONTAINER_OF(w, struct request_slot, wait);
    settle(slot, !why, why);
    if (--slot->request->open == 0)
        answer_slots(slot->request, 500);
}

void request_slot_fail(struct request_slot *slot, const char *why)
{
    settle(slot, false, why);
}

void request_wait(struct request *r, enum service_goal goal)
{
    r->open = 1; /* ours, so that services that are there already do not answer too early */
    for (size_t i = 0; i < r->nslots; i++) {
        struct request_slot *slot = &r->slots[i];
        if (!slot->service)
            continue;
        r->open++;
        slot->wait = (struct service_wait){.goal = goal, .done = on_wait};
        service_wait_add(slot->service, &slot->wait);
    }
    if (--r->open == 0)
        answer_slots(r, 500);
}

static void on_timeout(struct timer *t)
{
    struct request *r = CONTAINER_OF(t, struct request, timer);
    char why[80];
    snprintf(why, sizeof why, "not done within %g s", (double)r->timeout_ms / 1000);
    for (size_t i = 0; i < r->nslots; i++) {
        struct request_slot *slot = &r->slots[i];
        if (!slot->service)
            continue;
        char text[160];
        snprintf(text, sizeof text, "%s; it is %s", why, machine_state_name(slot->service->state));
        service_wait_remove(slot->service, &slot->wait);
        settle(slot, false, text);
    }
    answer_slots(r, 504);
}
