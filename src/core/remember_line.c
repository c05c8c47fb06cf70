#include "remember_line.h"

#include "conf.h"
#include "jsonline.h"

#include <inttypes.h>
#include <string.h>

static const char *const wants[MACHINE_WANTS] = {[WANT_DOWN] = "down", [WANT_UP] = "up"};

static int state_number(const char *word)
{
    enum machine_state state = machine_state_named(word);
    return state == MACHINE_STATES ? -1 : (int)state;
}

static int want_number(const char *word)
{
    return !strcmp(word, wants[WANT_UP]) ? WANT_UP : !strcmp(word, wants[WANT_DOWN]) ? WANT_DOWN : -1;
}

static int signal_number(const char *word)
{
    int sig = conf_signal_number(word);
    return sig > 0 ? sig : -1;
}

/* A line as it is read: what kind it is shows by the key its name is under. */
struct raw {
    struct remember_line line;
    char service[256], exit_of[256], gone[256];
    uint64_t since, since_wall, start, delay, log, seen, uptime, at;
    bool afresh;
};

#define AT(member) offsetof(struct raw, member)
#define NUMBER(n, member)                                                                                              \
    {                                                                                                                  \
        .name = n, .type = JSONLINE_NUMBER, .offset = AT(member)                                                       \
    }
#define INT(n, member)                                                                                                 \
    {                                                                                                                  \
        .name = n, .type = JSONLINE_INT, .offset = AT(member)                                                          \
    }
#define BOOL(n, member)                                                                                                \
    {                                                                                                                  \
        .name = n, .type = JSONLINE_BOOL, .offset = AT(member)                                                         \
    }
#define TEXT(n, member)                                                                                                \
    {                                                                                                                  \
        .name = n, .type = JSONLINE_TEXT, .offset = AT(member), .size = sizeof((struct raw *)0)->member                \
    }
#define NAMED(n, member, f)                                                                                            \
    {                                                                                                                  \
        .name = n, .type = JSONLINE_NAMED, .offset = AT(member), .number = f                                           \
    }
#define STRING(n, member)                                                                                              \
    {                                                                                                                  \
        .name = n, .type = JSONLINE_STRING, .offset = AT(member)                                                       \
    }

/* Milliseconds are whole numbers here. */
static const struct jsonline_field fields[] = {
    NUMBER("version", line.version),
    TEXT("boot", line.boot),
    BOOL("afresh", afresh),
    TEXT("gone", gone),
    TEXT("service", service),
    NAMED("state", line.svc.state, state_number),
    NAMED("want", line.svc.want, want_number),
    INT("pid", line.svc.pid),
    NUMBER("start", start),
    NUMBER("since", since),
    NUMBER("since_wall", since_wall),
    NUMBER("delay", delay),
    NUMBER("log", log),
    NUMBER("seq", line.svc.seq),
    NUMBER("restarts", line.svc.restarts),
    NUMBER("failures", line.svc.failures),
    NUMBER("cmd", line.svc.cmd_mark),
    BOOL("adopted", line.svc.adopted),
    BOOL("graceful", line.svc.graceful),
    BOOL("removed", line.svc.removed),
    INT("pidfd", line.svc.pidfd),
    BOOL("child", line.svc.child),
    BOOL("leader", line.svc.leader),
    BOOL("escapes", line.svc.escapes),
    NUMBER("ticks", line.svc.start_ticks),
    INT("pgrp", line.svc.pgrp),
    INT("session", line.svc.session),
    NUMBER("seen", seen),
    TEXT("exit_of", exit_of),
    BOOL("started", line.exit.started),
    BOOL("known", line.exit.how.known),
    INT("code", line.exit.how.code),
    NAMED("signal", line.exit.how.signal, signal_number),
    BOOL("core", line.exit.how.core),
    INT("exit_pid", line.exit.pid),
    NUMBER("uptime", uptime),
    NUMBER("at", at),
    BOOL("requested", line.exit.requested),
    STRING("reason", line.exit.reason),
    STRING("tail", line.exit.tail),
};

/* ---- writing */

static void add_number(struct buf *b, const char *key, int64_t value)
{
    if (value > 0)
        buf_addf(b, ",\"%s\":%" PRId64, key, value);
}

static void add_flag(struct buf *b, const char *key, bool value)
{
    if (value)
        buf_addf(b, ",\"%s\":true", key);
}

static void add_text(struct buf *b, const char *key, const char *value)
{
    if (!value)
        return;
    buf_addf(b, ",\"%s\":", key);
    buf_add_json(b, value);
}

