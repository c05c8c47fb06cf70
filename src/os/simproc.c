#include "simproc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INIT_PID 1
#define FIRST_HANDLE (1 << 24) /* no descriptor has such a number: closing one by mistake does no harm */

void simproc_table_init(struct simproc_table *t, const int64_t *now_ms)
{
    *t = (struct simproc_table){.now_ms = now_ms, .next_pid = WORLD_SIM_FIRST_PID, .next_handle = FIRST_HANDLE};
}

static void free_process(struct simproc *p)
{
    free(p->strings);
    free(p);
}

void simproc_table_fini(struct simproc_table *t)
{
    while (t->nhandles)
        simproc_let_go(t->handles[t->nhandles - 1]);
    timers_fini(&t->ends);
    for (struct simproc *p = t->first, *next; p; p = next) {
        next = p->next;
        free_process(p);
    }
    free(t->handles);
    *t = (struct simproc_table){0};
}

struct simproc *simproc_find(const struct simproc_table *t, pid_t pid)
{
    for (struct simproc *p = t->last; p; p = p->prev)
        if (p->entry.pid == pid)
            return p;
    return NULL;
}

static bool is_used(const struct simproc_table *t, pid_t pid)
{
    for (const struct simproc *p = t->first; p; p = p->next)
        if (p->entry.pid == pid || p->entry.stat.pgrp == pid || p->entry.stat.session == pid)
            return true;
    return false;
}

pid_t simproc_take_pid(struct simproc_table *t)
{
    while (t->pids_mixed && is_used(t, t->next_pid))
        t->next_pid++;
    return t->next_pid++;
}

uint64_t simproc_ticks(const struct simproc_table *t)
{
    return (uint64_t)(*t->now_ms * sysconf(_SC_CLK_TCK) / 1000);
}

/* ---- coming and going */

