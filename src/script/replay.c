#include "replay.h"

#include "clock.h"
#include "confload.h"
#include "decide.h"
#include "replaycast.h"
#include "replaydiff.h"
#include "simworld.h"
#include "vm.h"

#include <lua.h>

#include <lauxlib.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WALL_SLACK_MS 1000

struct replay {
    const struct replay_input *in;
    struct replaylog log;
    struct simworld w;
    struct replaycast cast;
    size_t next_running;
    int64_t base_ms;             /* of the world's clock: where the journal's is 0 */
    struct replay_event *ending; /* being replayed */
    struct replaydiff diff;
};

/* ---- the world it is replayed in */

/* Nothing is asked of the world outside, and chance is its own mean. */
static int open_prelude(lua_State *L, void *arg)
{
    static const char text[] = "local raw = ...\n"
                               "raw.exec = function() return nil, 'a simulation starts no program' end\n"
                               "raw.http = function() return nil, 'a simulation asks nobody' end\n"
                               "function math.random(m, n)\n"
                               "  if not m then return 0.5 end\n"
                               "  if not n then m, n = 1, m end\n"
                               "  return (m + n) // 2\n"
                               "end\n";
    scripts_door(L, arg, "test_open");
    if (luaL_loadbufferx(L, text, sizeof text - 1, "=prelude", "t"))
        return lua_error(L);
    lua_pushnil(L);
    lua_call(L, 2, 0);
    return 0;
}

static bool is_defined(const struct replay *r, const struct replay_service *s)
{
    for (char **p = r->w.scripts->policies; p && *p; p++)
        if (strlen(*p) == s->policy_len && !strncmp(*p, s->policy, s->policy_len))
            return true;
    return false;
}

/* A service that the configuration does not have: what the journal tells of it. */
static struct conf *make_missing(const struct replay *r, const struct conf *conf, struct err *err)
{
    struct buf b = {0};
    const char *between = "{\"svrs\":{";
    for (size_t i = 0; i < r->cast.nservices; i++) {
        const struct replay_service *s = &r->cast.services[i];
        if (conf_find(conf, s->name))
            continue;
        buf_adds(&b, between);
        buf_add_json(&b, s->name);
        buf_adds(&b, ":{\"cmd\":\"/srv/it\"");
        if (s->policy && is_defined(r, s)) {
            buf_adds(&b, ",\"policy\":");
            buf_add_jsonn(&b, s->policy, s->policy_len);
        } else if (s->policy) {
            fprintf(stderr, "service[%s]: no script defines its policy \"%.*s\"; the core's own decides\n", s->name,
                    (int)s->policy_len, s->policy);
        }
        buf_addc(&b, '}');
        between = ",";
    }
    buf_adds(&b, *between == ',' ? "}}" : "{}");
    struct conf *more = b.failed ? NULL : simworld_conf(&r->w, buf_str(&b), err);
    if (b.failed)
        err_nomem(err);
    buf_fini(&b);
    return more;
}

