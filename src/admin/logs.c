#include "logs.h"

#include "launch.h"
#include "logtail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINES_DEFAULT 20
#define LINES_MAX 100000
#define LOG_BYTES ((size_t)1024 * 1024)   /* of one log before it is followed */
#define JSON_LINE_MAX ((size_t)64 * 1024) /* a longer line is told in parts */

struct logs {
    struct request *request; /* NULL: it is over, and this is freed when the thread has ended */
    struct world_work work;
    bool working;
    bool begun; /* the last lines have been written */
    bool follow;
    int lines;
    char *format;               /* `log.day` */
    char **others;              /* the logs of all services, as in struct console_source */
    const struct logtail *last; /* whose text was written last */
    struct buf scratch;
    size_t count;
    struct logtail tails[];
};

static void logs_free(struct logs *l)
{
    for (size_t i = 0; i < l->count; i++)
        logtail_fini(&l->tails[i]);
    for (char **p = l->others; p && *p; p++)
        free(*p);
    free(l->others);
    free(l->format);
    buf_fini(&l->scratch);
    free(l);
}

/* The request is over. */
static void let_go(struct logs *l)
{
    struct request *r = l->request;
    struct world *w = r->admin->mon->world;
    bool working = l->working;
    r->cancel = r->drained = NULL;
    l->request = NULL;
    for (size_t i = 0; i < l->count; i++) {
        world_timer_clear(w, &l->tails[i].timer);
        l->tails[i].request = NULL;
    }
    if (working)
        w->ops->unwork(w, l); /* on_done frees it */
    else
        logs_free(l);
}

static void on_cancel(struct request *r)
{
    struct logs *l = r->data;
    bool ends_well = l->follow && r->timed_out; /* so long it was to be followed */
    let_go(l);
    if (ends_well)
        request_done(r, 200, EXIT_OK);
}

/* ---- what is written */

static void add_json_lines(struct buf *b, const char *text, size_t len)
{
    buf_addc(b, '[');
    for (const char *p = text, *end = text + len, *eol; p < end; p = eol + 1) {
        eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol ? eol : end;
        buf_adds(b, p == text ? "" : ",\n");
        buf_add_jsonn(b, p, (size_t)(eol - p));
    }
    buf_addc(b, ']');
}

static void add_heading(struct buf *b, const struct logs *l, const struct logtail *t)
{
    if (l->count > 1)
        buf_addf(b, "%s%s:\n", l->last ? "\n" : "", t->name);
}

/* All of it, when it is not followed. */
static void answer(struct logs *l)
{
    struct request *r = l->request;
    bool json = r->format == FORMAT_JSON;
    buf_adds(&r->body, json ? "{\"services\":{" : "");
    for (size_t i = 0; i < l->count; i++) {
        struct logtail *t = &l->tails[i];
        if (json) {
            buf_adds(&r->body, i ? ",\n" : "");
            buf_add_json(&r->body, t->name);
            buf_addc(&r->body, ':');
            add_json_lines(&r->body, buf_str(&t->text), t->text.len);
        } else {
            add_heading(&r->body, l, t);
            buf_add(&r->body, buf_str(&t->text), t->text.len);
        }
        buf_fini(&t->text);
        l->last = t;
    }
    buf_adds(&r->body, json ? "}}\n" : "");
    let_go(l);
    request_done(r, 200, EXIT_OK);
}

static void add_json_line(struct buf *b, const struct logtail *t, const char *line, size_t len, bool more)
{
    buf_adds(b, "{\"service\":");
    buf_add_json(b, t->name);
    buf_adds(b, ",\"line\":");
    buf_add_jsonn(b, line, len);
    buf_adds(b, more ? ",\"more\":true}\n" : "}\n");
}

