#include "replaylog.h"

#include "event_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP_MAX_MS (366 * 86400 * (int64_t)1000) /* a longer one is a clock that was set */

/* ---- reading */

/* Room for one more in an array that grows at each power of two. */
static void *grown(void *array, size_t count, size_t item)
{
    return count & (count - 1) ? array : realloc(array, (count ? count * 2 : 1) * item);
}

/* Service and text in one piece, the list's. */
static bool add(struct replaylog *log, const struct event *e, const char *service)
{
    size_t name = strlen(service) + 1, text = strlen(e->text) + 1;
    struct replay_event *events = grown(log->events, log->count, sizeof *events);
    log->events = events ? events : log->events;
    char **texts = grown(log->texts, log->ntexts, sizeof *texts);
    log->texts = texts ? texts : log->texts;
    char *copy = events && texts ? malloc(name + text) : NULL;
    if (!copy)
        return false;
    log->texts[log->ntexts++] = copy;
    memcpy(copy, service, name);
    memcpy(copy + name, e->text, text);
    log->events[log->count++] = (struct replay_event){.seq = e->seq,
                                                      .cause = e->cause,
                                                      .wall_ms = e->wall_ms,
                                                      .mono_ms = e->mono_ms,
                                                      .duration_ms = e->duration_ms,
                                                      .kind = e->kind,
                                                      .pid = e->pid,
                                                      .code = e->code,
                                                      .signal = e->signal,
                                                      .count = e->count,
                                                      .service = *copy ? copy : NULL,
                                                      .text = copy + name};
    return true;
}

static bool read_lines(struct replaylog *log, FILE *f, const char *path, struct err *err)
{
    char *line = NULL, service[EVENT_SERVICE_SIZE];
    size_t size = 0;
    bool ok = true;
    struct event e;
    ssize_t len;
    for (long number = 1; ok && (len = getline(&line, &size, f)) >= 0; number++) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len == 0)
            continue;
        if (event_line_parse(line, (size_t)len, &e, service))
            ok = add(log, &e, service) || err_nomem(err);
        else
            fprintf(stderr, "%s:%ld: no line of a journal, left out\n", path, number);
    }
    if (ok && ferror(f))
        ok = err_set(err, "%s can't be read: %s", path, strerror(errno));
    free(line);
    return ok;
}

static bool read_file(struct replaylog *log, const char *path, struct err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(err, "%s can't be read: %s", path, strerror(errno));
    bool ok = read_lines(log, f, path, err);
    fclose(f);
    return ok;
}

/* ---- understanding */

static int by_number(const void *a, const void *b)
{
    const struct replay_event *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

struct replay_event *replaylog_find(const struct replaylog *log, uint64_t seq)
{
    const struct replay_event key = {.seq = seq};
    return seq ? bsearch(&key, log->events, log->count, sizeof key, by_number) : NULL;
}

/* The boot clock, where it goes on; over a boot of the host, the clock on the wall. */
static void set_times(struct replaylog *log)
{
    for (size_t i = 1; i < log->count; i++) {
        const struct replay_event *before = &log->events[i - 1];
        struct replay_event *e = &log->events[i];
        int64_t gap = e->mono_ms - before->mono_ms;
        if (gap < 0)
            gap = e->wall_ms - before->wall_ms;
        e->at_ms = before->at_ms + (gap < 0 || gap > GAP_MAX_MS ? 0 : gap);
    }
}

static bool is_end(const struct replay_event *e)
{
    return e->kind == EVENT_EXIT || e->kind == EVENT_SPAWN_FAIL;
}

/* What a state says about the decision that led to it. */
static void set_outcome(struct replay_event *decision, const struct replay_event *e)
{
    static const struct {
        enum event_kind event;
        enum decision_kind kind;
    } rows[] = {{EVENT_WAITING, DECISION_RESTART},
                {EVENT_STARTING, DECISION_RESTART},
                {EVENT_SPAWN_FAIL, DECISION_RESTART},
                {EVENT_DOWN, DECISION_STOP},
                {EVENT_FAILED, DECISION_FAIL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].event == e->kind && !decision->outcome.known)
            decision->outcome = (struct replay_outcome){true, rows[i].kind, decision->duration_ms};
}

static void link_decisions(struct replaylog *log)
{
    for (size_t i = 0; i < log->count; i++) {
        const struct replay_event *e = &log->events[i];
        struct replay_event *cause = replaylog_find(log, e->cause);
        if (cause && e->kind == EVENT_DECISION && is_end(cause))
            cause->decision = e;
        else if (cause && cause->kind == EVENT_DECISION)
            set_outcome(cause, e);
    }
}

/* Nothing came of it in the journal: then its own words count. */
static void guess_outcomes(struct replaylog *log)
{
    for (size_t i = 0; i < log->count; i++) {
        struct replay_event *e = &log->events[i];
        if (e->kind != EVENT_DECISION || e->outcome.known)
            continue;
        bool stop = strstr(e->text, "): leave it down"), fail = strstr(e->text, "): give up");
        e->outcome = (struct replay_outcome){true,
                                             stop   ? DECISION_STOP
                                             : fail ? DECISION_FAIL
                                                    : DECISION_RESTART,
                                             e->duration_ms};
    }
}

/* The message of the system stands at the end: "exec /x: No such file or directory". */
int replaylog_error(const struct replay_event *e)
{
    size_t all = strlen(e->text);
    for (int error = 1; error < 134; error++) {
        const char *message = strerror(error);
        size_t len = strlen(message);
        if (all >= len && !strcmp(e->text + all - len, message))
            return error;
    }
    return ENOENT;
}

/* From behind: for each event, the next try to start its service. */
static bool link_starts(struct replaylog *log)
{
    const struct replay_event **next = NULL;
    size_t n = 0;
    for (size_t i = log->count; i-- > 0;) {
        struct replay_event *e = &log->events[i];
        size_t k = 0;
        if (!e->service)
            continue;
        while (k < n && strcmp(next[k]->service, e->service) != 0)
            k++;
        bool known = k < n, attempt = e->kind == EVENT_SPAWN_FAIL || e->kind == EVENT_STARTING;
        if (known)
            e->next = next[k];
        if (!attempt)
            continue;
        const struct replay_event **more = known ? next : grown(next, n, sizeof *next);
        if (!more) {
            free(next);
            return false;
        }
        next = more;
        next[k] = e;
        n += !known;
    }
    free(next);
    return true;
}

static void drop_doubles(struct replaylog *log)
{
    size_t n = 0;
    for (size_t i = 0; i < log->count; i++)
        if (n == 0 || log->events[n - 1].seq != log->events[i].seq)
            log->events[n++] = log->events[i];
    log->count = n;
}

bool replaylog_read(struct replaylog *log, const char *const *files, size_t nfiles, struct err *err)
{
    *log = (struct replaylog){0};
    for (size_t i = 0; i < nfiles; i++)
        if (!read_file(log, files[i], err))
            return false;
    if (!log->count)
        return err_set(err, "%s: there is no event in it", files[0]);
    qsort(log->events, log->count, sizeof *log->events, by_number);
    drop_doubles(log);
    set_times(log);
    link_decisions(log);
    guess_outcomes(log);
    return link_starts(log) || err_nomem(err);
}

void replaylog_fini(struct replaylog *log)
{
    for (size_t i = 0; i < log->ntexts; i++)
        free(log->texts[i]);
    free(log->events);
    free(log->texts);
    *log = (struct replaylog){0};
}
