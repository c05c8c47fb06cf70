/* The journal read back: single lines, and all of it while it is written and put aside. */
#include "event_reader.h"

#include "event_ring.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[96], rotated[100];
static struct event_journal journal;
static struct event_ring ring;

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/event_reader_test.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/journal", dir);
    snprintf(rotated, sizeof rotated, "%s.1", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    event_journal_close(&journal);
    event_ring_fini(&ring);
    unlink(path);
    unlink(rotated);
    return rmdir(dir);
}

static void open_journal(int64_t max_size)
{
    assert_int_equal(event_journal_open(&journal, path, max_size), 0);
}

static void emit(int n)
{
    while (n-- > 0) {
        struct event e = {.kind = n % 3 ? EVENT_UP : EVENT_EXIT, .wall_ms = 1767225600123, .mono_ms = 5007};
        event_text(&e, "a text of some length, to fill the file up");
        event_emit(&journal, &ring, n % 2 ? "odd" : NULL, &e);
    }
}

static void emit_and_write(int n)
{
    emit(n);
    assert_int_equal(event_journal_flush(&journal), 0);
}

/* ---- lines */

static void lines_are_read_as_they_were_written(void **state)
{
    (void)state;
    for (int i = 0; i < EVENT_KINDS; i++) {
        struct event e = {.seq = 7, .kind = (enum event_kind)i, .wall_ms = 1767225600123, .mono_ms = 5007, .code = -1};
        struct event back;
        char service[EVENT_SERVICE_SIZE];
        struct buf a = {0}, b = {0};
        if (i % 2) {
            e.cause = 3;
            e.pid = 42;
            e.signal = SIGSEGV;
            e.duration_ms = 12345678;
            e.count = 5;
            if (i == EVENT_EXIT)
                e.code = 3;
        }
        event_text(&e, "%s", i % 2 ? "a \"quoted\"\n\t\x01 \\ line, ü € \xf0\x9f\x8e\x89" : "");
        event_json(&a, i % 3 ? "na\"me ü" : NULL, &e);
        assert_int_equal(event_line_seq(a.data, a.len), 7);
        assert_true(event_line_parse(a.data, a.len, &back, service));
        assert_string_equal(service, i % 3 ? "na\"me ü" : "");
        assert_string_equal(back.text, e.text);
        event_json(&b, service[0] ? service : NULL, &back);
        assert_string_equal(a.data, b.data);
        buf_fini(&a);
        buf_fini(&b);
    }
}

static bool parses(const char *line, struct event *e)
{
    char service[EVENT_SERVICE_SIZE];
    return event_line_parse(line, strlen(line), e, service);
}

static void no_part_of_a_line_is_taken_for_one(void **state)
{
    (void)state;
    static const char line[] = "{\"seq\":12,\"time\":1767225600.123,\"mono\":5.007,\"service\":\"a\",\"kind\":\"exit\","
                               "\"cause\":3,\"pid\":42,\"signal\":\"SIGKILL\",\"text\":\"x\\u00fc\"}";
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    assert_true(parses(line, &e));
    assert_string_equal(e.text, "xü");
    for (size_t len = 0; len < sizeof line - 1; len++) {
        char *part = malloc(len + 1); /* so that reading past its end shows */
        memcpy(part, line, len);
        assert_false(event_line_parse(part, len, &e, service));
        free(part);
    }
}

static void what_is_no_event(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "{}",
        "nonsense",
        "{\"seq\":1}",       /* no kind */
        "{\"kind\":\"up\"}", /* no number */
        "{\"seq\":0,\"kind\":\"up\"}",
        "{\"seq\":1,\"kind\":\"dance\"}",
        "{\"seq\":1,\"kind\":\"up\"}}",
        "{\"seq\":1,\"kind\":\"up\",}",
        "{\"seq\":1,\"kind\":\"up\",\"pid\":99999999999}",
        "{\"seq\":99999999999999999999,\"kind\":\"up\"}",
        "{\"seq\":1,\"kind\":\"up\",\"signal\":\"SIGNONE\"}",
        "{\"seq\":1,\"kind\":\"up\",\"text\":\"\\q\"}",
        "{\"seq\":1,\"kind\":\"up\",\"text\":\"\\ud83c\"}", /* half a pair */
        "{\"seq\":1,\"kind\":\"up\",\"new\":[1,2}",
        "{\"seq\":1,\"kind\":\"up\",\"new\":{\"a\":1}",
    };
    struct event e;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (parses(lines[i], &e))
            fail_msg("taken for an event: %s", lines[i]);
}