static size_t length(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static size_t strings_size(const struct procfs_entry *e)
{
    return length(e->marker) + length(e->exe) + length(e->cwd) + (e->cmdline ? e->cmdline_len + 1 : 0);
}

/* Appends the bytes and a NUL at *at, which moves on. */
static const char *put(char **at, const char *s, size_t len)
{
    char *copy = *at;
    memcpy(copy, s, len);
    copy[len] = 0;
    *at += len + 1;
    return copy;
}

static void copy_strings(struct procfs_entry *e, const struct procfs_entry *from, char **at)
{
    e->marker = from->marker ? put(at, from->marker, strlen(from->marker)) : NULL;
    e->cmdline = from->cmdline ? put(at, from->cmdline, from->cmdline_len) : NULL;
    e->exe = from->exe ? put(at, from->exe, strlen(from->exe)) : NULL;
    e->cwd = from->cwd ? put(at, from->cwd, strlen(from->cwd)) : NULL;
}

static void on_end_due(struct timer *t);

struct simproc *simproc_add(struct simproc_table *t, const struct procfs_entry *e, const struct world_sim_behaviour *b)
{
    struct simproc *p = calloc(1, sizeof *p);
    char *at = p ? malloc(strings_size(e) + 1) : NULL;
    if (!at || timers_reserve(&t->ends, t->count + 1)) {
        free(at);
        free(p);
        return NULL;
    }
    *p = (struct simproc){.table = t, .entry = *e, .b = *b, .strings = at, .end.fire = on_end_due, .prev = t->last};
    copy_strings(&p->entry, e, &at);
    const char *slash = p->entry.marker ? strrchr(p->entry.marker, '/') : NULL;
    p->service = slash ? slash + 1 : p->entry.marker;
    p->entry.stat.state = 'S';
    *(t->last ? &t->last->next : &t->first) = p;
    t->last = p;
    t->count++;
    return p;
}

void simproc_leave(struct simproc *p)
{
    struct simproc_table *t = p->table;
    timers_clear(&t->ends, &p->end);
    *(p->prev ? &p->prev->next : &t->first) = p->next;
    *(p->next ? &p->next->prev : &t->last) = p->prev;
    t->count--;
    p->gone = true;
    if (!p->handles)
        free_process(p);
}

static void end_now(struct simproc *p)
{
    struct simproc_table *t = p->table;
    timers_clear(&t->ends, &p->end);
    p->ended = true;
    /* A zombie has nothing left that could be read. */
    p->entry.stat.state = 'Z';
    p->entry.marker = p->entry.cmdline = p->entry.exe = p->entry.cwd = p->service = NULL;
    p->entry.cmdline_len = 0;
    for (struct simproc *q = p->parent ? t->first : NULL; q; q = q->next)
        if (q->entry.stat.ppid == p->entry.pid)
            q->entry.stat.ppid = INIT_PID;
    for (struct simproc_handle *h = p->handles; h; h = h->next)
        simproc_tell(h);
    bool lingers = p->ours || (t->slow_init && p->entry.stat.ppid == INIT_PID);
    if (!lingers)
        simproc_leave(p);
}

static void on_end_due(struct timer *t)
{
    end_now(CONTAINER_OF(t, struct simproc, end));
}

void simproc_end(struct simproc *p, int64_t after_ms, int code, int sig, bool core)
{
    const struct proc_exit how = {
        .known = true, .code = sig ? -1 : code, .signal = sig, .core = core, .cpu_ms = -1, .max_rss_kib = -1};
    simproc_end_as(p, after_ms, &how);
}

void simproc_end_as(struct simproc *p, int64_t after_ms, const struct proc_exit *how)
{
    int64_t due = *p->table->now_ms + MAX(after_ms, 0);
    if (p->ended || (p->end.place && p->end.due_ms <= due))
        return;
    p->how = *how;
    if (after_ms > 0)
        timers_set(&p->table->ends, &p->end, due);
    else
        end_now(p);
}

/* Another process of the same service, child of p. */
static void add_child(struct simproc *p, bool detached)
{
    struct procfs_entry e = p->entry;
    e.pid = simproc_take_pid(p->table);
    e.stat = (struct procfs_stat){.ppid = p->entry.pid,
                                  .pgrp = detached ? e.pid : p->entry.stat.pgrp,
                                  .session = detached ? e.pid : p->entry.stat.session,
                                  .start_ticks = simproc_ticks(p->table)};
    struct world_sim_behaviour b = {.ignores = p->b.ignores & WORLD_SIM_BIT(SIGHUP)};
    struct simproc *leader = simproc_find(p->table, e.stat.pgrp);
    p->parent = true;
    if (leader)
        leader->leader = true;
    simproc_add(p->table, &e, &b);
}

void simproc_come_alive(struct simproc *p)
{
    for (unsigned i = 0; i < p->b.children; i++)
        add_child(p, p->b.detached);
    if (p->b.dies)
        simproc_end(p, p->b.life_ms, p->b.code, p->b.signal, p->b.core);
}

/* A copy of the text in which each blank ends an argument; *len covers the last NUL too. */
static char *split_args(const char *text, size_t *len)
{
    char *copy = strdup(text);
    *len = strlen(text) + 1;
    for (char *p = copy; p && *p; p++)
        if (*p == ' ')
            *p = 0;
    return copy;
}

/* Fills in what was left open. */
static void complete(struct simproc_table *t, struct procfs_entry *e)
{
    struct procfs_stat *st = &e->stat;
    t->pids_mixed |= e->pid != 0;
    e->pid = e->pid ? e->pid : simproc_take_pid(t);
    st->ppid = st->ppid ? st->ppid : INIT_PID;
    st->session = st->session ? st->session : e->pid;
    st->pgrp = st->pgrp ? st->pgrp : st->session;
    st->start_ticks = st->start_ticks ? st->start_ticks : simproc_ticks(t);
}

pid_t simproc_arrive(struct simproc_table *t, const struct procfs_entry *given, const struct world_sim_behaviour *b)
{
    static const struct world_sim_behaviour plain;
    struct procfs_entry e = *given;
    char *args = NULL;
    if (e.pid && is_used(t, e.pid))
        return -EEXIST;
    if (e.cmdline && !e.cmdline_len && !(e.cmdline = args = split_args(e.cmdline, &e.cmdline_len)))
        return -ENOMEM;
    complete(t, &e);
    struct simproc *p = simproc_add(t, &e, b ? b : &plain);
    free(args);
    if (!p)
        return -ENOMEM;
    struct simproc *parent = simproc_find(t, e.stat.ppid), *leader = simproc_find(t, e.stat.pgrp);
    if (parent)
        parent->parent = true;
    if (leader)
        leader->leader = true;
    simproc_come_alive(p);
    return e.pid;
}

void simproc_orphan(struct simproc_table *t)
{
    for (struct simproc *p = t->first, *next; p; p = next) {
        next = p->next;
        if (!p->ours)
            continue;
        p->ours = false;
        p->entry.stat.ppid = INIT_PID;
        if (p->ended)
            simproc_leave(p);
    }
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct procfs_entry *)a)->pid, y = ((const struct procfs_entry *)b)->pid;
    return (x > y) - (x < y);
}

static bool is_known(const struct procfs_known *known, size_t nknown, const struct procfs_entry *e)
{
    for (size_t i = 0; i < nknown; i++)
        if (known[i].pid == e->pid && known[i].start_ticks == e->stat.start_ticks)
            return true;
    return false;
}

