#include "world_sim.h"

#include "buf.h"
#include "simbehave.h"
#include "simconsole.h"
#include "simlater.h"
#include "simproc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURNS_PER_MS 1000
#define SIGNALS_MAX 65536

struct world_sim {
    struct world base;
    int64_t now_ms, wall_offset_ms;
    uid_t uid;
    struct simproc_table processes;
    struct simlater later;
    int adopt_error;
    struct simbehave settings;
    struct simconsoles consoles;
    bool foreign_status;
    struct world_sim_signal *signals;
    size_t nsignals, signals_cap, spawns, room;
};

static struct world_sim *self(const struct world *w)
{
    return CONTAINER_OF(w, struct world_sim, base);
}

static int64_t mono_ms(struct world *w)
{
    return self(w)->now_ms;
}

static int64_t wall_ms(struct world *w)
{
    return self(w)->now_ms + self(w)->wall_offset_ms;
}

/* ---- starts */

static const char *find_marker(char *const *envp)
{
    size_t n = strlen(WORLD_MARKER);
    for (; *envp; envp++)
        if (!strncmp(*envp, WORLD_MARKER, n) && (*envp)[n] == '=')
            return *envp + n + 1;
    return NULL;
}

/* A start that goes well. */
static int start(struct world_sim *ws, const struct proc_spec *spec, const char *marker,
                 const struct world_sim_behaviour *b, struct proc *out)
{
    struct buf args = {0};
    for (char *const *a = spec->argv; *a; a++)
        buf_add(&args, *a, strlen(*a) + 1);
    pid_t pid = simproc_take_pid(&ws->processes);
    struct procfs_entry e = {.pid = pid,
                             .stat = {.ppid = WORLD_SIM_MONITOR_PID,
                                      .pgrp = pid,
                                      .session = pid,
                                      .start_ticks = simproc_ticks(&ws->processes)},
                             .uid = spec->set_ids ? spec->uid : ws->uid,
                             .marker = marker,
                             .cmdline = args.data,
                             .cmdline_len = args.len,
                             .exe = spec->exe,
                             .cwd = spec->dir};
    struct simproc *p = args.failed ? NULL : simproc_add(&ws->processes, &e, b);
    buf_fini(&args);
    if (!p)
        return -ENOMEM;
    p->ours = true;
    p->b.ignores |= WORLD_SIM_BIT(SIGHUP);
    if (simproc_hold(p, out)) {
        simproc_leave(p);
        return -ENOMEM;
    }
    out->start_ticks = 0; /* as after a real start: nobody has asked yet */
    simproc_come_alive(p);
    return 0;
}

static int64_t log_size(struct world *w, const char *log_path)
{
    return simconsole_size(&self(w)->consoles, log_path);
}

static int spawn(struct world *w, struct proc_spec *spec, const char *log_path, struct proc *out,
                 struct proc_fault *fault)
{
    struct world_sim *ws = self(w);
    const char *marker = find_marker(spec->envp);
    const char *slash = marker ? strrchr(marker, '/') : NULL;
    struct world_sim_behaviour b = simbehave_next(&ws->settings, slash ? slash + 1 : marker);
    *out = (struct proc){.pidfd = -1};
    *fault = (struct proc_fault){0};
    ws->now_ms += MAX(b.spawn_ms, 0);
    spec->log_at = log_size(w, log_path);
    int r = -b.spawn_error;
    if (!r && ws->room && ws->processes.count >= ws->room)
        r = -EAGAIN;
    if (!r && b.console)
        r = simconsole_write(&ws->consoles, log_path, b.console);
    if (!r)
        r = start(ws, spec, marker, &b, out);
    if (r)
        *fault = (struct proc_fault){.stage = b.spawn_error ? b.spawn_stage : PROC_STAGE_FORK, .error = -r};
    else
        ws->spawns++;
    return r;
}

/* ---- processes */

