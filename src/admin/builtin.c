#include "builtin.h"

#include "clog.h"
#include "events.h"
#include "load.h"
#include "logs.h"
#include "metrics.h"
#include "recall.h"
#include "reconf.h"
#include "status.h"
#include "story.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 100000

static void log_command(const struct request *r)
{
    const char *names = r->service_text;
    clog_info("%s%s%s asked for by %s", r->command->name, names ? " " : "", names ? names : "", r->who);
}

static void run_status(struct request *r)
{
    bool all_up = status_render(r);
    request_done(r, 200, all_up ? EXIT_OK : EXIT_SERVICE);
}

static bool start(struct service *s, uint64_t cause, struct err *err)
{
    (void)err;
    service_start(s, cause);
    return true;
}

static bool stop(struct service *s, uint64_t cause, struct err *err)
{
    (void)err;
    service_stop(s, cause);
    return true;
}

static bool restart(struct service *s, uint64_t cause, struct err *err)
{
    (void)err;
    service_restart(s, cause);
    return true;
}

static void run_start(struct request *r)
{
    log_command(r);
    request_each(r, start, GOAL_UP);
}

static void run_stop(struct request *r)
{
    log_command(r);
    request_each(r, stop, GOAL_DOWN);
}

static void run_restart(struct request *r)
{
    log_command(r);
    request_each(r, restart, GOAL_UP);
}

static void run_grestart(struct request *r)
{
    log_command(r);
    request_each(r, service_grestart, GOAL_UP);
}

static void add_event_json(struct buf *b, const struct service *s, const struct event *e)
{
    struct buf text = {0};
    story_sentence(&text, e);
    event_json(b, s->conf->name, e);
    if (!b->failed) { /* the sentence joins the object */
        b->len--;
        buf_adds(b, ",\"sentence\":");
        buf_add_json(b, buf_str(&text));
        buf_addc(b, '}');
    }
    buf_fini(&text);
}

static void add_events_json(struct buf *b, const struct service *s, const struct event_ring *events, size_t lines)
{
    struct event_walk w = {0};
    size_t first = lines && lines < events->count ? events->count - lines : 0;
    buf_add_json(b, s->conf->name);
    buf_adds(b, ":[");
    for (size_t i = 0; event_ring_next(events, &w); i++) {
        if (i < first)
            continue;
        buf_adds(b, i == first ? "\n" : ",\n");
        add_event_json(b, s, &w.event);
    }
    buf_addc(b, ']');
}

/* What happened to the services that are asked about. */
static void recall_for(const struct request *r, struct recall *out)
{
    recall_open(out, r->admin->mon, r->nslots == 1 ? r->slots[0].service : NULL);
}

static void run_history(struct request *r)
{
    uint64_t lines = 0;
    if (!request_number(r, "lines", 1, LINES_MAX, &lines))
        return;
    struct recall past;
    recall_for(r, &past);
    bool json = r->format == FORMAT_JSON;
    buf_adds(&r->body, json ? "{\"services\":{" : "");
    for (size_t i = 0; i < r->nslots; i++) {
        const struct service *s = r->slots[i].service;
        if (json) {
            buf_adds(&r->body, i ? ",\n" : "");
            add_events_json(&r->body, s, recall_events(&past, s), lines);
            continue;
        }
        if (r->nslots > 1)
            buf_addf(&r->body, "%s%s:\n", i ? "\n" : "", s->conf->name);
        story_history(&r->body, recall_events(&past, s), lines);
    }
    recall_close(&past);
    buf_adds(&r->body, json ? "}}\n" : "");
    request_done(r, 200, EXIT_OK);
}

