#include "console_rotate.h"

#include "console.h"
#include "console_copy.h"
#include "console_path.h"
#include "console_rotate_parts.h"
#include "day.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64 << 20) /* what has no line end for so long is no text: it is cut anywhere */
#define QUIET_MS 100              /* nobody has written for so long: a file may be emptied */
#define SAME_MAX (1 << 20)        /* compared to tell whether a copy is complete */

/* Sets the message of a failed step; returns the error. */
static int fail(struct console_rotate *r, int error, const char *what)
{
    err_set(&r->err, "%s: %s", what, strerror(-error));
    return error;
}

int64_t console_rotate_length_of(const struct console_rotate *r)
{
    struct stat st;
    return fstat(r->fd, &st) ? 0 : st.st_size;
}

/* ---- open */

static int open_all(struct console_rotate *r)
{
    r->dir = console_path_folder(r->name.dir, O_RDONLY);
    if (r->dir < 0)
        return fail(r, r->dir, r->name.dir);
    r->fd = console_open_as(r->path, O_RDWR);
    if (r->fd < 0)
        return fail(r, r->fd, r->path);
    if (fstat(r->fd, &r->st))
        return fail(r, -errno, r->path);
    return 0;
}

static int open_out(struct console_rotate *r, const char *file)
{
    struct stat st;
    r->out = openat(r->dir, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (r->out < 0)
        return -errno;
    return fstat(r->out, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1 ? -EPERM : 0;
}

static void close_out(struct console_rotate *r)
{
    if (r->out >= 0)
        close(r->out);
    r->out = -1;
}

/* What the file the lines were to go to tells about a rotation that was broken off before its banner was written:
 * it is not complete; or it is, and the log still has the lines, or not any more (it was emptied). */
static enum console_rotate_step judge_copy(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    struct stat st;
    int64_t end = placed_at(in) + copied(in), same = MIN(copied(in), SAME_MAX);
    enum console_rotate_step next = CONSOLE_ROTATE_COPY;
    if (!open_out(r, in->file) && !fstat(r->out, &st) && st.st_size == end)
        next = console_copy_same(r->fd, in->cut - same, r->out, end - same, same) ? CONSOLE_ROTATE_BANNER
                                                                                  : CONSOLE_ROTATE_PLAN;
    if (next != CONSOLE_ROTATE_BANNER)
        close_out(r);
    return next;
}

/* Where the rotation that was broken off goes on. */
static enum console_rotate_step find_place(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    struct console_front front;
    if (in->inode != (int64_t)r->st.st_ino)
        return CONSOLE_ROTATE_PLAN; /* of another file that was here */
    if (in->from > 0 && console_front_has(r->fd, 0, in->id))
        return CONSOLE_ROTATE_FINISH;
    if (console_front_has(r->fd, in->from, in->id)) /* maybe not all of it: it is written again */
        return open_out(r, in->file) ? CONSOLE_ROTATE_PLAN : CONSOLE_ROTATE_BANNER;
    if (r->st.st_size < in->cut)
        return CONSOLE_ROTATE_FINISH; /* emptied */
    console_front_read(r->fd, r->st.st_size, &front);
    if (front.start != in->start || front.at != in->at)
        return CONSOLE_ROTATE_PLAN;
    return judge_copy(r);
}

static int step_open(struct console_rotate *r)
{
    int e = open_all(r);
    if (e)
        return e;
    r->step = CONSOLE_ROTATE_DONE;
    if (!S_ISREG(r->st.st_mode))
        return 0;
    if (r->st.st_nlink > 1) /* the other name may be of another file altogether, and planted */
        return fail(r, -EMLINK, r->path);
    if (flock(r->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return fail(r, -EAGAIN, "another monitor is rotating it");
    fstat(r->fd, &r->st); /* as it is now that nobody else changes it */
    r->block = console_copy_block(r->fd);
    r->resuming = console_intent_read(r->dir, r->intent_file, &r->intent);
    r->step = r->resuming ? find_place(r) : CONSOLE_ROTATE_PLAN;
    r->resuming = r->step != CONSOLE_ROTATE_PLAN;
    r->resumed = r->resuming;
    return 0;
}

/* ---- plan */

/* The end of the last whole line in [start, limit); start when there is none. */
static int64_t last_line_end(int fd, int64_t start, int64_t limit)
{
    char block[65536];
    for (int64_t end = limit; end > start;) {
        int64_t from = MAX(end - (int64_t)sizeof block, start);
        ssize_t n = pread(fd, block, (size_t)(end - from), from);
        const char *eol = n > 0 ? memrchr(block, '\n', (size_t)n) : NULL;
        if (eol)
            return from + (eol - block) + 1;
        if (limit - from >= LINE_MAX_BYTES)
            return limit;
        end = from;
    }
    return start;
}

bool console_rotate_is_unsupported(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == EPERM;
}

/* A banner needs more room than the few lines there are: a block of it is put before them. */
static bool make_room(struct console_rotate *r, struct console_intent *in)
{
    console_front_lock();
    int e = r->ways & CONSOLE_ROTATE_COLLAPSE ? 0 : EOPNOTSUPP;
    if (!e && fallocate(r->fd, FALLOC_FL_INSERT_RANGE, 0, r->block))
        e = errno;
    console_front_unlock();
    if (e) {
        r->uncollapsed = console_rotate_is_unsupported(e);
        return false;
    }
    in->start += r->block;
    in->cut += r->block;
    r->st.st_size += r->block;
    return true;
}

static int64_t now_real_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Nobody has written since the cut, nor for a while before it. */
bool console_rotate_is_quiet(const struct console_rotate *r)
{
    int64_t written = (int64_t)r->st.st_mtim.tv_sec * 1000 + r->st.st_mtim.tv_nsec / 1000000;
    int64_t quiet = now_real_ms() - written;
    return console_rotate_length_of(r) == r->intent.cut && (quiet >= QUIET_MS || quiet < 0);
}

static uint64_t new_id(void)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, GRND_NONBLOCK) != sizeof id)
        id = (uint64_t)now_real_ms() << 16 ^ (uint64_t)getpid();
    return id | 1;
}

/* The lines that are asked for; false when there are none. */
static bool find_lines(struct console_rotate *r, struct console_intent *in)
{
    struct console_front front;
    fstat(r->fd, &r->st);
    console_front_read(r->fd, r->st.st_size, &front);
    r->start = front.start;
    int64_t limit = r->cut < 0 ? r->st.st_size : MIN(r->st.st_size, front.start + r->cut - front.at);
    *in = (struct console_intent){.id = new_id(),
                                  .inode = (int64_t)r->st.st_ino,
                                  .start = front.start,
                                  .at = front.at,
                                  .day = r->day,
                                  .now_ms = r->now_ms};
    if (limit - front.start <= r->more_than)
        return false;
    in->cut = last_line_end(r->fd, front.start, limit);
    return in->cut > in->start;
}

static int step_plan(struct console_rotate *r)
{
    struct console_intent *in = &r->intent;
    struct console_place place;
    unlinkat(r->dir, r->intent_file, 0); /* of a file that is gone, or planted */
    unlinkat(r->dir, r->copy_file, 0);
    r->resuming = false;
    r->step = CONSOLE_ROTATE_DONE;
    if (!find_lines(r, in))
        return 0;
    int e = console_name_place(&r->name, r->dir, r->day, r->part, &place);
    if (e)
        return fail(r, e, place.file[0] ? place.file : "no name for its lines");
    strcpy(in->file, place.file);
    in->append_at = place.append_at;
    in->part = place.part;
    if (!console_copy_has_room(r->dir, copied(in)))
        return fail(r, -ENOSPC, in->file);
    int64_t need = (int64_t)console_front_need(in->file);
    if (in->cut < need && !make_room(r, in) && !console_rotate_is_quiet(r)) {
        r->later = true;
        return 0;
    }
    in->from = in->cut >= need ? (in->cut - need) / r->block * r->block : 0;
    if ((e = console_intent_write(r->dir, r->intent_file, in)))
        return fail(r, e, r->intent_file);
    r->step = CONSOLE_ROTATE_COPY;
    return 0;
}

/* ---- copy and place */

static int create_copy(struct console_rotate *r)
{
    unlinkat(r->dir, r->copy_file, 0);
    r->out = openat(r->dir, r->copy_file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r->out < 0)
        return -errno;
    if (fchown(r->out, r->st.st_uid, r->st.st_gid) && errno != EPERM)
        return -errno;
    return fchmod(r->out, r->st.st_mode & 0777) ? -errno : 0;
}

/* Opens the file that has lines of that day already, without what an earlier try may have added. */
static int open_archive(struct console_rotate *r)
{
    struct stat st;
    int e = open_out(r, r->intent.file);
    if (!e && fstat(r->out, &st))
        e = -errno;
    if (!e && st.st_size < r->intent.append_at)
        e = -ESTALE;
    return !e && ftruncate(r->out, r->intent.append_at) ? -errno : e;
}

/* Its time is that of its last line, by which one day's file is told from last month's. */
int console_rotate_set_time(struct console_rotate *r)
{
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, r->st.st_mtim};
    if (day_of((int64_t)t[1].tv_sec * 1000) != r->intent.day) {
        int64_t last = day_last_ms(r->intent.day);
        t[1] = (struct timespec){.tv_sec = last / 1000, .tv_nsec = last % 1000 * 1000000};
    }
    return futimens(r->out, t) ? -errno : 0;
}

