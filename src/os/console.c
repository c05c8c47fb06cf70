#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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
static int open_checked(const char *path, int flags)
{
    int fd = open_link(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENXIO ? -ENOTSUP : -errno;
    struct stat st;
    int error = fstat(fd, &st) ? errno : 0;
    if (!error && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        error = ENOTSUP;
    if (!error && fcntl(fd, F_SETFL, flags & O_APPEND) < 0)
        error = errno;
    if (error)
        close(fd);
    return error ? -error : fd;
}

int console_open(const char *path)
{
    return open_checked(path, O_WRONLY | O_APPEND | O_CREAT);
}

int64_t console_size(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) ? st.st_size : 0;
}

/* Where the last n lines of text begin. */
static size_t last_lines(const char *text, size_t len, int lines)
{
    size_t i = len;
    if (i > 0 && text[i - 1] == '\n')
        i--;
    for (; i > 0; i--)
        if (text[i - 1] == '\n' && --lines == 0)
            break;
    return i;
}

char *console_tail(const char *path, int lines, size_t bytes)
{
    int fd = open_checked(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    char *text = NULL;
    struct stat st;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 && (text = malloc(bytes + 2))) {
        off_t from = st.st_size > (off_t)bytes ? st.st_size - (off_t)bytes : 0;
        ssize_t n = pread(fd, text, bytes, from);
        if (n <= 0) {
            free(text);
            text = NULL;
        } else {
            size_t len = (size_t)n, start = last_lines(text, len, lines);
            if (text[len - 1] != '\n')
                text[len++] = '\n';
            memmove(text, text + start, len - start);
            text[len - start] = 0;
        }
    }
    close(fd);
    return text;
}
