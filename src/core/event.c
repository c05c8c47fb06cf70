#include "event.h"

#include "conf.h"
#include "event_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_SIZE 65536           /* of the journal, where the last number is looked for */
#define PENDING_MAX (1024 * 1024) /* lines kept while the file can't be written */
#define RESERVE (256 * 1024)      /* room set aside behind the end of the file */

static const char *const kind_names[EVENT_KINDS] = {
    [EVENT_DOWN] = "down",       [EVENT_WAITING] = "waiting",       [EVENT_STARTING] = "starting",
    [EVENT_UP] = "up",           [EVENT_STOPPING] = "stopping",     [EVENT_FAILED] = "failed",
    [EVENT_EXIT] = "exit",       [EVENT_SPAWN_FAIL] = "spawn_fail", [EVENT_DECISION] = "decision",
    [EVENT_COMMAND] = "command", [EVENT_CONFIG] = "config",         [EVENT_ADOPT] = "adopt",
    [EVENT_SIGNAL] = "signal",   [EVENT_CLEANUP] = "cleanup",       [EVENT_AUDIT] = "audit",
    [EVENT_LOG] = "log",         [EVENT_MONITOR] = "monitor",
};

void event_text(struct event *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n < (int)sizeof e->text)
        return;
    size_t end = sizeof e->text - 1;
    while (end > 0 && ((unsigned char)e->text[end - 1] & 0xc0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)e->text[end - 1] >= 0xc0)
        e->text[end - 1] = 0; /* the character may be complete, but one more or less does not matter here */
}

const char *event_kind_name(enum event_kind kind)
{
    return kind_names[kind];
}

enum event_kind event_kind_named(const char *name)
{
    for (int i = 0; i < EVENT_KINDS; i++)
        if (!strcmp(name, kind_names[i]))
            return (enum event_kind)i;
    return EVENT_KINDS;
}

void event_json(struct buf *b, const char *service, const struct event *e)
{
    buf_addf(b, "{\"seq\":%" PRIu64 ",\"time\":%" PRId64 ".%03d,\"mono\":%" PRId64 ".%03d", e->seq, e->wall_ms / 1000,
             (int)(e->wall_ms % 1000), e->mono_ms / 1000, (int)(e->mono_ms % 1000));
    if (service) {
        buf_adds(b, ",\"service\":");
        buf_add_json(b, service);
    }
    buf_addf(b, ",\"kind\":\"%s\"", kind_names[e->kind]);
    if (e->cause)
        buf_addf(b, ",\"cause\":%" PRIu64, e->cause);
    if (e->pid)
        buf_addf(b, ",\"pid\":%d", e->pid);
    if (e->kind == EVENT_EXIT && e->code >= 0)
        buf_addf(b, ",\"code\":%d", e->code);
    if (e->signal)
        buf_addf(b, ",\"signal\":\"%s\"", conf_signal_name(e->signal));
    if (e->duration_ms)
        buf_addf(b, ",\"duration\":%" PRId64 ".%03d", e->duration_ms / 1000, (int)(e->duration_ms % 1000));
    if (e->count)
        buf_addf(b, ",\"count\":%u", e->count);
    if (e->text[0]) {
        buf_adds(b, ",\"text\":");
        buf_add_json(b, e->text);
    }
    buf_addc(b, '}');
}

/* The highest number in the last lines of the file. Every line begins with it; a torn
 * line is passed over, as the next number only has to be higher than any that was used. */
static uint64_t read_last_seq(int fd, int64_t size)
{
    static const char key[] = "{\"seq\":";
    char text[TAIL_SIZE + 1];
    int64_t from = MAX(size - TAIL_SIZE, 0);
    ssize_t n = pread(fd, text, TAIL_SIZE, from);
    uint64_t last = 0;
    if (n <= 0)
        return 0;
    text[n] = 0;
    for (ssize_t i = 0; i < n; i++) /* binary junk may hold NULs, which strstr would stop at */
        if (!strncmp(text + i, key, sizeof key - 1)) {
            uint64_t seq = strtoull(text + i + sizeof key - 1, NULL, 10);
            last = seq <= EVENT_SEQ_MAX ? MAX(last, seq) : last;
        }
    return last;
}

