#include "console.h"

#include "console_path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens without ever waiting (a FIFO at that path would) and lets only files and devices through. */
int console_open_as(const char *path, int flags)
{
    int fd = console_path_open(path, flags | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fd == -ENXIO ? -ENOTSUP : fd;
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
