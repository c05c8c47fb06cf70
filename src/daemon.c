#include "daemon.h"

#include "autoreload.h"
#include "clock.h"
#include "clog.h"
#include "collector.h"
#include "command.h"
#include "exec.h"
#include "http.h"
#include "hush.h"
#include "lock.h"
#include "memory.h"
#include "metrics.h"
#include "monitor.h"
#include "outside_uv.h"
#include "proc.h"
#include "reaper.h"
#include "request.h"
#include "rundir.h"
#include "scripted.h"
#include "sdnotify.h"
#include "shutdown.h"
#include "signals.h"
#include "upgrade.h"
#include "vm.h"
#include "world_linux.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define RETRY_MS 1000
#define FIRST_LOOK_MS 3000 /* so long who asks waits for it: it may hang */
#define START_OVER_MS 1000 /* after the first services were started: they are up, or are started again */
#define PATIENCE_MS 3000   /* for work in threads, at the end */

struct app {
    uv_loop_t loop;
    uv_prepare_t flush;
    struct metrics_lag lag;
    int signals_fd; /* -1: not open */
    uv_poll_t signals;
    const struct confload_input *in;
    struct scripts *scripts; /* NULL: there are none */
    struct scripts *retired; /* former ones that finish what they are at */
    struct outside *outside;
    struct world *world;
    struct monitor *mon;
    struct admin admin;
    struct http *http;
    struct autoreload *autoreload; /* NULL: no memory for it */
    struct collector *collector;   /* NULL: no memory for it */
    struct sdnotify *manager;      /* the service manager; NULL: there is none */
    struct upgrade *upgrade;       /* NULL: no memory for it */
    struct upgrade_state *taken;   /* what the program before this one left; NULL: we were started as usual */
    struct shutdown shutdown;
    struct reaper *reaper; /* NULL: there is nobody else's child, or no memory */
    int lock_fd;
    struct hush hush;       /* of what can't be written in the run folder */
    int64_t retry_ms;       /* when that is tried again */
    bool address_known;     /* it stands in the lock file */
    bool reloading;         /* the manager was told so */
    uint64_t trimmed_after; /* the look at the processes after which memory was given back; 0: none yet */
    uv_timer_t start_over;
    uv_timer_t first_look; /* active: who asks is kept waiting until it is over */
};

static bool make_rundir(const struct conf *conf, struct err *err)
{
    struct buf who = {0};
    if (!rundir_ensure(conf->rundir, err))
        return false;
    if (rundir_is_replaceable(conf->rundir, &who))
        clog_warn("rundir %s: %s", conf->rundir, buf_str(&who));
    buf_fini(&who);
    return true;
}

static int take_lock(const struct conf *conf, struct err *err)
{
    struct buf path = {0};
    buf_addf(&path, "%s/%s.lock", conf->rundir, conf->env);
    int fd = path.failed ? -1 : lock_take(path.data, err);
    if (path.failed)
        err_nomem(err);
    buf_fini(&path);
    return fd;
}

static bool read_all(void *arg, struct loaded *out, struct err *err)
{
    struct app *app = arg;
    sdnotify_reloading(app->manager);
    app->reloading = true;
    if (!load_all(app->in, command_is_reserved, out, err))
        return false;
    for (char *rest = out->warnings, *line; (line = strsep(&rest, "\n"));)
        if (*line)
            clog_warn("%s", line);
    return true;
}

static void attach(void *arg, struct scripts *scripts)
{
    struct app *app = arg;
    if (scripts)
        scripts_attach(scripts, app->mon, app->outside);
    else
        app->mon->hooks = (struct monitor_hooks){0};
}

/* The old ones finish what they are at, and go. */
static void swap(void *arg, struct scripts *scripts)
{
    struct app *app = arg;
    struct scripts *old = app->scripts;
    app->scripts = scripts;
    if (scripts)
        scripts_start(scripts);
    if (scripted_set(&app->admin, scripts))
        clog_error("out of memory: the commands of the scripts are not there");
    if (old)
        scripts_retire(old, &app->retired);
}

/* Without a token the monitor runs as well; only nobody can show it. */
static void read_token(struct app *app, const struct conf *conf)
{
    struct buf path = {0};
    struct err err = {0};
    char more[HUSH_MORE_SIZE];
    buf_addf(&path, "%s/%s.token", conf->rundir, conf->env);
    bool had = path.failed ? err_nomem(&err) : token_ensure(path.data, app->admin.token, &err);
    if (!had && hush_says(&app->hush, err.text, clock_mono_ms(), more))
        clog_error("the token can't be had: %s%s", err.text, more);
    buf_fini(&path);
}