void remember_line_head(struct buf *b, const char *boot)
{
    buf_addf(b, "{\"version\":%d,\"boot\":", REMEMBER_VERSION);
    buf_add_json(b, boot);
    buf_adds(b, "}\n");
}

static void add_held(struct buf *b, const struct remembered *r)
{
    if (r->pidfd >= 0)
        buf_addf(b, ",\"pidfd\":%d", r->pidfd);
    add_flag(b, "child", r->child);
    add_flag(b, "leader", r->leader);
    add_flag(b, "escapes", r->escapes);
    add_number(b, "ticks", (int64_t)r->start_ticks);
    add_number(b, "pgrp", r->pgrp);
    add_number(b, "session", r->session);
    add_number(b, "seen", r->seen_ms);
}

void remember_line_add(struct buf *b, const char *name, const struct remembered *r, bool held)
{
    buf_adds(b, "{\"service\":");
    buf_add_json(b, name);
    buf_addf(b, ",\"state\":\"%s\",\"want\":\"%s\"", machine_state_name(r->state), wants[r->want]);
    add_number(b, "pid", r->pid);
    add_number(b, "start", r->start_ms);
    add_number(b, "since", r->since_ms);
    add_number(b, "since_wall", r->since_wall_ms);
    add_number(b, "delay", r->delay_ms);
    add_number(b, "log", r->log_start);
    add_number(b, "seq", (int64_t)r->seq);
    add_number(b, "restarts", (int64_t)r->restarts);
    add_number(b, "failures", (int64_t)r->failures);
    add_number(b, "cmd", (int64_t)r->cmd_mark);
    add_flag(b, "adopted", r->adopted);
    add_flag(b, "graceful", r->graceful);
    add_flag(b, "removed", r->removed);
    if (held)
        add_held(b, r);
    buf_adds(b, "}\n");
}

void remember_line_exit(struct buf *b, const char *name, const struct service_exit *x)
{
    buf_adds(b, "{\"exit_of\":");
    buf_add_json(b, name);
    add_flag(b, "started", x->started);
    add_flag(b, "known", x->how.known);
    if (x->how.known && x->how.code >= 0)
        buf_addf(b, ",\"code\":%d", x->how.code);
    if (x->how.signal)
        add_text(b, "signal", conf_signal_name(x->how.signal));
    add_flag(b, "core", x->how.core);
    add_number(b, "exit_pid", x->pid);
    add_number(b, "uptime", x->uptime_ms);
    add_number(b, "at", x->wall_ms);
    add_flag(b, "requested", x->requested);
    add_text(b, "reason", x->reason);
    add_text(b, "tail", x->tail);
    buf_adds(b, "}\n");
}

void remember_line_gone(struct buf *b, const char *name)
{
    buf_adds(b, "{\"gone\":");
    buf_add_json(b, name);
    buf_adds(b, "}\n");
}

void remember_line_afresh(struct buf *b)
{
    buf_adds(b, "{\"afresh\":true}\n");
}

/* ---- reading */

static enum remember_kind kind_of(const struct raw *r)
{
    if (r->service[0])
        return REMEMBER_SERVICE;
    if (r->exit_of[0])
        return REMEMBER_EXIT;
    if (r->gone[0])
        return REMEMBER_GONE;
    if (r->afresh)
        return REMEMBER_AFRESH;
    return r->line.version ? REMEMBER_HEAD : REMEMBER_BROKEN;
}

void remember_line_parse(const char *line, size_t len, struct remember_line *out)
{
    struct raw r = {.line = {.svc.pidfd = -1, .exit.how = {.code = -1, .cpu_ms = -1, .max_rss_kib = -1}}};
    bool ok = jsonline_read(line, len, fields, ARRAY_LEN(fields), &r);
    struct remember_line *l = &r.line;
    l->kind = ok ? kind_of(&r) : REMEMBER_BROKEN;
    const char *name = l->kind == REMEMBER_SERVICE ? r.service : l->kind == REMEMBER_EXIT ? r.exit_of : r.gone;
    memcpy(l->name, name, sizeof l->name);
    l->svc.start_ms = (int64_t)r.start;
    l->svc.since_ms = (int64_t)r.since;
    l->svc.since_wall_ms = (int64_t)r.since_wall;
    l->svc.delay_ms = (int64_t)r.delay;
    l->svc.log_start = (int64_t)r.log;
    l->svc.seen_ms = (int64_t)r.seen;
    l->exit.uptime_ms = (int64_t)r.uptime;
    l->exit.wall_ms = (int64_t)r.at;
    l->exit.valid = true;
    if (l->kind != REMEMBER_EXIT)
        lastexit_fini(&l->exit);
    *out = *l;
}
