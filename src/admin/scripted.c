#include "scripted.h"

#include "clog.h"
#include "script_call.h"
#include "scripts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG_MAX ((size_t)256 * 1024)        /* bytes its client has yet to take: then a command that writes waits */
#define JSON_TEXT_MAX ((size_t)4 * 1024 * 1024) /* what a command may write into one answer in JSON */

/* The commands of one generation of scripts, which it keeps alive. */
struct scripted {
    struct command_table table;
    struct scripts *scripts;
    size_t count;
    struct command *commands;
    const struct command **list;
};

/* ---- a run */

static bool on_write(void *arg, const char *text, size_t len)
{
    struct request *r = arg;
    if (r->format != FORMAT_JSON) {
        request_write(r, text, len);
        return true;
    }
    /* JSON is one value: the text is a part of it, and is kept until the end. */
    if (len > JSON_TEXT_MAX - r->members.len)
        return false;
    buf_add(&r->members, text, len);
    return true;
}

/* Before request_write would give the client up. */
static bool full(void *arg)
{
    const struct request *r = arg;
    return request_backlog(r) >= MIN(BACKLOG_MAX, (size_t)r->admin->mon->conf->http.backlog_kb * 1024 / 2);
}

/* {"ok":true,"text":what it wrote,"result":what it returned}; a table alone is the answer itself. */
static void add_json(struct request *r, const struct script_answer *a)
{
    struct buf written = r->members;
    r->members = (struct buf){0};
    size_t len = a->len;
    while (a->json && len && a->text[len - 1] == '\n')
        len--;
    if (a->json && !written.len) {
        buf_add(&r->body, a->text, len);
    } else {
        if (!a->json)
            buf_add(&written, a->text, a->len);
        buf_adds(&r->body, "{\"ok\":true,\"text\":");
        buf_add_jsonn(&r->body, buf_str(&written), written.len);
        if (a->json) {
            buf_adds(&r->body, ",\"result\":");
            buf_add(&r->body, a->text, len);
        }
        buf_addc(&r->body, '}');
    }
    buf_addc(&r->body, '\n');
    r->body.failed = r->body.failed || written.failed;
    buf_fini(&written);
}

static void answer(struct request *r, const struct script_answer *a)
{
    if (r->format == FORMAT_JSON) {
        add_json(r, a);
    } else {
        buf_add(&r->body, a->text, a->len);
        if (a->len && a->text[a->len - 1] != '\n')
            buf_addc(&r->body, '\n');
        if (!a->len && !r->streamed)
            buf_adds(&r->body, "SUCCESS\n");
    }
    request_done(r, 200, EXIT_OK);
}

static void on_done(void *arg, const struct script_answer *a)
{
    struct request *r = arg;
    r->data = NULL;
    r->cancel = NULL;
    switch (a->outcome) {
    case SCRIPT_DONE:
        answer(r, a);
        break;
    case SCRIPT_BAD:
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "command[%s]: %s", r->command->name, a->text);
        break;
    case SCRIPT_FAILED:
        request_fail(r, 500, EXIT_SERVICE, "failed", "%s", a->text);
        break;
    case SCRIPT_ERROR:
        request_fail(r, 500, EXIT_COMMAND, "script", "%s", a->text);
        break;
    }
}

static void on_cancel(struct request *r)
{
    if (r->data)
        script_call_cancel(r->data);
    r->data = NULL;
}

static void on_drained(struct request *r)
{
    if (r->data)
        script_call_drained(r->data);
}

static void make_ask(struct request *r, struct script_ask *ask, const char **names, const char **keys,
                     const char **values)
{
    for (size_t i = 0; i < r->nslots; i++)
        names[i] = r->slots[i].name;
    for (size_t i = 0; i < r->nargs; i++) {
        keys[i] = r->args[i].key;
        values[i] = r->args[i].value;
    }
    *ask = (struct script_ask){.command = r->command->name,
                               .services = names,
                               .nservices = r->nslots,
                               .keys = keys,
                               .values = values,
                               .nargs = r->nargs,
                               .who = r->who,
                               .peer = r->peer,
                               .principal = r->principal ? r->principal : "anyone",
                               .json = r->format == FORMAT_JSON};
}