/* Where it answers, for the command line. */
static void write_address(struct app *app, const struct conf *conf)
{
    char more[HUSH_MORE_SIZE];
    int r = lock_write(app->lock_fd, http_address(app->http));
    app->address_known = r == 0;
    if (r && hush_says(&app->hush, "lock", clock_mono_ms(), more))
        clog_error("%s/%s.lock: %s%s", conf->rundir, conf->env, strerror(-r), more);
}

static bool relisten(void *arg, const struct conf *next, struct err *err)
{
    struct app *app = arg;
    if (!http_listen(app->http, next, err))
        return false;
    write_address(app, next);
    return true;
}

/* What could not be written, on a full disk say, is tried again. */
static void write_again(struct app *app)
{
    int64_t now = clock_mono_ms();
    if ((app->address_known && app->admin.token[0]) || now < app->retry_ms)
        return;
    app->retry_ms = now + RETRY_MS;
    if (!app->address_known)
        write_address(app, app->mon->conf);
    if (!app->admin.token[0])
        read_token(app, app->mon->conf);
}

/* What follows the configuration beside the core: where the monitor's own log goes. */
static void apply(void *arg, const struct conf *conf)
{
    struct app *app = arg;
    const struct conf_clog *clog = &conf->clog;
    struct collector_setup setup = {.name = clog->name, .addr = clog->addr, COLLECTOR_SETUP};
    bool wanted = app->collector && (clog->mode & CONF_CLOG_COLLECTOR) && clog->addr;
    clog_configure(clog->mode, clog->level);
    clog_attach(wanted ? collector_sink(app->collector) : NULL);
    if (app->collector && !collector_configure(app->collector, wanted ? &setup : NULL))
        clog_attach(NULL);
    if (app->autoreload)
        autoreload_follow(app->autoreload);
}

static void tell_ready(struct app *app)
{
    sdnotify_tell(app->manager, "READY=1\nSTATUS=env %s on %s, %zu service%s", app->mon->conf->env,
                  http_address(app->http), app->mon->nsvcs, app->mon->nsvcs == 1 ? "" : "s");
    app->reloading = false;
}

/* What only a start needs goes. */
static void on_start_over(uv_timer_t *timer)
{
    struct app *app = CONTAINER_OF(timer, struct app, start_over);
    http_start_over(app->http);
    memory_trim_start();
}

/* A look comes once a minute and after every start: when it is over, so is what led to it. Lua's garbage first: it
 * would keep pages from being given back, others each time. */
static void trim(struct app *app)
{
    const struct monitor *m = app->mon;
    if (m->scans == app->trimmed_after || !m->surveyed || m->surveying || m->queue_head || m->work_head)
        return;
    if (app->scripts)
        vm_collect(app->scripts->vm);
    memory_trim();
    if (!app->trimmed_after)
        uv_timer_start(&app->start_over, on_start_over, START_OVER_MS, 0);
    app->trimmed_after = m->scans;
}

static void on_first_look(uv_timer_t *timer)
{
    uv_timer_stop(timer);
    http_go_on(CONTAINER_OF(timer, struct app, first_look)->http);
}

/* What runs on from the monitor before this one is not known yet: an answer would tell of services that are down, and
 * are not. */
static void await_first_look(struct app *app)
{
    http_hold(app->http);
    uv_update_time(&app->loop); /* what it took until here is not part of it */
    uv_timer_start(&app->first_look, on_first_look, FIRST_LOOK_MS, 0);
}

/* Before the loop waits. */
static void on_flush(uv_prepare_t *prepare)
{
    struct app *app = CONTAINER_OF(prepare, struct app, flush);
    monitor_flush(app->mon);
    write_again(app);
    shutdown_turn(&app->shutdown);
    upgrade_turn(app->upgrade);
    if (app->reloading) /* a reload is over, well or not, in the turn it began in */
        tell_ready(app);
    if (app->mon->surveyed && uv_is_active((uv_handle_t *)&app->first_look))
        on_first_look(&app->first_look);
    trim(app);
}

