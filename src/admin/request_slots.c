/* The services of a request: which ones, and waiting for them. */
#include "request.h"

#include "near.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which services */

static bool no_memory(struct request *r)
{
    request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
    return false;
}

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

#define HINTED 3

struct hinted {
    const char *name;
    unsigned distance;
};

/* Puts it among the nearest ones, the nearest first. */
static void keep_nearest(struct hinted found[HINTED], struct hinted one)
{
    for (size_t i = 0; i < HINTED; i++)
        if (!found[i].name || one.distance < found[i].distance) {
            struct hinted next = found[i];
            found[i] = one;
            one = next;
            if (!one.name)
                return;
        }
}

/* Which services an unknown name may have been meant to be: mistyped, or the beginning of one. */
static void hint_services(struct request *r, const char *name)
{
    struct hinted found[HINTED] = {{NULL, 0}};
    const struct monitor *m = r->admin->mon;
    size_t len = strlen(name);
    unsigned limit = near_limit(len);
    struct buf b = {0};
    for (size_t i = 0; i < m->nsvcs; i++) {
        const char *known = m->svcs[i]->conf->name;
        unsigned d = near_distance(name, len, known, limit);
        bool begins = len > 1 && !strncmp(name, known, len);
        if ((d <= limit && d < len) || begins)
            keep_nearest(found, (struct hinted){known, d});
    }
    for (size_t i = 0; i < HINTED && found[i].name; i++)
        buf_addf(&b, "%s%s", i ? ", " : "", found[i].name);
    if (b.len)
        request_hint(r, "Did you mean %s?", buf_str(&b));
    else
        request_hint(r, "fota_monitor -status lists the services.");
    buf_fini(&b);
}

/* Every one must be known before anything is done to any. */
static bool add_names(struct request *r, char *list)
{
    for (char *name; (name = strsep(&list, ","));) {
        name += strspn(name, " ");
        for (size_t n = strlen(name); n > 0 && name[n - 1] == ' ';)
            name[--n] = 0;
        if (!*name)
            continue;
        struct service *s = monitor_find(r->admin->mon, name);
        if (!s) {
            hint_services(r, name);
            request_fail(r, 404, EXIT_USAGE, "unknown_service", "service[%s] not configured", name);
            return false;
        }
        if (!add_slot(r, s))
            return no_memory(r);
    }
    if (!r->nslots)
        request_fail(r, 400, EXIT_USAGE, "bad_argument", "service: there is no name in the list");
    return r->nslots > 0;
}

/* The list of names, which stays as it was given: it is logged. */
static bool named_services(struct request *r)
{
    size_t names = 1;
    for (const char *p = r->service_text; *p; p++)
        names += *p == ',';
    char *list = strdup(r->service_text);
    r->slots = list ? calloc(names, sizeof *r->slots) : NULL;
    bool ok = r->slots ? add_names(r, list) : no_memory(r);
    free(list);
    if (!ok)
        return false;
    qsort(r->slots, r->nslots, sizeof *r->slots, by_name);
    return true;
}