static void run_why(struct request *r)
{
    struct recall past;
    recall_for(r, &past);
    bool json = r->format == FORMAT_JSON;
    buf_adds(&r->body, json ? "{\"services\":{" : "");
    for (size_t i = 0; i < r->nslots; i++) {
        const struct service *s = r->slots[i].service;
        if (!json) {
            buf_adds(&r->body, i ? "\n" : "");
            story_why(&r->body, &past, s);
            continue;
        }
        struct buf text = {0};
        story_why(&text, &past, s);
        buf_adds(&r->body, i ? ",\n" : "");
        buf_add_json(&r->body, s->conf->name);
        buf_addf(&r->body, ":{\"state\":\"%s\",\"why\":", machine_state_name(s->state));
        buf_add_json(&r->body, buf_str(&text));
        buf_addc(&r->body, '}');
        buf_fini(&text);
    }
    recall_close(&past);
    buf_adds(&r->body, json ? "}}\n" : "");
    request_done(r, 200, EXIT_OK);
}

/* ---- reload */

/* Waits for the services that reload starts or restarts, as start and restart would. */
static bool wait_for_changed(struct request *r, const struct reconf *plan)
{
    r->slots = calloc(plan->nitems + 1, sizeof *r->slots);
    if (!r->slots)
        return false;
    for (size_t i = 0; i < plan->nitems; i++) {
        const struct reconf_item *it = &plan->items[i];
        struct service *s = it->kind == RECONF_REMOVED ? NULL : monitor_find(r->admin->mon, it->name);
        if (!s || !(it->restart || (it->kind == RECONF_ADDED && s->conf->autostart)))
            continue;
        struct request_slot *slot = &r->slots[r->nslots];
        *slot = (struct request_slot){.request = r, .service = s, .name = strdup(it->name)};
        if (!slot->name)
            return false;
        r->nslots++;
    }
    return true;
}

static bool is_dry(const struct request *r)
{
    const char *dry = request_arg(r, "dry-run");
    return dry && strcmp(dry, "0") != 0;
}

/* Lines "added: lua/x.lua" as a member. */
static void add_scripts_json(struct buf *b, const char *lines)
{
    const char *between = "";
    buf_adds(b, ",\"scripts\":[");
    for (const char *colon, *end; (colon = strchr(lines, ':')) && (end = strchr(colon, '\n')); lines = end + 1) {
        buf_addf(b, "%s{\"name\":", between);
        buf_add_jsonn(b, colon + 2, (size_t)(end - colon - 2));
        buf_addf(b, ",\"change\":\"%.*s\"}", (int)(colon - lines), lines);
        between = ",";
    }
    buf_addc(b, ']');
}

/* Goes before the outcome. In full when it is all that was asked for. */
static void add_plan(struct request *r, const struct reconf *plan, const struct scripts *next)
{
    const struct scripts *old = r->admin->scripts;
    struct buf *b = &r->members, files = {0};
    scriptfiles_changes(&files, old ? &old->files : NULL, next ? &next->files : NULL);
    bool nothing = !plan->nitems && !plan->settings && !files.len;
    if (r->format == FORMAT_JSON) {
        buf_adds(b, "\"plan\":{");
        reconf_json(b, plan);
        add_scripts_json(b, buf_str(&files));
        buf_adds(b, "},");
    } else if (nothing) {
        buf_adds(b, "nothing has changed\n");
    } else {
        (is_dry(r) ? reconf_explain : reconf_print)(b, plan);
        buf_adds(b, buf_str(&files));
        if (is_dry(r))
            reconf_count(b, plan);
    }
    b->failed |= files.failed;
    buf_fini(&files);
}

/* Makes the new world ours; on failure the old one stands, and *next is still the caller's. */
static bool apply(struct request *r, struct loaded *next, struct reconf *plan, struct err *err)
{
    struct admin *a = r->admin;
    if (!a->relisten(a->arg, next->conf, err)) /* nothing happens where nothing has changed */
        return false;
    uint64_t cause = monitor_note(a->mon, NULL, EVENT_COMMAND, 0, "reload asked for by %s", r->who);
    a->attach(a->arg, next->scripts);
    if (reconf_apply(a->mon, next->conf, plan, cause, err)) {
        next->conf = NULL;
        a->swap(a->arg, next->scripts);
        next->scripts = NULL;
        return true;
    }
    a->attach(a->arg, a->scripts);
    a->relisten(a->arg, a->mon->conf, NULL);
    return false;
}

