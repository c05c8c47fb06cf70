/* A service that ends on its own: after so many seconds, with this exit code or by that signal.
 *
 *     crasher [-t SECONDS] [-c CODE | -s SIGNAL]
 *
 *     crasher -t 30 -c 3      works for half a minute, then exits with code 3
 *     crasher -t 0.1 -s SEGV  dies of a segmentation fault almost at once */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct plan {
    double after; /* seconds */
    int code;
    int signal; /* 0: exit with the code */
};

/* Number of "SEGV", "SIGSEGV" or "11"; 0 when there is no such signal. */
static int signal_number(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if ((known && strcmp(known, name) == 0) || strtol(name, NULL, 10) == i)
            return i;
    }
    return 0;
}

static bool read_plan(int argc, char **argv, struct plan *plan)
{
    int option;

    while ((option = getopt(argc, argv, "t:c:s:")) != -1) {
        if (option == 't')
            plan->after = strtod(optarg, NULL);
        else if (option == 'c')
            plan->code = (int)strtol(optarg, NULL, 10);
        else if (option != 's' || (plan->signal = signal_number(optarg)) == 0)
            return false;
    }
    return optind == argc && plan->after >= 0 && plan->after < 1e9 && plan->code >= 0 && plan->code <= 255;
}

int main(int argc, char **argv)
{
    struct plan plan = {.after = 30, .code = 1};

    if (!read_plan(argc, argv, &plan)) {
        fprintf(stderr, "usage: crasher [-t SECONDS] [-c CODE (0..255) | -s SIGNAL]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("started as pid %d, will last %g s\n", (int)getpid(), plan.after);

    struct timespec pause = {.tv_sec = (time_t)plan.after};
    pause.tv_nsec = (long)((plan.after - (double)pause.tv_sec) * 1e9);
    while (nanosleep(&pause, &pause) < 0) {
    }

    if (plan.signal) {
        fprintf(stderr, "going down by SIG%s\n", sigabbrev_np(plan.signal));
        /* The default action, even for one that was ignored when we were started. */
        signal(plan.signal, SIG_DFL);
        raise(plan.signal);
    }
    fprintf(stderr, "giving up with code %d\n", plan.code);
    return plan.code;
}
