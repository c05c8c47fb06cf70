/* The command log over real files and a simulated clock: their end, and what comes after it. */
#include "console_rotate.h"
#include "core_fixture.h"
#include "logs.h"
#include "request.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct admin admin;
static char folder[64];

static const char *log_of(const char *name)
{
    static char path[2][128];
    static int i;
    i = !i;
    snprintf(path[i], sizeof path[i], "%s/%s.log", folder, name);
    return path[i];
}

static int setup(void **state)
{
    if (fixture_setup(state))
        return -1;
    strcpy(folder, "/tmp/logs_test.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    struct conf *conf = fixture_conf("alpha", "beta");
    for (size_t i = 0; i < conf->nsvrs; i++)
        conf->svrs[i].log = strdup(log_of(conf->svrs[i].name));
    fixture_up(conf);
    admin = (struct admin){.mon = fx.m};
    return 0;
}

static int teardown(void **state)
{
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, e->d_type == DT_DIR && e->d_name[0] != '.' ? AT_REMOVEDIR : 0);
    closedir(d);
    return rmdir(folder) || fixture_teardown(state);
}

static void append_n(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static void append(const char *path, const char *text)
{
    append_n(path, text, strlen(text));
}

/* ---- a reader */

struct reader {
    struct request *request;
    struct buf got;
};

static struct reader ask(const char *service, const char *lines, const char *key, const char *value)
{
    struct reader rd = {.request = request_new(&admin, "a test")};
    request_set(rd.request, "command", "log");
    request_set(rd.request, "service", service);
    if (lines)
        request_set(rd.request, "lines", lines);
    if (key)
        request_set(rd.request, key, value);
    request_run(rd.request, NULL, NULL);
    return rd;
}

static struct reader follow(const char *service, const char *lines, const char *format)
{
    struct reader rd = {.request = request_new(&admin, "a test")};
    request_set(rd.request, "command", "log");
    request_set(rd.request, "service", service);
    request_set(rd.request, "lines", lines);
    request_set(rd.request, "follow", "1");
    request_set(rd.request, "format", format);
    request_run(rd.request, NULL, NULL);
    return rd;
}

/* Takes what there is; how much it was. */
static size_t take(struct reader *rd)
{
    char block[65536];
    size_t n, all = 0;
    while ((n = request_take(rd->request, block, sizeof block)) > 0) {
        buf_add(&rd->got, block, n);
        all += n;
    }
    return all;
}

/* Time passes, and what comes is taken, until nothing more does. */
static void settle(struct reader *rd)
{
    for (int quiet = 0; quiet < 30; quiet = take(rd) ? 0 : quiet + 1)
        run(20);
}

static void assert_got(struct reader *rd, const char *text)
{
    settle(rd);
    assert_string_equal(buf_str(&rd->got), text);
}

static void end(struct reader *rd)
{
    request_free(rd->request);
    buf_fini(&rd->got);
}

/* ---- the last lines */

static void the_last_lines(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\ntwo\nthree\nfo");
    append(log_of("beta"), "b\n");
    struct reader rd = ask("alpha", "2", NULL, NULL);
    assert_got(&rd, "three\nfo\n");
    assert_true(rd.request->done);
    end(&rd);
    rd = ask("all", "1", NULL, NULL);
    assert_got(&rd, "alpha:\nfo\n\nbeta:\nb\n");
    end(&rd);
    rd = ask("all", "2", "format", "json");
    assert_got(&rd, "{\"services\":{\"alpha\":[\"three\",\n\"fo\"],\n\"beta\":[\"b\"]}}\n");
    end(&rd);
}

static void without_a_log(void **state)
{
    (void)state;
    mkdir(log_of("beta"), 0700);
    struct reader rd = ask("all", NULL, NULL, NULL);
    assert_got(&rd, "alpha:\n\nbeta:\n");
    end(&rd);
    rd = ask("alpha", NULL, "format", "json");
    assert_got(&rd, "{\"services\":{\"alpha\":[]}}\n");
    end(&rd);
    rmdir(log_of("beta"));
}

static void one_that_hangs_up_while_it_is_read(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\n");
    struct reader rd = ask("alpha", NULL, NULL, NULL);
    end(&rd);
    run(100);
}

/* ---- following */

static void what_comes_after(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\ntwo\nthr");
    struct reader rd = follow("alpha", "2", "text");
    assert_got(&rd, "two\nthr");
    append(log_of("alpha"), "ee\nfour\n");
    assert_got(&rd, "two\nthree\nfour\n");
    append(log_of("alpha"), "five");
    assert_got(&rd, "two\nthree\nfour\nfive");
    assert_false(rd.request->done);
    run(200 * 1000); /* there is no end to it */
    assert_false(rd.request->done);
    end(&rd);
}

static void only_what_comes(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\n");
    struct reader rd = follow("alpha", "0", "text");
    assert_got(&rd, "");
    assert_true(rd.request->streamed);
    append(log_of("alpha"), "two\n");
    assert_got(&rd, "two\n");
    end(&rd);
}

static void one_that_is_not_there_yet(void **state)
{
    (void)state;
    struct reader rd = follow("alpha", "5", "text");
    assert_got(&rd, "");
    append(log_of("alpha"), "here\n");
    assert_got(&rd, "here\n");
    end(&rd);
}

static void one_that_is_emptied(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\ntwo\n");
    struct reader rd = follow("alpha", "5", "text");
    assert_got(&rd, "one\ntwo\n");
    assert_int_equal(truncate(log_of("alpha"), 0), 0);
    append(log_of("alpha"), "new\n");
    assert_got(&rd, "one\ntwo\nnew\n");
    end(&rd);
}

static void one_that_is_replaced(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\n");
    struct reader rd = follow("alpha", "5", "text");
    assert_got(&rd, "one\n");
    assert_int_equal(rename(log_of("alpha"), log_of("old")), 0);
    append(log_of("old"), "two\n");
    append(log_of("alpha"), "three\n");
    assert_got(&rd, "one\ntwo\nthree\n");
    end(&rd);
}

static void one_that_cannot_be_read(void **state)
{
    (void)state;
    mkdir(log_of("alpha"), 0700);
    struct reader rd = follow("alpha", "5", "text");
    settle(&rd);
    assert_true(rd.request->done);
    assert_int_equal(rd.request->status, 500);
    assert_non_null(strstr(buf_str(&rd.got), "Error: log of alpha, /tmp/logs_test."));
    end(&rd);
    rmdir(log_of("alpha"));
}

static void several_at_once(void **state)
{
    (void)state;
    append(log_of("alpha"), "a1\n");
    append(log_of("beta"), "b1\n");
    struct reader rd = follow("all", "5", "text");
    assert_got(&rd, "alpha:\na1\n\nbeta:\nb1\n");
    append(log_of("beta"), "b2\nb");
    assert_got(&rd, "alpha:\na1\n\nbeta:\nb1\nb2\nb");
    append(log_of("alpha"), "a2\n");
    assert_got(&rd, "alpha:\na1\n\nbeta:\nb1\nb2\nb\n\nalpha:\na2\n");
    end(&rd);
}

static void lines_as_json(void **state)
{
    (void)state;
    append(log_of("alpha"), "one\nt");
    struct reader rd = follow("alpha", "5", "json");
    assert_got(&rd, "{\"service\":\"alpha\",\"line\":\"one\"}\n");
    append(log_of("alpha"), "wo\n");
    append_n(log_of("alpha"), "\0\xff\n", 3);
    assert_got(&rd, "{\"service\":\"alpha\",\"line\":\"one\"}\n{\"service\":\"alpha\",\"line\":\"two\"}\n"
                    "{\"service\":\"alpha\",\"line\":\"\\u0000\xef\xbf\xbd\"}\n");
    end(&rd);
}

static void a_line_without_end_as_json(void **state)
{
    (void)state;
    struct reader rd = follow("alpha", "0", "json");
    settle(&rd);
    static char block[1 << 20];
    memset(block, 'x', sizeof block);
    append_n(log_of("alpha"), block, sizeof block);
    settle(&rd);
    append(log_of("alpha"), "end\nlast\n");
    settle(&rd);
    size_t count = 0, lines = 0, parts = 0;
    for (const char *p = buf_str(&rd.got); *p; p++)
        count += *p == 'x';
    for (const char *p = buf_str(&rd.got), *eol; (eol = strchr(p, '\n')); p = eol + 1) {
        assert_memory_equal(p, "{\"service\":\"alpha\",\"line\":\"", 26);
        assert_true(eol - p < 140000);
        lines++;
        parts += !memcmp(eol - 13, ",\"more\":true}", 13);
    }
    assert_int_equal(count, sizeof block);
    assert_true(parts > 5 && lines == parts + 2);
    end(&rd);
}

static void the_time_that_was_given(void **state)
{
    (void)state;
    struct reader rd = {.request = request_new(&admin, "a test")};
    request_set(rd.request, "command", "log");
    request_set(rd.request, "service", "alpha");
    request_set(rd.request, "follow", "1");
    request_set(rd.request, "timeout", "3");
    request_run(rd.request, NULL, NULL);
    run(2900);
    assert_false(rd.request->done);
    run(200);
    assert_true(rd.request->done);
    assert_int_equal(rd.request->exit_code, EXIT_OK);
    end(&rd);
}

/* ---- through rotations */

static void rotate(const char *path, int64_t day, bool part)
{
    struct console_rotate r = {.path = path,
                               .format = "%-d",
                               .day = day,
                               .part = part,
                               .cut = -1,
                               .now_ms = FIXTURE_WALL_MS,
                               .ways = CONSOLE_ROTATE_ALL};
    int e = console_rotate_run(&r);
    if (e)
        fail_msg("%s", r.err.text);
}

/* Lines "N" from *next on. */
static void append_numbers(const char *path, int *next, int count)
{
    struct buf b = {0};
    for (int i = 0; i < count; i++)
        buf_addf(&b, "line %d\n", (*next)++);
    append_n(path, b.data, b.len);
    buf_fini(&b);
}

static void assert_numbers(const struct reader *rd, int count)
{
    int wanted = 0;
    for (const char *p = buf_str(&rd->got), *eol; (eol = strchr(p, '\n')); p = eol + 1, wanted++) {
        char line[32];
        snprintf(line, sizeof line, "line %d\n", wanted);
        if (strncmp(p, line, strlen(line)) != 0)
            fail_msg("%.40s where %s was expected", p, line);
    }
    assert_int_equal(wanted, count);
}

/* One that keeps up, one that looks seldom, one that reads nothing until the end. */
static void through_rotations(void **state)
{
    (void)state;
    static const int patience[] = {1, 7, 1000};
    int next = 0;
    char path[128];
    strcpy(path, log_of("alpha"));
    append_numbers(path, &next, 10);
    struct reader rds[ARRAY_LEN(patience)];
    for (size_t i = 0; i < ARRAY_LEN(rds); i++)
        rds[i] = follow("alpha", "100", "text");
    run(100);
    for (int round = 0; round < 60; round++) {
        append_numbers(path, &next, 200 + round * 20);
        if (round % 3 == 2)
            rotate(path, 20453, true);
        append_numbers(path, &next, 3);
        run(300);
        for (size_t i = 0; i < ARRAY_LEN(rds); i++)
            if (round % patience[i] == patience[i] - 1)
                settle(&rds[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(rds); i++) {
        settle(&rds[i]);
        assert_numbers(&rds[i], next);
        end(&rds[i]);
    }
}

static void hanging_up_while_behind(void **state)
{
    (void)state;
    int next = 0;
    char path[128];
    strcpy(path, log_of("alpha"));
    struct reader rd = follow("alpha", "0", "text");
    run(100);
    append_numbers(path, &next, 1000);
    rotate(path, 20453, false);
    world_sim_set_work_ms(fx.w, 50);
    for (int i = 0; i < 20; i++)
        run(20);
    end(&rd);
    run(1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_lines),          TEST(without_a_log),        TEST(one_that_hangs_up_while_it_is_read),
        TEST(what_comes_after),        TEST(only_what_comes),      TEST(one_that_is_not_there_yet),
        TEST(one_that_is_emptied),     TEST(one_that_is_replaced), TEST(one_that_cannot_be_read),
        TEST(several_at_once),         TEST(lines_as_json),        TEST(a_line_without_end_as_json),
        TEST(the_time_that_was_given), TEST(through_rotations),    TEST(hanging_up_while_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