static int step_copy(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    int e = in->append_at < 0 ? create_copy(r) : open_archive(r);
    if (!e)
        e = console_copy(r->fd, in->start, in->cut, r->out, placed_at(in), &r->stop);
    if (!e)
        e = console_rotate_set_time(r);
    if (!e && fsync(r->out))
        e = -errno;
    r->step = CONSOLE_ROTATE_PLACE;
    return e ? fail(r, e, in->file) : 0;
}

static int step_place(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    if (in->append_at < 0 && renameat(r->dir, r->copy_file, r->dir, in->file))
        return fail(r, -errno, in->file);
    fsync(r->dir);
    r->step = CONSOLE_ROTATE_BANNER;
    return 0;
}

/* ---- banner and free */

static void lock_front(struct console_rotate *r)
{
    if (!r->locked)
        console_front_lock();
    r->locked = true;
}

static void unlock_front(struct console_rotate *r)
{
    if (r->locked)
        console_front_unlock();
    r->locked = false;
}

/* From now on the front is where the file says. */
static void leave_front(struct console_rotate *r)
{
    if (r->front_moved)
        console_front_move(r->fd, -1);
    r->front_moved = false;
    unlock_front(r);
}

static int write_banner(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    struct console_front f = {
        .begin = in->from, .start = in->cut, .at = in->at + copied(in), .since_ms = in->now_ms, .id = in->id};
    struct buf text = {0};
    strcpy(f.file, in->file);
    console_front_make(&f, &text);
    int e = text.failed ? -ENOMEM : console_copy_write(r->fd, text.data, text.len, in->from);
    buf_fini(&text);
    return e;
}

