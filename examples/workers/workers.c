/* A parent that forks workers, as web servers and queue consumers do.
 *
 *     workers [-n WORKERS] [-i SECONDS]
 *
 * The supervisor watches the parent alone, so the parent has two duties: start a dead worker again, and take its
 * workers with it when it ends. It ends them on SIGTERM; should it be killed, the kernel does (PR_SET_PDEATHSIG). Try
 * it: kill a worker, then the parent with -KILL. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, RESPAWN_PAUSE_S = 1 };

static sigset_t handled;
static pid_t workers[WORKERS_MAX];

/* A worker's whole life: a line of log now and then, until SIGTERM, from the parent or in its place, ends it. */
static void work(int number, long interval)
{
    struct timespec pause = {.tv_sec = interval};
    sigset_t end;
    long done = 0;

    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    while (sigtimedwait(&end, NULL, &pause) < 0) {
        if (errno == EAGAIN)
            printf("worker %d (pid %d): %ld jobs done\n", number, (int)getpid(), ++done);
    }
    printf("worker %d (pid %d): bye after %ld jobs\n", number, (int)getpid(), done);
}

static void start_worker(int number, long interval)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        /* The parent may have died before the line above took effect. */
        if (getppid() == parent)
            work(number, interval);
        exit(0);
    }
    if (pid < 0)
        printf("can't fork worker %d: %s\n", number, strerror(errno));
    else
        printf("worker %d started as pid %d\n", number, (int)pid);
    workers[number] = pid > 0 ? pid : 0;
}

/* Clears the places of the workers that have ended and says how each did. */
static void bury_dead(int count)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        int number = 0;
        while (number < count && workers[number] != pid)
            number++;
        if (number == count)
            continue;
        workers[number] = 0;
        if (WIFSIGNALED(status))
            printf("worker %d (pid %d) was ended by signal %d\n", number, (int)pid, WTERMSIG(status));
        else
            printf("worker %d (pid %d) ended with code %d\n", number, (int)pid, WEXITSTATUS(status));
    }
}

/* Returns false when a place is still free: the system would not fork. */
static bool fill_places(int count, long interval)
{
    bool full = true;

    for (int i = 0; i < count; i++) {
        if (workers[i] == 0)
            start_worker(i, interval);
        full = full && workers[i] != 0;
    }
    return full;
}

static void stop_workers(int count)
{
    for (int i = 0; i < count; i++) {
        if (workers[i] > 0)
            kill(workers[i], SIGTERM);
    }
    while (wait(NULL) > 0 || errno == EINTR) {
    }
}

/* Waits for a signal, at most that long. Returns its number, or -1. */
static int next_signal(const struct timespec *limit)
{
    return limit ? sigtimedwait(&handled, NULL, limit) : sigwaitinfo(&handled, NULL);
}

static void supervise(int count, long interval)
{
    const struct timespec pause = {.tv_sec = RESPAWN_PAUSE_S};
    bool full = fill_places(count, interval);

    for (;;) {
        /* With a place free: a short pause, so that workers which die at once do not become a fork loop. */
        int number = next_signal(full ? NULL : &pause);

        if (number == SIGTERM || number == SIGINT)
            return;
        if (number == SIGCHLD) {
            bury_dead(count);
            full = false;
        } else if (number < 0 && errno == EAGAIN) {
            full = fill_places(count, interval);
        }
    }
}

int main(int argc, char **argv)
{
    long count = 2, interval = 10;
    int option;

    while ((option = getopt(argc, argv, "n:i:")) != -1) {
        if (option == 'n')
            count = strtol(optarg, NULL, 10);
        else if (option == 'i')
            interval = strtol(optarg, NULL, 10);
        else
            count = 0;
    }
    if (optind != argc || count < 1 || count > WORKERS_MAX || interval < 1) {
        fprintf(stderr, "usage: workers [-n WORKERS (1..%d)] [-i SECONDS]\n", WORKERS_MAX);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Blocked here and taken with sigwait; the workers inherit the mask and wait for SIGTERM the same way. */
    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGCHLD);
    sigprocmask(SIG_BLOCK, &handled, NULL);

    printf("parent started as pid %d\n", (int)getpid());
    supervise((int)count, interval);
    stop_workers((int)count);
    printf("asked to stop: all workers are gone, bye\n");
    return 0;
}
