#include "upgrade.h"

#include "clog.h"
#include "command.h"
#include "exec.h"
#include "jsonline.h"
#include "memory.h"
#include "mhd.h"
#include "remember_line.h"
#include "request.h"
#include "tls.h"
#include "upgrade_state.h"
#include "world_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIAL_MS 30000 /* for the new program to look at what it would get */
#define WAIT_S 5       /* for requests in hand, before those that wait are answered that they must go on without us */
#define WAIT_MAX_S 600
#define LEAVING_MS 60000 /* for services that were taken out of the configuration to end */
#define DRAIN_MS 2000    /* for these answers */
#define BUSY_MS 1000     /* work in a thread that takes longer is waited for, as it may hang in the kernel */
#define HANGS_MS 10000   /* then it does */
#define SAID_MAX 4096
#define GOING "the monitor is being upgraded; what was asked for goes on"

static struct {
    char **argv;
    char path[PATH_MAX];
} program;

struct upgrade {
    struct upgrade_parts parts;
    struct request *request; /* NULL: none is under way */
    struct exec *trial;      /* NULL: it is over */
    bool leaving;            /* the trial went well */
    bool wound_down;         /* what waits was answered */
    int64_t wait_ms;         /* see WAIT_S */
    int64_t patience_ms;     /* services that leave must have ended by then */
    int64_t until_ms;        /* of the phase; 0: such services are still there */
};

/* ---- which program */

/* As it was called, where that tells: what a symbolic link points at may be another one by now, and that is what is
 * meant.
 */
void upgrade_note_program(char **argv)
{
    char exe[PATH_MAX], called[PATH_MAX];
    program.argv = argv;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[MAX(n, 0)] = 0;
    bool same = strchr(argv[0], '/') && realpath(argv[0], called) && !strcmp(called, exe);
    if (same && argv[0][0] == '/')
        snprintf(program.path, sizeof program.path, "%s", argv[0]);
    else if (same && getcwd(called, sizeof called) && strlen(called) + strlen(argv[0]) + 2 < sizeof program.path)
        snprintf(program.path, sizeof program.path, "%.*s/%s", (int)strlen(called), called, argv[0]);
    else
        snprintf(program.path, sizeof program.path, "%s", exe);
}

/* ---- the old program */

struct upgrade *upgrade_new(const struct upgrade_parts *parts)
{
    struct upgrade *u = calloc(1, sizeof *u);
    if (u)
        u->parts = *parts;
    return u;
}

void upgrade_free(struct upgrade *u)
{
    if (u && u->trial)
        exec_cancel(u->trial);
    free(u);
}