static int step_banner(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    int64_t same = MAX(in->from, in->start);
    console_copy_flush(r->fd, in->from);
    lock_front(r);
    r->step = CONSOLE_ROTATE_FREE;
    if (!has_banner(in))
        return 0;
    /* Somebody may have emptied the log meanwhile: nothing but what was copied is overwritten. */
    if (!console_front_has(r->fd, in->from, in->id) &&
        !console_copy_same(r->fd, same, r->out, placed_at(in) + same - in->start, in->cut - same)) {
        r->step = CONSOLE_ROTATE_FINISH;
        return 0;
    }
    int e = write_banner(r);
    if (e)
        return fail(r, e, r->path);
    if (in->from > 0 && console_front_move(r->fd, in->from)) {
        r->front_moved = true;
        unlock_front(r);
    }
    return 0;
}

static int step_free(struct console_rotate *r)
{
    console_free_prepare(r);
    int64_t length = console_rotate_length_of(r);
    lock_front(r);
    int e = console_free_front(r);
    leave_front(r);
    r->step = CONSOLE_ROTATE_FINISH;
    if (e)
        return fail(r, e, r->path);
    if (!r->emptied && length == r->st.st_size)
        console_free_keep_time(r, length);
    return 0;
}

/* ---- finish */

static int step_finish(struct console_rotate *r)
{
    const struct console_intent *in = &r->intent;
    struct console_place place = {.part = in->part, .append_at = in->append_at};
    struct console_front front;
    leave_front(r);
    strcpy(place.file, in->file);
    console_name_drop_stale(&r->name, r->dir, in->day, &place);
    unlinkat(r->dir, r->copy_file, 0);
    if (unlinkat(r->dir, r->intent_file, 0) && errno != ENOENT)
        return fail(r, -errno, r->intent_file); /* a folder that became read-only: no other one may begin */
    close_out(r);
    if (copied(in) > 0)
        strcpy(r->file, in->file);
    r->moved += copied(in);
    r->since_ms = in->now_ms;
    console_front_read(r->fd, console_rotate_length_of(r), &front);
    r->start = front.start;
    r->step = r->resuming ? CONSOLE_ROTATE_PLAN : CONSOLE_ROTATE_DONE;
    return 0;
}

