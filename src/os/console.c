#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever may write to the folder of a log could have us follow a link of theirs to any file of ours: a link is
 * followed only when it belongs to root or to us. */
static int open_link(const char *path, int flags)
{
    struct stat st;
    int fd = open(path, flags | O_NOFOLLOW, 0644);
    if (fd >= 0 || errno != ELOOP || lstat(path, &st))
        return fd;
    if (!S_ISLNK(st.st_mode) || st.st_uid == 0 || st.st_uid == geteuid())
        return open(path, flags, 0644);
    errno = EPERM;
    return -1;
}

/* Opens without ever waiting (a FIFO at that path would) and lets only files and devices through. */
int console_open_as(const char *path, int flags)
{
    int fd = open_link(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENXIO ? -ENOTSUP : -errno;
    struct stat st;
    int error = fstat(fd, &st) ? errno : 0;
    if (!error && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        error = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
    if (!error && fcntl(fd, F_SETFL, flags & O_APPEND) < 0)
        error = errno;
    if (error)
        close(fd);
    return error ? -error : fd;
}

int console_open(const char *path)
{
    return console_open_as(path, O_WRONLY | O_APPEND | O_CREAT);
}
