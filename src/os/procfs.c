#include "procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_SIZE (64 * 1024)
#define LISTINGS_MAX 16 /* of one pass: where processes come without end */
#define FILE_MAX                                                                                                       \
    (4 * 1024 * 1024) /* more than any command line or environment may be (ARG_MAX is a quarter of the stack limit) */

/* Strings of a table live in a chain of chunks: thousands of small texts, freed together. */
struct procfs_chunk {
    struct procfs_chunk *next;
    size_t used, size;
    char data[];
};

int procfs_count_fds(pid_t pid)
{
    char path[40];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = NULL;
    /* The size of the folder is their number since Linux 6.2, and 0 before. It tells the size even to who may not look.
     */
    if (stat(path, &st) || (st.st_size == 0 && !(d = opendir(path))))
        return -1;
    int n = (int)st.st_size;
    for (const struct dirent *e; d && (e = readdir(d));)
        n += isdigit((unsigned char)e->d_name[0]) != 0;
    if (d)
        closedir(d);
    return n;
}

bool procfs_is_passing(int error)
{
    static const int passing[] = {EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR};
    for (size_t i = 0; i < ARRAY_LEN(passing); i++)
        if (passing[i] == error)
            return true;
    return false;
}

void procfs_boot(char *out, size_t size)
{
    struct procfs_stat init = {0};
    char id[40] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, sizeof id - 1) : 0;
    if (fd >= 0)
        close(fd);
    id[MAX(n, 0)] = 0;
    id[strcspn(id, "\n")] = 0;
    procfs_stat(1, &init); /* where it may not be looked at: 0, every time */
    out[0] = 0;
    if (id[0])
        snprintf(out, size, "%s/%" PRIu64, id, init.start_ticks);
}

/* What was passed over for a reason that goes by might be just what is looked for: the table says so. */
static void note_error(struct procfs_table *t, int error)
{
    if (procfs_is_passing(error))
        t->error = -error;
}

/* Text that is read, kept for the next. */
struct scratch {
    char *data;
    size_t cap;
};

/* Numbers of processes. */
struct pids {
    pid_t *at;
    size_t count, cap;
};

/* One pass over all processes. */
struct pass {
    struct procfs_table *t;
    size_t cap;         /* of its entries */
    int proc;           /* the folder of all */
    struct pids listed; /* by number; read, or gone before they were */
    const char *marker;
    const struct procfs_known *known;
    size_t nknown;
    struct procfs_hand *hand;
    struct scratch scratch;
};