/* ---- all of it */

static int (*const steps[CONSOLE_ROTATE_DONE])(struct console_rotate *r) = {
    [CONSOLE_ROTATE_OPEN] = step_open,     [CONSOLE_ROTATE_PLAN] = step_plan,     [CONSOLE_ROTATE_COPY] = step_copy,
    [CONSOLE_ROTATE_PLACE] = step_place,   [CONSOLE_ROTATE_BANNER] = step_banner, [CONSOLE_ROTATE_FREE] = step_free,
    [CONSOLE_ROTATE_FINISH] = step_finish,
};

int console_rotate_begin(struct console_rotate *r)
{
    r->dir = r->fd = r->out = -1;
    r->step = CONSOLE_ROTATE_OPEN;
    int e = console_name_init(&r->name, r->path, r->format, r->others);
    if (!e)
        e = console_name_intent(&r->name, r->intent_file);
    if (!e)
        e = console_name_copy(&r->name, r->copy_file);
    return e ? fail(r, e, r->path) : 0;
}

/* A copy that failed is removed: a full disk is not kept full by it. From the banner on there is no way back. */
static void abandon(struct console_rotate *r)
{
    if (r->intent.append_at >= 0 && r->out >= 0 && ftruncate(r->out, r->intent.append_at))
        return; /* the intent stays, and the next one tries again */
    unlinkat(r->dir, r->copy_file, 0);
    unlinkat(r->dir, r->intent_file, 0);
}

int console_rotate_step(struct console_rotate *r)
{
    enum console_rotate_step step = r->step;
    int e = steps[step](r);
    if (e && (step == CONSOLE_ROTATE_COPY || step == CONSOLE_ROTATE_PLACE))
        abandon(r);
    return e;
}

void console_rotate_close(struct console_rotate *r)
{
    leave_front(r);
    close_out(r);
    if (r->fd >= 0)
        close(r->fd);
    if (r->dir >= 0)
        close(r->dir);
    r->fd = r->dir = -1;
    console_name_fini(&r->name);
}

int console_rotate_run(struct console_rotate *r)
{
    int e = console_rotate_begin(r);
    while (!e && r->step != CONSOLE_ROTATE_DONE)
        e = console_rotate_step(r);
    console_rotate_close(r);
    return e;
}

static void show_from_banner(int fd, const struct console_intent *in)
{
    console_front_lock(); /* one of this process may be at it */
    if (in->from > 0 && console_front_has(fd, in->from, in->id))
        console_front_move(fd, in->from);
    console_front_unlock();
}

bool console_rotate_is_unfinished(const char *path, int fd)
{
    struct console_name name;
    struct console_intent in;
    struct buf beside = {0};
    char file[NAME_MAX + 1];
    if (console_name_init(&name, path, "", NULL))
        return false;
    if (!console_name_intent(&name, file))
        buf_addf(&beside, "%s/%s", name.dir, file);
    bool found = beside.len && !beside.failed && console_intent_read(AT_FDCWD, beside.data, &in);
    if (found)
        show_from_banner(fd, &in);
    buf_fini(&beside);
    console_name_fini(&name);
    return found;
}
