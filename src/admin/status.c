#include "status.h"

#include "clock.h"
#include "procfs.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_up(const struct service *s)
{
    return s->state == STATE_UP;
}

static void add_text(struct buf *b, const struct request *r)
{
    buf_adds(b, "\n*****STATUS OK SERVICE LIST*****\n");
    for (size_t i = 0; i < r->nslots; i++) {
        const struct service *s = r->slots[i].service;
        if (is_up(s))
            buf_addf(b, "%s PID:%d\n", s->conf->name, s->proc.pid);
    }
    buf_adds(b, "\n*****STATUS FAIL SERVICE LIST*****\n");
    for (size_t i = 0; i < r->nslots; i++)
        if (!is_up(r->slots[i].service))
            buf_addf(b, "%s\n", r->slots[i].service->conf->name);
    buf_addc(b, '\n');
}

/* ---- JSON */

static void add_json_exit(struct buf *b, const struct service_exit *x)
{
    if (!x->valid) {
        buf_adds(b, "null");
        return;
    }
    buf_adds(b, "{\"code\":");
    if (x->how.known && x->how.code >= 0)
        buf_addf(b, "%d", x->how.code);
    else
        buf_adds(b, "null");
    if (x->how.signal)
        buf_addf(b, ",\"signal\":\"%s\"", conf_signal_name(x->how.signal));
    else
        buf_adds(b, ",\"signal\":null");
    buf_addf(b, ",\"core\":%s,\"requested\":%s", x->how.core ? "true" : "false", x->requested ? "true" : "false");
    buf_addf(b, ",\"uptime\":%.3f,\"at\":%.3f,\"reason\":", (double)x->uptime_ms / 1000, (double)x->wall_ms / 1000);
    buf_add_json(b, x->reason ? x->reason : "");
    buf_adds(b, ",\"tail\":[");
    const char *line = x->tail ? x->tail : "";
    for (const char *end; (end = strchr(line, '\n')); line = end + 1) {
        buf_adds(b, line == x->tail ? "" : ",");
        buf_add_jsonn(b, line, (size_t)(end - line));
    }
    buf_adds(b, "]}");
}

static void add_json_service(struct buf *b, const struct service *s)
{
    buf_adds(b, "{\"name\":");
    buf_add_json(b, s->conf->name);
    buf_addf(b, ",\"state\":\"%s\",\"pid\":", machine_state_name(s->state));
    if (s->proc.pid)
        buf_addf(b, "%d", s->proc.pid);
    else
        buf_adds(b, "null");
    buf_addf(b, ",\"uptime\":%.3f,\"restarts\":%u,\"failures\":%u,\"since\":%.3f", (double)service_uptime_ms(s) / 1000,
             s->restarts, service_failures(s), (double)s->since_wall_ms / 1000);
    buf_addf(b, ",\"wanted\":%s,\"adopted\":%s", s->want == WANT_UP ? "true" : "false", s->adopted ? "true" : "false");
    if (s->state == STATE_WAITING)
        buf_addf(b, ",\"next_try\":%.3f", (double)service_next_try_ms(s) / 1000);
    buf_adds(b, ",\"last_exit\":");
    add_json_exit(b, &s->last_exit);
    buf_adds(b, ",\"policy\":");
    buf_add_json(b, s->conf->policy ? s->conf->policy : "core");
    buf_addc(b, '}');
}

static void add_json(struct buf *b, const struct request *r)
{
    buf_adds(b, "{\"env\":");
    buf_add_json(b, r->admin->mon->conf->env);
    buf_adds(b, ",\"services\":[");
    for (size_t i = 0; i < r->nslots; i++) {
        buf_adds(b, i ? ",\n" : "");
        add_json_service(b, r->slots[i].service);
    }
    buf_adds(b, "]}\n");
}

/* ---- table */

#define COLUMNS 8

struct row {
    char *cell[COLUMNS];
};

static size_t width_of(const char *s)
{
    return utf8_width(s, strlen(s));
}

static char *text_of(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *text_of(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    return s;
}

static void fill_row(struct row *row, const struct service *s)
{
    char uptime[CLOCK_DURATION_SIZE] = "-";
    struct procfs_stat st;
    bool known = s->proc.pid && procfs_stat(s->proc.pid, &st);
    if (s->proc.pid)
        clock_duration(service_uptime_ms(s), uptime);
    row->cell[0] = text_of("%s", s->conf->name);
    row->cell[1] = text_of("%s", machine_state_name(s->state));
    row->cell[2] = s->proc.pid ? text_of("%d", s->proc.pid) : text_of("-");
    row->cell[3] = text_of("%s", uptime);
    row->cell[4] = text_of("%u", s->restarts);
    row->cell[5] = known ? text_of("%.1f s", (double)st.cpu_ms / 1000) : text_of("-");
    row->cell[6] = known ? text_of("%.1f MB", (double)st.rss_kib / 1024) : text_of("-");
    row->cell[7] = text_of("%s", s->last_exit.reason ? s->last_exit.reason : "-");
}

static void add_table(struct buf *b, const struct request *r)
{
    static const char *const heads[COLUMNS] = {"NAME",     "STATE", "PID",    "UPTIME",
                                               "RESTARTS", "CPU",   "MEMORY", "LAST EXIT"};
    struct row *rows = calloc(r->nslots + 1, sizeof *rows);
    size_t width[COLUMNS];
    if (!rows) {
        b->failed = true;
        return;
    }
    for (size_t c = 0; c < COLUMNS; c++)
        width[c] = strlen(heads[c]);
    for (size_t i = 0; i < r->nslots; i++) {
        fill_row(&rows[i], r->slots[i].service);
        for (size_t c = 0; c < COLUMNS; c++)
            width[c] = MAX(width[c], rows[i].cell[c] ? width_of(rows[i].cell[c]) : 0);
    }
    for (size_t i = 0; i <= r->nslots; i++)
        for (size_t c = 0; c < COLUMNS; c++) {
            const char *text = i == 0 ? heads[c] : rows[i - 1].cell[c];
            text = text ? text : "?";
            if (c == COLUMNS - 1)
                buf_addf(b, "%s\n", text);
            else
                buf_addf(b, "%s%*s", text, (int)(width[c] - width_of(text)) + 2, "");
        }
    for (size_t i = 0; i < r->nslots; i++)
        for (size_t c = 0; c < COLUMNS; c++)
            free(rows[i].cell[c]);
    free(rows);
}

bool status_render(struct request *r)
{
    static void (*const add[])(struct buf *, const struct request *) = {
        [FORMAT_TEXT] = add_text, [FORMAT_TABLE] = add_table, [FORMAT_JSON] = add_json};
    bool all_up = true;
    for (size_t i = 0; i < r->nslots; i++)
        all_up = all_up && is_up(r->slots[i].service);
    add[r->format](&r->body, r);
    return all_up;
}
