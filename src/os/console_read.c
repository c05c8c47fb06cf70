#include "console_read.h"

#include "console.h"
#include "console_files.h"
#include "console_front.h"
#include "console_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536

/* The end of a text, collected from its last byte backwards. */
struct gather {
    char *data;
    size_t size, from; /* what there is is [from, size) */
    int lines;         /* still wanted */
    bool done;
};

static int gather_init(struct gather *g, int lines, size_t bytes)
{
    *g = (struct gather){.data = malloc(bytes + 2), .size = bytes, .from = bytes, .lines = lines};
    return g->data ? 0 : -ENOMEM;
}

/* Puts bytes [from, to) of the file before what there is, as far as they are wanted. */
static void gather_back(struct gather *g, int fd, int64_t from, int64_t to)
{
    while (!g->done && to > from && g->from > 0) {
        size_t len = (size_t)MIN(MIN(to - from, BLOCK), (int64_t)g->from);
        char *into = g->data + g->from - len;
        if (pread(fd, into, len, to - (int64_t)len) != (ssize_t)len)
            break; /* it was cut meanwhile */
        for (size_t i = len; i-- > 0 && !g->done;)
            if (into[i] == '\n' && into + i + 1 < g->data + g->size && --g->lines == 0) {
                g->done = true;
                len -= i + 1;
            }
        g->from -= len;
        to -= (int64_t)len;
    }
    g->done = g->done || g->from == 0;
}

