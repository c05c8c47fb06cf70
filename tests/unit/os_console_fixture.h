/* A folder with one console log in it, and what became of every line that was written to it. */
#ifndef OS_CONSOLE_FIXTURE_H
#define OS_CONSOLE_FIXTURE_H

#include "console.h"
#include "console_files.h"
#include "console_read.h"
#include "console_rotate.h"
#include "day.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY_MS 86400000LL
#define TODAY 20779 /* 2026-11-22 */
#define NOON_MS (TODAY * DAY_MS + DAY_MS / 2)

static char folder[64], log_path[128];
static int next_line; /* number of the next line to be written */

static inline void begin_in(const char *parent)
{
    setenv("TZ", "UTC0", 1);
    day_refresh_zone();
    snprintf(folder, sizeof folder, "%s/console_test.XXXXXX", parent);
    assert_non_null(mkdtemp(folder));
    snprintf(log_path, sizeof log_path, "%s/fota_monitor.log", folder);
    next_line = 0;
}

static inline void end(void)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(dirfd(dir), e->d_name, 0))
            unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
    closedir(dir);
    assert_int_equal(rmdir(folder), 0);
}

static inline int setup(void **state)
{
    (void)state;
    begin_in("/tmp");
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    end();
    return 0;
}

#define CONSOLE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- files */

static inline const char *beside(const char *file)
{
    static char path[4][PATH_MAX];
    static int i;
    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", folder, file);
    return path[i];
}

static inline void set_time(const char *file, int64_t wall_ms)
{
    struct timespec t = {.tv_sec = wall_ms / 1000, .tv_nsec = wall_ms % 1000 * 1000000};
    assert_int_equal(utimensat(AT_FDCWD, beside(file), (struct timespec[]){t, t}, AT_SYMLINK_NOFOLLOW), 0);
}

static inline void write_file(const char *file, const char *text, int64_t wall_ms)
{
    FILE *f = fopen(beside(file), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    set_time(file, wall_ms);
}

static inline char *slurp(const char *file, size_t *size)
{
    FILE *f = fopen(beside(file), "r");
    if (!f)
        return NULL;
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t len = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, len, f), len);
    fclose(f);
    text[len] = 0;
    if (size)
        *size = len;
    return text;
}

static inline void assert_file(const char *file, const char *expected)
{
    char *text = slurp(file, NULL);
    if (!text && expected)
        fail_msg("there is no %s", file);
    if (text && !expected)
        fail_msg("there is a %s: %s", file, text);
    if (expected)
        assert_string_equal(text, expected);
    free(text);
}

/* What the service would see as its own in the log: without hole and banner. */
static inline char *live_text(void)
{
    size_t size = 0;
    char *text = slurp("fota_monitor.log", &size);
    struct console_front front;
    int fd = open(log_path, O_RDONLY);
    assert_non_null(text);
    console_front_read(fd, (int64_t)size, &front);
    close(fd);
    memmove(text, text + front.start, size + 1 - (size_t)front.start);
    return text;
}

static inline void assert_live(const char *expected)
{
    char *text = live_text();
    assert_string_equal(text, expected);
    free(text);
}

/* ---- lines with numbers */

static inline void append(const char *data, size_t len)
{
    int fd = console_open(log_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static inline void write_lines(int count, int width)
{
    struct buf b = {0};
    for (int i = 0; i < count; i++)
        buf_addf(&b, "line %0*d\n", width, next_line++);
    append(b.data, b.len);
    buf_fini(&b);
}

/* Marks the numbers of all lines of a text; banners and zero bytes are passed over. */
static inline void mark(char *text, size_t size, unsigned char *seen, const char *file)
{
    char *end = text + size;
    while (text < end && !*text)
        text++;
    for (char *eol; text < end && (eol = memchr(text, '\n', (size_t)(end - text))); text = eol + 1) {
        int n = -1;
        *eol = 0;
        if (!strncmp(text, "--- earlier lines", 17))
            continue;
        if (sscanf(text, "line %d", &n) != 1 || n < 0 || n >= next_line)
            fail_msg("%s has a line that was not written: \"%.100s\"", file, text);
        seen[n]++;
    }
    if (text < end)
        fail_msg("%s ends in the middle of a line: \"%.100s\"", file, text);
}

/* Reading the log over its older files gives every line, in order, once. */
static inline void assert_reads_all(void)
{
    struct buf all = {0};
    struct console_source s = {.path = log_path, .format = "%-d"};
    assert_int_equal(console_read_last(&s, next_line + 10, (size_t)next_line * 64 + 4096, &all), 0);
    const char *p = buf_str(&all);
    for (int i = 0; i < next_line; i++, p = strchr(p, '\n') + 1)
        if (strtol(p + 5, NULL, 10) != i)
            fail_msg("line %d of %d comes as \"%.60s\"", i, next_line, p);
    assert_string_equal(p, "");
    buf_fini(&all);
}

/* Every line is there exactly once, in the log or in one of its older files, read byte for byte; and
 * reading them together gives them in order. */
static inline void assert_all_lines(void)
{
    unsigned char *seen = calloc(1, (size_t)next_line + 1);
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir));) {
        size_t size = 0;
        if (e->d_name[0] == '.') {
            assert_true(!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."));
            continue;
        }
        char *text = slurp(e->d_name, &size);
        mark(text, size, seen, e->d_name);
        free(text);
    }
    closedir(dir);
    for (int i = 0; i < next_line; i++)
        if (seen[i] != 1)
            fail_msg("line %d of %d is there %d times", i, next_line, seen[i]);
    free(seen);
    assert_reads_all();
}

/* ---- rotations */

static inline struct console_rotate rotation(void)
{
    return (struct console_rotate){
        .path = log_path, .format = "%-d", .day = TODAY, .cut = -1, .now_ms = NOON_MS, .ways = CONSOLE_ROTATE_ALL};
}

static inline void rotate(struct console_rotate *r)
{
    int e = console_rotate_run(r);
    if (e)
        fail_msg("%s (%d)", r->err.text, e);
}

#endif
