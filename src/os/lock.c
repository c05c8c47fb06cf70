#include "lock.h"

#include "clock.h"
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The pid stands on the first line, the address on the second. */
static void read_info(int fd, struct lock_info *out)
{
    char text[128];
    *out = (struct lock_info){0};
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return;
    text[n] = 0;
    sscanf(text, "%d %63s", &out->pid, out->address);
}

/* Is the monitor that had the lock dead, and only what it was just starting holds it yet? */
static bool is_orphaned(int fd)
{
    struct lock_info info;
    struct procfs_stat st;
    read_info(fd, &info);
    errno = 0;
    return info.pid && (procfs_stat(info.pid, &st) ? st.state == 'Z' || st.state == 'X' : !procfs_is_passing(errno));
}

/* 0, or the errno of flock, after some patience where it is soon over. */
static int take(int fd)
{
    const int64_t until_ms = clock_mono_ms() + LOCK_PATIENCE_MS;
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        int error = errno;
        if (error != EWOULDBLOCK || clock_mono_ms() >= until_ms || !is_orphaned(fd))
            return error;
        poll(NULL, 0, 2);
    }
    return 0;
}

int lock_take(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        err_set(err, "%s: %s", path, strerror(errno));
        return -1;
    }
    int error = take(fd);
    if (!error)
        return fd;
    if (error == EWOULDBLOCK) {
        struct lock_info info;
        read_info(fd, &info);
        err_set(err, "another monitor runs for this env already: pid %d%s%s (%s is locked)", info.pid,
                info.address[0] ? ", port " : "", info.address[0] ? info.address : "", path);
    } else {
        err_set(err, "%s: lock: %s", path, strerror(error));
    }
    close(fd);
    return -1;
}

void lock_release(int fd)
{
    flock(fd, LOCK_UN); /* proc_keep has it open as well */
    close(fd);
}

int lock_write(int fd, const char *address)
{
    char text[128];
    int n = snprintf(text, sizeof text, "%d\n%s\n", getpid(), address);
    /* In this order: whoever reads it meanwhile finds no less than a whole address. */
    ssize_t done = pwrite(fd, text, (size_t)n, 0);
    if (done < 0 || ftruncate(fd, done))
        return -errno;
    return done == n ? 0 : -ENOSPC;
}

bool lock_read(const char *path, struct lock_info *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    /* A shared lock can be had only when nobody holds the exclusive one: then the file is stale. */
    bool held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (held)
        read_info(fd, out);
    close(fd);
    return held;
}