void daemon_hold_signals(void)
{
    const int *signals;
    size_t n = shutdown_signals(&signals);
    signals_hold(signals, n);
}

static void on_signals(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct app *app = poll->data;
    int signum = signals_next(app->signals_fd);
    if (!signum)
        return;
    shutdown_on_signal(&app->shutdown, signum);
}

static void watch_signals(struct app *app)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that must not grow any more is an error, and no end of the monitor */
    /* As nohup: the end of a terminal must not end the monitor. Process 1 hands it on. */
    signal(SIGHUP, getpid() == 1 ? SIG_DFL : SIG_IGN);
    uv_poll_init(&app->loop, &app->signals, app->signals_fd);
    app->signals.data = app;
    uv_poll_start(&app->signals, UV_READABLE, on_signals);
    proc_note_signals();
    uv_prepare_init(&app->loop, &app->flush);
    uv_prepare_start(&app->flush, on_flush);
    uv_timer_init(&app->loop, &app->start_over);
    uv_timer_init(&app->loop, &app->first_look);
}

static void become_next(void *arg, struct request *r)
{
    struct app *app = arg;
    if (app->upgrade)
        upgrade_begin(app->upgrade, r);
    else
        request_fail(r, 500, EXIT_COMMAND, "no_memory", "out of memory");
}

static void shut_down(void *arg, const struct request *r)
{
    struct app *app = arg;
    char why[EVENT_TEXT_SIZE];
    snprintf(why, sizeof why, "shutdown asked for by %s", r->who);
    shutdown_begin(&app->shutdown, why, 0, EXIT_OK);
}

/* The addresses of then, instead of those in conf.json. */
static bool listen_as_before(struct conf *conf, const struct upgrade_state *s)
{
    char **bind = calloc(s->ngiven + 1, sizeof *bind);
    size_t n = 0;
    for (size_t i = 0; bind && i < s->ngiven; i++) {
        if (!s->given[i].listens)
            continue;
        conf->port = s->given[i].port;
        bind[n] = strdup(s->given[i].address);
        n += bind[n] != NULL;
    }
    for (char **old = conf->bind; bind && *old; old++)
        free(*old);
    if (!bind)
        return false;
    free(conf->bind);
    conf->bind = bind;
    return n > 0;
}

/* What the program before this one left goes to where it belongs; the rest follows monitor_start. Nothing here is a
 * reason to give up: nobody would look after the services. */
static void take_over(struct app *app, struct conf *conf, struct err *err)
{
    struct upgrade_state *s = app->taken;
    app->mon->upgraded_from = s->from;
    if (s->nofile)
        proc_set_given_nofile(s->nofile);
    app->mon->journal.last_seq = MAX(app->mon->journal.last_seq, s->last_seq);
    remember_take_over(app->mon, buf_str(&s->services), s->services.len);
    http_take(app->http, s->given, s->ngiven);
    if (!relisten(app, conf, err) && !(listen_as_before(conf, s) && relisten(app, conf, NULL)))
        clog_error("%s; there is no admin port until that is right and the monitor is started again", err->text);
    else if (err->text[0])
        clog_error("%s; the admin port stays where it was", err->text);
    err->text[0] = 0;
    http_taken(app->http);
}

/* Our own place, and that there is but one of us. */
static bool settle_in(struct app *app, const struct conf *conf, struct err *err)
{
    if (!make_rundir(conf, err))
        return false;
    app->lock_fd = app->taken ? app->taken->lock_fd : take_lock(conf, err);
    if (app->lock_fd < 0)
        return false;
    proc_keep(app->lock_fd);
    const int *signals;
    size_t n = shutdown_signals(&signals);
    app->signals_fd = signals_open(signals, n);
    return app->signals_fd >= 0 || err_set(err, "signals can't be read: %s", strerror(-app->signals_fd));
}

