#include "match.h"

#include "buf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FNV-1a: only to find candidates quickly; every hit is compared byte for byte. */
static uint64_t hash_bytes(const char *data, size_t len)
{
    uint64_t h = 1469598103934665603ULL;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)data[i]) * 1099511628211ULL;
    return h;
}

void match_look_init(struct match_look *out, const struct conf *conf, const struct conf_service *svc, uid_t uid)
{
    *out = (struct match_look){.name = svc->name, .uid = uid};
    struct cmdline cmd;
    if (!launch_cmdline(conf, svc, &cmd, NULL))
        return;
    char *const *argv = launch_visible_argv(&cmd);
    struct buf b = {0};
    for (; argv && *argv; argv++)
        buf_add(&b, *argv, strlen(*argv) + 1);
    out->cmdline_len = b.len;
    out->cmdline = b.len ? buf_take(&b) : NULL;
    out->hash = out->cmdline ? hash_bytes(out->cmdline, out->cmdline_len) : 0;
    buf_fini(&b);
    cmdline_fini(&cmd);
}

void match_look_fini(struct match_look *look)
{
    free(look->cmdline);
    *look = (struct match_look){0};
}

/* Looks by hash, for the search. */
struct index {
    uint64_t hash;
    int look;
};

static int by_hash(const void *a, const void *b)
{
    const struct index *x = a, *y = b;
    return x->hash != y->hash ? (x->hash > y->hash ? 1 : -1) : (x->look > y->look) - (x->look < y->look);
}

/* Looks that hold a process, by its pid. */
struct holder {
    pid_t pid;
    int look;
};

static int by_held_pid(const void *a, const void *b)
{
    const struct holder *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

struct run {
    const struct procfs_table *table;
    const struct match_look *looks;
    size_t nlooks;
    struct index *index;
    size_t nindex;
    match_script_fn *script_fits;
    struct match *out;
    int *same; /* one per entry: index of the look whose command line and user it has, or -1 */
    struct holder *holders;
    size_t nholders;
};

static int look_named(const struct run *r, const char *name)
{
    size_t lo = 0, hi = r->nlooks;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(name, r->looks[mid].name);
        if (c == 0)
            return (int)mid;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return -1;
}

static bool is_like(const struct match_look *look, const char *line, size_t len, uid_t uid)
{
    return look->uid == uid && look->cmdline && look->cmdline_len == len && !memcmp(look->cmdline, line, len);
}

/* The look with exactly this command line and user; `want` (a marker's look, or -1)
 * is preferred where several services are written alike, else the first of them. */
static int look_like(const struct run *r, const char *line, size_t len, uid_t uid, int want)
{
    if (want >= 0 && is_like(&r->looks[want], line, len, uid))
        return want;
    uint64_t h = hash_bytes(line, len);
    size_t lo = 0, hi = r->nindex;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (r->index[mid].hash < h)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < r->nindex && r->index[lo].hash == h; lo++)
        if (is_like(&r->looks[r->index[lo].look], line, len, uid))
            return r->index[lo].look;
    return -1;
}

/* A marked process may have given up its user; without a marker the user is part of the likeness. */
static uid_t uid_for(const struct run *r, const struct procfs_entry *e, int want)
{
    return want >= 0 ? r->looks[want].uid : e->uid;
}

/* The command line with `first` put in place of the arguments before `rest`. */
static int try_first(const struct run *r, const struct procfs_entry *e, const char *first, const char *rest, int want)
{
    struct buf b = {0};
    buf_add(&b, first, strlen(first) + 1);
    buf_add(&b, rest, e->cmdline_len - (size_t)(rest - e->cmdline));
    int look = b.failed ? -1 : look_like(r, b.data, b.len, uid_for(r, e, want), want);
    buf_fini(&b);
    return look;
}

/* A path as seen from the process's own folder, without "." parts. NULL: memory. */
static char *absolute(const struct procfs_entry *e, const char *path)
{
    struct buf b = {0};
    if (path[0] != '/') {
        buf_adds(&b, e->cwd ? e->cwd : "");
        while (path[0] == '.' && path[1] == '/')
            for (path += 2; *path == '/';)
                path++;
        buf_addc(&b, '/');
    }
    buf_adds(&b, path);
    return buf_take(&b);
}

/* Started by hand a service may show as "./demo", as "demo" found in PATH, or, when
 * it is a script, with its interpreter before it. */
static int look_of_cmdline(const struct run *r, const struct procfs_entry *e, int want)
{
    if (!e->cmdline || e->cmdline_len == 0)
        return -1;
    const char *end = e->cmdline + e->cmdline_len;
    int look = look_like(r, e->cmdline, e->cmdline_len, uid_for(r, e, want), want);
    const char *arg = e->cmdline;
    for (int skip = 0; look < 0 && skip < 3 && arg < end; skip++) {
        const char *rest = arg + strlen(arg) + 1;
        if (rest > end)
            break;
        if (skip == 0 && e->exe)
            look = try_first(r, e, e->exe, rest, want);
        char *path = look < 0 ? absolute(e, arg) : NULL;
        if (path)
            look = try_first(r, e, path, rest, want);
        /* Behind another word the path is only an argument, unless that word is the script's interpreter. */
        if (skip > 0 && look >= 0 && path && !r->script_fits(path, e->exe))
            look = -1;
        free(path);
        arg = rest;
    }
    return look;
}