static int adopt(struct world *w, pid_t pid, uint64_t start_ticks, struct proc *out)
{
    struct simproc *p = simproc_find(&self(w)->processes, pid);
    *out = (struct proc){.pidfd = -1};
    if (self(w)->adopt_error)
        return -self(w)->adopt_error;
    return !p || p->ended || p->entry.stat.start_ticks != start_ticks ? -ESRCH : simproc_hold(p, out);
}

static void note_signal(struct world_sim *ws, pid_t pid, int sig, enum proc_scope scope)
{
    if (ws->nsignals == SIGNALS_MAX) {
        ws->nsignals /= 2;
        memmove(ws->signals, ws->signals + ws->nsignals, ws->nsignals * sizeof *ws->signals);
    }
    if (ws->nsignals == ws->signals_cap) {
        size_t cap = ws->signals_cap ? ws->signals_cap * 2 : 64;
        struct world_sim_signal *more = realloc(ws->signals, cap * sizeof *more);
        if (!more)
            return;
        ws->signals = more;
        ws->signals_cap = cap;
    }
    ws->signals[ws->nsignals++] = (struct world_sim_signal){ws->now_ms, pid, sig, scope};
}

static int send_signal(struct world *w, const struct proc *p, int sig, enum proc_scope scope)
{
    const struct simproc_handle *h = simproc_handle(&self(w)->processes, p);
    if (!h || h->process->gone)
        return -ESRCH;
    if (sig == 0)
        return 0;
    bool group = scope == PROC_GROUP && p->leader;
    self(w)->now_ms += h->process->b.signal_ms;
    note_signal(self(w), p->pid, sig, group ? PROC_GROUP : PROC_ONE);
    if (group)
        simproc_receive_group(h->process, sig);
    simproc_receive(h->process, sig);
    return 0;
}

static void have_ended(struct world *w, const struct proc *const *procs, size_t n, bool *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct simproc_handle *h = simproc_handle(&self(w)->processes, procs[i]);
        out[i] = h && h->process->ended;
    }
}

static bool reap(struct world *w, struct proc *p, bool kill_group, struct proc_exit *out)
{
    const struct simproc_handle *h = simproc_handle(&self(w)->processes, p);
    if (!h || !h->process->ended)
        return false;
    struct simproc *q = h->process;
    bool known = !q->gone || (!p->child && self(w)->foreign_status);
    *out = known ? q->how : (struct proc_exit){.code = -1, .cpu_ms = -1, .max_rss_kib = -1};
    if (p->child && !q->gone && kill_group && p->leader)
        simproc_receive_group(q, SIGKILL);
    p->ended = p->child;
    return true;
}

static bool catches(struct world *w, const struct proc *p, int sig)
{
    const struct simproc_handle *h = simproc_handle(&self(w)->processes, p);
    return h && !h->process->ended && simproc_reaction(h->process, sig);
}

static int watch(struct world *w, const struct proc *p, struct world_watch *watch)
{
    struct simproc_handle *h = simproc_handle(&self(w)->processes, p);
    if (!h)
        return -EBADF;
    if (self(w)->processes.watching == WORLD_SIM_WATCH_FAILS)
        return -ENOSPC;
    h->watch = watch;
    if (h->process->ended)
        simproc_tell(h);
    return 0;
}

static void release(struct world *w, struct proc *p)
{
    struct simproc_handle *h = simproc_handle(&self(w)->processes, p);
    if (h && p->ended && !h->process->gone)
        simproc_leave(h->process);
    if (h)
        simproc_let_go(h);
    *p = (struct proc){.pidfd = -1};
}

/* ---- scans, work, consoles */

static int scan(struct world *w, struct procfs_known *known, size_t nknown, world_scan_fn *fn, void *arg)
{
    return simlater_scan(&self(w)->later, &self(w)->processes, known, nknown, fn, arg);
}

static void unscan(struct world *w, const void *arg)
{
    simlater_unscan(&self(w)->later, arg);
}

static int work(struct world *w, struct world_work *k)
{
    return simlater_work(&self(w)->later, k);
}

