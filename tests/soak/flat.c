/* Does the core's memory stay as it is over very many restarts? In the simulated world: flat [RESTARTS] [SEED]
 *
 * Services crash, are killed and commanded, each restart with all its events, the journal and what is remembered. The
 * heap in use during the last tenth of RESTARTS (1,000,000) must be that of the second tenth, within 1 %, and so must
 * be the open descriptors. */
#include "../unit/core_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>

#define SERVICES 20
#define SAMPLES 400
#define TENTH (SAMPLES / 10)

static unsigned seed;
static char names[SERVICES][8];

#ifdef FM_SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void);
static size_t heap_in_use(void)
{
    return __sanitizer_get_current_allocated_bytes();
}
#else
/* What the threads' caches hold counts as in use: without them (see main). */
static size_t heap_in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}
#endif

static size_t descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Some live for long, some die at once, some of a signal; now and then one does not start. */
static void vary(const char *name)
{
    static const int64_t lives[] = {1, 5, 50, 500, 12000};
    struct world_sim_behaviour b = {.dies = true, .starts = 3, .life_ms = lives[rand_r(&seed) % 5]};
    b.code = rand_r(&seed) % 3;
    b.signal = rand_r(&seed) % 3 ? 0 : SIGSEGV;
    b.spawn_error = rand_r(&seed) % 20 ? 0 : EAGAIN;
    b.children = rand_r(&seed) % 4 ? 0 : 2;
    behave(name, b);
}

static void command_one(const char *name)
{
    struct service *s = get(name);
    switch (rand_r(&seed) % 3) {
    case 0:
        service_restart(s, command("restart"));
        break;
    case 1:
        service_stop(s, command("stop"));
        run(rand_r(&seed) % 500);
        service_start(s, command("start"));
        break;
    default:
        if (s->proc.pid)
            world_sim_kill(fx.w, s->proc.pid, SIGKILL);
    }
}

static void restart_until(size_t count)
{
    while (world_sim_spawns(fx.w) < count) {
        const char *name = names[rand_r(&seed) % SERVICES];
        if (rand_r(&seed) % 4)
            vary(name);
        else
            command_one(name);
        run(rand_r(&seed) % 1000);
        world_sim_forget_signals(fx.w); /* the world's own notes */
    }
}

static double mean(const size_t *values)
{
    double sum = 0;
    for (size_t i = 0; i < TENTH; i++)
        sum += (double)values[i];
    return sum / TENTH;
}

static int judge(size_t restarts, const size_t heap[SAMPLES], size_t fds_before, size_t fds)
{
    double first = mean(heap + TENTH), last = mean(heap + SAMPLES - TENTH), more = 100 * (last / first - 1);
    bool flat = more < 1 && more > -1 && fds == fds_before;
    printf("%zu restarts: heap in use %.0f KiB in the second tenth, %.0f KiB in the last: %+.2f %%; %zu descriptors, "
           "before %zu: %s\n",
           restarts, first / 1024, last / 1024, more, fds, fds_before, flat ? "flat" : "NOT FLAT");
    return flat ? 0 : 1;
}

#define TUNABLES "GLIBC_TUNABLES"

int main(int argc, char **argv)
{
    if (!getenv(TUNABLES) && !setenv(TUNABLES, "glibc.malloc.tcache_count=0", 1))
        execv("/proc/self/exe", argv);
    static size_t heap[SAMPLES];
    size_t restarts = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000, fds = 0;
    const char *list[SERVICES];
    seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    if (fixture_setup(NULL))
        return 2;
    for (int i = 0; i < SERVICES; i++) {
        snprintf(names[i], sizeof names[i], "s%02d", i);
        list[i] = names[i];
    }
    fixture_begin(fixture_conf_of(list, SERVICES));
    for (size_t i = 0; i < SAMPLES; i++) {
        restart_until(restarts / SAMPLES * (i + 1));
        heap[i] = heap_in_use();
        fds = i == TENTH ? descriptors() : fds;
    }
    int code = judge(world_sim_spawns(fx.w), heap, fds, descriptors());
    return fixture_teardown(NULL) ? 2 : code;
}
