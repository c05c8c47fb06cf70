#include "events.h"

#include "event_reader.h"
#include "story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_DEFAULT 20
#define LINES_MAX 1000000
#define ALIVE_MS 15000 /* so often those who hear nothing are told that we are there */
#define SSE_HELLO "retry: 1000\n\n"

/* Somebody who wants to hear of events: the data of a request. */
struct follower {
    struct follower *next;
    struct request *request;
    uint32_t kinds; /* bits of enum event_kind */
    bool follow;    /* goes on when everything was read */
    bool live;      /* told of each event as it is emitted */
    uint64_t last;  /* number of the last event seen; 0: none yet, and nothing is missed before the first */
    /* until it is live: */
    struct event_reader reader;
    bool looking_back;
    size_t lines; /* still to be found */
    struct timer step;
    struct buf out;
};

/* All who follow; there as long as there is one. */
struct events {
    struct admin *admin;
    struct event_listener listener;
    struct follower *followers;
    struct timer alive;
    struct buf frames[FORMATS]; /* of the event being told, made when first asked for */
};

/* ---- frames */

static void add_frame(struct buf *b, enum request_format format, const char *service, const struct event *e)
{
    if (format == FORMAT_SSE)
        buf_addf(b, "id: %" PRIu64 "\ndata: ", e->seq);
    if (format == FORMAT_TEXT || format == FORMAT_TABLE)
        story_line(b, service, e);
    else
        event_json(b, service, e);
    if (format == FORMAT_SSE)
        buf_adds(b, "\n\n");
    else if (format == FORMAT_JSON)
        buf_addc(b, '\n');
}

static void add_missing(struct buf *b, enum request_format format, uint64_t from, uint64_t to)
{
    if (format == FORMAT_TEXT || format == FORMAT_TABLE)
        buf_addf(b, "(events %" PRIu64 " to %" PRIu64 " are not there any more)\n", from, to);
    else if (format == FORMAT_SSE)
        buf_addf(b, "event: missing\ndata: {\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}\n\n", from, to);
    else
        buf_addf(b, "{\"missing\":{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}\n", from, to);
}

/* ---- who hears what */

static bool is_wanted(const struct follower *f, const char *service, const struct event *e)
{
    const struct request *r = f->request;
    if (!(f->kinds & 1U << e->kind))
        return false;
    bool found = r->nslots == 0;
    for (size_t i = 0; i < r->nslots && !found; i++)
        found = service && !strcmp(r->slots[i].name, service);
    return found;
}

static void on_event(struct event_listener *l, const char *service, const struct event *e)
{
    struct events *es = CONTAINER_OF(l, struct events, listener);
    for (size_t i = 0; i < ARRAY_LEN(es->frames); i++)
        buf_clear(&es->frames[i]);
    for (struct follower *f = es->followers; f; f = f->next) {
        if (!f->live || e->seq <= f->last)
            continue;
        f->last = e->seq;
        if (!is_wanted(f, service, e))
            continue;
        struct buf *frame = &es->frames[f->request->format];
        if (!frame->len)
            add_frame(frame, f->request->format, service, e);
        request_write(f->request, frame->data, frame->len);
    }
}

static void on_alive(struct timer *t)
{
    static const char note[] = ":\n\n";
    struct events *es = CONTAINER_OF(t, struct events, alive);
    for (struct follower *f = es->followers; f; f = f->next)
        if (f->live && f->request->format == FORMAT_SSE && !request_backlog(f->request))
            request_write(f->request, note, sizeof note - 1);
    world_timer_set(es->admin->mon->world, t, ALIVE_MS);
}

static struct events *events_of(struct admin *admin)
{
    if (admin->events)
        return admin->events;
    struct world *w = admin->mon->world;
    struct events *es = calloc(1, sizeof *es);
    if (!es)
        return NULL;
    *es = (struct events){.admin = admin, .listener.event = on_event, .alive.fire = on_alive};
    if (timers_set(&w->timers, &es->alive, w->ops->mono_ms(w) + ALIVE_MS)) {
        free(es);
        return NULL;
    }
    event_listen(&admin->mon->journal, &es->listener);
    return admin->events = es;
}

/* Nobody follows any more. */
static void events_free(struct events *es)
{
    event_unlisten(&es->admin->mon->journal, &es->listener);
    world_timer_clear(es->admin->mon->world, &es->alive);
    for (size_t i = 0; i < ARRAY_LEN(es->frames); i++)
        buf_fini(&es->frames[i]);
    es->admin->events = NULL;
    free(es);
}

/* ---- catching up */

static bool step_soon(struct follower *f)
{
    struct world *w = f->request->admin->mon->world;
    return !timers_set(&w->timers, &f->step, w->ops->mono_ms(w) + 1); /* not in this turn of the loop */
}

static void follower_free(struct follower *f)
{
    struct events *es = f->request->admin->events;
    for (struct follower **p = &es->followers; *p; p = &(*p)->next)
        if (*p == f) {
            *p = f->next;
            break;
        }
    world_timer_clear(es->admin->mon->world, &f->step);
    event_reader_close(&f->reader);
    buf_fini(&f->out);
    f->request->cancel = f->request->drained = NULL;
    free(f);
    if (!es->followers)
        events_free(es);
}

