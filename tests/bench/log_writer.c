/* Writes 64-byte lines to stdout as fast as it goes (or PAUSE_US apart) until SIGTERM or for SECONDS, and then to
 * REPORT how many in each hundredth of a second, with the longest that one write took in it:
 *
 *   log_writer SECONDS PAUSE_US REPORT     lines of the report: MONOTONIC_MS LINES LONGEST_US
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOT_NS 10000000
#define SLOTS 60000

static volatile sig_atomic_t stop;
static struct {
    long lines, longest_us;
} slots[SLOTS];

static void on_term(int sig)
{
    (void)sig;
    stop = 1;
}

static long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc != 4)
        return 2;
    signal(SIGTERM, on_term);
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    long start = now_ns(), end = start + (long)(atof(argv[1]) * 1e9), before = start, pause = atol(argv[2]);
    while (!stop && before < end && (before - start) / SLOT_NS < SLOTS) {
        if (write(STDOUT_FILENO, line, sizeof line) != sizeof line)
            return 1;
        long now = now_ns(), slot = (now - start) / SLOT_NS;
        if (slot < SLOTS) {
            long us = (now - before) / 1000;
            slots[slot].lines++;
            slots[slot].longest_us = us > slots[slot].longest_us ? us : slots[slot].longest_us;
        }
        if (pause)
            usleep((useconds_t)pause);
        before = pause ? now_ns() : now;
    }
    FILE *f = fopen(argv[3], "w");
    for (long i = 0; f && i <= (before - start) / SLOT_NS && i < SLOTS; i++)
        fprintf(f, "%ld %ld %ld\n", (start + i * SLOT_NS) / 1000000, slots[i].lines, slots[i].longest_us);
    return !f || fclose(f);
}
