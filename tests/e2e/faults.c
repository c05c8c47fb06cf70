/* A library to be preloaded (LD_PRELOAD) that makes chosen calls fail. Tests of the monitor say which, while it runs,
 * in the file that FM_FAULTS names (4096 bytes, mapped: to look at it takes no call that could fail itself). A line
 * each:
 *
 *   open PART ERRNO [SKIP]    open(2) of a path that has PART in it fails
 *   hang PART 1               open(2) of such a path waits for as long as this is said
 *   write PART ERRNO [SKIP]   so do write, pwrite, fsync and fallocate of a file with such a path
 *   clone - ERRNO [SKIP]      no process can be made
 *   exec PART ERRNO [SKIP]    no program whose path has PART in it can be run
 *   clock - SECONDS           the wall clock is off by so much
 *
 * SKIP: only one call in so many fails, and not every so many-th: who tries again with just as many calls would fail at
 * the same one for ever. PART "-" is in every path. Lines are matched from the first on; ERRNO 0: the call may go on.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RULES_SIZE 4096
#define REAL(name)                                                                                                     \
    static __typeof__(name) *real;                                                                                     \
    if (!real)                                                                                                         \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static const char *rules = "";

__attribute__((constructor)) static void map_rules(void)
{
    const char *path = getenv("FM_FAULTS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, RULES_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        rules = map;
    if (fd >= 0)
        close(fd);
}

/* Numbers in a row become numbers without one (the finalizer of MurmurHash3, by Austin Appleby, public domain). */
static unsigned scattered(unsigned n)
{
    n = (n ^ n >> 16) * 0x85ebca6bu;
    n = (n ^ n >> 13) * 0xc2b2ae35u;
    return n ^ n >> 16;
}

/* What the first rule for this call says; 0: nothing. */
static long rule_for(const char *call, const char *path)
{
    static atomic_uint calls;
    char text[RULES_SIZE + 1];
    memcpy(text, rules, rules[0] ? RULES_SIZE : 1);
    text[RULES_SIZE] = 0;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char name[16], part[256];
        long value;
        unsigned skip = 1;
        if (sscanf(line, "%15s %255s %ld %u", name, part, &value, &skip) < 3 || strcmp(name, call) != 0 ||
            (strcmp(part, "-") != 0 && !strstr(path, part)))
            continue;
        return skip <= 1 || scattered(atomic_fetch_add(&calls, 1)) % skip == 0 ? value : 0;
    }
    return 0;
}

/* Sets errno; false: the call may go on. */
static bool fails(const char *call, const char *path)
{
    int saved = errno;
    long error = rules[0] ? rule_for(call, path) : 0;
    errno = error ? (int)error : saved;
    return error != 0;
}

/* Does it fail at the file behind fd, or at one below the folder that it is (AT_FDCWD: as it is named)? */
static bool fails_at(const char *call, int fd, const char *below)
{
    char link[32], path[8192];
    if (fd == AT_FDCWD || below[0] == '/')
        return fails(call, below);
    int saved = errno;
    if (!rules[0])
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 4096);
    snprintf(path + (n > 0 ? n : 0), 4096, "%s%s", below[0] ? "/" : "", below);
    errno = saved;
    return fails(call, path);
}

static void hang(const char *path)
{
    while (rules[0] && rule_for("hang", path))
        poll(NULL, 0, 10);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    hang(path);
    return fails("open", path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

int openat(int at, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    hang(path);
    return fails_at("open", at, path) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) __attribute__((alias("openat")));

int __openat_2(int at, const char *path, int flags)
{
    return openat(at, path, flags);
}

long syscall(long number, ...)
{
    REAL(syscall);
    va_list ap;
    long a[6];
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_openat2 && fails_at("open", (int)a[0], (const char *)a[1]))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t write(int fd, const void *data, size_t len)
{
    REAL(write);
    return fails_at("write", fd, "") ? -1 : real(fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    REAL(pwrite);
    return fails_at("write", fd, "") ? -1 : real(fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) __attribute__((alias("pwrite")));

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t len, unsigned flags)
{
    REAL(copy_file_range);
    return fails_at("write", out, "") ? -1 : real(in, from, out, to, len, flags);
}

int fsync(int fd)
{
    REAL(fsync);
    return fails_at("write", fd, "") ? -1 : real(fd);
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return fails_at("write", fd, "") ? -1 : real(fd);
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    REAL(fallocate);
    return fails_at("write", fd, "") ? -1 : real(fd, mode, at, len);
}

int fallocate64(int fd, int mode, off64_t at, off64_t len) __attribute__((alias("fallocate")));

int clone(int (*body)(void *), void *stack, int flags, void *arg, ...)
{
    REAL(clone);
    va_list ap;
    va_start(ap, arg);
    void *more[3];
    for (int i = 0; i < 3; i++)
        more[i] = va_arg(ap, void *);
    va_end(ap);
    return fails("clone", "") ? -1 : real(body, stack, flags, arg, more[0], more[1], more[2]);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    return fails("exec", path) ? -1 : (int)syscall(SYS_execve, path, argv, envp);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    REAL(clock_gettime);
    int r = real(id, t);
    if (!r && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && rules[0])
        t->tv_sec += rule_for("clock", "");
    return r;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    (void)zone;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    *tv = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}
