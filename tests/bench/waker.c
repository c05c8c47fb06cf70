/* The yardstick for the loop's longest turn: a program that sleeps, works a moment, and sleeps again, as a loop does
 * that has little to do. What it sees of a busy machine any other program sees, too. At SIGTERM, or after SECONDS, it
 * writes to REPORT each of its turns:
 *
 *   waker SECONDS SLEEP_MS WORK_US REPORT     lines of the report: MONOTONIC_MS WALL_US CPU_US
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TURNS 60000

static volatile sig_atomic_t stop;
static struct {
    long ms, wall_us, cpu_us;
} turns[TURNS];

static void on_term(int sig)
{
    (void)sig;
    stop = 1;
}

static long us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    signal(SIGTERM, on_term);
    long end = us(CLOCK_MONOTONIC) + (long)(atof(argv[1]) * 1e6), sleep_us = atol(argv[2]) * 1000, work = atol(argv[3]);
    long n = 0;
    for (; !stop && n < TURNS && us(CLOCK_MONOTONIC) < end; n++) {
        usleep((useconds_t)sleep_us);
        long begin = us(CLOCK_MONOTONIC), cpu = us(CLOCK_THREAD_CPUTIME_ID);
        while (us(CLOCK_THREAD_CPUTIME_ID) - cpu < work)
            kill(getpid(), 0); /* what the loop's probe does */
        turns[n].ms = begin / 1000;
        turns[n].cpu_us = us(CLOCK_THREAD_CPUTIME_ID) - cpu;
        turns[n].wall_us = us(CLOCK_MONOTONIC) - begin;
    }
    FILE *f = fopen(argv[4], "w");
    for (long i = 0; f && i < n; i++)
        fprintf(f, "%ld %ld %ld\n", turns[i].ms, turns[i].wall_us, turns[i].cpu_us);
    return !f || fclose(f);
}