static int look_of_marker(const struct run *r, const struct procfs_entry *e, const char *prefix)
{
    size_t n = strlen(prefix);
    return e->marker && !strncmp(e->marker, prefix, n) ? look_named(r, e->marker + n) : -1;
}

static int look_that_holds(const struct run *r, pid_t pid)
{
    struct holder key = {.pid = pid};
    const struct holder *h = bsearch(&key, r->holders, r->nholders, sizeof key, by_held_pid);
    return h ? h->look : -1;
}

/* Does the parent of entry i belong to the same service, in the sense of `of`? */
static bool parent_is_same(const struct run *r, size_t i, const int *of)
{
    const struct procfs_entry *parent = procfs_table_find(r->table, r->table->entries[i].stat.ppid);
    return parent && of[parent - r->table->entries] == of[i];
}

/* Is a better than b as the process of look `look`? */
static bool is_better(const struct run *r, const struct procfs_entry *a, const struct procfs_entry *b, int look)
{
    size_t ia = (size_t)(a - r->table->entries), ib = (size_t)(b - r->table->entries);
    bool ma = r->out->owner[ia] == look, mb = r->out->owner[ib] == look;
    if (ma != mb)
        return ma;
    bool sa = r->same[ia] == look, sb = r->same[ib] == look;
    if (sa != sb)
        return sa;
    return a->stat.start_ticks < b->stat.start_ticks;
}

static void offer(const struct run *r, size_t i, int look)
{
    const struct procfs_entry *e = &r->table->entries[i], *second = e;
    struct match_found *f = &r->out->found[look];
    if (!f->best || is_better(r, e, f->best, look)) {
        second = f->best;
        f->best = e;
    }
    /* A marked session leader with another command line is some helper of the service, no second copy. */
    if (second && r->same[second - r->table->entries] == look)
        f->copy = second;
}

static void judge(const struct run *r, size_t i)
{
    const struct procfs_entry *e = &r->table->entries[i];
    int owner = r->out->owner[i], same = r->same[i];
    if (owner < 0) {
        if (same >= 0 && !e->marker && !parent_is_same(r, i, r->same))
            offer(r, i, same);
        return;
    }
    if (e->known) {
        offer(r, i, owner);
        return;
    }
    if (parent_is_same(r, i, r->out->owner))
        return;
    struct match_found *f = &r->out->found[owner];
    /* Anybody can put a marker into an environment: of another user's processes only those that show the service's
     * command line are believed (a daemon that gave up its rights). */
    bool believed = e->uid == r->looks[owner].uid || same == owner;
    /* A marked process that leads no session is a child of one that did, even where it looks the same. */
    if (!believed)
        return;
    if (e->stat.session == e->pid)
        offer(r, i, owner);
    else if (!f->heir || e->stat.start_ticks < f->heir->stat.start_ticks)
        f->heir = e;
}

static int make_index(struct run *r)
{
    r->index = calloc(r->nlooks + 1, sizeof *r->index);
    r->holders = calloc(r->nlooks + 1, sizeof *r->holders);
    if (!r->index || !r->holders)
        return -ENOMEM;
    for (size_t i = 0; i < r->nlooks; i++) {
        if (r->looks[i].cmdline)
            r->index[r->nindex++] = (struct index){r->looks[i].hash, (int)i};
        if (r->looks[i].held)
            r->holders[r->nholders++] = (struct holder){r->looks[i].held, (int)i};
    }
    qsort(r->index, r->nindex, sizeof *r->index, by_hash);
    qsort(r->holders, r->nholders, sizeof *r->holders, by_held_pid);
    return 0;
}

static void run_fini(struct run *r)
{
    free(r->same);
    free(r->index);
    free(r->holders);
}

int match_run(const struct procfs_table *table, const struct match_look *looks, size_t nlooks, const char *prefix,
              pid_t self, match_script_fn *script_fits, struct match *out)
{
    struct run r = {.table = table, .looks = looks, .nlooks = nlooks, .script_fits = script_fits, .out = out};
    *out = (struct match){calloc(nlooks + 1, sizeof *out->found), calloc(table->count + 1, sizeof *out->owner)};
    r.same = calloc(table->count + 1, sizeof *r.same);
    if (!out->found || !out->owner || !r.same || make_index(&r)) {
        match_fini(out);
        run_fini(&r);
        return -ENOMEM;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct procfs_entry *e = &table->entries[i];
        bool skip = e->pid == self || e->stat.state == 'Z' || e->stat.state == 'X';
        int held = e->known && !skip ? look_that_holds(&r, e->pid) : -1;
        skip = skip || e->known;
        out->owner[i] = skip ? held : look_of_marker(&r, e, prefix);
        r.same[i] = skip ? held : look_of_cmdline(&r, e, out->owner[i]);
    }
    for (size_t i = 0; i < table->count; i++)
        judge(&r, i);
    for (size_t i = 0; i < nlooks; i++) {
        const struct procfs_entry *best = out->found[i].best;
        out->found[i].same = best && (!looks[i].cmdline || r.same[best - table->entries] == (int)i);
    }
    run_fini(&r);
    return 0;
}

void match_fini(struct match *m)
{
    free(m->found);
    free(m->owner);
    *m = (struct match){0};
}