static void run_scripted(struct request *r)
{
    static const struct script_call_ops ops = {.write = on_write, .full = full, .done = on_done};
    struct scripted *sc = CONTAINER_OF(r->table, struct scripted, table);
    const char *keys[REQUEST_ARGS], *values[REQUEST_ARGS];
    const char **names = calloc(r->nslots + 1, sizeof *names);
    struct script_ask ask;
    struct err err = {0};
    if (!names) {
        request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
        return;
    }
    if (r->command->changes) {
        monitor_note(r->admin->mon, NULL, EVENT_COMMAND, 0, "%s%s%s asked for by %s", r->command->name,
                     r->service_text ? " " : "", r->service_text ? r->service_text : "", r->who);
        clog_info("%s%s%s asked for by %s", r->command->name, r->service_text ? " " : "",
                  r->service_text ? r->service_text : "", r->who);
    }
    make_ask(r, &ask, names, keys, values);
    request_endless(r); /* a rolling restart takes as long as it takes */
    r->cancel = on_cancel;
    r->drained = on_drained;
    r->data = script_call_start(sc->scripts, &ask, &ops, r, &err);
    free(names);
    if (r->data)
        return;
    r->cancel = NULL;
    scripts_report(sc->scripts, r->command->name, &err);
    err.text[strcspn(err.text, "\n")] = 0;
    request_fail(r, 500, EXIT_COMMAND, "script", "%s", err.text);
}

/* ---- the table */

static void free_table(struct scripted *sc)
{
    for (size_t i = 0; i < sc->count; i++)
        free((void *)sc->commands[i].args);
    free(sc->commands);
    free(sc->list);
    free(sc);
}

static void on_unused(struct command_table *t)
{
    struct scripted *sc = CONTAINER_OF(t, struct scripted, table);
    struct scripts *scripts = sc->scripts;
    free_table(sc);
    scripts_drop(scripts);
}

static bool fill(struct command *c, const struct script_command *from)
{
    static const enum command_services services[] = {[SCRIPT_SERVICES_OPTIONAL] = COMMAND_ANY_SERVICES,
                                                     [SCRIPT_SERVICES_REQUIRED] = COMMAND_SERVICES,
                                                     [SCRIPT_SERVICES_NONE] = COMMAND_NO_SERVICE};
    struct command_arg *args = calloc(from->nargs + 1, sizeof *args);
    *c = (struct command){.name = from->name,
                          .help = from->help,
                          .services = services[from->services],
                          .changes = from->changes,
                          .args = args,
                          .run = run_scripted};
    for (size_t i = 0; args && i < from->nargs; i++)
        args[i] = (struct command_arg){.name = from->args[i].name, .help = from->args[i].help};
    return args;
}

int scripted_set(struct admin *admin, struct scripts *scripts)
{
    struct scripted *sc = NULL;
    bool ok = true;
    if (scripts) {
        sc = calloc(1, sizeof *sc);
        ok = sc && (sc->commands = calloc(scripts->ncommands + 1, sizeof *sc->commands)) &&
             (sc->list = calloc(scripts->ncommands + 1, sizeof *sc->list));
        for (size_t i = 0; ok && i < scripts->ncommands; i++) {
            sc->list[sc->count++] = &sc->commands[i];
            ok = fill(&sc->commands[i], &scripts->commands[i]);
        }
        if (!ok) {
            if (sc)
                free_table(sc);
            return -ENOMEM;
        }
        sc->scripts = scripts;
        sc->table = (struct command_table){.commands = sc->list, .count = sc->count, .unused = on_unused};
        scripts_hold(scripts);
    }
    admin->scripts = scripts;
    command_set_extra(admin, sc ? &sc->table : NULL);
    return 0;
}

bool scripted_authorize(struct request *r, struct err *err)
{
    struct scripts *scripts = r->admin->scripts;
    const char *keys[REQUEST_ARGS], *values[REQUEST_ARGS];
    struct script_ask ask;
    if (!scripts || !scripts->authorizes || r->command->open)
        return true;
    const char **names = calloc(r->nslots + 1, sizeof *names);
    if (!names)
        return err_nomem(err);
    make_ask(r, &ask, names, keys, values);
    bool granted = script_call_authorized(scripts, &ask, err);
    free(names);
    return granted;
}