static bool is_wanted_line(void *arg, const char *line, size_t len)
{
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    return event_line_parse(line, len, &e, service) && is_wanted(arg, service[0] ? service : NULL, &e);
}

static void on_line(void *arg, const char *line, size_t len)
{
    struct follower *f = arg;
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    if (!event_line_parse(line, len, &e, service))
        return;
    if (f->last && e.seq > f->last + 1)
        add_missing(&f->out, f->request->format, f->last + 1, e.seq - 1);
    f->last = e.seq;
    if (is_wanted(f, service[0] ? service : NULL, &e))
        add_frame(&f->out, f->request->format, service[0] ? service : NULL, &e);
}

static void out_of_memory(struct request *r)
{
    request_abort(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
}

static void go_live(struct follower *f)
{
    f->live = true;
    f->last = f->reader.last;
    f->request->drained = NULL;
    event_reader_close(&f->reader);
    buf_fini(&f->out);
}

static void read_on(struct follower *f)
{
    struct request *r = f->request;
    bool more = event_reader_read(&f->reader, on_line, f);
    if (f->out.failed) {
        out_of_memory(r);
        return;
    }
    request_write(r, buf_str(&f->out), f->out.len);
    buf_clear(&f->out);
    if (!more && f->follow) {
        go_live(f);
    } else if (!more) {
        follower_free(f);
        request_done(r, 200, EXIT_OK);
    } else if (!request_backlog(r) && !step_soon(f)) { /* else when it is drained */
        out_of_memory(r);
    }
}

/* A little at a time: others want to be served too, and the client to take what there is. */
static void on_step(struct timer *t)
{
    struct follower *f = CONTAINER_OF(t, struct follower, step);
    if (!f->looking_back) {
        read_on(f);
        return;
    }
    f->looking_back = event_reader_back(&f->reader, &f->lines, is_wanted_line, f);
    f->last = f->reader.last;
    if (!step_soon(f))
        out_of_memory(f->request);
}

static void on_drained(struct request *r)
{
    if (!step_soon(r->data))
        out_of_memory(r);
}

/* The time that was given for following is over, or nobody hears us any more. */
static void on_cancel(struct request *r)
{
    bool ends_well = r->format == FORMAT_SSE || (r->timed_out && ((struct follower *)r->data)->follow);
    follower_free(r->data);
    if (ends_well)
        request_done(r, 200, EXIT_OK);
}

/* ---- what is asked */

static bool bad_kind(struct request *r, const char *name)
{
    struct buf known = {0};
    for (int i = 0; i < EVENT_KINDS; i++)
        buf_addf(&known, "%s%s", i ? ", " : "", event_kind_name((enum event_kind)i));
    request_fail(r, 400, EXIT_USAGE, "bad_argument", "kind: there is no kind \"%s\" of events; known are %s", name,
                 buf_str(&known));
    buf_fini(&known);
    return false;
}

static bool kinds_arg(struct request *r, uint32_t *out)
{
    const char *text = request_arg(r, "kind");
    *out = UINT32_MAX;
    if (!text)
        return true;
    *out = 0;
    while (*text) {
        char name[32];
        size_t n = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, text);
        enum event_kind kind = event_kind_named(name);
        if (kind == EVENT_KINDS)
            return bad_kind(r, name);
        *out |= 1U << kind;
        text += n + (text[n] == ',');
    }
    return true;
}

static bool parse(struct request *r, struct follower *f)
{
    bool sse = r->format == FORMAT_SSE;
    const char *follow = request_arg(r, "follow"), *all = r->service_text;
    uint64_t since = 0, lines = sse ? 0 : LINES_DEFAULT;
    if (!kinds_arg(r, &f->kinds) || !request_number(r, "since", 0, INT64_MAX, &since) ||
        !request_number(r, "lines", 0, LINES_MAX, &lines))
        return false;
    f->follow = sse || (follow && strcmp(follow, "0") != 0);
    f->lines = (size_t)lines;
    f->looking_back = !request_arg(r, "since");
    if (f->looking_back)
        event_reader_open_end(&f->reader, &r->admin->mon->journal);
    else
        event_reader_open(&f->reader, &r->admin->mon->journal, since);
    f->last = f->reader.last;
    if (!all || !*all || !strcmp(all, "all")) /* and what is the monitor's own */
        request_slots_free(r);
    return true;
}

void events_run(struct request *r)
{
    struct events *es = events_of(r->admin);
    struct follower *f = calloc(1, sizeof *f);
    if (es && f) {
        *f = (struct follower){.request = r, .step.fire = on_step, .reader.fd = -1, .next = es->followers};
        es->followers = f;
        r->data = f;
        r->drained = on_drained;
        r->cancel = on_cancel;
    }
    if (!es || !f) {
        free(f);
        if (es && !es->followers)
            events_free(es);
        out_of_memory(r);
    } else if (!parse(r, f)) {
        follower_free(f);
    } else if (!step_soon(f)) {
        out_of_memory(r);
    } else if (f->follow) {
        request_endless(r);
        request_write(r, SSE_HELLO, r->format == FORMAT_SSE ? sizeof SSE_HELLO - 1 : 0);
    }
}
