#include "console_intent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 1024
#define HEAD "fota_monitor rotates "

static bool is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_nlink == 1 && (st->st_uid == 0 || st->st_uid == geteuid());
}

static bool parse(char *text, struct console_intent *o)
{
    int done = 0;
    size_t len = strlen(text);
    if (len == 0 || text[len - 1] != '\n') /* not written to its end */
        return false;
    text[len - 1] = 0;
    if (sscanf(text,
               HEAD "%" SCNx64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
                    " %" SCNd64 " %u %n",
               &o->id, &o->inode, &o->start, &o->at, &o->cut, &o->from, &o->append_at, &o->day, &o->now_ms, &o->part,
               &done) != 10 ||
        !done)
        return false;
    snprintf(o->file, sizeof o->file, "%s", text + done);
    return o->id && o->file[0] && !strchr(o->file, '/') && o->start >= 0 && o->cut > o->start && o->from >= 0 &&
           o->from < o->cut && o->at >= 0 && o->append_at >= -1;
}

bool console_intent_read(int dirfd, const char *name, struct console_intent *out)
{
    char text[TEXT_MAX + 1];
    struct stat st;
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    ssize_t n = !fstat(fd, &st) && is_ours(&st) ? read(fd, text, TEXT_MAX) : -1;
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return parse(text, out);
}

int console_intent_write(int dirfd, const char *name, const struct console_intent *in)
{
    char text[TEXT_MAX];
    int len = snprintf(text, sizeof text,
                       HEAD "%016" PRIx64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                            " %" PRId64 " %" PRId64 " %u %s\n",
                       in->id, in->inode, in->start, in->at, in->cut, in->from, in->append_at, in->day, in->now_ms,
                       in->part, in->file);
    if (strchr(in->file, '\n'))
        return -EINVAL;
    unlinkat(dirfd, name, 0);
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, (size_t)len);
    int r = n == len ? 0 : n < 0 ? -errno : -ENOSPC;
    if (!r && fdatasync(fd))
        r = -errno;
    close(fd);
    if (r)
        unlinkat(dirfd, name, 0);
    return r;
}
