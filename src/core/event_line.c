#include "event_line.h"

#include "conf.h"
#include "jsonline.h"

#include <string.h>

struct event_line {
    struct event event;
    char service[EVENT_SERVICE_SIZE];
};

static int kind_number(const char *word)
{
    enum event_kind kind = event_kind_named(word);
    return kind == EVENT_KINDS ? -1 : (int)kind;
}

static int signal_number(const char *word)
{
    int sig = conf_signal_number(word);
    return sig > 0 ? sig : -1;
}

#define AT(member) offsetof(struct event_line, member)

static const struct jsonline_field fields[] = {
    {.name = "seq", .type = JSONLINE_NUMBER, .offset = AT(event.seq)},
    {.name = "time", .type = JSONLINE_MS, .offset = AT(event.wall_ms)},
    {.name = "mono", .type = JSONLINE_MS, .offset = AT(event.mono_ms)},
    {.name = "service", .type = JSONLINE_TEXT, .offset = AT(service), .size = EVENT_SERVICE_SIZE},
    {.name = "kind", .type = JSONLINE_NAMED, .offset = AT(event.kind), .number = kind_number},
    {.name = "cause", .type = JSONLINE_NUMBER, .offset = AT(event.cause)},
    {.name = "pid", .type = JSONLINE_INT, .offset = AT(event.pid)},
    {.name = "code", .type = JSONLINE_INT, .offset = AT(event.code)},
    {.name = "signal", .type = JSONLINE_NAMED, .offset = AT(event.signal), .number = signal_number},
    {.name = "duration", .type = JSONLINE_MS, .offset = AT(event.duration_ms)},
    {.name = "count", .type = JSONLINE_INT, .offset = AT(event.count)},
    {.name = "text", .type = JSONLINE_TEXT, .offset = AT(event.text), .size = EVENT_TEXT_SIZE},
};

uint64_t event_line_seq(const char *line, size_t len)
{
    uint64_t seq = jsonline_head(line, len, "{\"seq\":");
    return seq <= EVENT_SEQ_MAX ? seq : 0;
}

bool event_line_parse(const char *line, size_t len, struct event *e, char service[EVENT_SERVICE_SIZE])
{
    struct event_line l = {.event = {.kind = EVENT_KINDS, .code = -1}};
    bool ok = jsonline_read(line, len, fields, ARRAY_LEN(fields), &l);
    *e = l.event;
    memcpy(service, l.service, sizeof l.service);
    return ok && e->seq && e->seq <= EVENT_SEQ_MAX && e->kind != EVENT_KINDS;
}
