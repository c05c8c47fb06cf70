#include "story.h"

#include "clock.h"

#include <string.h>
#include <time.h>

#define CAUSES_MAX 12

/* "1st", "2nd", "3rd", "4th" … "11th" */
static void add_ordinal(struct buf *b, unsigned n)
{
    static const char *const endings[] = {"th", "st", "nd", "rd"};
    unsigned last = n % 100 / 10 == 1 ? 0 : n % 10;
    buf_addf(b, "%u%s", n, endings[last < 4 ? last : 0]);
}

static void add_duration(struct buf *b, int64_t ms)
{
    char text[CLOCK_DURATION_SIZE];
    clock_duration(ms, text);
    buf_adds(b, text);
}

/* "14:02:11", with the date before it when it was another day. */
static void add_since(struct buf *b, int64_t wall_ms, int64_t now_wall_ms)
{
    time_t then = (time_t)(wall_ms / 1000), now = (time_t)(now_wall_ms / 1000);
    struct tm a, today;
    char text[40];
    localtime_r(&then, &a);
    localtime_r(&now, &today);
    bool same_day = a.tm_yday == today.tm_yday && a.tm_year == today.tm_year;
    strftime(text, sizeof text, same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &a);
    buf_adds(b, text);
}

static void add_end(struct buf *b, const struct event *e, const char *row)
{
    buf_adds(b, e->text[0] ? e->text : "ended");
    if (e->count > 1) {
        buf_adds(b, ", for the ");
        add_ordinal(b, e->count);
        buf_addf(b, " time%s", row);
    }
}

static void say_text(struct buf *b, const struct event *e)
{
    buf_adds(b, e->text);
}

static void say_down(struct buf *b, const struct event *e)
{
    (void)e;
    buf_adds(b, "down");
}

static void say_waiting(struct buf *b, const struct event *e)
{
    buf_adds(b, "waiting ");
    add_duration(b, e->duration_ms);
    buf_adds(b, " for the next try");
}

static void say_starting(struct buf *b, const struct event *e)
{
    buf_addf(b, "started, pid %d", e->pid);
}

static void say_up(struct buf *b, const struct event *e)
{
    buf_addf(b, "up, pid %d", e->pid);
}

static void say_stopping(struct buf *b, const struct event *e)
{
    if (e->pid)
        buf_addf(b, "stopping: %s to pid %d", conf_signal_name(e->signal), e->pid);
    else
        buf_adds(b, "stopping before it was started");
}

static void say_failed(struct buf *b, const struct event *e)
{
    (void)e;
    buf_adds(b, "given up: it needs a person");
}

static void say_exit(struct buf *b, const struct event *e)
{
    buf_addf(b, "pid %d ", e->pid);
    add_end(b, e, " in a row");
}

static void say_spawn_fail(struct buf *b, const struct event *e)
{
    buf_adds(b, "could not be started: ");
    add_end(b, e, " in a row");
}

static void say_decision(struct buf *b, const struct event *e)
{
    buf_adds(b, e->text);
    if (e->duration_ms && !strstr(e->text, "wait")) {
        buf_adds(b, ": again in ");
        add_duration(b, e->duration_ms);
    }
}

static void say_adopt(struct buf *b, const struct event *e)
{
    buf_addf(b, "pid %d adopted: %s", e->pid, e->text);
}

static void say_signal(struct buf *b, const struct event *e)
{
    buf_addf(b, "%s to pid %d", conf_signal_name(e->signal), e->pid);
    if (e->text[0])
        buf_addf(b, ": %s", e->text);
}

static void say_cleanup(struct buf *b, const struct event *e)
{
    buf_addf(b, "pid %d killed, %s", e->pid, e->text);
}

static void (*const say[EVENT_KINDS])(struct buf *b, const struct event *e) = {
    [EVENT_DOWN] = say_down,     [EVENT_WAITING] = say_waiting,       [EVENT_STARTING] = say_starting,
    [EVENT_UP] = say_up,         [EVENT_STOPPING] = say_stopping,     [EVENT_FAILED] = say_failed,
    [EVENT_EXIT] = say_exit,     [EVENT_SPAWN_FAIL] = say_spawn_fail, [EVENT_DECISION] = say_decision,
    [EVENT_COMMAND] = say_text,  [EVENT_CONFIG] = say_text,           [EVENT_ADOPT] = say_adopt,
    [EVENT_SIGNAL] = say_signal, [EVENT_CLEANUP] = say_cleanup,       [EVENT_AUDIT] = say_text,
    [EVENT_LOG] = say_text,      [EVENT_MONITOR] = say_text,
};

void story_sentence(struct buf *b, const struct event *e)
{
    say[e->kind](b, e);
}

