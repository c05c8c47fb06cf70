/* Lines with numbers: written as fast as it goes, and looked for afterwards.
 *
 *   lines write NAME COUNT_FILE CHUNK   writes "NAME 0000000042 xxx…", 64 bytes each, to stdout until SIGTERM, CHUNK
 * bytes at a time (0: line by line), then their number to COUNT_FILE lines check NAME COUNT FILE…        are they all
 * in these files, in this order, each once? Lines of the monitor and zero bytes at the beginning of a file are passed
 * over
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 64

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
    (void)sig;
    stop = 1;
}

static void make(char line[LINE + 1], const char *name, long number)
{
    int n = snprintf(line, LINE + 1, "%s %010ld ", name, number);
    memset(line + n, 'x', (size_t)(LINE - 1 - n));
    line[LINE - 1] = '\n';
    line[LINE] = 0;
}

static void put(const char *data, size_t len)
{
    for (ssize_t n; len > 0; data += n, len -= (size_t)n) {
        n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno != EINTR)
            exit(1);
        n = n < 0 ? 0 : n;
    }
}

static int do_write(const char *name, const char *count_file, size_t chunk)
{
    size_t used = 0;
    long count = 0;
    char line[LINE + 1], *buffer = malloc(chunk + LINE);
    signal(SIGTERM, on_term);
    for (; !stop; count++) {
        make(line, name, count);
        if (!chunk) {
            put(line, LINE);
            continue;
        }
        memcpy(buffer + used, line, LINE);
        used += LINE;
        if (used < chunk)
            continue;
        put(buffer, chunk); /* a line may be torn */
        used -= chunk;
        memmove(buffer, buffer + chunk, used);
    }
    put(buffer, used);
    FILE *f = fopen(count_file, "w");
    return !f || fprintf(f, "%ld\n", count) < 0 || fclose(f);
}

static long expected;

static int is_own(const char *line)
{
    return !strncmp(line, "--- earlier lines are in ", 25);
}

static int check_line(const char *name, const char *file, const char *line, size_t len)
{
    char wanted[LINE + 1];
    make(wanted, name, expected);
    if (len == LINE && !memcmp(line, wanted, LINE)) {
        expected++;
        return 1;
    }
    printf("%s: line %ld of %s was to come, here is \"%.*s\"\n", file, expected, name, (int)(len > 80 ? 80 : len),
           line);
    return 0;
}

/* A line may begin in one file and end in the next (where a file had to be emptied): `rest` holds what has begun. */
static int check_file(const char *name, const char *file)
{
    static char *line, *rest;
    static size_t size, rest_len;
    FILE *f = fopen(file, "r");
    if (!f) {
        printf("%s: %s\n", file, strerror(errno));
        return 0;
    }
    int c, ok = 1;
    while ((c = getc(f)) == 0)
        ;
    if (c != EOF)
        ungetc(c, f);
    for (ssize_t n; ok && (n = getline(&line, &size, f)) > 0;) {
        if (is_own(line))
            continue;
        rest = realloc(rest, rest_len + (size_t)n);
        memcpy(rest + rest_len, line, (size_t)n);
        rest_len += (size_t)n;
        if (rest[rest_len - 1] != '\n')
            continue;
        ok = check_line(name, file, rest, rest_len);
        rest_len = 0;
    }
    fclose(f);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "write"))
        return do_write(argv[2], argv[3], (size_t)atol(argv[4]));
    if (argc < 4 || strcmp(argv[1], "check") != 0)
        return 2;
    for (int i = 4; i < argc; i++)
        if (!check_file(argv[2], argv[i]))
            return 1;
    if (expected != atol(argv[3])) {
        printf("%s: %ld lines of %s are there\n", argv[2], expected, argv[3]);
        return 1;
    }
    return 0;
}
