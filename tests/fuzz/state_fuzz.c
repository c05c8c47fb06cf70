/* What outlives the monitor: the state file as the next monitor may find it, with a journal beside it. Parts: the
 * state, the journal. Each line by itself, and all of them by a monitor in a simulated world. */
#include "fuzz.h"

#include "clog.h"
#include "lastexit.h"
#include "monitor.h"
#include "recall.h"
#include "reconf.h"
#include "remember_line.h"
#include "story.h"
#include "world_sim.h"

#include <signal.h>

static char *copy(const char *text)
{
    char *s = strdup(text);
    MUST(s);
    return s;
}

static struct conf *make_conf(void)
{
    static const char *const names[] = {"a", "b"};
    struct conf *c = calloc(1, sizeof *c);
    MUST(c && (c->svrs = calloc(3, sizeof *c->svrs)));
    c->path = copy("conf.json");
    c->home = copy("/home/fm");
    c->env = copy("test");
    c->rundir = copy(fuzz_dir());
    c->rootpath = copy("/srv");
    c->environ = copy("");
    c->log.keep_days = 30;
    c->log.day = copy("%-d");
    c->clog.name = copy("fota_monitor");
    for (; c->nsvrs < ARRAY_LEN(names); c->nsvrs++)
        c->svrs[c->nsvrs] = (struct conf_service){.name = copy(names[c->nsvrs]),
                                                  .cmd = copy("/srv/x/x --serve"),
                                                  .umask = -1,
                                                  .autostart = c->nsvrs == 0,
                                                  .stop = {.signal = SIGTERM, .timeout_ms = 10000},
                                                  .graceful = {.signal = SIGHUP, .timeout_ms = 10000}};
    return c;
}

/* Lines that are read and written again say the same. */
static void look_at_line(const char *line, size_t len)
{
    struct remember_line l, again;
    struct buf b = {0}, c = {0};
    remember_line_parse(line, len, &l);
    if (!fuzz_is_utf8(l.name) || !fuzz_is_utf8(l.exit.reason) || !fuzz_is_utf8(l.exit.tail)) {
        lastexit_fini(&l.exit);
        return;
    }
    if (l.kind == REMEMBER_SERVICE) {
        remember_line_add(&b, l.name, &l.svc, true);
        remember_line_parse(b.data, b.len - 1, &again);
        MUST(again.kind == REMEMBER_SERVICE && !strcmp(again.name, l.name));
        remember_line_add(&c, again.name, &again.svc, true);
    } else if (l.kind == REMEMBER_EXIT) {
        remember_line_exit(&b, l.name, &l.exit);
        remember_line_parse(b.data, b.len - 1, &again);
        MUST(again.kind == REMEMBER_EXIT && !strcmp(again.name, l.name));
        remember_line_exit(&c, again.name, &again.exit);
        lastexit_fini(&again.exit);
    }
    MUST(b.len == c.len && !memcmp(buf_str(&b), buf_str(&c), b.len));
    lastexit_fini(&l.exit);
    buf_fini(&b);
    buf_fini(&c);
}

static void look_at_lines(const char *text)
{
    for (const char *p = text, *eol; *p; p = *eol ? eol + 1 : eol) {
        eol = p + strcspn(p, "\n");
        look_at_line(p, (size_t)(eol - p));
    }
}

static void live(struct world *w)
{
    struct err err = {0};
    struct monitor *m = monitor_new(w, make_conf(), &err);
    MUST(m);
    monitor_start(m);
    for (int i = 0; i < 20; i++) {
        int64_t next = world_sim_next_ms(w);
        world_sim_advance(w, next < 0 ? 1000 : MIN(next, 1000));
        monitor_flush(m);
    }
    for (size_t i = 0; i < m->nsvcs; i++) {
        struct buf b = {0};
        struct recall r;
        recall_open(&r, m, i ? m->svcs[i] : NULL);
        story_why(&b, &r, m->svcs[i]);
        story_history(&b, recall_events(&r, m->svcs[i]), 0);
        recall_close(&r);
        MUST(!b.failed && b.len);
        buf_fini(&b);
        service_stop(m->svcs[i], 0);
    }
    world_sim_advance(w, 100);
    monitor_flush(m);
    monitor_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"events.jsonl", "events.jsonl.1", "state.jsonl", "logs"};
    char path[128];
    char *state = fuzz_part(&data, &size);
    clog_configure(0, 0);
    look_at_lines(state);
    snprintf(path, sizeof path, "%s/test.state.jsonl", fuzz_dir());
    fuzz_write(path, state, strlen(state));
    snprintf(path, sizeof path, "%s/test.events.jsonl", fuzz_dir());
    fuzz_write(path, data, size);
    struct world *w = world_sim_new(3600000, 1767225600000);
    MUST(w);
    live(w);
    world_sim_orphan(w);
    live(w); /* what it has written, it can read */
    world_sim_free(w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/test.%s", fuzz_dir(), names[i]);
        unlink(path);
    }
    free(state);
    return 0;
}
