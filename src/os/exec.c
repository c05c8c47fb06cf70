#include "exec.h"

#include "buf.h"
#include "ownenv.h"
#include "proc.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

extern char **environ;

#define KILL_AFTER_MS 500
#define GRACE_MS 250
#define COLLECT_MS 100
#define SIGNAL_TO_GROUP 4U /* PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9 */

enum { STDIN, STDOUT, STDERR, PIPES };

struct output {
    struct buf text;
    bool truncated;
};

struct exec {
    struct exec *next;
    uv_process_t process;
    uv_pipe_t pipes[PIPES];
    uv_timer_t timer; /* the timeout, then the kill, and after the end the grace */
    int open;         /* handles that are not closed yet */
    uv_write_t writing;
    char *input;
    struct output outputs[PIPES];
    size_t max_output;
    void (*done)(void *arg, const struct exec_result *r); /* NULL: nobody wants to know any more */
    void *arg;
    bool running, timed_out;
    int code, signal;
    int pidfd; /* of the process; -1: none */
};

static struct exec *all;

static void on_closed(uv_handle_t *handle)
{
    struct exec *e = handle->data;
    if (--e->open)
        return;
    for (int i = 0; i < PIPES; i++)
        buf_fini(&e->outputs[i].text);
    if (e->pidfd >= 0)
        close(e->pidfd);
    free(e->input);
    free(e);
}

static void close_handle(struct exec *e, void *handle)
{
    uv_handle_t *h = handle;
    if (h->type != UV_UNKNOWN_HANDLE && h->data == e && !uv_is_closing(h))
        uv_close(h, on_closed);
}

/* A handle that is initialised counts until it is closed. */
static void opened(struct exec *e, void *handle)
{
    ((uv_handle_t *)handle)->data = e;
    e->open++;
}

static void close_pipes(struct exec *e)
{
    for (int i = 0; i < PIPES; i++)
        close_handle(e, &e->pipes[i]);
}

/* Everything of it is closed, and it frees itself. */
static void release(struct exec *e)
{
    struct exec **link = &all;
    while (*link && *link != e)
        link = &(*link)->next;
    if (*link)
        *link = e->next;
    close_pipes(e);
    close_handle(e, &e->timer);
    close_handle(e, &e->process);
}

static bool is_open(struct exec *e, int pipe)
{
    return !uv_is_closing((uv_handle_t *)&e->pipes[pipe]);
}

static void finish(struct exec *e)
{
    struct buf *out = &e->outputs[STDOUT].text, *err = &e->outputs[STDERR].text;
    struct exec_result r = {
        .code = e->code,
        .signal = e->signal,
        .timed_out = e->timed_out,
        .truncated = e->outputs[STDOUT].truncated || e->outputs[STDERR].truncated,
        .out = buf_str(out),
        .out_len = out->len,
        .err = buf_str(err),
        .err_len = err->len,
    };
    void (*done)(void *arg, const struct exec_result *r) = e->done;
    e->done = NULL;
    if (done)
        done(e->arg, &r);
    release(e);
}

static void finish_if_over(struct exec *e)
{
    if (!e->running && !is_open(e, STDOUT) && !is_open(e, STDERR))
        finish(e);
}

/* Through the pidfd, which stands for the group even when the process was collected and its number is somebody else's
 * by now. On older kernels by number: while it is not collected, or when nobody has its number. */
static void kill_group(struct exec *e, int sig)
{
    struct procfs_stat other;
    if (e->pidfd >= 0 && (!syscall(SYS_pidfd_send_signal, e->pidfd, sig, NULL, SIGNAL_TO_GROUP) || errno != EINVAL))
        return;
    if (e->running || !procfs_stat(e->process.pid, &other))
        kill(-e->process.pid, sig);
}

static void on_grace(uv_timer_t *timer)
{
    finish(timer->data);
}

static void on_kill(uv_timer_t *timer)
{
    kill_group(timer->data, SIGKILL);
}

static void on_timeout(uv_timer_t *timer)
{
    struct exec *e = timer->data;
    e->timed_out = true;
    kill_group(e, SIGTERM);
    uv_timer_start(timer, on_kill, KILL_AFTER_MS, 0);
}

