#include "capture.h"
#include "clog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

static int kept, ends[2];

static int setup_pipe(void **state)
{
    (void)state;
    clog_configure(CLOG_LOCAL, CLOG_ERROR | CLOG_WARN | CLOG_INFO);
    kept = dup(STDERR_FILENO);
    return kept < 0 || pipe(ends) || dup2(ends[1], STDERR_FILENO) < 0;
}

static int teardown_pipe(void **state)
{
    (void)state;
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* Lines for the collector, each ended by a newline, its level before it. */
static char sent[5 << 20];
static size_t sent_len;

static void take(struct clog_sink *sink, enum clog_level level, const char *text, size_t len)
{
    (void)sink;
    assert_true(sent_len + len + 32 < sizeof sent);
    sent_len += (size_t)snprintf(sent + sent_len, 32, "%d ", level);
    memcpy(sent + sent_len, text, len);
    sent_len += len;
    strcpy(sent + sent_len++, "\n");
}

static struct clog_sink sink = {take};

static int setup(void **state)
{
    (void)state;
    sent_len = 0;
    sent[0] = 0;
    capture_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    capture_end();
    clog_attach(NULL);
    clog_configure(0, 0);
    return 0;
}

static void writes_a_line(void **state)
{
    (void)state;
    char text[256] = "";
    clog_error("a%cb", '\n');
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, " [ERROR] a\\x0ab\n"));
}

static void never_waits_for_a_reader(void **state)
{
    (void)state;
    char big[3000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    alarm(20);
    for (int i = 0; i < 200; i++)
        clog_error("%s", big);
    alarm(0);
}

static void a_pipe_gets_what_it_takes_at_once(void **state)
{
    (void)state;
    static char big[9001], text[9001];
    memset(big, 'x', sizeof big - 1);
    clog_error("%s", big);
    ssize_t n = read(ends[0], text, sizeof text);
    assert_int_equal(n, 4096);
    assert_memory_equal(text + n - 6, "xx...\n", 6);
}

static void the_mode_says_where_and_the_level_says_what(void **state)
{
    (void)state;
    clog_attach(&sink);
    for (int mode = 0; mode <= 3; mode++)
        for (int level = 0; level <= 15; level++) {
            clog_configure(mode, level);
            clog_debug("debug %d %d.", mode, level);
            clog_warn("warn %d %d.", mode, level);
            clog_error("error %d %d.", mode, level);
            clog_info("info %d %d.", mode, level);
        }
    clog_configure(0, 0);
    const char *local = captured();
    static const char *const words[] = {[1] = "debug", [2] = "warn", [4] = "error", [8] = "info"};
    static const char *const shown[] = {[1] = "DEBUG", [2] = "WARN", [4] = "ERROR", [8] = "INFO"};
    for (int mode = 0; mode <= 3; mode++)
        for (int level = 0; level <= 15; level++)
            for (int bit = 1; bit <= 8; bit <<= 1) {
                char line[64];
                snprintf(line, sizeof line, " [%s] %s %d %d.\n", shown[bit], words[bit], mode, level);
                assert_int_equal(count_of(local, line), (mode & CLOG_LOCAL) && (level & bit));
                snprintf(line, sizeof line, "%d %s %d %d.\n", bit, words[bit], mode, level);
                assert_int_equal(count_of(sent, line), (mode & CLOG_COLLECTOR) && (level & bit));
            }
}

static void without_a_collector_stderr_has_its_lines(void **state)
{
    (void)state;
    clog_configure(CLOG_COLLECTOR, CLOG_ERROR);
    clog_error("one");
    clog_attach(&sink);
    clog_error("two");
    clog_local(CLOG_ERROR, "three");
    clog_local(CLOG_WARN, "four");
    clog_attach(NULL);
    clog_error("five");
    clog_configure(0, CLOG_ERROR);
    clog_error("six");
    clog_local(CLOG_ERROR, "seven");
    const char *text = captured();
    assert_string_equal(sent, "4 two\n");
    assert_int_equal(count_of(text, "\n"), 3);
    assert_true(strstr(text, "one") && strstr(text, "three") && strstr(text, "five"));
}

static void nothing_from_outside_forges_a_line(void **state)
{
    (void)state;
    clog_configure(CLOG_LOCAL | CLOG_COLLECTOR, CLOG_ERROR);
    clog_attach(&sink);
    static const char hostile[] = "a\r\n2026-11-22 14:02:11.123 [ERROR] b\x1b[31m\x7f\t\xc2\x9b\x85\xff,é中😀\xc0\xaf.";
    static const char shown[] =
        "a\\x0d\\x0a2026-11-22 14:02:11.123 [ERROR] b\\x1b[31m\\x7f\\x09\\xc2\\x9b\\x85\\xff,é中😀"
        "\\xc0\\xaf.\n";
    clog_error("%s", hostile);
    const char *text = captured();
    assert_int_equal(count_of(text, "\n"), 1);
    assert_string_equal(text + strlen("2026-11-22 14:02:11.123 [ERROR] "), shown);
    assert_string_equal(sent + 2, shown);
}

static void long_texts_are_whole_in_a_file_and_for_the_collector(void **state)
{
    (void)state;
    static char big[200001];
    for (size_t i = 0; i + 1 < sizeof big; i++)
        big[i] = i % 5000 == 4999 ? '\n' : (char)('a' + i % 26);
    clog_configure(CLOG_LOCAL | CLOG_COLLECTOR, CLOG_ERROR);
    clog_attach(&sink);
    clog_error("%s", big);
    const char *text = captured();
    size_t len = strlen(sent);
    assert_int_equal(len, 2 + 200000 + 40 * 3 + 1);
    assert_string_equal(text + strlen("2026-11-22 14:02:11.123 [ERROR] "), sent + 2);
    for (size_t n = 4000; n < 4100; n++) { /* around the room there is without asking for more; no newline in it */
        char before = big[n];
        big[n] = 0;
        sent_len = 0;
        clog_error("%s", big);
        big[n] = before;
        assert_int_equal(sent_len, 2 + n + 1);
    }
}

static void more_than_a_megabyte_is_cut(void **state)
{
    (void)state;
    size_t size = (size_t)3 << 20;
    char *big = malloc(size + 1);
    memset(big, 'x', size);
    big[size] = 0;
    clog_configure(CLOG_COLLECTOR, CLOG_ERROR);
    clog_attach(&sink);
    clog_error("%s", big);
    free(big);
    assert_int_equal(sent_len, 2 + ((size_t)1 << 20) + 1);
}

static void errno_stays_as_it_was(void **state)
{
    (void)state;
    clog_configure(CLOG_LOCAL, CLOG_ERROR);
    close(STDERR_FILENO);
    errno = ENOTTY;
    clog_error("nobody hears it");
    assert_int_equal(errno, ENOTTY);
}

#define PIPE_TEST(f) cmocka_unit_test_setup_teardown(f, setup_pipe, teardown_pipe)
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPE_TEST(writes_a_line),
        PIPE_TEST(never_waits_for_a_reader),
        PIPE_TEST(a_pipe_gets_what_it_takes_at_once),
        TEST(the_mode_says_where_and_the_level_says_what),
        TEST(without_a_collector_stderr_has_its_lines),
        TEST(nothing_from_outside_forges_a_line),
        TEST(long_texts_are_whole_in_a_file_and_for_the_collector),
        TEST(more_than_a_megabyte_is_cut),
        TEST(errno_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