static void give_up(struct upgrade *u, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void give_up(struct upgrade *u, const char *fmt, ...)
{
    char why[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    struct request *r = u->request;
    if (u->leaving)
        http_go_on(u->parts.http);
    u->request = NULL;
    u->leaving = u->wound_down = false;
    clog_error("upgrade: %s; this program goes on", why);
    if (!r)
        return;
    r->cancel = NULL;
    request_fail(r, 500, EXIT_COMMAND, "upgrade", "%s; the monitor goes on as it was", why);
}

static void describe(const struct upgrade *u, struct buf *b)
{
    size_t n;
    const struct request *r = u->request;
    struct http_given *given = http_give(u->parts.http, r, &n);
    struct upgrade_head head = {.rundir = u->parts.mon->conf->rundir,
                                .lock_fd = u->parts.lock_fd,
                                .answer_fd = r ? http_fd(u->parts.http, r) : -1,
                                .nofile = proc_given_nofile() ? proc_given_nofile()->rlim_cur : 0,
                                .json = r && r->format == FORMAT_JSON,
                                .last_seq = u->parts.mon->journal.last_seq};
    upgrade_state_add(b, &head, given, n);
    remember_hand_over(u->parts.mon, b);
    b->failed = b->failed || !given;
    free(given);
}

/* What it said, as far as it makes a message: scripts may have logged something before. */
static void trial_failed(struct upgrade *u, const struct exec_result *r)
{
    static const char mark[] = "Error: ";
    const char *found = strstr(r->err, mark), *said = found ? found + strlen(mark) : r->err;
    int len = (int)strcspn(said, "\n");
    if (r->timed_out)
        give_up(u, "%s has not started within %d s", program.path, TRIAL_MS / 1000);
    else if (r->signal)
        give_up(u, "%s does not start: it was killed by %s", program.path, conf_signal_name(r->signal));
    else
        give_up(u, "%s does not take over: %s%.*s", program.path, len ? "" : "it exits with no word that it would", len,
                said);
}

static void on_tried(void *arg, const struct exec_result *r)
{
    struct upgrade *u = arg;
    u->trial = NULL;
    if (r->timed_out || r->signal || r->code || !strstr(r->out, UPGRADE_WELL)) {
        trial_failed(u, r);
        return;
    }
    struct world *w = u->parts.mon->world;
    u->leaving = true;
    u->until_ms = 0;
    u->patience_ms = w->ops->mono_ms(w) + LEAVING_MS;
}

/* Whoever asked has hung up. */
static void on_cancel(struct request *r)
{
    struct upgrade *u = r->data;
    u->request = NULL;
    if (u->trial)
        exec_cancel(u->trial);
    u->trial = NULL;
    if (u->leaving)
        http_go_on(u->parts.http);
    u->leaving = u->wound_down = false;
}

static struct exec *try_it(struct upgrade *u, const struct buf *state, struct err *err)
{
    const struct confload_input *in = u->parts.in;
    const char *argv[12] = {program.path, "-check-state", "0", "-home", in->home, "-env", in->env};
    size_t n = 7;
    if (in->overrides) {
        argv[n++] = "-conf";
        argv[n++] = in->overrides;
    }
    struct exec_spec spec = {.argv = (char *const *)(uintptr_t)argv,
                             .input = state->data,
                             .input_len = state->len,
                             .timeout_ms = TRIAL_MS,
                             .max_output = SAID_MAX};
    return exec_start(u->parts.loop, &spec, on_tried, u, err);
}

void upgrade_begin(struct upgrade *u, struct request *r)
{
    struct buf state = {0};
    struct err err = {0};
    if (u->request) {
        request_fail(r, 400, EXIT_USAGE, "upgrade", "an upgrade is under way already");
        return;
    }
    uint64_t wait_s = WAIT_S;
    if (!request_number(r, "wait", 0, WAIT_MAX_S, &wait_s))
        return;
    u->wait_ms = (int64_t)wait_s * 1000;
    u->request = r;
    r->data = u;
    r->cancel = on_cancel;
    describe(u, &state);
    u->trial = state.failed ? NULL : try_it(u, &state, &err);
    if (!u->trial)
        give_up(u, "%s does not start: %s", program.path, state.failed ? "out of memory" : err.text);
    buf_fini(&state);
}

static void keep_open(int fd, bool open)
{
    if (fd >= 0)
        fcntl(fd, F_SETFD, open ? 0 : FD_CLOEXEC);
}

static void keep_all_open(const struct upgrade *u, bool open)
{
    size_t n;
    const struct monitor *m = u->parts.mon;
    struct http_given *given = http_give(u->parts.http, u->request, &n);
    for (size_t i = 0; given && i < n; i++)
        keep_open(given[i].fd, open);
    free(given);
    for (size_t i = 0; i < m->nsvcs; i++)
        keep_open(m->svcs[i]->proc.pidfd, open);
    for (const struct service *s = m->removed; s; s = s->next_queued)
        keep_open(s->proc.pidfd, open);
    keep_open(u->parts.lock_fd, open);
    keep_open(u->request ? http_fd(u->parts.http, u->request) : -1, open);
}

/* Over an encrypted connection the answer goes before us: what was agreed on it ends with this program. */
static bool answer_early(struct upgrade *u)
{
    struct request *r = u->request;
    if (!r || http_fd(u->parts.http, r) >= 0)
        return false;
    u->request = NULL;
    r->cancel = NULL;
    buf_adds(&r->body, r->format == FORMAT_JSON ? "{\"ok\":true}\n" : "SUCCESS\n");
    request_done(r, 200, EXIT_OK);
    return true;
}

/* Of the next program. Ours is left alone: a thread may just be reading it, and if the exec fails, nothing has to be
 * undone. Freed by the caller; NULL when memory ran out. */
static char **next_environment(char *state)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = calloc(n + 3, sizeof *env);
    if (!env)
        return NULL;
    memcpy(env, environ, n * sizeof *env);
    env[n] = state;
    if (!getenv(MEMORY_VARIABLE))
        env[n + 1] = MEMORY_NO_THREAD_CACHE;
    return env;
}

static void leave(struct upgrade *u)
{
    struct buf state = {0};
    char variable[UPGRADE_STATE_VARIABLE_SIZE];
    monitor_finish(u->parts.mon); /* what was asked for */
    describe(u, &state);
    int fd = state.failed ? -1 : memfd_create("fota_monitor state", MFD_CLOEXEC);
    bool written = fd >= 0 && write(fd, state.data, state.len) == (ssize_t)state.len && !lseek(fd, 0, SEEK_SET);
    upgrade_state_variable(fd, variable);
    char **env = written ? next_environment(variable) : NULL;
    buf_fini(&state);
    if (!env) {
        if (fd >= 0)
            close(fd);
        give_up(u, "the state can't be handed over: %s", strerror(errno));
        return;
    }
    clog_info("upgrade: this process becomes what %s is now", program.path);
    sdnotify_reloading(u->parts.manager);
    u->parts.mon->world->ops->release(u->parts.mon->world, &u->parts.mon->ended);
    monitor_flush(u->parts.mon);
    exec_kill_all(); /* helpers: who waits for them is no more */
    keep_all_open(u, true);
    keep_open(fd, true);
    execve(program.path, program.argv, env);
    int error = errno;
    free(env);
    keep_all_open(u, false);
    close(fd);
    sdnotify_tell(u->parts.manager, "READY=1");
    give_up(u, "%s can't be executed: %s", program.path, strerror(error));
}

/* A process with a thread that can't be ended would not get past its execve. */
static bool is_held_up(struct upgrade *u)
{
    int64_t busy_ms = world_linux_busy_ms(u->parts.mon->world);
    if (busy_ms >= HANGS_MS)
        give_up(u, "work on logs or /proc has been going on for %lld s: a disk may not answer",
                (long long)busy_ms / 1000);
    return busy_ms >= BUSY_MS;
}

void upgrade_turn(struct upgrade *u)
{
    if (!u || !u->leaving)
        return;
    struct world *w = u->parts.mon->world;
    struct http *http = u->parts.http;
    if (u->parts.mon->ending) {
        give_up(u, "the monitor is shutting down");
        return;
    }
    int64_t now = w->ops->mono_ms(w);
    const struct service *removed = u->parts.mon->removed;
    if (removed && now >= u->patience_ms)
        give_up(u, "service[%s] was taken out of the configuration and has not ended yet", removed->conf->name);
    if (removed || is_held_up(u)) /* nobody would know of the former any more */
        return;
    if (!u->until_ms)
        u->until_ms = now + u->wait_ms;
    bool late = now >= u->until_ms;
    if (late && !u->wound_down) {
        u->wound_down = true;
        u->until_ms += DRAIN_MS;
        late = false;
    }
    http_wind_down(http, u->request, u->wound_down, GOING);
    if ((late || http_is_quiet(http, u->request)) && !answer_early(u))
        leave(u);
}

/* ---- the new program */

void upgrade_answer(struct upgrade_state *s, const struct monitor *m)
{
    struct buf body = {0}, all = {0};
    clog_info("upgrade: fota_monitor " FM_VERSION " took over from %s, with %zu service%s", s->from, m->nsvcs,
              m->nsvcs == 1 ? "" : "s");
    if (s->answer_fd < 0)
        return;
    buf_adds(&body, s->json ? "{\"ok\":true,\"version\":\"" FM_VERSION "\"}\n" : "SUCCESS\n");
    buf_addf(&all,
             "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\nX-Exit-Code: 0\r\nConnection: close\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             s->json ? "application/json" : "text/plain; charset=utf-8", body.len, buf_str(&body));
    if (!all.failed && send(s->answer_fd, all.data, all.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        clog_debug("upgrade: whoever asked for it is gone: %s", strerror(errno));
    close(s->answer_fd);
    s->answer_fd = -1;
    buf_fini(&body);
    buf_fini(&all);
}

static bool suits(const struct upgrade_state *s, const struct conf *conf, struct err *err)
{
    struct tls tls;
    if (s->rundir[0] && strcmp(s->rundir, conf->rundir) != 0)
        return err_set(err, "rundir is %s now, and was %s: that takes a restart of the monitor", conf->rundir,
                       s->rundir);
    if (!mhd_load(err) || !tls_read(&tls, conf, err))
        return false;
    tls_fini(&tls);
    return true;
}

bool upgrade_check(int fd, bool (*load)(void *arg, struct loaded *out, struct err *err), void *arg, struct err *err)
{
    struct loaded world;
    struct upgrade_state *s = upgrade_state_read(fd, err);
    bool ok = s && load(arg, &world, err);
    if (ok) {
        ok = suits(s, world.conf, err);
        loaded_fini(&world);
    }
    upgrade_state_free(s);
    return ok;
}

struct upgrade_state *upgrade_taken(void)
{
    struct err err = {0};
    int fd = upgrade_state_announced();
    if (fd < 0)
        return NULL;
    struct upgrade_state *s = upgrade_state_read(fd, &err);
    close(fd);
    bool ours = s && s->pid == getpid();
    if (!ours) {
        clog_warn("the state of a former program is not used: %s", s ? "it is another process's" : err.text);
        upgrade_state_free(s);
        return NULL;
    }
    upgrade_state_close_on_exec(s);
    return s;
}
