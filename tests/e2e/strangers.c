/* strangers COUNT_FILE: in a pid namespace of its own, processes that come and go by the thousand, each the leader of a
 * session and group, on numbers that are given again at once, until stdin ends. Each must end by itself: "NUMBER hit by
 * SIGNAL" on stdout for one that does not. On stderr a byte is told for each that begins. At the end COUNT_FILE has,
 * for each number that was used, how often. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST "100" /* the lowest free number from here on is given next */
#define AT_ONCE 60
#define LIFE_US 15000
#define PIDS 40000

static unsigned used[PIDS];

static int reap(int options)
{
    int status, n = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, options)) > 0; n++)
        if (status)
            printf("%d hit by %d\n", pid, WTERMSIG(status));
    return n;
}

int main(int argc, char **argv)
{
    int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC), living = 0;
    FILE *out = argc > 1 ? fopen(argv[1], "w") : NULL;
    struct pollfd in = {.fd = 0, .events = POLLIN};
    if (last < 0 || !out)
        return 1;
    while (poll(&in, 1, 0) == 0) {
        for (; living < AT_ONCE; living++) {
            if (pwrite(last, FIRST, sizeof FIRST - 1, 0) < 0)
                return 2;
            pid_t pid = fork();
            if (pid == 0) {
                setsid();
                usleep(LIFE_US);
                _exit(0);
            }
            if (pid < 0)
                return 3;
            used[pid % PIDS]++;
            fputc('.', stderr);
        }
        usleep(500);
        living -= reap(WNOHANG);
    }
    reap(0);
    for (int pid = 0; pid < PIDS; pid++)
        if (used[pid])
            fprintf(out, "%d %u\n", pid, used[pid]);
    return fclose(out);
}
