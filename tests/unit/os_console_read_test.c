/* Reading a log over its files: the last lines, and on and on while it is rotated. */
#include "os_console_fixture.h"

#include <pthread.h>

static struct console_source source(void)
{
    return (struct console_source){.path = log_path, .format = "%-d"};
}

static void assert_last(int lines, size_t bytes, const char *expected)
{
    struct console_source s = source();
    struct buf b = {0};
    assert_int_equal(console_read_last(&s, lines, bytes, &b), 0);
    assert_string_equal(buf_str(&b), expected);
    buf_fini(&b);
}

static void assert_tail(const char *text, int lines, size_t bytes, const char *expected)
{
    if (text)
        write_file("fota_monitor.log", text, NOON_MS);
    char *got = console_tail(log_path, lines, bytes);
    if (expected) {
        assert_non_null(got);
        assert_string_equal(got, expected);
    } else {
        assert_null(got);
    }
    free(got);
    if (text)
        assert_last(lines, bytes, expected ? expected : "");
}

static void the_last_lines_are_shown(void **state)
{
    (void)state;
    assert_tail("a\nb\nc\n", 2, 100, "b\nc\n");
    assert_tail("a\nb\nc\n", 3, 100, "a\nb\nc\n");
    assert_tail("a\nb\nc\n", 9, 100, "a\nb\nc\n");
    assert_tail("a\nb\nc", 1, 100, "c\n"); /* unfinished */
    assert_tail("a\nb\nc", 2, 100, "b\nc\n");
    assert_tail("a\n\n\n", 2, 100, "\n\n");
    assert_tail("alone", 1, 100, "alone\n");
    assert_tail("\n", 1, 100, "\n");
    assert_tail("", 1, 100, NULL);
}

static void they_are_bounded(void **state)
{
    (void)state;
    assert_tail("0123456789\nabcdef\n", 5, 4, "def\n");
    assert_tail("0123456789\nabcdef", 5, 4, "cdef\n");
    char big[20000];
    memset(big, 'x', sizeof big);
    append("\n", 1);
    append(big, sizeof big);
    char *text = console_tail(log_path, 20, 4096);
    assert_non_null(text);
    assert_int_equal(strlen(text), 4097); /* with the newline that was missing */
    free(text);
}

static void what_is_no_log_has_no_lines(void **state)
{
    (void)state;
    struct console_source s = source(), null = {.path = "/dev/null", .format = "%-d"};
    struct buf b = {0};
    assert_tail(NULL, 5, 100, NULL);
    assert_last(5, 100, "");
    assert_null(console_tail("/dev/null", 1, 100));
    assert_int_equal(console_size("/dev/null"), 0);
    assert_int_equal(console_size(log_path), 0);
    assert_int_equal(console_read_last(&null, 1, 100, &b), -ENODATA);
    assert_int_equal(mkfifo(log_path, 0600), 0);
    assert_null(console_tail(log_path, 1, 100));
    assert_int_equal(console_read_last(&s, 1, 100, &b), -ENOTSUP);
    unlink(log_path);
    assert_int_equal(mkdir(log_path, 0700), 0);
    assert_null(console_tail(log_path, 1, 100));
    assert_int_equal(console_read_last(&s, 1, 100, &b), -EISDIR);
}

static void binary_junk_is_kept_in_answers_and_a_text_in_tails(void **state)
{
    (void)state;
    static const char junk[] = "a\0b\xff\n\0\0c\n";
    struct console_source s = source();
    struct buf b = {0};
    append(junk, sizeof junk - 1);
    assert_int_equal(console_read_last(&s, 2, 100, &b), 0);
    assert_int_equal(b.len, sizeof junk - 1);
    assert_memory_equal(b.data, junk, b.len);
    buf_fini(&b);
    assert_tail(NULL, 2, 100, "a?b\xff\n??c\n");
}

static void move_to(int64_t day, bool part)
{
    struct console_rotate r = rotation();
    r.day = day;
    r.part = part;
    set_time("fota_monitor.log", day * DAY_MS + DAY_MS / 2);
    rotate(&r);
}