/* The first line says what is wrong; a script's traceback follows. */
static void refuse(struct request *r, struct err *err)
{
    size_t first = strcspn(err->text, "\n");
    request_fail(r, 400, EXIT_USAGE, "configuration", "%.*s; nothing was changed%s", (int)first, err->text,
                 err->text + first);
}

static void show_plan(struct request *r)
{
    if (r->format == FORMAT_JSON) {
        request_wait(r, GOAL_UP); /* for nothing: nobody is started */
        return;
    }
    buf_add(&r->body, r->members.data, r->members.len);
    r->body.failed |= r->members.failed;
    request_done(r, 200, EXIT_OK);
}

static void carry_out(struct request *r, struct loaded *next, struct reconf *plan)
{
    struct err err = {0};
    log_command(r);
    if (!apply(r, next, plan, &err)) {
        refuse(r, &err);
        return;
    }
    r->admin->applied(r->admin->arg, r->admin->mon->conf);
    wait_for_changed(r, plan); /* without memory nobody waits, but it is done */
    request_wait(r, GOAL_UP);
}

static void run_reload(struct request *r)
{
    struct admin *a = r->admin;
    struct err err = {0};
    struct loaded next = {0};
    struct reconf plan = {0};
    if (!a->read(a->arg, &next, &err)) {
        refuse(r, &err);
        return;
    }
    if (reconf_plan(a->mon, next.conf, &plan)) {
        loaded_fini(&next);
        request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory; nothing was changed");
        return;
    }
    add_plan(r, &plan, next.scripts);
    if (is_dry(r))
        show_plan(r);
    else
        carry_out(r, &next, &plan);
    reconf_fini(&plan);
    loaded_fini(&next);
}

static void run_upgrade(struct request *r)
{
    log_command(r);
    monitor_note(r->admin->mon, NULL, EVENT_COMMAND, 0, "upgrade asked for by %s", r->who);
    r->admin->upgrade(r->admin->arg, r);
}

static void run_shutdown(struct request *r)
{
    r->admin->shutdown(r->admin->arg, r);
    request_wait(r, GOAL_DOWN);
}

/* ---- about itself */

static void run_version(struct request *r)
{
    if (r->format == FORMAT_JSON)
        buf_adds(&r->body, "{\"version\":\"" FM_VERSION "\"}\n");
    else
        buf_adds(&r->body, "fota_monitor " FM_VERSION "\n");
    request_done(r, 200, EXIT_OK);
}

static void add_arg_help(struct buf *b, const struct command_arg *a)
{
    buf_adds(b, a->help ? a->help : "");
    if (a->standard)
        buf_addf(b, "%s(%s)", a->help && a->help[0] ? " " : "", a->standard);
}

static void help_json(struct buf *b, const struct command *c)
{
    struct buf text = {0};
    buf_adds(b, "{\"name\":");
    buf_add_json(b, c->name);
    buf_adds(b, ",\"help\":");
    buf_add_json(b, c->help ? c->help : "");
    buf_addf(b, ",\"changes\":%s,\"service\":\"%s\",\"args\":{", c->changes ? "true" : "false",
             c->services == COMMAND_SERVICES       ? "required"
             : c->services == COMMAND_ANY_SERVICES ? "optional"
                                                   : "none");
    for (const struct command_arg *a = c->args; a && a->name; a++) {
        buf_clear(&text);
        add_arg_help(&text, a);
        buf_adds(b, a == c->args ? "" : ",");
        buf_add_json(b, a->name);
        buf_addc(b, ':');
        buf_add_json(b, buf_str(&text));
    }
    buf_adds(b, c->any_args ? "},\"any_args\":true}" : "}}");
    buf_fini(&text);
}

