#include "world_linux.h"

#include "clock.h"
#include "clog.h"
#include "console.h"
#include "console_read.h"
#include "shebang.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

/* So many descriptors are left for the admin port, for looking at /proc and for what a reload opens: services, which
 * cost one each, don't get them. */
#define SPARE_DESCRIPTORS 24

/* Ends are taken in batches: no more than this many before the loop turns to other things. */
#define ENDS_PER_TURN 64

/* A look at all processes that is so long at one of them hangs there. */
#define SCAN_HANG_MS 5000
#define SCAN_CHECK_MS 1000
#define SCANS_HUNG_MAX 2 /* each has a thread of libuv's four */

struct world_linux {
    struct world base;
    uv_loop_t *loop;
    uv_timer_t tick;      /* the one timer of the loop that drives ours */
    uv_prepare_t prepare; /* sets it before the loop waits */
    int epoll_fd;         /* holds every pidfd: one watcher of the loop, and one call a service */
    uv_poll_t ends;
    int handles; /* still to be closed */
    struct timer scan_check;
    struct job *jobs; /* work under way */
};

struct job {
    struct job *next;
    struct world_linux *world; /* NULL: it is gone */
    uv_work_t req;
    struct world_work *work;
    int64_t begun_ms;
    bool forgotten;
};

struct scan {
    struct world_work work;
    struct procfs_known *known;
    size_t nknown;
    struct procfs_hand hand;
    pid_t seen; /* in hand */
    int64_t seen_ms;
    bool hangs; /* another one is done in its place, which passes over what is in hand */
    struct procfs_table table;
    world_scan_fn *fn;
    void *arg;
};

static struct world_linux *self(struct world *w)
{
    return CONTAINER_OF(w, struct world_linux, base);
}

static int64_t mono_ms(struct world *w)
{
    (void)w;
    return clock_mono_ms();
}

static int64_t wall_ms(struct world *w)
{
    (void)w;
    return clock_wall_ms();
}

/* Would the next descriptor after this one be a spare one? The lowest free number tells how many are taken. */
static bool is_last(int fd)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return false;
    int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (next >= 0)
        close(next);
    return next < 0 || (rlim_t)next + SPARE_DESCRIPTORS >= limit.rlim_cur;
}

/* Most logs are empty when a service is started anew, or have just begun. */
static int64_t length_of(int fd, const char *log_path)
{
    struct stat st;
    return fstat(fd, &st) || st.st_size == 0 ? 0 : console_size(log_path);
}

static int spawn(struct world *w, struct proc_spec *spec, const char *log_path, struct proc *out,
                 struct proc_fault *fault)
{
    (void)w;
    int fd = console_open(log_path);
    if (fd >= 0 && is_last(fd)) {
        close(fd);
        fd = -EMFILE;
    }
    if (fd < 0) {
        *out = (struct proc){.pidfd = -1};
        *fault = (struct proc_fault){.stage = PROC_STAGE_LOG, .error = -fd};
        return fd;
    }
    spec->log_fd = fd;
    spec->log_at = length_of(fd, log_path);
    int r = proc_spawn(spec, out, fault);
    close(fd);
    return r;
}

static int adopt(struct world *w, pid_t pid, uint64_t start_ticks, struct proc *out)
{
    (void)w;
    return proc_adopt(pid, start_ticks, out);
}

static int send_signal(struct world *w, const struct proc *p, int sig, enum proc_scope scope)
{
    (void)w;
    return proc_signal(p, sig, scope);
}

static void have_ended(struct world *w, const struct proc *const *procs, size_t n, bool *out)
{
    (void)w;
    proc_have_ended(procs, n, out);
}

static bool reap(struct world *w, struct proc *p, bool kill_group, struct proc_exit *out)
{
    (void)w;
    return proc_reap(p, kill_group, out);
}

static bool catches(struct world *w, const struct proc *p, int sig)
{
    (void)w;
    return procfs_catches(p->pid, sig);
}