static void older_files_are_read_together_with_the_log(void **state)
{
    (void)state;
    append("1\n2\n", 4);
    move_to(TODAY - 2, false);
    append("3\n4\n", 4);
    move_to(TODAY - 1, false);
    append("5\n", 2);
    move_to(TODAY, true);
    append("6\n", 2);
    move_to(TODAY, true);
    append("7\n8", 3);
    assert_int_equal(console_size(log_path), 15);
    write_file("fota_monitor.7.log", "somebody's copy\n", NOON_MS); /* not the name of the day it was written on */
    write_file("fota_monitor.txt", "x\n", NOON_MS);
    assert_last(1, 1000, "8\n");
    assert_last(3, 1000, "6\n7\n8\n");
    assert_last(7, 1000, "2\n3\n4\n5\n6\n7\n8\n");
    assert_last(100, 1000, "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_last(100, 6, "\n6\n7\n8\n");
    /* Quickly: the log, and the one file its banner names. */
    assert_tail(NULL, 100, 1000, "6\n7\n8\n");
    assert_tail(NULL, 2, 1000, "7\n8\n");
}

static void a_line_cut_between_files_is_one(void **state)
{
    (void)state;
    write_file("fota_monitor.22.log", "one\ntw", NOON_MS);
    append("o\nthree\n", 8);
    assert_last(2, 100, "two\nthree\n");
}

static void while_lines_are_in_both_files_they_are_shown_once(void **state)
{
    (void)state;
    for (enum console_rotate_step step = CONSOLE_ROTATE_PLAN; step < CONSOLE_ROTATE_BANNER; step++) {
        struct console_rotate r = rotation();
        write_lines(100, 30);
        assert_int_equal(console_rotate_begin(&r), 0);
        while (r.step <= step)
            assert_int_equal(console_rotate_step(&r), 0);
        struct console_source s = source();
        struct buf b = {0};
        assert_int_equal(console_read_last(&s, 100000, 1 << 20, &b), 0);
        assert_int_equal(b.len, (size_t)next_line * 36);
        buf_fini(&b);
        console_rotate_close(&r);
        r = rotation();
        rotate(&r);
    }
}

/* ---- what came since */

static void assert_since(int64_t *at, size_t bytes, const char *expected)
{
    char *got = console_since(log_path, at, bytes);
    if (expected) {
        assert_non_null(got);
        assert_string_equal(got, expected);
    } else {
        assert_null(got);
    }
    free(got);
}

static void whole_lines_come_since(void **state)
{
    (void)state;
    int64_t at = 0;
    assert_since(&at, 100, NULL); /* there is no log yet */
    append("1\n2\n3", 5);
    assert_since(&at, 100, "1\n2\n");
    assert_since(&at, 100, NULL);
    append(" is long\n4\n", 11);
    assert_since(&at, 5, "3 is "); /* longer than is allowed */
    assert_since(&at, 8, "long\n4\n");
    assert_int_equal(at, console_size(log_path));
    append("a\0b\n", 4);
    assert_since(&at, 100, "a?b\n");
    assert_int_equal(truncate(log_path, 0), 0);
    append("anew\n", 5);
    assert_since(&at, 100, "anew\n");
    at = -7;
    assert_since(&at, 100, "anew\n");
}

static void what_came_since_is_read_over_a_rotation(void **state)
{
    (void)state;
    append("1\n2\n", 4);
    int64_t at = 2, early = 0;
    move_to(TODAY - 2, false);
    assert_since(&at, 100, "2\n");
    append("3\n4\n5", 5);
    move_to(TODAY - 1, false);
    append("6\n7\n", 4);
    assert_since(&at, 3, "3\n");
    assert_since(&at, 100, "4\n56\n7\n");
    assert_since(&at, 100, NULL);
    assert_int_equal(at, console_size(log_path));
    assert_since(&early, 100, "3\n4\n56\n7\n"); /* what is in still older files is skipped */
    unlink(beside("fota_monitor.21.log"));
    early = 0;
    assert_since(&early, 100, "56\n7\n"); /* rotation cuts at a line end */
}

static void nothing_comes_while_the_front_is_taken_away(void **state)
{
    (void)state;
    int64_t at = 0;
    append("1\n", 2);
    console_front_lock();
    assert_since(&at, 100, NULL);
    console_front_unlock();
    assert_since(&at, 100, "1\n");
}

/* ---- following */

static void follow_all(struct console_follow *f, struct buf *out, size_t max)
{
    struct console_source s = source();
    for (int r; (r = console_follow_read(f, &s, max, out));)
        assert_true(r > 0);
}

static void assert_followed(struct console_follow *f, const char *expected)
{
    struct buf b = {0};
    follow_all(f, &b, 5);
    assert_string_equal(buf_str(&b), expected);
    buf_fini(&b);
}

static void what_is_written_comes(void **state)
{
    (void)state;
    struct console_source s = source();
    struct console_follow f;
    struct buf b = {0};
    append("1\n2\n3", 5);
    assert_int_equal(console_follow_open(&f, &s, 2, 100, &b), 0);
    assert_string_equal(buf_str(&b), "2\n3");
    assert_followed(&f, "");
    append(" is long\n4\n", 11);
    assert_followed(&f, " is long\n4\n");
    console_follow_close(&f);
    assert_int_equal(console_follow_open(&f, &s, 0, 100, &b), 0);
    assert_int_equal(b.len, 3); /* nothing was added */
    append("5\n", 2);
    assert_followed(&f, "5\n");
    console_follow_close(&f);
    buf_fini(&b);
}

static void rotations_are_not_noticed(void **state)
{
    (void)state;
    static const unsigned ways[] = {CONSOLE_ROTATE_ALL, CONSOLE_ROTATE_PUNCH};
    for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
        struct console_source s = source();
        struct console_follow quick, slow;
        struct buf a = {0}, b = {0};
        next_line = 0;
        unlink(log_path);
        append("", 0);
        assert_int_equal(console_follow_open(&quick, &s, 0, 0, &a), 0);
        assert_int_equal(console_follow_open(&slow, &s, 0, 0, &b), 0);
        for (int i = 0; i < 20; i++) {
            struct console_rotate r = rotation();
            write_lines(200 + 7 * i, 30);
            if (i % 3)
                follow_all(&quick, &a, 1 << 16);
            assert_int_equal(console_rotate_begin(&r), 0);
            r.day = TODAY + i / 4;
            r.part = i % 4 != 3;
            r.ways = ways[w];
            while (r.step < CONSOLE_ROTATE_BANNER)
                assert_int_equal(console_rotate_step(&r), 0);
            if (i % 5 == 0)
                follow_all(&quick, &a, 1 << 16);
            assert_int_equal(console_rotate_step(&r), 0);
            if (i % 7 == 0) /* the banner is there, and what is before it not gone yet */
                follow_all(&quick, &a, 1 << 16);
            if (i == 15)
                follow_all(&slow, &b, 1 << 16);
            while (r.step < CONSOLE_ROTATE_DONE)
                assert_int_equal(console_rotate_step(&r), 0);
            console_rotate_close(&r);
            assert_int_equal(console_follow_is_behind(&slow), i != 15);
            if (i % 2)
                follow_all(&quick, &a, 1000);
            if (i == 13)
                follow_all(&slow, &b, 1 << 16);
        }
        follow_all(&quick, &a, 1 << 16);
        follow_all(&slow, &b, 1 << 16);
        assert_false(console_follow_is_behind(&slow));
        assert_int_equal(a.len, (size_t)next_line * 36);
        assert_int_equal(b.len, a.len);
        assert_memory_equal(a.data, b.data, a.len);
        for (int i = 0; i < next_line; i++)
            assert_int_equal(strtol(a.data + (ptrdiff_t)i * 36 + 5, NULL, 10), i);
        console_follow_close(&quick);
        console_follow_close(&slow);
        buf_fini(&a);
        buf_fini(&b);
        teardown(NULL);
        setup(NULL);
    }
}