void story_line(struct buf *b, const char *service, const struct event *e)
{
    char when[CLOCK_TEXT_SIZE];
    clock_text(e->wall_ms, when);
    buf_addf(b, "%s ", when);
    if (service)
        buf_addf(b, "%s: ", service);
    story_sentence(b, e);
    buf_addc(b, '\n');
}

void story_history(struct buf *b, const struct event_ring *events, size_t lines)
{
    struct event_walk w = {0};
    size_t passed = lines && lines < events->count ? events->count - lines : 0;
    while (event_ring_next(events, &w)) {
        if (passed)
            passed--;
        else
            story_line(b, NULL, &w.event);
    }
}

/* The end that led to this state, through the decision made on it; false when there was none. */
static bool end_before(const struct recall *r, const struct service *s, const struct event *now, struct event *end)
{
    *end = *now;
    for (int i = 0; i < 4; i++) {
        if (end->kind == EVENT_EXIT || end->kind == EVENT_SPAWN_FAIL)
            return true;
        if (!recall_find(r, s, end->cause, end))
            return false;
    }
    return false;
}

/* "it exited with code 3 after 0.2 s, for the 6th time" */
static void add_it_ended(struct buf *b, const struct service *s, const struct event *end)
{
    if (end) {
        buf_adds(b, end->kind == EVENT_SPAWN_FAIL ? ": it could not be started: " : ": it ");
        add_end(b, end, "");
    } else if (s->last_exit.valid && s->last_exit.reason) {
        buf_addf(b, ": it %s", s->last_exit.reason);
    }
}

static void why_without_process(struct buf *b, const struct recall *r, const struct service *s, const struct event *now)
{
    struct event before;
    const struct event *end = now && end_before(r, s, now, &before) ? &before : NULL;
    if (s->state == STATE_WAITING) {
        add_it_ended(b, s, end);
        buf_adds(b, "; next try in ");
        add_duration(b, service_next_try_ms(s));
    } else if (s->state == STATE_FAILED) {
        add_it_ended(b, s, end);
        buf_adds(b, "; given up, start it by hand when the cause is mended");
    } else if (s->seeking || (s->fresh && s->mon->look_error)) {
        buf_adds(b, ": it is looked first whether it runs already");
        if (s->mon->look_error)
            buf_addf(b, ", but the process table can't be looked at: %s", strerror(-s->mon->look_error));
    } else if (s->state == STATE_STARTING) {
        buf_adds(b, ": it waits for its turn");
    } else if (end && end->count) {
        add_it_ended(b, s, end);
    } else if (!now) {
        buf_adds(b, ": it has not been started (autostart is off)");
    } else {
        buf_adds(b, ": it was stopped");
    }
}

static void why_first(struct buf *b, const struct recall *r, const struct service *s, const struct event *now)
{
    static const char *const phrase[MACHINE_STATES] = {
        [STATE_DOWN] = "is down",         [STATE_WAITING] = "is down", [STATE_STARTING] = "is starting",
        [STATE_STOPPING] = "is stopping", [STATE_UP] = "is up",        [STATE_FAILED] = "has failed",
    };
    struct world *world = s->mon->world;
    buf_addf(b, "%s %s since ", s->conf->name, phrase[s->state]);
    add_since(b, s->since_wall_ms, world->ops->wall_ms(world));
    if (s->proc.pid) {
        buf_addf(b, ", pid %d, running for ", s->proc.pid);
        add_duration(b, service_uptime_ms(s));
        buf_adds(b, service_hangs(s) ? "; it hangs in the kernel, not even SIGKILL has ended it" : "");
    } else {
        why_without_process(b, r, s, now);
    }
    buf_addc(b, '\n');
}

void story_why(struct buf *b, const struct recall *r, const struct service *s)
{
    struct event event;
    const struct event *e = recall_find(r, s, s->state_seq, &event) ? &event : NULL;
    why_first(b, r, s, e);
    for (int i = 0; e && i < CAUSES_MAX; i++) {
        buf_adds(b, i ? "  because " : "  now     ");
        story_line(b, NULL, e);
        if (e->kind == EVENT_EXIT && e->count && s->last_exit.tail && e->pid == s->last_exit.pid) {
            const char *line = s->last_exit.tail;
            for (const char *end; (end = strchr(line, '\n')); line = end + 1)
                buf_addf(b, "            | %.*s\n", (int)(end - line), line);
        }
        bool ended_before = (e->kind == EVENT_EXIT || e->kind == EVENT_SPAWN_FAIL) && e->count > 1;
        e = recall_find(r, s, e->cause, &event) ? &event : NULL;
        if (e && ended_before && e->kind == EVENT_STARTING)
            e = NULL; /* a crash loop goes back for ever, and was told by "for the 6th time" */
    }
}