int simproc_picture(const struct simproc_table *t, const struct procfs_known *known, size_t nknown,
                    struct simproc_picture *out)
{
    size_t size = 0;
    for (const struct simproc *p = t->first; p; p = p->next)
        size += strings_size(&p->entry);
    char *at = out->strings = malloc(size + 1);
    struct procfs_entry *e = calloc(t->count + 1, sizeof *e);
    out->table = (struct procfs_table){.entries = e, .count = t->count};
    if (!at || !e) {
        simproc_picture_fini(out);
        return -ENOMEM;
    }
    for (const struct simproc *p = t->first; p; p = p->next, e++) {
        *e = p->entry;
        copy_strings(e, &p->entry, &at);
        if (is_known(known, nknown, e))
            *e = (struct procfs_entry){.pid = e->pid, .uid = e->uid, .stat = e->stat, .known = true};
    }
    qsort(out->table.entries, t->count, sizeof *e, by_pid);
    return 0;
}

void simproc_picture_fini(struct simproc_picture *p)
{
    free(p->table.entries);
    free(p->strings);
    *p = (struct simproc_picture){0};
}

/* ---- signals */

static bool is_harmless(int sig)
{
    static const int harmless[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
        if (harmless[i] == sig)
            return true;
    return false;
}

const struct world_sim_reaction *simproc_reaction(const struct simproc *p, int sig)
{
    for (size_t i = 0; sig != SIGKILL && i < WORLD_SIM_REACTIONS; i++)
        if (p->b.reactions[i].signal == sig)
            return &p->b.reactions[i];
    return NULL;
}

void simproc_receive(struct simproc *p, int sig)
{
    if (p->ended || p->b.hangs)
        return;
    const struct world_sim_reaction *r = simproc_reaction(p, sig);
    if (r) {
        if (r->heir)
            add_child(p, false);
        if (r->exits)
            simproc_end(p, r->after_ms, r->code, 0, false);
        return;
    }
    bool ignored = sig > 0 && sig != SIGKILL && (p->b.ignores & WORLD_SIM_BIT(sig));
    if (!ignored && !is_harmless(sig))
        simproc_end(p, 0, -1, sig, false);
}

void simproc_receive_group(struct simproc *p, int sig)
{
    for (struct simproc *q = p->leader ? p->table->first : NULL, *next; q; q = next) {
        next = q->next;
        if (q->entry.stat.pgrp == p->entry.pid && q != p)
            simproc_receive(q, sig);
    }
}

/* ---- handles */

static size_t place_of(const struct simproc_table *t, int number)
{
    size_t lo = 0, hi = t->nhandles;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (t->handles[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct simproc_handle *simproc_handle(const struct simproc_table *t, const struct proc *p)
{
    size_t i = place_of(t, p->pidfd);
    return i < t->nhandles && t->handles[i]->number == p->pidfd ? t->handles[i] : NULL;
}

int simproc_hold(struct simproc *p, struct proc *out)
{
    struct simproc_table *t = p->table;
    if (t->nhandles == t->handles_cap) {
        size_t cap = t->handles_cap ? t->handles_cap * 2 : 64;
        struct simproc_handle **handles = realloc(t->handles, cap * sizeof(struct simproc_handle *));
        if (!handles)
            return -ENOMEM;
        t->handles = handles;
        t->handles_cap = cap;
    }
    struct simproc_handle *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    *h = (struct simproc_handle){.next = p->handles, .number = t->next_handle++, .process = p};
    p->handles = h;
    t->handles[t->nhandles++] = h;
    *out = (struct proc){.pid = p->entry.pid,
                         .pidfd = h->number,
                         .start_ticks = p->entry.stat.start_ticks,
                         .child = p->ours,
                         .leader = p->entry.stat.pgrp == p->entry.pid};
    return 0;
}

void simproc_tell(struct simproc_handle *h)
{
    struct simproc_table *t = h->process->table;
    if (h->queued || !h->watch || t->watching == WORLD_SIM_WATCH_DEAF)
        return;
    h->queued = true;
    h->queued_ms = *t->now_ms;
    h->next_queued = NULL;
    *(t->told_last ? &t->told_last->next_queued : &t->told_first) = h;
    t->told_last = h;
}

static void unqueue(struct simproc_table *t, struct simproc_handle *h)
{
    struct simproc_handle *before = NULL;
    for (struct simproc_handle *q = t->told_first; q != h; q = q->next_queued)
        before = q;
    *(before ? &before->next_queued : &t->told_first) = h->next_queued;
    if (t->told_last == h)
        t->told_last = before;
    h->queued = false;
}

struct simproc_handle *simproc_take_told(struct simproc_table *t)
{
    struct simproc_handle *h = t->told_first;
    if (h)
        unqueue(t, h);
    return h;
}

void simproc_let_go(struct simproc_handle *h)
{
    struct simproc *p = h->process;
    struct simproc_table *t = p->table;
    struct simproc_handle **link = &p->handles;
    while (*link != h)
        link = &(*link)->next;
    *link = h->next;
    if (h->queued)
        unqueue(t, h);
    size_t i = place_of(t, h->number);
    memmove(&t->handles[i], &t->handles[i + 1], (--t->nhandles - i) * sizeof(struct simproc_handle *));
    free(h);
    if (p->gone && !p->handles)
        free_process(p);
}