static void while_a_front_changes_they_wait(void **state)
{
    (void)state;
    struct console_source s = source();
    struct console_follow f;
    struct buf b = {0};
    append("1\n", 2);
    assert_int_equal(console_follow_open(&f, &s, 0, 100, &b), 0);
    append("2\n", 2);
    console_front_lock();
    assert_int_equal(console_follow_read(&f, &s, 10, &b), -EAGAIN);
    assert_tail(NULL, 1, 100, "2\n"); /* who can't wait looks all the same */
    console_front_unlock();
    assert_followed(&f, "2\n");
    console_follow_close(&f);
    buf_fini(&b);
}

static void what_was_removed_unread_is_skipped(void **state)
{
    (void)state;
    struct console_source s = source();
    struct console_follow f;
    struct buf b = {0};
    append("", 0);
    assert_int_equal(console_follow_open(&f, &s, 0, 0, &b), 0);
    append("1\n", 2);
    move_to(TODAY - 1, false);
    append("2\n", 2);
    move_to(TODAY, false);
    append("3\n", 2);
    unlink(beside("fota_monitor.21.log"));
    assert_followed(&f, "2\n3\n");
    console_follow_close(&f);
    buf_fini(&b);
}

static void emptied_replaced_or_late_it_is_read_from_the_beginning(void **state)
{
    (void)state;
    struct console_source s = source();
    struct console_follow f;
    struct buf b = {0};
    assert_int_equal(console_follow_open(&f, &s, 5, 100, &b), 0); /* it is not there yet */
    assert_followed(&f, "");
    append("first\n", 6);
    assert_followed(&f, "first\n");
    assert_int_equal(truncate(log_path, 0), 0);
    append("2\n", 2);
    assert_followed(&f, "2\n");
    append("more\n", 5);
    assert_int_equal(unlink(log_path), 0);
    assert_followed(&f, "more\n"); /* of the file that has no name any more */
    append("new\n", 4);
    assert_followed(&f, "new\n");
    console_follow_close(&f);
    buf_fini(&b);
}