static void on_ended(uv_process_t *process, int64_t code, int sig)
{
    struct exec *e = process->data;
    e->running = false;
    e->signal = sig;
    e->code = sig ? -1 : (int)code;
    if (e->timed_out)
        kill_group(e, SIGKILL);
    if (!e->done) {
        release(e);
        return;
    }
    close_handle(e, &e->pipes[STDIN]);
    /* What it wrote itself is read by now: libuv tells of ends last in a turn. */
    uv_timer_start(&e->timer, on_grace, GRACE_MS, 0);
    finish_if_over(e);
}

/* Outputs are read one after the other, and what is read is copied at once: one place is enough for all. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    static char room[64 * 1024];
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(room, sizeof room);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *data)
{
    struct exec *e = stream->data;
    struct output *o = &e->outputs[(uv_pipe_t *)stream - e->pipes];
    if (n > 0) {
        size_t room = e->max_output - o->text.len, len = (size_t)n;
        buf_add(&o->text, data->base, MIN(len, room));
        o->truncated = o->truncated || len > room || o->text.failed;
    } else if (n < 0) {
        close_handle(e, stream);
        finish_if_over(e);
    }
}

/* Written, or nobody reads it any more: both end the input. */
static void on_written(uv_write_t *writing, int status)
{
    (void)status;
    struct exec *e = writing->data;
    close_handle(e, &e->pipes[STDIN]);
}

/* A real pipe (not the socket pair of UV_CREATE_PIPE: the helper could not open /dev/stdout). Returns the helper's end
 * or -errno. */
static int make_pipe(struct exec *e, uv_loop_t *loop, int which)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        return -errno;
    int ours = which == STDIN ? fds[1] : fds[0], theirs = which == STDIN ? fds[0] : fds[1];
    uv_pipe_init(loop, &e->pipes[which], 0);
    opened(e, &e->pipes[which]);
    int r = uv_pipe_open(&e->pipes[which], ours);
    if (r) {
        close(ours);
        close(theirs);
        return r;
    }
    return theirs;
}

/* The environment of a helper when none is given; what it points to is borrowed. NULL: memory ran out. */
static char **inherited_env(void)
{
    size_t n = 0, kept = 0;
    while (environ && environ[n])
        n++;
    char **env = calloc(n + 1, sizeof *env);
    for (size_t i = 0; env && i < n; i++)
        if (!ownenv_has(environ[i]))
            env[kept++] = environ[i];
    return env;
}

static void why_not(const struct exec_spec *spec, int error, struct err *err)
{
    struct stat st;
    const char *name = spec->argv[0];
    bool found = !spec->dir || !stat(spec->dir, &st);
    if (found && spec->dir && !S_ISDIR(st.st_mode))
        err_set(err, "chdir %s: %s", spec->dir, strerror(ENOTDIR));
    else if (!found || (spec->dir && access(spec->dir, X_OK)))
        err_set(err, "chdir %s: %s", spec->dir, strerror(errno));
    else if (error == ENOENT && !strchr(name, '/'))
        err_set(err, "%s: there is no such program in PATH", name);
    else
        err_set(err, "%s: %s", name, strerror(error));
}

/* Starts the process. `fds` are the helper's ends of the pipes (-1: /dev/null). 0 or -errno. */
static int spawn(struct exec *e, uv_loop_t *loop, const struct exec_spec *spec, const int fds[PIPES])
{
    char **env = spec->env ? NULL : inherited_env();
    if (!spec->env && !env)
        return -ENOMEM;
    uv_stdio_container_t stdio[PIPES];
    for (int i = 0; i < PIPES; i++)
        stdio[i] = fds[i] < 0 ? (uv_stdio_container_t){.flags = UV_IGNORE}
                              : (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = fds[i]};
    uv_process_options_t options = {
        .exit_cb = on_ended,
        .file = spec->argv[0],
        .args = (char **)(uintptr_t)spec->argv,
        .env = spec->env ? (char **)(uintptr_t)spec->env : env,
        .cwd = spec->dir,
        .flags = UV_PROCESS_DETACHED,
        .stdio = stdio,
        .stdio_count = PIPES,
    };
    /* Not all that is open is ours: what we were started with, or a library opened, must not go on to a helper. */
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    opened(e, &e->process);
    int r = uv_spawn(loop, &e->process, &options);
    free(env);
    if (r)
        return r;
    e->running = true;
    e->pidfd = (int)syscall(SYS_pidfd_open, e->process.pid, 0U); /* it is not collected yet, so it is the right one */
    if (proc_given_nofile())
        prlimit(e->process.pid, RLIMIT_NOFILE, proc_given_nofile(), NULL);
    return 0;
}