/* Everything that can fail before there is anything to lose. */
static bool assemble(struct app *app, struct conf *conf, struct err *err)
{
    int error;
    app->lock_fd = app->signals_fd = -1;
    if (!settle_in(app, conf, err)) {
        conf_free(conf);
        return false;
    }
    app->outside = outside_uv_new(&app->loop);
    if (!app->outside) {
        conf_free(conf);
        return err_nomem(err);
    }
    app->world = world_linux_new(&app->loop, &error);
    if (!app->world) {
        conf_free(conf);
        return err_set(err, "the event loop does not start: %s", strerror(-error));
    }
    app->mon = monitor_new(app->world, conf, err);
    if (!app->mon)
        return false;
    monitor_prepare(app->mon); /* while the admin port is made ready */
    app->admin = (struct admin){.mon = app->mon,
                                .read = read_all,
                                .attach = attach,
                                .swap = swap,
                                .relisten = relisten,
                                .applied = apply,
                                .upgrade = become_next,
                                .shutdown = shut_down,
                                .arg = app,
                                .loop = &app->loop,
                                .lag = &app->lag};
    app->autoreload = autoreload_new(&app->loop, &app->admin);
    app->collector = collector_new(&app->loop);
    app->manager = sdnotify_new(&app->loop);
    shutdown_init(&app->shutdown, &app->loop, app->mon, app->manager);
    read_token(app, conf);
    app->http = http_new(&app->loop, &app->admin);
    if (!app->http)
        return err_nomem(err);
    app->upgrade = upgrade_new(&(struct upgrade_parts){.loop = &app->loop,
                                                       .mon = app->mon,
                                                       .http = app->http,
                                                       .manager = app->manager,
                                                       .in = app->in,
                                                       .lock_fd = app->lock_fd});
    if (!app->taken)
        return relisten(app, conf, err);
    take_over(app, conf, err);
    return true;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_patience(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* False: a thread of the loop's pool is still at work, and may wait for a disk for ever. */
static bool close_loop(uv_loop_t *loop)
{
    uv_timer_t patience;
    uv_walk(loop, close_handle, NULL);
    uv_timer_init(loop, &patience);
    uv_timer_start(&patience, on_patience, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&patience);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return uv_loop_close(loop) == 0;
}

/* False: a thread is left behind. */
static bool take_apart(struct app *app)
{
    if (app->mon)
        monitor_finish(app->mon); /* what was asked for */
    http_free(app->http);
    upgrade_free(app->upgrade); /* nobody asks for one any more */
    autoreload_free(app->autoreload);
    scripted_set(&app->admin, NULL);
    scripts_free(app->scripts);
    while (app->retired) /* a command of theirs was running */
        scripts_free(app->retired);
    outside_uv_free(app->outside);
    if (app->mon)
        monitor_free(app->mon);
    if (app->world)
        world_linux_free(app->world);
    exec_end_all();
    reaper_free(app->reaper);
    sdnotify_free(app->manager);
    clog_attach(NULL);
    if (app->collector)
        collector_free(app->collector);
    bool closed = close_loop(&app->loop);
    if (!closed)
        clog_warn("a thread still waits for a disk that does not answer; the next monitor can begin all the same");
    if (app->signals_fd >= 0)
        close(app->signals_fd);
    if (app->lock_fd >= 0)
        lock_release(app->lock_fd);
    upgrade_state_free(app->taken);
    return closed;
}

int daemon_run(struct loaded *world, const struct confload_input *in, bool *hangs)
{
    struct app app = {.in = in, .taken = upgrade_taken()};
    struct conf *conf = world->conf;
    world->conf = NULL;
    struct err err = {0};
    int r = uv_loop_init(&app.loop);
    if (r) {
        fprintf(stderr, "Error: the event loop does not start: %s\n", uv_strerror(r));
        conf_free(conf);
        return EXIT_COMMAND;
    }
    metrics_lag_start(&app.lag, &app.loop);
    bool ok = assemble(&app, conf, &err);
    if (ok) {
        apply(&app, app.mon->conf);
        clog_info("fota_monitor " FM_VERSION " runs env %s on %s with %zu service%s, pid %d", app.mon->conf->env,
                  http_address(app.http), app.mon->nsvcs, app.mon->nsvcs == 1 ? "" : "s", getpid());
        watch_signals(&app);
        if (app.taken || getpid() == 1)
            app.reaper = reaper_new(&app.loop, app.mon);
        attach(&app, world->scripts);
        swap(&app, world->scripts);
        world->scripts = NULL;
        monitor_start(app.mon);
        tell_ready(&app);
        if (app.taken)
            upgrade_answer(app.taken, app.mon);
        else
            await_first_look(&app);
        uv_run(&app.loop, UV_RUN_DEFAULT);
    } else {
        fprintf(stderr, "Error: %s\n", err.text);
    }
    *hangs = !take_apart(&app);
    return ok ? app.shutdown.code : EXIT_USAGE;
}