static void keys_of_a_later_version_are_passed_over(void **state)
{
    (void)state;
    struct event e;
    assert_true(parses("{\"seq\":1,\"new\":{\"a\":[1,\"}\",{}],\"b\":null},\"flag\":true,\"n\":-1.5e3,\"kind\":\"up\","
                       "\"list\":[],\"pid\":7}",
                       &e));
    assert_int_equal(e.pid, 7);
    assert_int_equal(e.kind, EVENT_UP);
}

/* ---- all of it */

/* What was read: it must be in its order. */
struct log {
    uint64_t first, last;
    int count;
};

static void on_line(void *arg, const char *line, size_t len)
{
    struct log *log = arg;
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    assert_true(event_line_parse(line, len, &e, service));
    assert_true(e.seq > log->last);
    log->first = log->first ? log->first : e.seq;
    log->last = e.seq;
    log->count++;
}

/* The same, but what is no event is passed over. */
static void on_event(void *arg, const char *line, size_t len)
{
    struct event e;
    char service[EVENT_SERVICE_SIZE];
    if (event_line_parse(line, len, &e, service))
        on_line(arg, line, len);
}

static struct log read_all(struct event_reader *r)
{
    struct log log = {0};
    int steps = 0;
    while (event_reader_read(r, on_line, &log))
        assert_true(steps++ < 10000);
    return log;
}

static void assert_log(struct log log, uint64_t first, uint64_t last)
{
    assert_int_equal(log.first, first);
    assert_int_equal(log.last, last);
    assert_int_equal(log.count, last ? last - first + 1 : 0);
}

static void assert_since(uint64_t since, uint64_t first, uint64_t last)
{
    struct event_reader r;
    event_reader_open(&r, &journal, since);
    assert_log(read_all(&r), first, last);
    assert_false(event_reader_read(&r, on_line, NULL));
    event_reader_close(&r);
}

static void from_anywhere_on(void **state)
{
    (void)state;
    open_journal(1 << 30);
    assert_since(0, 0, 0);
    emit_and_write(3000);
    for (uint64_t since = 0; since < 3000; since += since < 100 ? 1 : 97)
        assert_since(since, since + 1, 3000);
    assert_since(2999, 3000, 3000);
    assert_since(3000, 0, 0);
    assert_since(3001, 1, 3000); /* of another journal */
    emit(5);                     /* not written yet */
    assert_since(2990, 2991, 3005);
    assert_since(3003, 3004, 3005);
}

static void across_the_file_put_aside(void **state)
{
    (void)state;
    open_journal(100000);
    uint64_t oldest = 0;
    while (access(rotated, F_OK))
        emit_and_write(10);
    emit_and_write(100);
    for (uint64_t since = 0; since < journal.last_seq; since += 37)
        assert_since(since, since + 1, journal.last_seq);
    /* After some more times the first are gone. */
    for (int i = 0; i < 300; i++)
        emit_and_write(10);
    struct event_reader r;
    event_reader_open(&r, &journal, 0);
    struct log log = read_all(&r);
    oldest = log.first;
    assert_true(oldest > 1);
    assert_log(log, oldest, journal.last_seq);
    event_reader_close(&r);
    assert_since(5, oldest, journal.last_seq);
    assert_since(oldest + 10, oldest + 11, journal.last_seq);
}

/* Reads a step now and then while events are written and the file is put aside every so often. */
static void while_it_is_written(void **state)
{
    (void)state;
    for (int every = 1; every < 40; every += 6) {
        open_journal(200000);
        struct event_reader r;
        struct log log = {0};
        event_reader_open(&r, &journal, 0);
        for (int i = 0; i < 1500; i++) {
            (i % 5 ? emit_and_write : emit)(7);
            if (i % every == 0)
                event_reader_read(&r, on_line, &log);
        }
        while (event_reader_read(&r, on_line, &log))
            ;
        event_reader_close(&r);
        assert_int_equal(log.last, journal.last_seq);
        if (every == 1)
            assert_int_equal(log.count, journal.last_seq);
        event_journal_close(&journal);
        unlink(path);
        unlink(rotated);
    }
}