static int by_conf_name(const void *a, const void *b)
{
    const struct conf_service *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Moves the services of `more` to `conf`. */
static bool merge(struct conf *conf, struct conf *more, struct err *err)
{
    struct conf_service *svrs = realloc(conf->svrs, (conf->nsvrs + more->nsvrs + 1) * sizeof *svrs);
    if (!svrs)
        return err_nomem(err);
    if (more->nsvrs)
        memcpy(svrs + conf->nsvrs, more->svrs, more->nsvrs * sizeof *svrs);
    conf->svrs = svrs;
    conf->nsvrs += more->nsvrs;
    more->nsvrs = 0;
    qsort(svrs, conf->nsvrs, sizeof *svrs, by_conf_name);
    return true;
}

/* conf.json with the overlays, where there is one; the scripts are loaded on the way. */
static struct conf *load_conf(const struct replay *r, struct err *err)
{
    struct buf path = {0};
    buf_addf(&path, "%s/conf/conf.json", r->in->home);
    bool found = !path.failed && access(path.data, F_OK) == 0;
    buf_fini(&path);
    if (!found)
        return simworld_load((struct simworld *)&r->w, err) ? simworld_conf(&r->w, "{}", err) : NULL;
    const struct confload_input in = {
        .home = r->in->home, .env = r->in->env, .overrides = r->in->overrides, .scripts = r->w.scripts};
    struct conf *conf = confload(vm_state(r->w.scripts->vm), &in, NULL, err);
    if (conf) {
        free(conf->rundir);
        conf->rundir = NULL;
    }
    return conf;
}

static struct conf *make_conf(const struct replay *r, struct err *err)
{
    struct conf *conf = load_conf(r, err), *more = conf ? make_missing(r, conf, err) : NULL;
    bool ok = more && merge(conf, more, err);
    conf_free(more);
    if (!ok) {
        conf_free(conf);
        return NULL;
    }
    for (size_t i = 0; i < conf->nsvrs; i++) /* the journal says when those are started */
        conf->svrs[i].autostart = conf->svrs[i].autostart && !replaycast_find(&r->cast, conf->svrs[i].name);
    return conf;
}

static void on_told(void *arg, int level, const char *text, bool raised)
{
    const struct replay *r = arg;
    char when[CLOCK_TEXT_SIZE];
    (void)level;
    if (!raised)
        return;
    clock_text(vm_wall_ms(r->w.scripts->vm), when);
    fprintf(stderr, "%s %.*s\n", when, (int)strcspn(text, "\n"), text);
}

/* ---- decisions */

/* How the next start of the service goes: as that one in the journal, or the first behind it that was not replayed. */
static void prepare_start(struct replay *r, struct replay_service *s, const struct replay_event *next)
{
    struct world_sim_behaviour b = {.spawn_stage = PROC_STAGE_EXEC};
    while (next && next->replayed)
        next = next->next;
    s->next = next;
    b.spawn_error = next && next->kind == EVENT_SPAWN_FAIL ? replaylog_error(next) : 0;
    world_sim_behave(r->w.world, s->name, &b);
}

/* The end in the journal that this one stands for. NULL: none. */
static struct replay_event *find_end(struct replay *r, const char *service, const struct service_exit *exit)
{
    const struct replay_service *s = replaycast_find(&r->cast, service);
    struct replay_event *e = r->ending;
    if (!exit->started)
        return s && s->next && s->next->kind == EVENT_SPAWN_FAIL ? replaylog_find(&r->log, s->next->seq) : NULL;
    return e && !strcmp(e->service, service) ? e : NULL;
}

/* The hook of the monitor: the scripts' answer, or the core's, beside the one in the journal. */
static bool decide(void *arg, struct service *s, const struct service_exit *exit, struct decision *out)
{
    struct replay *r = arg;
    struct replay_event *then = find_end(r, s->conf->name, exit);
    if (!decide_hook(r->w.scripts, s, exit, out))
        policy_core(s->failures, out);
    if (!then && !exit->started)
        replaydiff_add_more(&r->diff, s->conf->name, exit->wall_ms, out);
    if (!then)
        return true;
    then->replayed = true;
    if (then->decision)
        replaydiff_add(&r->diff, then, out);
    if (!exit->started) /* the next try may come within this very moment */
        prepare_start(r, replaycast_find(&r->cast, s->conf->name), then->next);
    return true;
}

static bool start_world(struct replay *r, struct simworld_input *world, struct err *err)
{
    int64_t begin_ms = r->cast.nrunning ? MIN(r->cast.running[0]->runs_from_ms, 0) : 0;
    *world = (struct simworld_input){.home = r->in->home,
                                     .env = r->in->env,
                                     .reserved = r->in->reserved,
                                     .wall_ms = r->log.events[0].wall_ms + begin_ms};
    if (!simworld_open(&r->w, world, err))
        return false;
    r->w.scripts->told = on_told;
    r->w.scripts->told_arg = r;
    r->w.scripts->stand_in = r->in->script;
    if (!scripts_enter(r->w.scripts, open_prelude, r->w.scripts, err))
        return false;
    struct conf *conf = make_conf(r, err);
    if (!conf || !simworld_start(&r->w, conf, err))
        return false;
    r->w.mon->hooks = (struct monitor_hooks){.arg = r, .decide = decide};
    world_timer_clear(r->w.world, &r->w.mon->audit); /* nor is there anything to be found out */
    r->base_ms = simworld_now_ms(&r->w) - begin_ms;
    world_sim_advance(r->w.world, 0);
    return true;
}

/* ---- event by event */

static void pass_until(struct replay *r, int64_t at_ms)
{
    world_sim_advance(r->w.world, MAX(r->base_ms + at_ms - simworld_now_ms(&r->w), 0));
}

static void begin_running(struct replay *r, int64_t until_ms)
{
    while (r->next_running < r->cast.nrunning && r->cast.running[r->next_running]->runs_from_ms <= until_ms) {
        struct replay_service *s = r->cast.running[r->next_running++];
        struct service *svc = monitor_find(r->w.mon, s->name);
        pass_until(r, s->runs_from_ms);
        s->begun = true;
        if (svc)
            service_start(svc, 0);
        world_sim_advance(r->w.world, 0);
    }
}

static void missing(struct replay *r, const struct replay_event *e, const struct service *s)
{
    char why[160], wait[CLOCK_DURATION_SIZE];
    clock_duration(service_next_try_ms(s), wait);
    if (s->state == STATE_WAITING)
        snprintf(why, sizeof why, "it is waiting, its next try is in %s", wait);
    else
        snprintf(why, sizeof why, "it is %s", machine_state_name(s->state));
    if (e->decision)
        replaydiff_add_missing(&r->diff, e, why);
}

static void do_exit(struct replay *r, struct replay_event *e, struct service *s)
{
    struct replay_service *rs = replaycast_find(&r->cast, e->service);
    if (!e->count) /* asked for: so does whoever asks */
        return;
    if (!s->proc.pid || s->state == STATE_STOPPING) {
        missing(r, e, s);
        return;
    }
    const struct proc_exit how = {.known = e->code >= 0 || e->signal,
                                  .code = e->code,
                                  .signal = e->signal,
                                  .core = strstr(e->text, "(core dumped)"),
                                  .cpu_ms = -1,
                                  .max_rss_kib = -1};
    if (!rs->counted) /* the row may have begun before the journal */
        s->failures = e->count - 1;
    rs->counted = true;
    r->ending = e;
    world_sim_end(r->w.world, s->proc.pid, &how);
    world_sim_advance(r->w.world, 0);
    r->ending = NULL;
}

/* A start that no command and no decision of this replay leads to. */
static bool is_own_start(const struct replay *r, const struct replay_event *e, const struct service *s)
{
    const struct replay_event *cause = replaylog_find(&r->log, e->cause);
    if (e->replayed || (e->kind != EVENT_STARTING && e->kind != EVENT_SPAWN_FAIL))
        return false;
    if (cause && cause->kind == EVENT_MONITOR) /* if it runs here, it had died while no monitor ran */
        return true;
    bool down = !s->proc.pid && s->state == STATE_DOWN;
    return down && (!replaycast_find(&r->cast, e->service)->begun || !cause || cause->kind == EVENT_CONFIG);
}

static void do_start(struct replay *r, struct replay_event *e, struct service *s)
{
    if (is_own_start(r, e, s)) {
        replaycast_find(&r->cast, e->service)->begun = true;
        if (s->proc.pid)
            service_restart(s, 0);
        else
            service_start(s, 0);
        world_sim_advance(r->w.world, 0);
    }
    if (e->kind == EVENT_SPAWN_FAIL && !e->replayed)
        missing(r, e, s);
    e->replayed = true;
}

static bool begins_with(const char *text, const char *word)
{
    return !strncmp(text, word, strlen(word));
}

static void do_command(struct replay *r, struct replay_event *e, struct service *s)
{
    /* What handlers and timers of scripts did is up to the scripts. */
    const char *script = strstr(e->text, " asked for by a script (");
    if (script && !strstr(script, "(command "))
        return;
    uint64_t cause = monitor_note(r->w.mon, s, EVENT_COMMAND, 0, "%s", e->text);
    if (begins_with(e->text, "start "))
        service_start(s, cause);
    else if (begins_with(e->text, "stop "))
        service_stop(s, cause);
    else if (begins_with(e->text, "restart ") || begins_with(e->text, "grestart "))
        service_restart(s, cause);
    else
        return;
    replaycast_find(&r->cast, e->service)->begun = true;
}

static void do_config(struct replay *r, struct replay_event *e, struct service *s)
{
    (void)r;
    if (begins_with(e->text, "removed "))
        service_stop(s, 0);
}

static void (*const actions[EVENT_KINDS])(struct replay *r, struct replay_event *e, struct service *s) = {
    [EVENT_EXIT] = do_exit,       [EVENT_SPAWN_FAIL] = do_start, [EVENT_STARTING] = do_start,
    [EVENT_COMMAND] = do_command, [EVENT_CONFIG] = do_config,
};

static void replay_event(struct replay *r, struct replay_event *e)
{
    struct world *w = r->w.world;
    begin_running(r, e->at_ms);
    pass_until(r, e->at_ms);
    if (llabs(w->ops->wall_ms(w) - e->wall_ms) > WALL_SLACK_MS)
        world_sim_set_wall(w, e->wall_ms);
    struct service *s = e->service ? monitor_find(r->w.mon, e->service) : NULL;
    if (!s)
        return;
    prepare_start(r, replaycast_find(&r->cast, e->service), is_own_start(r, e, s) ? e : e->next);
    if (actions[e->kind])
        actions[e->kind](r, e, s);
    world_sim_advance(w, 0);
}

static void replay_fini(struct replay *r)
{
    simworld_close(&r->w);
    replaylog_fini(&r->log);
    replaycast_fini(&r->cast);
}

enum replay_result replay_run(const struct replay_input *in, struct err *err)
{
    struct replay r = {.in = in};
    struct simworld_input world;
    bool ok = replaylog_read(&r.log, in->journals, in->njournals, err) &&
              (!replaycast_read(&r.cast, &r.log) || err_nomem(err)) && start_world(&r, &world, err);
    for (size_t i = 0; ok && i < r.log.count; i++)
        replay_event(&r, &r.log.events[i]);
    bool differs = ok && replaydiff_end(&r.diff);
    replay_fini(&r);
    return !ok ? REPLAY_BROKEN : differs ? REPLAY_DIFFERENT : REPLAY_SAME;
}