static void unwork(struct world *w, const void *owner)
{
    simlater_unwork(&self(w)->later, owner);
}

static char *tail(struct world *w, const char *log_path, int lines, size_t bytes)
{
    return simconsole_tail(&self(w)->consoles, log_path, lines, bytes);
}

static char *since(struct world *w, const char *log_path, int64_t *at, size_t bytes)
{
    return simconsole_since(&self(w)->consoles, log_path, at, bytes);
}

/* There are no files here: every word before a script is its interpreter. */
static bool script_fits(const char *script, const char *exe)
{
    (void)script;
    (void)exe;
    return true;
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
    .script_fits = script_fits,
    .log_size = log_size,
    .tail = tail,
    .since = since,
};

struct world *world_sim_new(int64_t mono_start_ms, int64_t wall_start_ms)
{
    struct world_sim *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    *ws = (struct world_sim){.base = {.ops = &ops, .boot = "simulated"},
                             .now_ms = mono_start_ms,
                             .wall_offset_ms = wall_start_ms - mono_start_ms,
                             .uid = geteuid()};
    simproc_table_init(&ws->processes, &ws->now_ms);
    ws->later.now_ms = &ws->now_ms;
    return &ws->base;
}

void world_sim_free(struct world *w)
{
    struct world_sim *ws = self(w);
    simlater_fini(&ws->later);
    simproc_table_fini(&ws->processes);
    simbehave_fini(&ws->settings);
    simconsole_fini(&ws->consoles);
    free(ws->signals);
    timers_fini(&w->timers);
    free(ws);
}

/* ---- time */

/* When the next thing happens; -1: never. */
static int64_t next_due(const struct world_sim *ws)
{
    const int64_t due[] = {timers_next(&ws->base.timers), timers_next(&ws->processes.ends), simlater_next(&ws->later),
                           ws->processes.told_first ? ws->processes.told_first->queued_ms : -1};
    int64_t first = -1;
    for (size_t i = 0; i < ARRAY_LEN(due); i++)
        if (due[i] >= 0 && (first < 0 || due[i] < first))
            first = due[i];
    return first;
}

/* Tells what is to be told now; what comes up meanwhile waits for the next turn. */
static void tell_ends(struct world_sim *ws)
{
    const struct simproc_handle *last = ws->processes.told_last;
    for (bool more = last; more;) {
        const struct simproc_handle *h = simproc_take_told(&ws->processes);
        more = h && h != last;
        if (h && h->watch)
            h->watch->ended(h->watch);
    }
}

/* One turn of a loop: in the order in which the real one would come to it. */
static void turn(struct world_sim *ws)
{
    timers_run(&ws->processes.ends, ws->now_ms);
    timers_run(&ws->base.timers, ws->now_ms);
    simlater_run(&ws->later);
    tell_ends(ws);
}

void world_sim_advance(struct world *w, int64_t ms)
{
    struct world_sim *ws = self(w);
    const int64_t target = ws->now_ms + MAX(ms, 0);
    int turns = 0;
    for (int64_t due; (due = next_due(ws)) >= 0 && due <= target;) {
        if (due > ws->now_ms) {
            ws->now_ms = due;
            turns = 0;
        } else if (++turns > TURNS_PER_MS) {
            ws->now_ms++;
            turns = 0;
        }
        turn(ws);
    }
    ws->now_ms = MAX(ws->now_ms, target);
}

int64_t world_sim_next_ms(const struct world *w)
{
    int64_t due = next_due(self(w));
    return due < 0 ? -1 : MAX(due - self(w)->now_ms, 0);
}

void world_sim_set_wall(struct world *w, int64_t now_ms)
{
    self(w)->wall_offset_ms = now_ms - self(w)->now_ms;
}

/* ---- what users of the simulation arrange */

int world_sim_behave(struct world *w, const char *service, const struct world_sim_behaviour *b)
{
    return simbehave_set(&self(w)->settings, service, b);
}