static int start(struct exec *e, uv_loop_t *loop, const struct exec_spec *spec)
{
    int fds[PIPES] = {-1, -1, -1}, r = 0;
    uv_timer_init(loop, &e->timer);
    opened(e, &e->timer);
    for (int i = spec->input_len ? STDIN : STDOUT; i < PIPES && r >= 0; i++)
        r = fds[i] = make_pipe(e, loop, i);
    if (r >= 0)
        r = spawn(e, loop, spec, fds);
    for (int i = 0; i < PIPES; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return r;
}

static void begin(struct exec *e, uv_loop_t *loop, const struct exec_spec *spec)
{
    uv_read_start((uv_stream_t *)&e->pipes[STDOUT], on_alloc, on_read);
    uv_read_start((uv_stream_t *)&e->pipes[STDERR], on_alloc, on_read);
    if (e->input) {
        uv_buf_t data = uv_buf_init(e->input, (unsigned)spec->input_len);
        e->writing.data = e;
        if (uv_write(&e->writing, (uv_stream_t *)&e->pipes[STDIN], &data, 1, on_written))
            close_handle(e, &e->pipes[STDIN]);
    }
    if (spec->timeout_ms > 0) {
        uv_update_time(loop); /* the time spent since the loop last looked is not the helper's */
        uv_timer_start(&e->timer, on_timeout, (uint64_t)spec->timeout_ms, 0);
    }
}

struct exec *exec_start(struct uv_loop_s *loop, const struct exec_spec *spec,
                        void (*done)(void *arg, const struct exec_result *r), void *arg, struct err *err)
{
    if (!spec->argv || !spec->argv[0] || !spec->argv[0][0]) {
        err_set(err, "there is no program to run");
        return NULL;
    }
    if (spec->input_len > INT32_MAX) {
        err_set(err, "the input is too large");
        return NULL;
    }
    struct exec *e = calloc(1, sizeof *e);
    if (!e || (spec->input_len && !(e->input = malloc(spec->input_len)))) {
        free(e);
        err_nomem(err);
        return NULL;
    }
    if (spec->input_len)
        memcpy(e->input, spec->input, spec->input_len);
    e->pidfd = -1;
    e->max_output = spec->max_output;
    e->done = done;
    e->arg = arg;
    int r = start(e, loop, spec);
    if (r < 0) {
        why_not(spec, -r, err);
        release(e);
        return NULL;
    }
    e->next = all;
    all = e;
    begin(e, loop, spec);
    return e;
}

void exec_cancel(struct exec *e)
{
    e->done = NULL;
    if (!e->running) {
        release(e);
        return;
    }
    kill_group(e, SIGKILL);
    close_pipes(e);
    close_handle(e, &e->timer);
}

void exec_kill_all(void)
{
    for (struct exec *e = all; e; e = e->next)
        if (e->running)
            kill_group(e, SIGKILL);
}

bool exec_has(int pid)
{
    for (const struct exec *e = all; e; e = e->next)
        if (e->running && e->process.pid == pid)
            return true;
    return false;
}

void exec_end_all(void)
{
    exec_kill_all();
    while (all) {
        struct exec *e = all;
        e->done = NULL;
        for (int i = 0; i < COLLECT_MS && e->running && waitpid(e->process.pid, NULL, WNOHANG) == 0; i++)
            poll(NULL, 0, 1);
        release(e);
    }
}