/* A reader in a thread of its own, a writer and rotations at full speed. */

struct reader {
    pthread_t thread;
    atomic_bool stop;
    struct buf text;
};

static void *read_on(void *arg)
{
    struct reader *x = arg;
    struct console_source s = source();
    struct console_follow f;
    if (console_follow_open(&f, &s, 0, 0, &x->text))
        return NULL;
    for (bool last = false; !last;) {
        last = atomic_load(&x->stop);
        for (int r; (r = console_follow_read(&f, &s, 65536, &x->text)) > 0 || r == -EAGAIN;)
            ;
    }
    console_follow_close(&f);
    return NULL;
}

static void many_follow_under_load(void **state)
{
    (void)state;
    struct reader readers[3] = {0};
    append("", 0);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    while (readers[0].text.len < 1) /* all of them have begun when they have read the first line */
        write_lines(1, 30);
    for (int i = 0; i < 60; i++) {
        struct console_rotate r = rotation();
        r.day = TODAY + i / 10;
        r.part = i % 10 != 9;
        write_lines(300, 30);
        rotate(&r);
        write_lines(30, 30);
    }
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        atomic_store(&readers[i].stop, true);
        pthread_join(readers[i].thread, NULL);
        const char *p = buf_str(&readers[i].text), *end = p + readers[i].text.len;
        if (strncmp(p, "line ", 5) != 0) /* it began while a line was being written */
            p = strchr(p, '\n') + 1;
        long n = strtol(p + 5, NULL, 10);
        assert_int_equal(end - p, (next_line - n) * 36);
        for (; *p; p += 36)
            assert_int_equal(strtol(p + 5, NULL, 10), n++);
        buf_fini(&readers[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSOLE_TEST(the_last_lines_are_shown),
        CONSOLE_TEST(they_are_bounded),
        CONSOLE_TEST(what_is_no_log_has_no_lines),
        CONSOLE_TEST(binary_junk_is_kept_in_answers_and_a_text_in_tails),
        CONSOLE_TEST(older_files_are_read_together_with_the_log),
        CONSOLE_TEST(a_line_cut_between_files_is_one),
        CONSOLE_TEST(while_lines_are_in_both_files_they_are_shown_once),
        CONSOLE_TEST(whole_lines_come_since),
        CONSOLE_TEST(what_came_since_is_read_over_a_rotation),
        CONSOLE_TEST(nothing_comes_while_the_front_is_taken_away),
        CONSOLE_TEST(what_is_written_comes),
        CONSOLE_TEST(rotations_are_not_noticed),
        CONSOLE_TEST(while_a_front_changes_they_wait),
        CONSOLE_TEST(what_was_removed_unread_is_skipped),
        CONSOLE_TEST(emptied_replaced_or_late_it_is_read_from_the_beginning),
        CONSOLE_TEST(many_follow_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