/* Whole lines, as objects; what is left waits for the rest of its line. */
static void write_json(struct logs *l, struct logtail *t)
{
    struct buf *b = &l->scratch;
    const char *p = buf_str(&t->text), *end = p + t->text.len;
    buf_clear(b);
    for (const char *eol; (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1)
        add_json_line(b, t, p, (size_t)(eol - p), false);
    if ((size_t)(end - p) >= JSON_LINE_MAX) {
        add_json_line(b, t, p, (size_t)(end - p), true);
        p = end;
    }
    buf_drop(&t->text, (size_t)(p - buf_str(&t->text)));
}

static void write_text(struct logs *l, struct logtail *t)
{
    struct buf *b = &l->scratch;
    buf_clear(b);
    if (l->last != t) {
        buf_adds(b, l->request->open_line ? "\n" : "");
        add_heading(b, l, t);
        l->last = t;
    }
    buf_add(b, buf_str(&t->text), t->text.len);
    buf_clear(&t->text);
}

static void write_news(struct logs *l, struct logtail *t)
{
    struct request *r = l->request;
    (r->format == FORMAT_JSON ? write_json : write_text)(l, t);
    if (l->scratch.failed || t->text.failed)
        request_abort(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
    else
        request_write(r, buf_str(&l->scratch), l->scratch.len);
}

/* ---- reading */

static void on_work(struct world_work *k)
{
    struct logs *l = CONTAINER_OF(k, struct logs, work);
    for (size_t i = 0; i < l->count; i++) {
        struct logtail *t = &l->tails[i];
        if (t->reading)
            logtail_read(t);
        else if (!l->begun && l->follow)
            t->error = t->path ? console_follow_open(&t->follow, &t->source, l->lines, LOG_BYTES, &t->text) : -EINVAL;
        else if (!l->begun && t->path)
            console_read_last(&t->source, l->lines, LOG_BYTES, &t->text);
    }
}

/* All that are behind are read together, as soon as the thread has done with those before. */
static void start_work(struct logs *l)
{
    struct request *r = l->request;
    if (l->working)
        return;
    for (size_t i = 0; i < l->count; i++) {
        l->tails[i].reading = l->tails[i].behind;
        l->tails[i].behind = false;
    }
    l->working = true;
    int e = r->admin->mon->world->ops->work(r->admin->mon->world, &l->work);
    if (!e)
        return;
    l->working = false;
    request_abort(r, 500, EXIT_COMMAND, "log", strerror(-e));
}

static void on_news(struct logtail *t)
{
    struct logs *l = t->owner;
    struct request *r = l->request;
    if (t->behind) {
        start_work(l);
        return;
    }
    write_news(l, t);
    if (r->cancel)
        logtail_go_on(t);
}

/* Their last lines have been read. */
static void begin(struct logs *l)
{
    struct request *r = l->request;
    for (size_t i = 0; i < l->count; i++)
        if (l->tails[i].error) {
            logtail_fail(&l->tails[i]);
            return;
        }
    l->begun = true;
    request_endless(r);
    request_write(r, "", 0);
    for (size_t i = 0; i < l->count && r->cancel; i++)
        write_news(l, &l->tails[i]);
    for (size_t i = 0; i < l->count && r->cancel; i++)
        logtail_start(&l->tails[i]);
}

static void go_on(struct logs *l)
{
    struct request *r = l->request;
    bool behind = false;
    for (size_t i = 0; i < l->count && r->cancel; i++) {
        struct logtail *t = &l->tails[i];
        behind = behind || t->behind;
        if (t->reading) {
            t->reading = false;
            logtail_was_read(t);
        }
    }
    if (r->cancel && behind)
        start_work(l);
}

static void on_done(struct world_work *k, bool wanted)
{
    struct logs *l = CONTAINER_OF(k, struct logs, work);
    l->working = false;
    if (!l->request)
        logs_free(l);
    else if (!wanted)
        request_abort(l->request, 500, EXIT_COMMAND, "log", "it was not read");
    else if (!l->follow)
        answer(l);
    else if (!l->begun)
        begin(l);
    else
        go_on(l);
}

static void on_drained(struct request *r)
{
    struct logs *l = r->data;
    for (size_t i = 0; i < l->count && r->cancel; i++)
        if (l->tails[i].waiting)
            logtail_go_on(&l->tails[i]);
}

/* ---- what is asked */

static bool collect_others(struct logs *l, const struct conf *conf)
{
    size_t n = 0;
    l->others = calloc(conf->nsvrs + 1, sizeof *l->others);
    for (size_t i = 0; l->others && i < conf->nsvrs; i++) {
        char *path = launch_log_path(conf, &conf->svrs[i]);
        if (path)
            l->others[n++] = path;
    }
    return l->others != NULL;
}

/* NULL: no memory. */
static struct logs *logs_new(struct request *r)
{
    const struct conf *conf = r->admin->mon->conf;
    struct logs *l = calloc(1, sizeof *l + r->nslots * sizeof l->tails[0]);
    if (!l)
        return NULL;
    *l = (struct logs){.request = r, .work = {.run = on_work, .done = on_done, .owner = l}};
    l->format = strdup(conf->log.day);
    bool ok = l->format && collect_others(l, conf);
    for (; ok && l->count < r->nslots; l->count++) {
        struct logtail *t = &l->tails[l->count];
        const struct service *s = r->slots[l->count].service;
        *t = (struct logtail){.owner = l, .request = r, .news = on_news, .follow.fd = -1};
        t->name = strdup(s->conf->name);
        t->path = launch_log_path(conf, s->conf);
        t->source = (struct console_source){.path = t->path, .format = l->format, .others = l->others};
        ok = t->name != NULL;
    }
    if (ok)
        return l;
    logs_free(l);
    return NULL;
}

void logs_run(struct request *r)
{
    const char *follow = request_arg(r, "follow");
    bool follows = follow && strcmp(follow, "0") != 0;
    uint64_t lines = LINES_DEFAULT;
    if (!request_number(r, "lines", follows ? 0 : 1, LINES_MAX, &lines))
        return;
    struct logs *l = logs_new(r);
    if (!l) {
        request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
        return;
    }
    l->follow = follows;
    l->lines = (int)lines;
    r->data = l;
    r->cancel = on_cancel;
    r->drained = on_drained;
    start_work(l);
}
