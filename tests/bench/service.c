/* The idle service: service NAME FILE
 * Its first act is to take the time and to append "NAME PID REALTIME_NS" to FILE with one write; then it waits for the
 * signal that ends it. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    char line[256];

    clock_gettime(CLOCK_REALTIME, &now);
    if (argc < 3)
        return 2;
    int len = snprintf(line, sizeof line, "%s %d %lld\n", argv[1], (int)getpid(),
                       (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
    if (len < 0 || (size_t)len >= sizeof line)
        return 2;
    int fd = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t)len) != len)
        return 1;
    close(fd);
    for (;;)
        pause();
}