static int watch(struct world *w, const struct proc *p, struct world_watch *watch)
{
    /* Told once: the process may stay in the table for a while after that. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = watch};
    return epoll_ctl(self(w)->epoll_fd, EPOLL_CTL_ADD, p->pidfd, &ev) ? -errno : 0;
}

static void release(struct world *w, struct proc *p)
{
    if (p->pidfd >= 0)
        epoll_ctl(self(w)->epoll_fd, EPOLL_CTL_DEL, p->pidfd, NULL);
    proc_close(p);
}

/* ---- work off the loop */

/* A thread of the pool that is woken must not take the loop's processor away in the middle of a turn. */
static void give_way(void)
{
    static _Thread_local bool done;
    if (!done && sched_getscheduler(0) == SCHED_OTHER)
        sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    done = true;
}

static void run_job(uv_work_t *req)
{
    give_way();
    struct world_work *k = CONTAINER_OF(req, struct job, req)->work;
    k->run(k);
}

static void job_done(uv_work_t *req, int status)
{
    struct job *j = CONTAINER_OF(req, struct job, req);
    bool wanted = !j->forgotten && status == 0;
    for (struct job **link = j->world ? &j->world->jobs : NULL; link; link = &(*link)->next)
        if (*link == j) {
            *link = j->next;
            break;
        }
    j->work->done(j->work, wanted);
    free(j);
}

static int work(struct world *w, struct world_work *k)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return -ENOMEM;
    j->work = k;
    j->begun_ms = clock_mono_ms();
    int r = uv_queue_work(self(w)->loop, &j->req, run_job, job_done);
    if (r) {
        free(j);
        return r;
    }
    j->world = self(w);
    j->next = j->world->jobs;
    j->world->jobs = j;
    return 0;
}

/* What has begun goes on in its thread. `all`: whatever the owner. */
static void forget_jobs(struct world_linux *wl, const void *owner, bool all)
{
    for (struct job *j = wl->jobs; j; j = j->next) {
        if (j->forgotten || (!all && j->work->owner != owner))
            continue;
        j->forgotten = true;
        uv_cancel((uv_req_t *)&j->req);
    }
}

static void unwork(struct world *w, const void *owner)
{
    forget_jobs(self(w), owner, false);
}

int64_t world_linux_busy_ms(struct world *w)
{
    int64_t longest = 0, now = clock_mono_ms();
    for (const struct job *j = self(w)->jobs; j; j = j->next)
        longest = MAX(longest, now - j->begun_ms);
    return longest;
}

static void run_scan(struct world_work *k)
{
    struct scan *s = CONTAINER_OF(k, struct scan, work);
    procfs_scan(WORLD_MARKER, s->known, s->nknown, &s->hand, &s->table);
}

static void free_scan(struct scan *s)
{
    procfs_table_fini(&s->table);
    free(s->known);
    free(s);
}

static void scan_done(struct world_work *k, bool wanted)
{
    struct scan *s = CONTAINER_OF(k, struct scan, work);
    if (wanted)
        s->fn(s->arg, &s->table);
    free_scan(s);
}

/* The look that this work is; NULL: it is something else. */
static struct scan *scan_of(const struct job *j)
{
    return j->work->run == run_scan ? CONTAINER_OF(j->work, struct scan, work) : NULL;
}

/* Adds the processes that looks hang at to those that are passed over; room for all is there. */
static size_t add_hung(const struct world_linux *wl, struct procfs_known *known)
{
    size_t n = 0;
    for (const struct job *j = wl->jobs; j; j = j->next) {
        struct scan *s = scan_of(j);
        if (s && s->hangs)
            known[n++] = (struct procfs_known){.pid = s->seen, .start_ticks = atomic_load(&s->hand.start_ticks)};
    }
    return n;
}

static int begin_scan(struct world_linux *wl, const struct procfs_known *known, size_t nknown, world_scan_fn *fn,
                      void *arg)
{
    struct scan *s = calloc(1, sizeof *s);
    struct procfs_known *all = calloc(nknown + SCANS_HUNG_MAX, sizeof *all);
    if (!s || !all) {
        free(s);
        free(all);
        return -ENOMEM;
    }
    if (nknown)
        memcpy(all, known, nknown * sizeof *all);
    *s = (struct scan){.work = {.run = run_scan, .done = scan_done, .owner = arg},
                       .known = all,
                       .nknown = nknown + add_hung(wl, all + nknown),
                       .fn = fn,
                       .arg = arg};
    int r = work(&wl->base, &s->work);
    if (r)
        free_scan(s);
    else if (!wl->scan_check.place) /* without memory for it: not at all */
        timers_set(&wl->base.timers, &wl->scan_check, clock_mono_ms() + SCAN_CHECK_MS);
    return r;
}

/* Another look does without the process this one hangs at, which is told of in its table like one that is known. */
static void pass_over(struct world_linux *wl, struct job *j, struct scan *s)
{
    s->hangs = true;
    s->hangs = !begin_scan(wl, s->known, s->nknown, s->fn, s->arg);
    j->forgotten = s->hangs;
    if (s->hangs)
        clog_warn("pid %d hangs in the kernel, so that it can't be looked at; it is passed over", s->seen);
}

