#include "simcase.h"

#include "clog.h"
#include "library.h"
#include "simcall.h"
#include "simop.h"
#include "story.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TURN_MS 5000 /* of processor time, for what a case does between two things it asks for */
#define EVENTS_MAX 100000
#define LINES_MAX 100000
#define LINES_SHOWN 40
#define EVENTS_SHOWN 40

/* ---- what happened */

/* Makes room for one more in an array that grows at each power of two. */
static bool grow(void *array, size_t count, size_t item)
{
    void **at = array;
    if (count & (count - 1))
        return true;
    void *more = realloc(*at, (count ? count * 2 : 1) * item);
    if (!more)
        return false;
    *at = more;
    return true;
}

static void add_line(struct simcase *c, int level, const char *text, bool raised)
{
    if (c->nlines == LINES_MAX || !grow(&c->lines, c->nlines, sizeof *c->lines))
        return;
    struct simcase_line *l = &c->lines[c->nlines];
    *l = (struct simcase_line){.at_ms = simworld_now_ms(&c->w), .level = level, .text = strdup(text), .raised = raised};
    c->nlines += l->text != NULL;
}

static void on_told(void *arg, int level, const char *text, bool raised)
{
    add_line(arg, level, text, raised);
}

void simcase_complain(struct simcase *c, const char *text)
{
    add_line(c, CLOG_ERROR, text, true);
}

static void forget_events(struct simcase *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(c->events[i].event);
    c->nevents -= n;
    if (n)
        memmove(c->events, c->events + n, c->nevents * sizeof *c->events);
}

static void on_event(struct event_listener *l, const char *service, const struct event *e)
{
    struct simcase *c = CONTAINER_OF(l, struct simcase, listener);
    size_t size = offsetof(struct event, text) + strlen(e->text) + 1, name = service ? strlen(service) + 1 : 0;
    if (c->nevents == EVENTS_MAX)
        forget_events(c, EVENTS_MAX / 4);
    struct event *copy = malloc(size + name);
    if (!copy || !grow(&c->events, c->nevents, sizeof *c->events)) {
        free(copy);
        return;
    }
    memcpy(copy, e, size);
    c->events[c->nevents++] = (struct simcase_event){.event = copy, .service = NULL};
    if (service)
        c->events[c->nevents - 1].service = memcpy((char *)copy + size, service, name);
}

const char *simcase_keep(struct simcase *c, const char *text)
{
    if (!grow(&c->texts, c->ntexts, sizeof *c->texts))
        return NULL;
    char *copy = strdup(text);
    if (copy)
        c->texts[c->ntexts++] = copy;
    return copy;
}

/* ---- opened and closed */

static int open_chunk(lua_State *L, void *arg)
{
    struct simcase *c = arg;
    scripts_door(L, c->w.scripts, "test_open");
    if (luaL_loadbufferx(L, library_sim->text, library_sim->len, library_sim->name, "t"))
        return lua_error(L);
    simop_push(L, c);
    lua_call(L, 2, 0);
    return 0;
}

bool simcase_open(struct simcase *c, const struct simworld_input *in, const char *file, struct err *err)
{
    *c = (struct simcase){.file = file};
    if (!simworld_open(&c->w, in, err))
        return false;
    c->w.scripts->told = on_told;
    c->w.scripts->told_arg = c;
    c->start_ms = simworld_now_ms(&c->w);
    return scripts_enter(c->w.scripts, open_chunk, c, err) && simworld_load(&c->w, err) &&
           scripts_run_file(c->w.scripts, file, err) && scripts_collect(c->w.scripts, err);
}

static void restore_zone(struct simcase *c)
{
    if (!c->zone_changed)
        return;
    if (c->zone)
        setenv("TZ", c->zone, 1);
    else
        unsetenv("TZ");
    tzset();
    free(c->zone);
}

void simcase_close(struct simcase *c)
{
    simworld_close(&c->w);
    simcall_free_all(c);
    restore_zone(c);
    for (size_t i = 0; i < c->nlines; i++)
        free(c->lines[i].text);
    forget_events(c, c->nevents);
    for (size_t i = 0; i < c->ntexts; i++)
        free(c->texts[i]);
    free(c->lines);
    free(c->events);
    free(c->texts);
    *c = (struct simcase){0};
}

/* ---- asked about */

struct question {
    struct simcase *c;
    int i, count;
    char *name;
};

static int count(lua_State *L, void *arg)
{
    struct question *q = arg;
    scripts_door(L, q->c->w.scripts, "test_count");
    lua_call(L, 0, 1);
    q->count = (int)luaL_checkinteger(L, -1);
    return 0;
}