pid_t world_sim_add(struct world *w, const struct procfs_entry *e, const struct world_sim_behaviour *b)
{
    return simproc_arrive(&self(w)->processes, e, b);
}

static bool is_of(const struct simproc *p, const char *service, bool leaders)
{
    if (p->ended || (leaders && p->entry.stat.session != p->entry.pid))
        return false;
    return !service || (p->service && !strcmp(p->service, service));
}

const struct procfs_entry *world_sim_find(const struct world *w, const char *service)
{
    for (const struct simproc *p = self(w)->processes.last; p; p = p->prev)
        if (is_of(p, service, true))
            return &p->entry;
    return NULL;
}

const struct procfs_entry *world_sim_find_pid(const struct world *w, pid_t pid)
{
    const struct simproc *p = simproc_find(&self(w)->processes, pid);
    return p && !p->ended ? &p->entry : NULL;
}

size_t world_sim_count(const struct world *w, const char *service, bool leaders)
{
    size_t n = 0;
    for (const struct simproc *p = self(w)->processes.first; p; p = p->next)
        n += is_of(p, service, leaders);
    return n;
}

void world_sim_set_next_pid(struct world *w, pid_t pid)
{
    self(w)->processes.next_pid = pid;
    self(w)->processes.pids_mixed = true;
}

bool world_sim_exit(struct world *w, pid_t pid, int code)
{
    const struct proc_exit how = {.known = true, .code = code, .cpu_ms = -1, .max_rss_kib = -1};
    return world_sim_end(w, pid, &how);
}

bool world_sim_kill(struct world *w, pid_t pid, int sig)
{
    struct simproc *p = simproc_find(&self(w)->processes, pid);
    if (!p || p->ended)
        return false;
    simproc_receive(p, sig);
    return true;
}

bool world_sim_end(struct world *w, pid_t pid, const struct proc_exit *how)
{
    struct simproc *p = simproc_find(&self(w)->processes, pid);
    if (!p || p->ended)
        return false;
    simproc_end_as(p, 0, how);
    return true;
}

bool world_sim_ignore(struct world *w, pid_t pid, uint64_t signals)
{
    struct simproc *p = simproc_find(&self(w)->processes, pid);
    if (!p || p->ended)
        return false;
    p->b.ignores |= signals;
    memset(p->b.reactions, 0, sizeof p->b.reactions);
    return true;
}

int world_sim_write(struct world *w, const char *log_path, const char *text)
{
    return simconsole_write(&self(w)->consoles, log_path, text);
}

void world_sim_orphan(struct world *w)
{
    simproc_orphan(&self(w)->processes);
}

void world_sim_set_watching(struct world *w, enum world_sim_watching how)
{
    self(w)->processes.watching = how;
}

void world_sim_set_room(struct world *w, size_t processes)
{
    self(w)->room = processes;
}

void world_sim_set_foreign_status(struct world *w, bool known)
{
    self(w)->foreign_status = known;
}

void world_sim_set_slow_init(struct world *w, bool slow)
{
    self(w)->processes.slow_init = slow;
}

void world_sim_set_scan_ms(struct world *w, int64_t ms)
{
    self(w)->later.scan_ms = ms;
}

void world_sim_set_work_ms(struct world *w, int64_t ms)
{
    self(w)->later.work_ms = ms;
}

void world_sim_fail_scans(struct world *w, int error)
{
    self(w)->later.scan_error = error;
}

void world_sim_spoil_scans(struct world *w, int error)
{
    self(w)->later.table_error = error;
}

void world_sim_fail_adoptions(struct world *w, int error)
{
    self(w)->adopt_error = error;
}

const struct world_sim_signal *world_sim_signals(const struct world *w, size_t *count)
{
    *count = self(w)->nsignals;
    return self(w)->signals;
}

void world_sim_forget_signals(struct world *w)
{
    self(w)->nsignals = 0;
}

size_t world_sim_spawns(const struct world *w)
{
    return self(w)->spawns;
}