static void on_scan_check(struct timer *t)
{
    struct world_linux *wl = CONTAINER_OF(t, struct world_linux, scan_check);
    int64_t now = clock_mono_ms();
    int hung = 0, under_way = 0;
    for (struct job *j = wl->jobs; j; j = j->next) {
        struct scan *s = scan_of(j);
        pid_t in_hand = s ? atomic_load(&s->hand.pid) : 0;
        hung += s && s->hangs;
        if (!s || j->forgotten)
            continue;
        under_way++;
        if (in_hand != s->seen) {
            s->seen = in_hand;
            s->seen_ms = now;
        } else if (in_hand && now - s->seen_ms >= SCAN_HANG_MS && hung < SCANS_HUNG_MAX) {
            pass_over(wl, j, s);
        }
    }
    if (under_way)
        timers_set(&wl->base.timers, t, now + SCAN_CHECK_MS);
}

static int scan(struct world *w, struct procfs_known *known, size_t nknown, world_scan_fn *fn, void *arg)
{
    int r = begin_scan(self(w), known, nknown, fn, arg);
    free(known);
    return r;
}

static void unscan(struct world *w, const void *arg)
{
    unwork(w, arg);
}

static int64_t log_size(struct world *w, const char *log_path)
{
    (void)w;
    return console_size(log_path);
}

static char *tail(struct world *w, const char *log_path, int lines, size_t bytes)
{
    (void)w;
    return console_tail(log_path, lines, bytes);
}

static char *since(struct world *w, const char *log_path, int64_t *at, size_t bytes)
{
    (void)w;
    return console_since(log_path, at, bytes);
}

static const struct world_ops ops = {
    .mono_ms = mono_ms,
    .wall_ms = wall_ms,
    .spawn = spawn,
    .adopt = adopt,
    .signal = send_signal,
    .have_ended = have_ended,
    .reap = reap,
    .catches = catches,
    .watch = watch,
    .release = release,
    .scan = scan,
    .unscan = unscan,
    .work = work,
    .unwork = unwork,
    .script_fits = shebang_fits,
    .log_size = log_size,
    .tail = tail,
    .since = since,
};

static void on_ends(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct world_linux *wl = CONTAINER_OF(handle, struct world_linux, ends);
    struct epoll_event ev[ENDS_PER_TURN];
    int n = epoll_wait(wl->epoll_fd, ev, ENDS_PER_TURN, 0);
    for (int i = 0; i < n; i++) {
        struct world_watch *watch = ev[i].data.ptr;
        watch->ended(watch);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct world_linux *wl = CONTAINER_OF(timer, struct world_linux, tick);
    timers_run(&wl->base.timers, clock_mono_ms());
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct world_linux *wl = CONTAINER_OF(prepare, struct world_linux, prepare);
    int64_t due = timers_next(&wl->base.timers);
    if (due < 0) {
        uv_timer_stop(&wl->tick);
        return;
    }
    int64_t wait = due - clock_mono_ms();
    uv_update_time(wl->loop); /* what ran since the loop last looked at its clock must not delay the timer */
    uv_timer_start(&wl->tick, on_tick, (uint64_t)MAX(wait, 0), 0);
}

struct world *world_linux_new(struct uv_loop_s *loop, int *error)
{
    struct world_linux *wl = calloc(1, sizeof *wl);
    *error = -ENOMEM;
    if (!wl)
        return NULL;
    *wl = (struct world_linux){.base.ops = &ops, .loop = loop, .handles = 3, .scan_check = {.fire = on_scan_check}};
    procfs_boot(wl->base.boot, sizeof wl->base.boot);
    wl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    *error = wl->epoll_fd < 0 ? -errno : uv_poll_init(loop, &wl->ends, wl->epoll_fd);
    if (*error) {
        if (wl->epoll_fd >= 0)
            close(wl->epoll_fd);
        free(wl);
        return NULL;
    }
    uv_timer_init(loop, &wl->tick);
    uv_prepare_init(loop, &wl->prepare);
    uv_prepare_start(&wl->prepare, on_prepare);
    uv_poll_start(&wl->ends, UV_READABLE, on_ends);
    return &wl->base;
}

static void on_closed(uv_handle_t *handle)
{
    struct world_linux *wl = handle->data;
    if (--wl->handles)
        return;
    close(wl->epoll_fd);
    timers_fini(&wl->base.timers);
    free(wl);
}

void world_linux_free(struct world *w)
{
    struct world_linux *wl = self(w);
    forget_jobs(wl, NULL, true);
    for (struct job *j = wl->jobs; j; j = j->next)
        j->world = NULL;
    uv_handle_t *handles[] = {(uv_handle_t *)&wl->tick, (uv_handle_t *)&wl->prepare, (uv_handle_t *)&wl->ends};
    for (size_t i = 0; i < ARRAY_LEN(handles); i++) {
        handles[i]->data = wl;
        uv_close(handles[i], on_closed);
    }
}