/* Opens PID/NAME; -1 is noted. Without a descriptor for each process' folder: that is quicker. */
static int open_of(struct pass *p, const char *pid, const char *name)
{
    char path[40];
    snprintf(path, sizeof path, "%s/%s", pid, name);
    int fd = openat(p->proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        note_error(p->t, errno);
    return fd;
}

/* Reads the whole of fd into the scratch and closes it. Returns the length, or -1. A short read is the last one: these
 * files are made up as they are read, and give all that is asked for. */
static ssize_t read_all(struct pass *p, int fd)
{
    struct procfs_table *t = p->t;
    struct scratch *s = &p->scratch;
    if (fd < 0)
        return -1;
    size_t len = 0, wanted;
    ssize_t n;
    do {
        if (s->cap - len < 2) {
            char *bigger = s->cap < FILE_MAX ? realloc(s->data, s->cap * 2) : NULL;
            if (!bigger) {
                if (s->cap < FILE_MAX) /* of anything longer the beginning has to do */
                    note_error(t, ENOMEM);
                break;
            }
            s->data = bigger;
            s->cap *= 2;
        }
        wanted = s->cap - len - 1;
        do
            n = read(fd, s->data + len, wanted);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            note_error(t, errno);
        len += (size_t)MAX(n, 0);
    } while (n == (ssize_t)wanted);
    close(fd);
    s->data[len] = 0;
    return (ssize_t)len;
}

/* The name (field 2) may hold blanks and parentheses: the fields begin after the last ')'. */
static bool parse_stat(const char *text, struct procfs_stat *out)
{
    static long tick, page_kib;
    if (!tick) {
        tick = sysconf(_SC_CLK_TCK);
        page_kib = sysconf(_SC_PAGESIZE) / 1024;
    }
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ')
        return false;
    unsigned long long field[53] = {0};
    char state = p[2];
    int n = 3;
    for (p += 3; *p && n < 52;) {
        char *end;
        long long v = strtoll(p, &end, 10);
        if (end == p)
            break;
        field[++n] = (unsigned long long)v;
        p = end;
        if (n == 22 || n == 24) /* past LLONG_MAX strtoll would stick; these two fit */
            continue;
    }
    if (n < 24)
        return false;
    /* The first thread has ended, but others go on: that is no end of the process. */
    out->state = state == 'Z' && (long long)field[20] > 1 ? 'S' : state;
    out->ppid = (pid_t)field[4];
    out->pgrp = (pid_t)field[5];
    out->session = (pid_t)field[6];
    out->cpu_ms = (int64_t)((field[14] + field[15]) * 1000 / (unsigned long long)tick);
    out->start_ticks = field[22];
    out->rss_kib = (int64_t)(field[24] * (unsigned long long)page_kib);
    out->exit_status = (int)field[52];
    /* The kernel shows 0 to who may not look; a process of another user stays "unknown" then. */
    out->exit_status_known = n >= 52 && out->state == 'Z' && (geteuid() == 0 || out->exit_status != 0);
    return true;
}

bool procfs_stat(pid_t pid, struct procfs_stat *out)
{
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return parse_stat(text, out);
}

int64_t procfs_start_ms(uint64_t start_ticks)
{
    return (int64_t)(start_ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

bool procfs_catches(pid_t pid, int sig)
{
    char path[40], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    uint64_t caught = 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "SigCgt: %" SCNx64, &caught) == 1)
            break;
    fclose(f);
    return caught >> (sig - 1) & 1;
}

const char *procfs_limit_name(int resource)
{
    static const char *const names[] = {
        [RLIMIT_CPU] = "cpu time",
        [RLIMIT_FSIZE] = "file size",
        [RLIMIT_DATA] = "data segment",
        [RLIMIT_STACK] = "stack",
        [RLIMIT_CORE] = "core file size",
        [RLIMIT_RSS] = "resident memory",
        [RLIMIT_NPROC] = "processes",
        [RLIMIT_NOFILE] = "open files",
        [RLIMIT_MEMLOCK] = "locked memory",
        [RLIMIT_AS] = "virtual memory",
        [RLIMIT_LOCKS] = "file locks",
        [RLIMIT_SIGPENDING] = "pending signals",
        [RLIMIT_MSGQUEUE] = "message queues",
        [RLIMIT_NICE] = "nice",
        [RLIMIT_RTPRIO] = "realtime priority",
        [RLIMIT_RTTIME] = "realtime cpu time",
    };
    return resource >= 0 && (size_t)resource < ARRAY_LEN(names) ? names[resource] : "unknown limit";
}

/* A copy of len bytes and a NUL, owned by the table; NULL when memory ran out. */
static char *keep(struct procfs_table *t, const char *s, size_t len)
{
    struct procfs_chunk *c = t->strings;
    if (!c || c->size - c->used < len + 1) {
        size_t size = MAX(len + 1, CHUNK_SIZE);
        c = malloc(sizeof *c + size);
        if (!c) {
            t->error = -ENOMEM;
            return NULL;
        }
        *c = (struct procfs_chunk){.next = t->strings, .size = size};
        t->strings = c;
    }
    char *copy = c->data + c->used;
    memcpy(copy, s, len);
    copy[len] = 0;
    c->used += len + 1;
    return copy;
}

static const char *keep_link(struct pass *p, const char *pid, const char *name)
{
    char path[40], target[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", pid, name);
    ssize_t n = readlinkat(p->proc, path, target, sizeof target);
    if (n < 0)
        note_error(p->t, errno);
    return n > 0 ? keep(p->t, target, (size_t)n) : NULL;
}

/* The value of variable `name` in an environment of NUL-ended entries. */
static const char *find_variable(const char *env, size_t len, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = env; p < env + len; p += strlen(p) + 1)
        if (!strncmp(p, name, n) && p[n] == '=')
            return p + n + 1;
    return NULL;
}

static int by_known_pid(const void *a, const void *b)
{
    pid_t x = ((const struct procfs_known *)a)->pid, y = ((const struct procfs_known *)b)->pid;
    return (x > y) - (x < y);
}

static bool is_known(const struct pass *p, const struct procfs_entry *e)
{
    struct procfs_known key = {.pid = e->pid};
    const struct procfs_known *k = p->nknown ? bsearch(&key, p->known, p->nknown, sizeof key, by_known_pid) : NULL;
    return k && k->start_ticks == e->stat.start_ticks;
}

/* What tells whose it is. */
static void look_closer(struct pass *p, const char *pid, struct procfs_entry *e)
{
    struct procfs_table *t = p->t;
    ssize_t n = read_all(p, open_of(p, pid, "cmdline"));
    if (n <= 0)
        return;
    e->cmdline = keep(t, p->scratch.data, (size_t)n);
    e->cmdline_len = (size_t)n;
    n = read_all(p, open_of(p, pid, "environ"));
    const char *value = n > 0 ? find_variable(p->scratch.data, (size_t)n, p->marker) : NULL;
    e->marker = value ? keep(t, value, strlen(value)) : NULL;
    e->exe = keep_link(p, pid, "exe");
    e->cwd = keep_link(p, pid, "cwd");
}

/* false: no memory for it. */
static bool make_room(struct pass *p)
{
    struct procfs_table *t = p->t;
    if (t->count < p->cap)
        return true;
    size_t cap = p->cap ? p->cap * 2 : 256;
    struct procfs_entry *more = realloc(t->entries, cap * sizeof *more);
    if (!more) {
        note_error(t, ENOMEM);
        return false;
    }
    t->entries = more;
    p->cap = cap;
    return true;
}

static void look_at(struct pass *p, pid_t number)
{
    struct procfs_entry e = {.pid = number};
    struct stat st;
    char pid[16];
    snprintf(pid, sizeof pid, "%d", number);
    int fd = open_of(p, pid, "stat");
    if (fd >= 0 && !fstat(fd, &st))
        e.uid = st.st_uid;
    if (read_all(p, fd) <= 0 || !parse_stat(p->scratch.data, &e.stat) || !make_room(p))
        return;
    e.known = is_known(p, &e);
    if (!e.known && e.stat.state != 'Z') {
        atomic_store(&p->hand->start_ticks, e.stat.start_ticks);
        atomic_store(&p->hand->pid, e.pid);
        look_closer(p, pid, &e);
        atomic_store(&p->hand->pid, 0);
    }
    p->t->entries[p->t->count++] = e;
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct procfs_entry *)a)->pid, y = ((const struct procfs_entry *)b)->pid;
    return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

