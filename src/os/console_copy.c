#include "console_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK (4 << 20)   /* between two looks at *stop, and the most that is dirty */
#define BLOCK (256 << 10) /* copied by hand at a time */
#define SHARE 4           /* a copy is at work one part in so many of the time */
#define REST_MAX_NS 200000000
#define NAP_NS 50000000        /* between two looks at *stop while resting */
#define FLUSH_ENOUGH (1 << 20) /* dirty bytes that may be left */
#define FLUSHES 8

int console_copy_write(int fd, const char *data, size_t len, int64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -ENOSPC;
        data += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int copy_by_hand(int in, int64_t from, int64_t len, int out, int64_t at)
{
    char *block = malloc(BLOCK);
    int r = block ? 0 : -ENOMEM;
    while (!r && len > 0) {
        ssize_t n = pread(in, block, (size_t)MIN(len, BLOCK), from);
        if (n < 0 && errno == EINTR)
            continue;
        r = n < 0 ? -errno : n == 0 ? -ESTALE : console_copy_write(out, block, (size_t)n, at);
        from += n;
        at += n;
        len -= n;
    }
    free(block);
    return r;
}

static int copy_chunk(int in, int64_t from, int64_t len, int out, int64_t at)
{
    while (len > 0) {
        off_t i = from, o = at;
        ssize_t n = copy_file_range(in, &i, out, &o, (size_t)len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return -errno;
        if (n <= 0) /* other file systems, odd ones, or the end of the file: that tells */
            return copy_by_hand(in, from, len, out, at);
        from += n;
        at += n;
        len -= n;
    }
    return 0;
}

/* Begins to write the chunk back, and waits for the one before it. */
static void write_back(int fd, int64_t at, int64_t len)
{
    sync_file_range(fd, at, len, SYNC_FILE_RANGE_WRITE);
    if (at < CHUNK)
        return;
    sync_file_range(fd, at - CHUNK, CHUNK,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(fd, at - CHUNK, CHUNK, POSIX_FADV_DONTNEED);
}

int64_t console_copy_ns(clockid_t clock)
{
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void console_copy_rest(int64_t ns, const atomic_bool *stop)
{
    for (; ns > 0 && !(stop && atomic_load(stop)); ns -= NAP_NS)
        nanosleep(&(struct timespec){.tv_nsec = MIN(ns, NAP_NS)}, NULL);
}

/* The scheduler shares out processors to groups of threads: where they are scarce, a thread that is always at work
 * takes the loop's share with its own. What was waited for the disk counts as rest. */
static void rest(int64_t began, int64_t cpu, const atomic_bool *stop)
{
    int64_t used = console_copy_ns(CLOCK_THREAD_CPUTIME_ID) - cpu, gone = console_copy_ns(CLOCK_MONOTONIC) - began;
    console_copy_rest(MIN(used * SHARE - gone, REST_MAX_NS), stop);
}

int console_copy(int in, int64_t from, int64_t to, int out, int64_t at, const atomic_bool *stop)
{
    while (from < to) {
        int64_t len = MIN(to - from, CHUNK);
        int64_t began = console_copy_ns(CLOCK_MONOTONIC), cpu = console_copy_ns(CLOCK_THREAD_CPUTIME_ID);
        if (stop && atomic_load(stop))
            return -ECANCELED;
        int r = copy_chunk(in, from, len, out, at);
        if (r)
            return r;
        write_back(out, at, len);
        from += len;
        at += len;
        if (from < to)
            rest(began, cpu, stop);
    }
    return 0;
}

void console_copy_flush(int fd, int64_t from)
{
    struct stat st;
    int64_t before = from, grown = INT64_MAX;
    for (int i = 0; i < FLUSHES && grown > FLUSH_ENOUGH; i++) {
        if (sync_file_range(fd, from, 0,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) ||
            fstat(fd, &st))
            return;
        grown = st.st_size - before;
        before = st.st_size;
    }
}

int64_t console_copy_block(int fd)
{
    struct statvfs fs;
    int64_t size = fstatvfs(fd, &fs) ? 0 : (int64_t)fs.f_bsize;
    return size >= 512 && size <= 1 << 20 && !(size & (size - 1)) ? size : 4096;
}

bool console_copy_has_room(int fd, int64_t bytes)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) || !fs.f_blocks)
        return true;
    uint64_t blocks = geteuid() == 0 ? fs.f_bfree : fs.f_bavail;
    return blocks * fs.f_frsize >= (uint64_t)bytes;
}

bool console_copy_same(int a, int64_t a_at, int b, int64_t b_at, int64_t len)
{
    char x[4096], y[4096];
    while (len > 0) {
        size_t n = (size_t)MIN(len, (int64_t)sizeof x);
        if (pread(a, x, n, a_at) != (ssize_t)n || pread(b, y, n, b_at) != (ssize_t)n || memcmp(x, y, n) != 0)
            return false;
        a_at += (int64_t)n;
        b_at += (int64_t)n;
        len -= (int64_t)n;
    }
    return true;
}
