#include "simtest.h"

#include "simcase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
    const struct simtest_input *in;
    struct simworld_input world;
    unsigned passed, failed;
    bool broken;
};

/* A Monday at noon, by local time: whatever day the tests run. */
static int64_t begin_wall_ms(void)
{
    struct tm tm = {.tm_year = 126, .tm_mday = 5, .tm_hour = 12, .tm_isdst = -1};
    return (int64_t)mktime(&tm) * 1000;
}

/* A line of the traceback that tells nothing: the library's own, or the place that the message names. */
static bool says_nothing(const char *line, const char *message)
{
    static const char *const left_out[] = {"[C]:", "lua/fm/", "stack traceback:", "(...tail calls...)"};
    line += strspn(line, "\t ");
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
        if (!strncmp(line, left_out[i], strlen(left_out[i])))
            return true;
    const char *place = strstr(line, ": in ");
    return place && !strncmp(line, message, (size_t)(place - line + 1));
}

/* What follows its first line. */
static void print_rest(char *text)
{
    char *rest = text;
    strsep(&rest, "\n");
    for (char *line; (line = strsep(&rest, "\n"));)
        if (!says_nothing(line, text))
            printf("    %s\n", line + strspn(line, "\t"));
}

static void run_case(struct run *r, struct simcase *c, int i)
{
    struct err err = {0};
    char *name = simcase_name(c, i);
    bool ok = simcase_run(c, i, &err);
    printf("%s %s: %s\n", ok ? "ok  " : "FAIL", c->file, name ? name : "?");
    r->passed += ok;
    r->failed += !ok;
    if (!ok) {
        printf("    %.*s\n", (int)strcspn(err.text, "\n"), err.text);
        print_rest(err.text);
        simcase_print(c, stdout);
    }
    fflush(stdout);
    free(name);
}

/* Whether it could be loaded, and how many cases it has. */
static bool open_file(struct run *r, struct simcase *c, const char *file, int *count)
{
    struct err err = {0};
    *count = simcase_open(c, &r->world, file, &err) ? simcase_count(c, &err) : -1;
    if (*count > 0)
        return true;
    if (*count == 0)
        err_set(&err, "there is no fm.test in it");
    bool named = strstr(err.text, file) != NULL;
    printf("FAIL %s%s", named ? "" : file, named ? "" : ": ");
    printf("%.*s\n", (int)strcspn(err.text, "\n"), err.text);
    print_rest(err.text);
    r->broken = true;
    simcase_close(c);
    return false;
}

static void run_file(struct run *r, const char *file)
{
    int count = 1;
    for (int i = 1; i <= count; i++) {
        struct simcase c;
        if (!open_file(r, &c, file, &count))
            return;
        run_case(r, &c, i);
        simcase_close(&c);
    }
}

enum simtest_result simtest_run(const struct simtest_input *in)
{
    struct run r = {.in = in,
                    .world = {.home = in->home, .env = in->env, .reserved = in->reserved, .wall_ms = begin_wall_ms()}};
    for (size_t i = 0; i < in->nfiles; i++)
        run_file(&r, in->files[i]);
    printf("%u passed, %u failed\n", r.passed, r.failed);
    return r.broken ? SIMTEST_BROKEN : r.failed ? SIMTEST_FAILED : SIMTEST_PASSED;
}
