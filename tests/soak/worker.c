/* A service that numbers its lines, over all its lives, and the search for them afterwards.
 *
 *   worker run KIND NAME FOLDER PERIOD_MS SEED   a line "NAME LIFE NUMBER xxx…" to stdout every PERIOD_MS. FOLDER/count
 * (struct count) says how far it came, also when it was killed. A second copy beside a running one tells so in
 * FOLDER/../doubles. KIND: plain; crasher: ends by itself after a while, unless there is FOLDER/../calm; stubborn:
 * ignores SIGTERM; slow: takes its time after it; forker: has a child
 *   worker check NAME FOLDER FILE…   are all lines in these files, in this order, each once? Lines of the monitor, and
 * zero bytes at the beginning of a file, are passed over
 *
 * A life that was killed may have counted a line that it did not write any more, or have written a part of it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LINE 128
#define BANNER "--- earlier lines are in "

/* FOLDER/count, which is mapped: what was stored is there, however the process ends. */
struct count {
    long life, number; /* both of the last line begun */
    long pid;
};

static volatile sig_atomic_t ending;

static void on_term(int sig)
{
    (void)sig;
    ending = 1;
}

static void make(char line[LINE + 1], const char *name, long life, long number)
{
    int n = snprintf(line, LINE + 1, "%s %ld %ld ", name, life, number);
    memset(line + n, 'x', (size_t)(LINE - 1 - n));
    line[LINE - 1] = '\n';
    line[LINE] = 0;
}

static struct count *map_count(const char *folder, int *fd)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/count", folder);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0 || ftruncate(*fd, sizeof(struct count)))
        return NULL;
    void *at = mmap(NULL, sizeof(struct count), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* ---- run */

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Am I the only one? The lock goes with the process, and its children don't have it. */
static int is_alone(int fd, const char *name, const char *folder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!fcntl(fd, F_SETLK, &lock))
        return 1;
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    fcntl(fd, F_GETLK, &lock);
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/../doubles", folder);
    FILE *f = fopen(path, "a");
    if (f) {
        fprintf(f, "%s: %d beside %d\n", name, getpid(), lock.l_pid);
        fclose(f);
    }
    return 0;
}

static int is_calm(const char *folder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/../calm", folder);
    return !access(path, F_OK);
}

/* How long this life lasts: short ones in a row now and then. */
static long life_ms(unsigned seed, const char *name, long life)
{
    seed = seed * 31 + (unsigned)(life / 8);
    for (; *name; name++)
        seed = seed * 31 + (unsigned char)*name;
    long most = rand_r(&seed) % 3 ? 6000 : 20;
    seed += (unsigned)life;
    return rand_r(&seed) % most;
}

static void prepare(const char *kind)
{
    if (!strcmp(kind, "stubborn"))
        signal(SIGTERM, SIG_IGN);
    if (!strcmp(kind, "slow"))
        signal(SIGTERM, on_term);
    if (!strcmp(kind, "forker") && fork() == 0)
        for (;;)
            pause();
}

static int run(const char *kind, const char *name, const char *folder, long period_ms, unsigned seed)
{
    int fd;
    char line[LINE + 1];
    struct count *count = map_count(folder, &fd);
    if (!count)
        return 1;
    if (!is_alone(fd, name, folder))
        return 2;
    prepare(kind);
    long life = count->life + 1, end_ms = now_ms() + life_ms(seed, name, life);
    count->pid = getpid();
    count->life = life;
    while (!ending) {
        make(line, name, life, ++count->number);
        if (write(STDOUT_FILENO, line, LINE) != LINE)
            return 1;
        nap(period_ms);
        if (!strcmp(kind, "crasher") && now_ms() >= end_ms && !is_calm(folder))
            return life % 3 ? 3 : (raise(SIGABRT), 0);
    }
    nap(150);
    return 0;
}

/* ---- check */

/* All files as one, without what is the monitor's. */
static char *text;
static size_t text_len;

static int add_file(const char *file)
{
    FILE *f = fopen(file, "r");
    char *line = NULL;
    size_t size = 0;
    int c;
    if (!f)
        return 0;
    while ((c = getc(f)) == 0)
        ;
    if (c != EOF)
        ungetc(c, f);
    for (ssize_t n; (n = getline(&line, &size, f)) > 0;) {
        if (!strncmp(line, BANNER, sizeof BANNER - 1))
            continue;
        text = realloc(text, text_len + (size_t)n + 1);
        memcpy(text + text_len, line, (size_t)n);
        text_len += (size_t)n;
        text[text_len] = 0;
    }
    free(line);
    fclose(f);
    return 1;
}

/* The line that begins there, whole? Then its life and number. */
static int read_line(const char *at, const char *name, long *life, long *number)
{
    char wanted[LINE + 1];
    size_t n = strlen(name);
    if (strncmp(at, name, n) != 0 || sscanf(at + n, " %ld %ld ", life, number) != 2)
        return 0;
    make(wanted, name, *life, *number);
    return !strncmp(at, wanted, LINE);
}

/* How much of the line to come is there, before the first one of another life. */
static size_t torn(const char *at, const char *name, long life, long number)
{
    char wanted[LINE + 1];
    size_t n = 0;
    make(wanted, name, life, number);
    while (n < LINE && at[n] && at[n] == wanted[n])
        n++;
    return n;
}

static int judge(const char *name, const struct count *count)
{
    long life = 0, number = 0, lines = 0, next_life, next;
    for (const char *at = text; at < text + text_len; at += LINE, life = next_life, number = next, lines++) {
        if (!read_line(at, name, &next_life, &next)) {
            /* The line torn by a kill begins as the one that was to come; the next one may begin as it does, too. */
            size_t most = torn(at, name, life, number + 1);
            while (most > 0 && !read_line(at + most, name, &next_life, &next) && at + most < text + text_len)
                most--;
            at += most;
            if (at == text + text_len) /* the very last one was torn */
                break;
            if (!most) {
                printf("%s: after line %ld of life %ld: \"%.60s\"\n", name, number, life, at);
                return 1;
            }
        }
        long skipped = next - number - 1, killed = next_life - life;
        if (skipped < 0 || killed < 0 || skipped > killed) {
            printf("%s: after line %ld of life %ld comes line %ld of life %ld\n", name, number, life, next, next_life);
            return 1;
        }
    }
    if (number > count->number || count->number - number > count->life - life + 1) {
        printf("%s: the last line is %ld of life %ld, written were %ld until life %ld\n", name, number, life,
               count->number, count->life);
        return 1;
    }
    printf("%ld\n", lines);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && !strcmp(argv[1], "run"))
        return run(argv[2], argv[3], argv[4], atol(argv[5]), (unsigned)atol(argv[6]));
    if (argc < 4 || strcmp(argv[1], "check") != 0)
        return 2;
    int fd;
    struct count *count = map_count(argv[3], &fd);
    text = calloc(1, 1);
    for (int i = 4; i < argc; i++)
        if (!add_file(argv[i])) {
            printf("%s: %s\n", argv[i], strerror(errno));
            return 1;
        }
    return count && text ? judge(argv[2], count) : 1;
}
