#include "console_look.h"

#include "console.h"
#include "console_front.h"
#include "console_rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void take(const struct stat *st, struct console_look *out)
{
    *out = (struct console_look){.regular = S_ISREG(st->st_mode),
                                 .dev = st->st_dev,
                                 .inode = st->st_ino,
                                 .size = st->st_size,
                                 .mtime_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000};
}

/* When the file was made, where the file system remembers it. A time after its last line is that of a copy. */
static int64_t born_ms(int fd, int64_t mtime_ms)
{
    struct statx x;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &x) || !(x.stx_mask & STATX_BTIME))
        return 0;
    int64_t ms = (int64_t)x.stx_btime.tv_sec * 1000 + x.stx_btime.tv_nsec / 1000000;
    return ms <= mtime_ms ? ms : 0;
}

void console_look(const char *path, struct console_look *out)
{
    struct console_front front;
    struct stat st;
    int fd = console_open_as(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st)) {
        *out = (struct console_look){.error = fd < 0 ? fd : -errno};
        if (fd >= 0)
            close(fd);
        return;
    }
    take(&st, out);
    if (out->regular) {
        out->unfinished = console_rotate_is_unfinished(path, fd);
        console_front_read(fd, st.st_size, &front);
        out->start = front.start;
        out->end = front.at + st.st_size - front.start;
        out->since_ms = front.id ? front.since_ms : born_ms(fd, out->mtime_ms);
    }
    close(fd);
}

void console_glance(const char *path, struct console_look *out)
{
    struct stat st;
    *out = (struct console_look){.error = stat(path, &st) ? -errno : 0};
    if (!out->error)
        take(&st, out);
}