static bool pids_add(struct pids *l, pid_t pid)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 1024;
        pid_t *more = realloc(l->at, cap * sizeof *more);
        if (!more)
            return false;
        l->at = more;
        l->cap = cap;
    }
    l->at[l->count++] = pid;
    return true;
}

/* Adds the processes there are now that were not listed before; how many that are. */
static size_t list_new(struct pass *p, DIR *d)
{
    struct pids *l = &p->listed;
    size_t before = l->count;
    rewinddir(d);
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e)
            break;
        pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)strtol(e->d_name, NULL, 10) : 0;
        bool is_new = pid && !(before && bsearch(&pid, l->at, before, sizeof pid, by_number));
        if (is_new && !pids_add(l, pid)) {
            errno = ENOMEM;
            break;
        }
    }
    note_error(p->t, errno);
    return l->count - before;
}

/* One that was listed may be gone when it is read, and have left a child that is younger than the list: a daemon does.
 * So it is listed again until that shows nobody new. Then all who were there at the beginning of the last listing had
 * been read before. The first thing that is passed over ends it: an incomplete table is of no use. */
static void look_at_all(struct pass *p, DIR *d)
{
    for (int i = 0; i < LISTINGS_MAX; i++) {
        size_t before = p->listed.count;
        size_t more = list_new(p, d);
        for (size_t k = before; !p->t->error && k < p->listed.count; k++)
            look_at(p, p->listed.at[k]);
        if (!more || p->t->error)
            return;
        qsort(p->listed.at, p->listed.count, sizeof *p->listed.at, by_number);
    }
}

void procfs_scan(const char *marker, struct procfs_known *known, size_t nknown, struct procfs_hand *hand,
                 struct procfs_table *out)
{
    struct procfs_hand nobodys = {0};
    *out = (struct procfs_table){0};
    struct pass p = {.t = out,
                     .marker = marker,
                     .known = known,
                     .nknown = nknown,
                     .hand = hand ? hand : &nobodys,
                     .scratch = {malloc(4096), 4096}};
    DIR *d = p.scratch.data ? opendir("/proc") : NULL;
    if (!d) {
        out->error = p.scratch.data ? -errno : -ENOMEM;
        free(p.scratch.data);
        return;
    }
    p.proc = dirfd(d);
    if (nknown)
        qsort(known, nknown, sizeof *known, by_known_pid);
    look_at_all(&p, d);
    closedir(d);
    free(p.listed.at);
    free(p.scratch.data);
    if (!out->count && !out->error)
        out->error = -ENOENT; /* an empty folder: nothing is mounted there */
    if (out->count)
        qsort(out->entries, out->count, sizeof *out->entries, by_pid);
}

void procfs_table_fini(struct procfs_table *t)
{
    while (t->strings) {
        struct procfs_chunk *next = t->strings->next;
        free(t->strings);
        t->strings = next;
    }
    free(t->entries);
    *t = (struct procfs_table){0};
}

const struct procfs_entry *procfs_table_find(const struct procfs_table *t, pid_t pid)
{
    struct procfs_entry key = {.pid = pid};
    return t->count ? bsearch(&key, t->entries, t->count, sizeof key, by_pid) : NULL;
}
