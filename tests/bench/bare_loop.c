/* The least a supervisor can do: bare_loop N SERVICE FILE [ARG...]
 * Starts N services named s0000 and so on, SERVICE NAME FILE ARG..., by vfork and exec, waits for one to end and starts
 * it again at once. SIGHUP restarts all: SIGTERM to each, and each is started again when it is gone. No log, no
 * session, no directory, no state: the time that is left is the kernel's. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct entry {
    pid_t pid;
    char name[24];
};

struct loop {
    struct entry *entries;
    size_t n;
    char *service;
    char **args; /* of each service; the name's place is the second */
};

/* The service inherits the blocked SIGCHLD and SIGHUP; it needs neither. */
static void start_one(struct loop *loop, struct entry *entry)
{
    loop->args[1] = entry->name;
    pid_t pid = vfork();

    if (pid == 0) {
        execv(loop->service, loop->args);
        _exit(127);
    }
    if (pid < 0) {
        fprintf(stderr, "bare_loop: fork: %s\n", strerror(errno));
        exit(1);
    }
    entry->pid = pid;
}

static void restart_all(struct loop *loop)
{
    for (size_t i = 0; i < loop->n; i++)
        kill(loop->entries[i].pid, SIGTERM);
}

static void reap(struct loop *loop)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < loop->n; i++) {
            if (loop->entries[i].pid == pid) {
                start_one(loop, &loop->entries[i]);
                break;
            }
        }
    }
}

int main(int argc, char **argv)
{
    struct loop loop = {0};
    sigset_t waited;

    if (argc < 4 || (loop.n = strtoul(argv[1], NULL, 10)) == 0 || loop.n > 100000)
        return 2;
    loop.service = argv[2];
    loop.args = argv + 1; /* N's place is for the path, SERVICE's for the name, then FILE and the rest */
    loop.args[0] = argv[2];
    loop.entries = calloc(loop.n, sizeof *loop.entries);
    if (!loop.entries)
        return 1;
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGHUP);
    sigprocmask(SIG_BLOCK, &waited, NULL);
    for (size_t i = 0; i < loop.n; i++) {
        snprintf(loop.entries[i].name, sizeof loop.entries[i].name, "s%04zu", i);
        start_one(&loop, &loop.entries[i]);
    }
    for (;;) {
        int sig = 0;
        sigwait(&waited, &sig);
        if (sig == SIGHUP)
            restart_all(&loop);
        else
            reap(&loop);
    }
}
