/* The console log: opened for appending whatever lies there, and its end. */
#include "console.h"

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

static char dir[64], path[96];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/console_test.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (rmdir(path))
        unlink(path);
    return rmdir(dir);
}

static void write_log(const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void assert_tail(const char *text, int lines, size_t bytes, const char *expected)
{
    write_log(text, strlen(text));
    char *got = console_tail(path, lines, bytes);
    if (expected) {
        assert_non_null(got);
        assert_string_equal(got, expected);
    } else {
        assert_null(got);
    }
    free(got);
}

static void creates_and_appends(void **state)
{
    (void)state;
    mode_t old = umask(022);
    for (int i = 0; i < 2; i++) {
        int fd = console_open(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "line\n", 5), 5);
        assert_true(fcntl(fd, F_GETFL) & O_APPEND);
        assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK); /* a service must not meet EAGAIN */
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
    }
    umask(old);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 10);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void two_writers_do_not_overwrite_each_other(void **state)
{
    (void)state;
    int a = console_open(path), b = console_open(path);
    assert_true(a >= 0 && b >= 0);
    assert_int_equal(write(a, "1\n", 2), 2);
    assert_int_equal(write(b, "2\n", 2), 2);
    assert_int_equal(write(a, "3\n", 2), 2);
    close(a);
    close(b);
    char *text = console_tail(path, 10, 100);
    assert_non_null(text);
    assert_string_equal(text, "1\n2\n3\n");
    free(text);
}

static void refuses_what_is_no_file_without_waiting(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(console_open(path), -ENOTSUP);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(console_open(path), -ENOTSUP);
    close(reader);
    assert_null(console_tail(path, 1, 100));
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(console_open(path), -EISDIR);
    assert_null(console_tail(path, 1, 100));
    rmdir(path);
    assert_int_equal(console_open("/nonexistent/folder/log"), -ENOENT);
}

static void follows_links_of_ours_only(void **state)
{
    (void)state;
    char other[96];
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(symlink(other, path), 0);
    int fd = console_open(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(access(other, F_OK), 0);
    if (geteuid() == 0) {
        assert_int_equal(lchown(path, 65534, 65534), 0);
        assert_int_equal(console_open(path), -EPERM);
        assert_null(console_tail(path, 5, 100));
    }
    unlink(other);
}

static void a_device_will_do(void **state)
{
    (void)state;
    int fd = console_open("/dev/null");
    assert_true(fd >= 0);
    close(fd);
    assert_null(console_tail("/dev/null", 1, 100));
}

static void tail_shows_the_last_lines(void **state)
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

static void size_of_what_is_no_file(void **state)
{
    (void)state;
    write_log("12345", 5);
    assert_int_equal(console_size(path), 5);
    unlink(path);
    assert_int_equal(console_size(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(console_size(path), 0);
}

static void tail_is_bounded(void **state)
{
    (void)state;
    assert_tail("0123456789\nabcdef\n", 5, 4, "def\n");
    assert_tail("0123456789\nabcdef", 5, 4, "cdef\n");
    char big[20000];
    memset(big, 'x', sizeof big);
    write_log(big, sizeof big);
    char *text = console_tail(path, 20, 4096);
    assert_non_null(text);
    assert_int_equal(strlen(text), 4097); /* with the newline that was missing */
    free(text);
}

static void tail_of_a_missing_file(void **state)
{
    (void)state;
    assert_null(console_tail(path, 5, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creates_and_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(two_writers_do_not_overwrite_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_file_without_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_links_of_ours_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_will_do, setup, teardown),
        cmocka_unit_test_setup_teardown(tail_shows_the_last_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(size_of_what_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(tail_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(tail_of_a_missing_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