static int open_beside(int dir, const char *file)
{
    struct stat st;
    int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int open_log(const char *path, struct stat *st)
{
    int fd = console_open_as(path, O_RDONLY);
    if (fd < 0 || (!fstat(fd, st) && S_ISREG(st->st_mode)))
        return fd;
    close(fd);
    return -ENODATA;
}

/* ---- the last lines */

/* What older files have, newest first. */
static void gather_files(struct gather *g, const struct console_name *n, const struct console_files *files)
{
    int dir = console_path_folder(n->dir, O_PATH);
    for (size_t i = files->count; dir >= 0 && i-- > 0 && !g->done;) {
        int fd = open_beside(dir, files->items[i].name);
        if (fd < 0)
            continue;
        gather_back(g, fd, 0, files->items[i].size);
        close(fd);
    }
    if (dir >= 0)
        close(dir);
}

static void gather_older(struct gather *g, const struct console_source *s, const struct console_front *front)
{
    struct console_name n;
    struct console_files files;
    if (console_name_init(&n, s->path, s->format, s->others))
        return;
    if (!console_files_find(&files, &n, front)) {
        gather_files(g, &n, &files);
        console_files_fini(&files);
    }
    console_name_fini(&n);
}

/* All in one go, so that no rotation comes in between. */
static void gather_all(struct gather *g, const struct console_source *s, int fd, struct console_follow *f)
{
    struct console_front front = {0};
    struct stat st;
    console_front_hold(true);
    if (fd >= 0 && !fstat(fd, &st)) {
        console_front_read(fd, st.st_size, &front);
        gather_back(g, fd, front.start, st.st_size);
        f->at = front.at + st.st_size - front.start;
        f->seen_at = front.at;
    }
    if (!g->done)
        gather_older(g, s, &front);
    console_front_release();
}

int console_follow_open(struct console_follow *f, const struct console_source *s, int lines, size_t bytes,
                        struct buf *out)
{
    struct gather g;
    struct stat st = {0};
    *f = (struct console_follow){.fd = open_log(s->path, &st)};
    if (f->fd < 0 && f->fd != -ENOENT)
        return f->fd;
    f->fd = MAX(f->fd, -1);
    f->dev = st.st_dev;
    f->inode = st.st_ino;
    int r = gather_init(&g, lines, bytes);
    g.done = lines <= 0;
    if (!r)
        gather_all(&g, s, f->fd, f);
    if (!r)
        buf_add(out, g.data + g.from, g.size - g.from);
    free(g.data);
    if (r)
        console_follow_close(f);
    return r;
}

int console_read_last(const struct console_source *s, int lines, size_t bytes, struct buf *out)
{
    struct console_follow f;
    size_t before = out->len;
    int r = console_follow_open(&f, s, lines, bytes, out);
    if (r)
        return r;
    if (out->len > before && out->data[out->len - 1] != '\n')
        buf_addc(out, '\n');
    console_follow_close(&f);
    return 0;
}

/* Opens the file the banner names, when it is beside the log and looks like one of its; -1 else. */
static int open_named(const char *path, const struct console_front *front, struct stat *st)
{
    struct console_name n;
    if (!front->id || console_name_init(&n, path, "", NULL))
        return -1;
    int dir = strncmp(front->file, n.base, n.stem) ? -1 : console_path_folder(n.dir, O_PATH);
    int fd = dir < 0 ? -1 : open_beside(dir, front->file);
    if (fd >= 0 && fstat(fd, st)) {
        close(fd);
        fd = -1;
    }
    if (dir >= 0)
        close(dir);
    console_name_fini(&n);
    return fd;
}

static void gather_named(struct gather *g, const char *path, const struct console_front *front)
{
    struct stat st;
    int fd = open_named(path, front, &st);
    if (fd < 0)
        return;
    gather_back(g, fd, 0, st.st_size);
    close(fd);
}

char *console_tail(const char *path, int lines, size_t bytes)
{
    struct console_front front;
    struct gather g;
    struct stat st;
    char *text = NULL;
    int fd = open_log(path, &st);
    if (fd < 0)
        return NULL;
    if (!gather_init(&g, lines, bytes)) {
        bool held = console_front_hold(false); /* without it a banner may show: better than to wait */
        fstat(fd, &st);
        console_front_read(fd, st.st_size, &front);
        gather_back(&g, fd, front.start, st.st_size);
        if (!g.done)
            gather_named(&g, path, &front);
        if (held)
            console_front_release();
        size_t len = g.size - g.from;
        text = g.data;
        memmove(text, g.data + g.from, len);
        for (size_t i = 0; i < len; i++)
            text[i] = text[i] ? text[i] : '?';
        if (len && text[len - 1] != '\n')
            text[len++] = '\n';
        text[len] = 0;
        if (!len) {
            free(text);
            text = NULL;
        }
    }
    close(fd);
    return text;
}

int64_t console_size(const char *path)
{
    struct console_front front;
    struct stat st;
    if (stat(path, &st) || st.st_size == 0) /* most often, and half the time */
        return 0;
    int fd = open_log(path, &st);
    if (fd < 0)
        return 0;
    console_front_read(fd, st.st_size, &front);
    close(fd);
    return front.at + st.st_size - front.start;
}

/* ---- following */

void console_follow_close(struct console_follow *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static int add_bytes(int fd, int64_t from, int64_t len, size_t max, struct buf *out)
{
    char block[BLOCK];
    ssize_t n = pread(fd, block, (size_t)MIN(MIN(len, (int64_t)max), BLOCK), from);
    if (n < 0)
        return -errno;
    buf_add(out, block, (size_t)n);
    return out->failed ? -ENOMEM : (int)n;
}

/* A text of what was read, its zero bytes as "?"; NULL for none. */
static char *as_text(struct buf *b)
{
    for (size_t i = 0; i < b->len; i++)
        b->data[i] = b->data[i] ? b->data[i] : '?';
    if (b->len && !b->failed)
        return buf_take(b);
    buf_fini(b);
    return NULL;
}

/* Adds bytes [from, to) of a file until there are `max`. */
static void add_range(int fd, int64_t from, int64_t to, size_t max, struct buf *out)
{
    int r = 1;
    for (int64_t at = from; r > 0 && at < to && out->len < max; at += r)
        r = add_bytes(fd, at, to - at, max - out->len, out);
}

/* From *at on, the lines before those of the log, as far as they are in the file that its banner names. */
static void add_moved(const char *path, const struct console_front *front, int64_t *at, size_t max, struct buf *out)
{
    struct stat st;
    int fd = open_named(path, front, &st);
    if (fd >= 0) {
        int64_t begin = front->at - st.st_size;
        *at = MAX(*at, begin);
        add_range(fd, *at - begin, st.st_size, max, out);
        close(fd);
    }
    if (!out->len)
        *at = front->at;
}

/* Whole lines alone, unless one is longer than what is allowed. */
static void cut_line(struct buf *b, size_t max)
{
    const char *end = b->len ? memrchr(b->data, '\n', b->len) : NULL;
    if (!b->len || (!end && b->len >= max))
        return;
    b->len = end ? (size_t)(end + 1 - b->data) : 0;
    b->data[b->len] = 0;
}

char *console_since(const char *path, int64_t *at, size_t bytes)
{
    struct console_front front;
    struct buf out = {0};
    struct stat st;
    int fd = open_log(path, &st);
    if (fd < 0)
        return NULL;
    if (console_front_hold(false)) {
        fstat(fd, &st);
        console_front_read(fd, st.st_size, &front);
        if (*at < 0 || *at > front.at + st.st_size - front.start)
            *at = front.at;
        if (*at < front.at)
            add_moved(path, &front, at, bytes, &out);
        int64_t from = *at + (int64_t)out.len - front.at;
        if (from >= 0)
            add_range(fd, front.start + from, st.st_size, bytes, &out);
        console_front_release();
    }
    close(fd);
    cut_line(&out, bytes);
    if (!out.failed)
        *at += (int64_t)out.len;
    return as_text(&out);
}

/* What it has not read yet of lines that were moved meanwhile. The files hold what came before front->at without a
 * gap, up to the oldest that is there. */
static int read_files(struct console_follow *f, const struct console_name *n, const struct console_files *files,
                      const struct console_front *front, size_t max, struct buf *out)
{
    int64_t begin = front->at;
    size_t i = files->count;
    while (i > 0 && begin > f->at)
        begin -= files->items[--i].size;
    if (begin > f->at)
        f->at = begin; /* what was before is gone */
    while (i < files->count && f->at >= begin + files->items[i].size)
        begin += files->items[i++].size;
    if (i == files->count) {
        f->at = front->at;
        return 0;
    }
    int dir = console_path_folder(n->dir, O_PATH), fd = dir < 0 ? -1 : open_beside(dir, files->items[i].name);
    int r = fd < 0 ? 0 : add_bytes(fd, f->at - begin, begin + files->items[i].size - f->at, max, out);
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    f->at = r > 0 ? f->at + r : begin + files->items[i].size; /* one that can't be read is passed over */
    return r;
}

static int read_moved(struct console_follow *f, const struct console_source *s, const struct console_front *front,
                      size_t max, struct buf *out)
{
    struct console_name n;
    struct console_files files;
    int r = console_name_init(&n, s->path, s->format, s->others);
    if (r)
        return r;
    r = console_files_find(&files, &n, front);
    if (!r) {
        while (!r && f->at < front->at)
            r = read_files(f, &n, &files, front, max, out);
        console_files_fini(&files);
    }
    console_name_fini(&n);
    return r;
}

static int read_held(struct console_follow *f, const struct console_source *s, size_t max, struct buf *out)
{
    struct console_front front;
    struct stat st;
    if (fstat(f->fd, &st))
        return -errno;
    console_front_read(f->fd, st.st_size, &front);
    if (front.at < f->seen_at || front.start + f->at - front.at > st.st_size)
        f->at = front.at; /* it was emptied, and begins anew */
    f->seen_at = front.at;
    if (f->at < front.at) {
        int r = read_moved(f, s, &front, max, out);
        if (r)
            return r;
    }
    int64_t from = front.start + f->at - front.at;
    int r = from < st.st_size ? add_bytes(f->fd, from, st.st_size - from, max, out) : 0;
    f->at += MAX(r, 0);
    return r;
}

/* Is another file at that path by now? Then that is read, from its beginning. */
static bool reopen(struct console_follow *f, const struct console_source *s)
{
    struct stat st;
    if (stat(s->path, &st) || (f->fd >= 0 && st.st_dev == f->dev && st.st_ino == f->inode))
        return false;
    int fd = open_log(s->path, &st);
    if (fd < 0)
        return false;
    struct console_front front;
    console_follow_close(f);
    console_front_read(fd, st.st_size, &front);
    *f = (struct console_follow){.fd = fd, .at = front.at, .seen_at = front.at, .dev = st.st_dev, .inode = st.st_ino};
    return true;
}

int console_follow_read(struct console_follow *f, const struct console_source *s, size_t max, struct buf *out)
{
    if (!console_front_hold(false))
        return -EAGAIN;
    int r = f->fd >= 0 ? read_held(f, s, max, out) : 0;
    if (r == 0 && reopen(f, s))
        r = read_held(f, s, max, out);
    console_front_release();
    return r;
}

bool console_follow_is_behind(const struct console_follow *f)
{
    struct console_front front;
    struct stat st;
    if (f->fd < 0 || fstat(f->fd, &st))
        return false;
    console_front_read(f->fd, st.st_size, &front);
    return f->at < front.at && front.at >= f->seen_at;
}
