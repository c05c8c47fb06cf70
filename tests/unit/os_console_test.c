/* The console log: opened for appending, whatever lies there. */
#include "console.h"
#include "console_look.h"

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
    char text[8] = "";
    int fd = console_open_as(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 6);
    assert_string_equal(text, "1\n2\n3\n");
    close(fd);
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
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(console_open(path), -EISDIR);
    assert_int_equal(console_open_as(path, O_RDONLY), -EISDIR);
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
        assert_int_equal(console_open_as(path, O_RDONLY), -EPERM);
    }
    unlink(other);
}

static void a_device_will_do(void **state)
{
    (void)state;
    int fd = console_open("/dev/null");
    assert_true(fd >= 0);
    close(fd);
}

/* A file remembers when it was made, a copy of one does not. */
static void tells_since_when_it_is_there(void **state)
{
    (void)state;
    int fd = console_open(path);
    struct stat st;
    struct statx x;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &x) || !(x.stx_mask & STATX_BTIME))
        skip();
    for (int days = -1; days <= 1; days++) {
        struct timespec t = {.tv_sec = st.st_mtim.tv_sec + days * 86400, .tv_nsec = st.st_mtim.tv_nsec};
        assert_int_equal(futimens(fd, (struct timespec[]){t, t}), 0);
        struct console_look look;
        console_look(path, &look);
        assert_int_equal(look.error, 0);
        assert_int_equal(look.mtime_ms, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
        assert_int_equal(look.since_ms,
                         days < 0 ? 0 : (int64_t)x.stx_btime.tv_sec * 1000 + x.stx_btime.tv_nsec / 1000000);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creates_and_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(two_writers_do_not_overwrite_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_file_without_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_links_of_ours_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_will_do, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_since_when_it_is_there, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
