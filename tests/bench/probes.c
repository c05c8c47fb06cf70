/* What the probe alone costs: probes MS SECONDS < PIDS
 * Signals each process of the list with 0, all of them every MS milliseconds, and prints after SECONDS the percentage
 * of a core that this took. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    enum { MOST = 100000 };
    static pid_t pids[MOST];
    size_t n = 0;

    if (argc < 3 || atoi(argv[1]) <= 0)
        return 2;
    while (n < MOST && scanf("%d", &pids[n]) == 1)
        n++;
    long ms = atol(argv[1]), rounds = (long)(atof(argv[2]) * 1000 / (double)ms);
    double before = cpu_seconds();
    for (long i = 0; i < rounds; i++) {
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
        for (size_t k = 0; k < n; k++)
            if (kill(pids[k], 0))
                return 1;
    }
    printf("%.5f\n", (cpu_seconds() - before) / ((double)(rounds * ms) / 1000) * 100);
    return 0;
}