static void write_file(const char *name, const char *text, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

static void junk_is_passed_over(void **state)
{
    (void)state;
    static const char line[] = "{\"seq\":41,\"time\":1.000,\"mono\":1.000,\"kind\":\"up\"}\n";
    struct buf text = {0};
    for (int i = 0; i < 300000; i++)
        buf_addc(&text, i % 7 ? 'x' : 0);
    buf_addc(&text, '\n');
    buf_adds(&text, line);
    buf_adds(&text, "{\"seq\":42,\"ti\n");
    write_file(path, text.data, text.len);
    buf_fini(&text);
    open_journal(1 << 30);
    emit_and_write(1);
    assert_int_equal(journal.last_seq, 43);
    /* What was torn is no event, but it has had its number. */
    static const struct {
        uint64_t since;
        int count;
        uint64_t first;
    } cases[] = {{0, 2, 41}, {40, 2, 41}, {41, 1, 43}, {42, 1, 43}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct event_reader r;
        struct log log = {0};
        event_reader_open(&r, &journal, cases[i].since);
        while (event_reader_read(&r, on_event, &log))
            ;
        assert_int_equal(log.count, cases[i].count);
        assert_int_equal(log.first, cases[i].first);
        assert_int_equal(log.last, 43);
        event_reader_close(&r);
    }
}

static void a_line_begun_on_a_full_disk(void **state)
{
    (void)state;
    struct rlimit old;
    open_journal(1 << 30);
    emit_and_write(1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {(rlim_t)journal.size + 150, old.rlim_max};
    emit(5);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    event_journal_flush(&journal);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_true(journal.torn);
    for (uint64_t since = 0; since < 6; since++)
        assert_since(since, since + 1, 6);
}

static void without_a_file(void **state)
{
    (void)state;
    assert_true(event_journal_open(&journal, "/nonexistent/journal", 1000) < 0);
    emit(3);
    assert_since(0, 1, 3);
    assert_since(2, 3, 3);
}

/* ---- looking back */

static bool is_anything(void *arg, const char *line, size_t len)
{
    (void)arg;
    return event_line_seq(line, len) > 0;
}

static bool is_seventh(void *arg, const char *line, size_t len)
{
    (void)arg;
    return event_line_seq(line, len) % 7 == 0;
}

static void assert_back(size_t count, event_reader_match_fn *match, uint64_t first)
{
    struct event_reader r;
    int steps = 0;
    event_reader_open_end(&r, &journal);
    while (event_reader_back(&r, &count, match, NULL))
        assert_true(steps++ < 1000);
    assert_log(read_all(&r), first, first ? journal.last_seq : 0);
    event_reader_close(&r);
}

static void the_last_ones(void **state)
{
    (void)state;
    open_journal(300000);
    assert_back(10, is_anything, 0);
    emit_and_write(100);
    assert_back(10, is_anything, 91);
    assert_back(100, is_anything, 1);
    assert_back(1000, is_anything, 1);
    assert_back(0, is_anything, 0);
    assert_back(3, is_seventh, 84);
    while (access(rotated, F_OK))
        emit_and_write(10);
    emit_and_write(700);
    emit(20); /* not written yet */
    uint64_t last = journal.last_seq;
    assert_back(5, is_anything, last - 4);
    assert_back(20, is_anything, last - 19);
    assert_back(21, is_anything, last - 20);
    assert_back(1000, is_anything, last - 999);
    assert_back(last, is_anything, 1);
    assert_back(last * 2, is_anything, 1);
    assert_back(100, is_seventh, last / 7 * 7 - 99 * 7);
}

static void the_last_ones_while_more_come(void **state)
{
    (void)state;
    open_journal(1 << 30);
    emit_and_write(5000);
    struct event_reader r;
    struct log log = {0};
    size_t count = 4000;
    event_reader_open_end(&r, &journal);
    while (event_reader_back(&r, &count, is_anything, NULL))
        emit_and_write(3);
    uint64_t last = journal.last_seq;
    assert_true(last > 5010);
    while (event_reader_read(&r, on_line, &log))
        ;
    assert_log(log, 1001, last);
    event_reader_close(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_are_read_as_they_were_written),
        TEST(no_part_of_a_line_is_taken_for_one),
        TEST(what_is_no_event),
        TEST(keys_of_a_later_version_are_passed_over),
        TEST(from_anywhere_on),
        TEST(across_the_file_put_aside),
        TEST(while_it_is_written),
        TEST(junk_is_passed_over),
        TEST(a_line_begun_on_a_full_disk),
        TEST(without_a_file),
        TEST(the_last_ones),
        TEST(the_last_ones_while_more_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
