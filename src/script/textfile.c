#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_all(int fd, const char *name, size_t max, struct buf *out, struct err *err)
{
    char block[65536];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, "%s: cannot be read: %s", name, strerror(errno));
        if (n == 0)
            return out->failed ? err_nomem(err) : true;
        buf_add(out, block, (size_t)n);
        if (out->len > max)
            return err_set(err, "%s: is larger than %zu MB", name, max >> 20);
    }
}

bool textfile_read(const char *path, const char *name, size_t max, struct buf *out, struct err *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not keep us waiting */
    if (fd < 0)
        return err_set(err, "%s: cannot open %s: %s", name, path, strerror(errno));
    struct stat st;
    bool ok = true;
    if (fstat(fd, &st) != 0)
        ok = err_set(err, "%s: cannot look at %s: %s", name, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        ok = err_set(err, "%s: %s is %s", name, path, S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
    ok = ok && read_all(fd, name, max, out, err);
    close(fd);
    if (ok && out->len >= 3 && memcmp(out->data, bom, 3) == 0)
        buf_drop(out, 3);
    return ok;
}