static void run_help(struct request *r)
{
    const struct command *c;
    bool json = r->format == FORMAT_JSON;
    buf_adds(&r->body, json ? "{\"commands\":[" : "");
    for (size_t i = 0; (c = command_at(r->admin, i)); i++) {
        if (json) {
            buf_adds(&r->body, i ? ",\n" : "");
            help_json(&r->body, c);
            continue;
        }
        buf_addf(&r->body, "%-10s %s\n", c->name, c->help ? c->help : "");
        for (const struct command_arg *a = c->args; a && a->name; a++) {
            buf_addf(&r->body, "%-10s   %s=", "", a->name);
            add_arg_help(&r->body, a);
            buf_addc(&r->body, '\n');
        }
    }
    buf_adds(&r->body, json ? "]}\n" : "");
    request_done(r, 200, EXIT_OK);
}

#define ARGS(...) ((const struct command_arg[]){__VA_ARGS__, {.name = NULL}})

const struct command builtin_commands[] = {
    {.name = "status",
     .help = "which services are up, and which are not",
     .services = COMMAND_ANY_SERVICES,
     .open = true,
     .run = run_status},
    {.name = "start",
     .help = "start services, and wait until they are up",
     .services = COMMAND_SERVICES,
     .changes = true,
     .run = run_start},
    {.name = "stop",
     .help = "stop services, and wait until they are down",
     .services = COMMAND_SERVICES,
     .changes = true,
     .run = run_stop},
    {.name = "restart",
     .help = "stop and start services, and wait until they are up again",
     .services = COMMAND_SERVICES,
     .changes = true,
     .run = run_restart},
    {.name = "grestart",
     .help = "restart services by their own means (graceful.signal), and wait",
     .services = COMMAND_SERVICES,
     .changes = true,
     .run = run_grestart},
    {.name = "history",
     .help = "what happened to services, newest last",
     .services = COMMAND_SERVICES,
     .args = ARGS({"lines", "no more than so many events of each", NULL}),
     .run = run_history},
    {.name = "log",
     .help = "the end of the console logs of services",
     .services = COMMAND_SERVICES,
     .args = ARGS({"lines", "how many lines of each", "20"}, {"follow", "1: go on with what is written", NULL}),
     .run = logs_run},
    {.name = "events",
     .help = "what happened, newest last, also before the monitor was started",
     .services = COMMAND_ANY_SERVICES,
     .args = ARGS({"kind", "only these kinds, a list", NULL}, {"lines", "how many of the last", "20"},
                  {"since", "all after the one of that number", NULL}, {"follow", "1: go on with what happens", NULL}),
     .run = events_run},
    {.name = "why", .help = "why services are in the state they are in", .services = COMMAND_SERVICES, .run = run_why},
    {.name = "metrics",
     .help = "figures about the monitor and its services, as Prometheus reads them",
     .services = COMMAND_NO_SERVICE,
     .open = true,
     .run = metrics_run},
    {.name = "reload",
     .help = "apply changed scripts and conf.json (dry-run=1: only show what would change)",
     .services = COMMAND_NO_SERVICE,
     .changes = true,
     .args = ARGS({"dry-run", "1: only show what would change", NULL}),
     .run = run_reload},
    {.name = "upgrade",
     .help = "become the program that is on the disk now; no service notices",
     .services = COMMAND_NO_SERVICE,
     .changes = true,
     .args = ARGS({"wait", "seconds that requests in hand get", "5"}),
     .run = run_upgrade},
    {.name = "shutdown",
     .help = "stop all services, each within its own timeout, then end the monitor",
     .services = COMMAND_ALL_SERVICES,
     .changes = true,
     .run = run_shutdown},
    {.name = "version",
     .help = "the version of the running monitor",
     .services = COMMAND_NO_SERVICE,
     .open = true,
     .run = run_version},
    {.name = "help", .help = "this list", .services = COMMAND_NO_SERVICE, .open = true, .run = run_help},
    {.name = NULL},
};
