/* The service of every measurement: service NAME FILE [-r FD] [-t | -f BYTES BLOCK SECONDS]
 * Its first act is to take the time and to append "NAME PID REALTIME_NS" to FILE with one write; then it waits for the
 * signal that ends it.
 *   -r  says on descriptor FD, by a newline, that it is ready
 *   -t  writes "NAME PID NUMBER" to stdout every 20 ms and keeps the number in FILE.NAME.PID; ends when a write fails
 *   -f  on SIGUSR1 writes 64-byte lines to stdout, BLOCK bytes at a time, until BYTES or SECONDS are over, then appends
 *       "BYTES NS ERRNO" to FILE.flood */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, BLOCK_MAX = 65536, TALK_US = 20000 };

static long long now_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Appends one text to a file with one write. False: it did not work. */
__attribute__((format(printf, 2, 3))) static int append(const char *path, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        return 0;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int done = fd >= 0 && write(fd, text, (size_t)len) == len;
    if (fd >= 0)
        close(fd);
    return done;
}

static int talk(const char *name, const char *file)
{
    char path[4096], text[128], number[32];

    snprintf(path, sizeof path, "%s.%s.%d", file, name, (int)getpid());
    int kept = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (long i = 1; kept >= 0; i++) {
        int len = snprintf(text, sizeof text, "%s %d %ld\n", name, (int)getpid(), i);
        if (write(STDOUT_FILENO, text, (size_t)len) != len)
            return 1;
        len = snprintf(number, sizeof number, "%ld\n", i);
        if (pwrite(kept, number, (size_t)len, 0) != len)
            return 1;
        usleep(TALK_US);
    }
    return 1;
}

static void flood(const char *file, long long bytes, size_t block, double seconds)
{
    static char lines[BLOCK_MAX];
    char path[4096];
    long long written = 0;

    memset(lines, 'x', sizeof lines);
    for (size_t i = LINE - 1; i < sizeof lines; i += LINE)
        lines[i] = '\n';
    errno = 0;
    long long start = now_ns(CLOCK_MONOTONIC), now = start, end = start + (long long)(seconds * 1e9);
    while (written < bytes && now < end) {
        ssize_t got = write(STDOUT_FILENO, lines, block);
        if (got < 0)
            break;
        written += got;
        if (written % (1 << 20) < (long long)block) /* the clock is not to be what is measured */
            now = now_ns(CLOCK_MONOTONIC);
    }
    int why = errno;
    now = now_ns(CLOCK_MONOTONIC);
    snprintf(path, sizeof path, "%s.flood", file);
    append(path, "%lld %lld %d\n", written, now - start, why);
}

static int wait_to_flood(const char *file, char **argv)
{
    sigset_t waited;
    int sig;

    size_t block = strtoul(argv[1], NULL, 10);
    if (block < LINE || block > BLOCK_MAX || block % LINE)
        return 2;
    sigemptyset(&waited);
    sigaddset(&waited, SIGUSR1);
    sigprocmask(SIG_BLOCK, &waited, NULL);
    for (;;) {
        sigwait(&waited, &sig);
        flood(file, atoll(argv[0]), block, atof(argv[2]));
    }
}

int main(int argc, char **argv)
{
    long long ns = now_ns(CLOCK_REALTIME);

    if (argc < 3)
        return 2;
    if (!append(argv[2], "%s %d %lld\n", argv[1], (int)getpid(), ns))
        return 1;
    int next = 3;
    if (argc > next + 1 && strcmp(argv[next], "-r") == 0) {
        int fd = atoi(argv[next + 1]);
        if (write(fd, "\n", 1) != 1)
            return 1;
        close(fd);
        next += 2;
    }
    if (argc > next && strcmp(argv[next], "-t") == 0)
        return talk(argv[1], argv[2]);
    if (argc > next + 3 && strcmp(argv[next], "-f") == 0)
        return wait_to_flood(argv[2], argv + next + 1);
    for (;;)
        pause();
}