bool request_slots_find(struct request *r)
{
    const struct command *c = r->command;
    bool given = r->service_text && r->service_text[0];
    if (c->services == COMMAND_NO_SERVICE || c->services == COMMAND_ALL_SERVICES) {
        if (!given || !strcmp(r->service_text, "all"))
            return c->services == COMMAND_NO_SERVICE || all_services(r);
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

/* ---- commanding services, and waiting for them */

#define GONE "it is not configured any more"

static void add_json_slots(struct request *r, bool ok)
{
    struct buf *b = &r->body;
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
    buf_add(b, r->members.data, r->members.len);
    b->failed |= r->members.failed;
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

/* For who asked for it. Costs the others nothing. */
static void tell_progress(struct request *r)
{
    char line[48];
    if (!r->progress || r->done)
        return;
    if (r->told_len && r->body.len >= r->told_len) /* not taken yet: this one says more */
        r->body.len -= r->told_len;
    int len = snprintf(line, sizeof line, PROGRESS_MARK "%zu/%zu\n", r->settled, r->nslots);
    r->told_len = (size_t)len;
    request_write(r, line, r->told_len);
}

static void settle(struct request_slot *slot, const char *why)
{
    slot->settled = true;
    slot->request->settled++;
    slot->ok = !why;
    slot->pid = slot->service ? slot->service->proc.pid : 0;
    slot->why = why ? strdup(why) : NULL;
    slot->service = NULL;
}

static void close_slot(struct request_slot *slot, const char *why)
{
    struct request *r = slot->request;
    settle(slot, why);
    if (--r->open == 0)
        answer_slots(r, 500);
    else
        tell_progress(r);
}

static void on_wait(struct service_wait *w, struct service *s, const char *why)
{
    (void)s;
    close_slot(CONTAINER_OF(w, struct request_slot, wait), why);
}

/* It is the turn of this slot: the command, if there is one, then the wait for it. */
static void on_turn(struct order *o, struct service *s)
{
    struct request_slot *slot = CONTAINER_OF(o, struct request_slot, order);
    struct request *r = slot->request;
    struct err err = {0};
    bool ok = true;
    if (s && r->each) {
        /* In the service's own story: who asked for it. */
        uint64_t asked = monitor_note(s->mon, s, EVENT_COMMAND, 0, "%s asked for by %s", r->command->name, r->who);
        ok = r->each(s, asked, &err);
    }
    if (r->done)
        return;
    if (!s || !ok) {
        close_slot(slot, s ? err.text : GONE);
        return;
    }
    slot->service = s;
    slot->wait = (struct service_wait){.goal = r->goal, .done = on_wait};
    service_wait_add(s, &slot->wait);
}

static void open_slots(struct request *r, enum service_goal goal)
{
    r->goal = goal;
    r->open = 1; /* ours, so that services that are there already do not answer too early */
    if (r->nslots)
        tell_progress(r);
    for (size_t i = 0; i < r->nslots; i++) {
        struct request_slot *slot = &r->slots[i];
        struct service *s = monitor_find(r->admin->mon, slot->name);
        slot->service = NULL;
        slot->order.run = on_turn;
        r->open++;
        if (s && (r->each || s->orders))
            order_add(s, &slot->order);
        else
            on_turn(&slot->order, s);
    }
}

static void close_open(struct request *r)
{
    if (!r->done && --r->open == 0)
        answer_slots(r, 500);
}

void request_wait(struct request *r, enum service_goal goal)
{
    open_slots(r, goal);
    close_open(r);
}

static bool command_next(struct monitor_work *w)
{
    struct request *r = CONTAINER_OF(w, struct request, work);
    if (r->next < r->nslots && r->slots[r->next].order.service)
        order_settle(r->slots[r->next].order.service);
    if (++r->next < r->nslots)
        return true;
    r->working = false;
    if (r->orphaned)
        request_free(r);
    else
        close_open(r);
    return false;
}

void request_each(struct request *r, bool (*each)(struct service *s, uint64_t cause, struct err *err),
                  enum service_goal goal)
{
    r->each = each;
    r->working = true;
    r->work.step = command_next;
    open_slots(r, goal);
    monitor_do(r->admin->mon, &r->work);
}

/* A command that waits for its turn stays: it was asked for. */
static void take_back(struct request_slot *slot)
{
    if (slot->service)
        service_wait_remove(slot->service, &slot->wait);
    if (!slot->request->each)
        order_remove(&slot->order);
}

void request_slots_expire(struct request *r, const char *why)
{
    for (size_t i = 0; i < r->nslots; i++) {
        struct request_slot *slot = &r->slots[i];
        if (slot->settled)
            continue;
        char text[160];
        const struct service *s = slot->service ? slot->service : slot->order.service;
        snprintf(text, sizeof text, "%s; it is %s%s", why, s ? machine_state_name(s->state) : "gone",
                 s && service_hangs(s) ? ", and hangs in the kernel" : "");
        take_back(slot);
        settle(slot, text);
    }
    r->open = 0;
    answer_slots(r, 504);
}

void request_slots_drop(struct request *r)
{
    for (size_t i = 0; i < r->nslots; i++) {
        take_back(&r->slots[i]);
        r->slots[i].service = NULL;
    }
    r->open = 0;
}

void request_slots_free(struct request *r)
{
    request_slots_drop(r);
    for (size_t i = 0; i < r->nslots; i++) {
        free(r->slots[i].name);
        free(r->slots[i].why);
    }
    free(r->slots);
    r->slots = NULL;
    r->nslots = 0;
}