int simcase_count(struct simcase *c, struct err *err)
{
    struct question q = {.c = c};
    return scripts_enter(c->w.scripts, count, &q, err) ? q.count : -1;
}

static int name(lua_State *L, void *arg)
{
    struct question *q = arg;
    scripts_door(L, q->c->w.scripts, "test_case");
    lua_pushinteger(L, q->i);
    lua_call(L, 1, 1);
    q->name = strdup(luaL_checkstring(L, -1));
    return 0;
}

char *simcase_name(struct simcase *c, int i)
{
    struct question q = {.c = c, .i = i};
    return scripts_enter(c->w.scripts, name, &q, NULL) ? q.name : NULL;
}

/* ---- run */

static int begin(lua_State *L, void *arg)
{
    struct question *q = arg;
    q->c->co = lua_newthread(L);
    luaL_ref(L, LUA_REGISTRYINDEX); /* for good: the case lives as long as the state */
    luaL_checkstack(q->c->co, 2, NULL);
    scripts_door(L, q->c->w.scripts, "test_run");
    lua_pushinteger(L, q->i);
    lua_xmove(L, q->c->co, 2);
    return 0;
}

/* All turns of the case; what it asks for is done between them. */
static bool go_on(struct simcase *c, struct err *err)
{
    struct vm *vm = c->w.scripts->vm;
    for (int nargs = 1, nresults = 0;; nargs = 0) {
        vm_set_budget(vm, TURN_MS);
        enum vm_status status = vm_resume(c->co, NULL, nargs, &nresults, err);
        vm_set_budget(vm, c->w.mon->conf->lua.budget_ms);
        if (status != VM_YIELDED)
            return status == VM_DONE;
        lua_pop(c->co, nresults);
        if (!c->ask.perform)
            return err_set(err, "the case yields outside of a coroutine of its own");
        c->ask.perform(c);
        c->ask.perform = NULL;
    }
}

/* An error that nobody has looked at is one that nobody expected. */
static bool nothing_raised(const struct simcase *c, struct err *err)
{
    for (size_t i = 0; i < c->nlines; i++)
        if (c->lines[i].raised && !c->lines[i].seen)
            return err_set(err, "%s\n(an error in a callback fails the case, unless t:logged has asked for it)",
                           c->lines[i].text);
    return true;
}

bool simcase_run(struct simcase *c, int i, struct err *err)
{
    struct question q = {.c = c, .i = i};
    struct conf *conf = simworld_conf(&c->w, "{}", err);
    if (!conf || !simworld_start(&c->w, conf, err))
        return false;
    c->listener.event = on_event;
    event_listen(&c->w.mon->journal, &c->listener);
    world_sim_advance(c->w.world, 0);
    return scripts_enter(c->w.scripts, begin, &q, err) && go_on(c, err) && nothing_raised(c, err);
}

/* ---- shown */

static double since(const struct simcase *c, int64_t at_ms)
{
    return (double)(at_ms - c->start_ms) / 1000;
}

static void print_line(const struct simcase *c, const struct simcase_line *l, FILE *out)
{
    static const char *const levels[] = {
        [CLOG_DEBUG] = "debug", [CLOG_WARN] = "warn", [CLOG_ERROR] = "error", [CLOG_INFO] = "info"};
    fprintf(out, "    +%.3f [%s] %.*s\n", since(c, l->at_ms), levels[l->level], (int)strcspn(l->text, "\n"), l->text);
}

static void print_event(const struct simcase *c, const struct simcase_event *e, FILE *out)
{
    struct buf b = {0};
    story_sentence(&b, e->event);
    fprintf(out, "    +%.3f %s: %s\n", since(c, e->event->mono_ms), e->service ? e->service : "the monitor",
            buf_str(&b));
    buf_fini(&b);
}

/* Both in one, by time; of each the last ones. */
void simcase_print(const struct simcase *c, FILE *out)
{
    size_t l = c->nlines > LINES_SHOWN ? c->nlines - LINES_SHOWN : 0;
    size_t e = c->nevents > EVENTS_SHOWN ? c->nevents - EVENTS_SHOWN : 0;
    while (l < c->nlines || e < c->nevents) {
        if (e == c->nevents || (l < c->nlines && c->lines[l].at_ms < c->events[e].event->mono_ms))
            print_line(c, &c->lines[l++], out);
        else
            print_event(c, &c->events[e++], out);
    }
}