/* A journal that was just rotated is empty: then the one before it tells. */
static uint64_t read_rotated_seq(const char *path)
{
    struct buf old = {0};
    struct stat st;
    buf_addf(&old, "%s.1", path);
    int fd = old.failed ? -1 : open(old.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t last = fd >= 0 && !fstat(fd, &st) ? read_last_seq(fd, st.st_size) : 0;
    if (fd >= 0)
        close(fd);
    buf_fini(&old);
    return last;
}

/* Where that can't be had (another file system, a full disk) it goes without. */
static void reserve(struct event_journal *j)
{
    if (j->size + RESERVE / 2 < j->reserved)
        return;
    fallocate(j->fd, FALLOC_FL_KEEP_SIZE, j->size, RESERVE);
    j->reserved = j->size + RESERVE;
}

static int open_file(struct event_journal *j)
{
    j->fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (j->fd < 0)
        return -errno;
    struct stat st;
    if (fstat(j->fd, &st)) {
        int r = -errno;
        close(j->fd);
        j->fd = -1;
        return r;
    }
    j->size = st.st_size;
    char last = '\n';
    if (j->size > 0 && pread(j->fd, &last, 1, j->size - 1) == 1 && last != '\n' && write(j->fd, "\n", 1) == 1)
        j->size++;
    j->reserved = 0;
    reserve(j);
    return 0;
}

int event_journal_open(struct event_journal *j, const char *path, int64_t max_size)
{
    *j = (struct event_journal){.fd = -1, .max_size = max_size, .path = strdup(path)};
    if (!j->path)
        return -ENOMEM;
    int r = open_file(j);
    if (r)
        return r;
    j->last_seq = read_last_seq(j->fd, j->size);
    if (!j->last_seq)
        j->last_seq = read_rotated_seq(path);
    return 0;
}

void event_journal_close(struct event_journal *j)
{
    event_journal_flush(j);
    if (j->fd >= 0)
        close(j->fd);
    free(j->path);
    buf_fini(&j->pending);
    *j = (struct event_journal){.fd = -1};
}

static int rotate(struct event_journal *j)
{
    struct buf old = {0};
    buf_addf(&old, "%s.1", j->path);
    int r = old.failed ? -ENOMEM : rename(j->path, old.data) ? -errno : 0;
    buf_fini(&old);
    if (r)
        return r;
    int ignored = ftruncate(j->fd, j->size); /* gives back what was set aside */
    (void)ignored;
    close(j->fd);
    j->fd = -1;
    return open_file(j);
}

static int write_pending(struct event_journal *j)
{
    if (!j->path)
        return -ENOMEM;
    bool full = j->size > j->max_size && !j->torn; /* a line begun is finished in its own file */
    int r = j->fd < 0 ? open_file(j) : full ? rotate(j) : 0;
    if (r)
        return r;
    ssize_t n = write(j->fd, j->pending.data, j->pending.len);
    if (n < 0)
        return -errno;
    j->size += n;
    if (n > 0)
        j->torn = j->pending.data[n - 1] != '\n';
    if ((size_t)n == j->pending.len) {
        reserve(j);
        buf_clear(&j->pending);
        return 0;
    }
    buf_drop(&j->pending, (size_t)n); /* a full disk took a part: the rest of the line follows when there is room */
    return -ENOSPC;
}

int event_journal_flush(struct event_journal *j)
{
    if (!j->pending.len)
        return 0;
    int r = write_pending(j);
    bool news = r && !j->complaining;
    j->complaining = r != 0;
    return news ? r : 0;
}

/* ---- listeners */

/* An event that was emitted while another one was being told. */
struct event_untold {
    struct event_untold *next;
    char *service; /* NULL: the monitor's */
    struct event event;
};

void event_listen(struct event_journal *j, struct event_listener *l)
{
    l->next = j->listeners; /* in front: it does not hear the event being told */
    j->listeners = l;
}

void event_unlisten(struct event_journal *j, struct event_listener *l)
{
    for (struct event_listener **p = &j->listeners; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            if (j->next_told == l)
                j->next_told = l->next;
            return;
        }
}

static void keep_untold(struct event_journal *j, const char *service, const struct event *e)
{
    struct event_untold *u = malloc(sizeof *u);
    char *name = service ? strdup(service) : NULL;
    if (!u || (service && !name)) {
        free(u);
        free(name);
        return;
    }
    *u = (struct event_untold){.service = name, .event = *e};
    *j->untold_end = u;
    j->untold_end = &u->next;
}

static void tell_one(struct event_journal *j, const char *service, const struct event *e)
{
    for (struct event_listener *l = j->listeners; l; l = j->next_told) {
        j->next_told = l->next;
        l->event(l, service, e);
    }
}

static void tell(struct event_journal *j, const char *service, const struct event *e)
{
    if (j->telling) {
        keep_untold(j, service, e);
        return;
    }
    j->telling = true;
    j->untold_end = &j->untold;
    tell_one(j, service, e);
    for (struct event_untold *u; (u = j->untold);) {
        tell_one(j, u->service, &u->event);
        j->untold = u->next;
        if (!u->next)
            j->untold_end = &j->untold;
        free(u->service);
        free(u);
    }
    j->telling = false;
}

uint64_t event_emit(struct event_journal *j, struct event_ring *ring, const char *service, struct event *e)
{
    e->seq = ++j->last_seq;
    event_ring_add(ring, e);
    size_t before = j->pending.len;
    bool kept = j->path && before < PENDING_MAX;
    if (kept) {
        event_json(&j->pending, service, e);
        buf_addc(&j->pending, '\n');
    }
    if (j->pending.failed) { /* no memory: half a line must not stay */
        j->pending.failed = kept = false;
        j->pending.len = before;
        if (j->pending.data)
            j->pending.data[before] = 0;
    }
    j->lost += j->path && !kept;
    if (j->listeners)
        tell(j, service, e);
    return e->seq;
}
