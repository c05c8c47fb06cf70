/* Whether changes of a file are told: real files, a loop of its own. */
#include "filewatch.h"

#include "clock.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define PATIENCE_MS 5000
#define QUIET_MS 100

static char dir[64], path[96], other[96];
static uv_loop_t loop;
static struct filewatch *watch;
static int told;

static void changed(void *arg)
{
    assert_ptr_equal(arg, &told);
    told++;
}

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/filewatch_test.XXXXXX");
    if (!mkdtemp(dir) || uv_loop_init(&loop))
        return -1;
    snprintf(path, sizeof path, "%s/log", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    told = 0;
    watch = filewatch_new(&loop, path, changed, &told);
    return watch ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    filewatch_free(watch);
    uv_run(&loop, UV_RUN_DEFAULT);
    unlink(path);
    unlink(other);
    return uv_loop_close(&loop) || rmdir(dir);
}

static void append(const char *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void turn(int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;
    for (int before = told; told == before && clock_mono_ms() < end; poll(NULL, 0, 1))
        uv_run(&loop, UV_RUN_NOWAIT);
}

static void assert_told(int times)
{
    turn(PATIENCE_MS);
    assert_int_equal(told, times);
}

static void assert_quiet(int times)
{
    turn(QUIET_MS);
    assert_int_equal(told, times);
}

static void a_change_is_told_once(void **state)
{
    (void)state;
    append(path);
    assert_true(filewatch_arm(watch));
    assert_quiet(0);
    append(path);
    assert_told(1);
    append(path);
    assert_quiet(1);
    assert_true(filewatch_arm(watch));
    assert_int_equal(truncate(path, 1), 0);
    assert_told(2);
    assert_true(filewatch_arm(watch));
    filewatch_disarm(watch);
    append(path);
    assert_quiet(2);
}

static void neighbours_are_not_told(void **state)
{
    (void)state;
    append(path);
    append(other);
    assert_true(filewatch_arm(watch));
    append(other);
    assert_quiet(0);
    append(path);
    assert_told(1);
}

static void comings_and_goings(void **state)
{
    (void)state;
    assert_true(filewatch_arm(watch));
    append(path);
    assert_told(1);
    assert_true(filewatch_arm(watch));
    assert_int_equal(rename(path, other), 0);
    assert_told(2);
    assert_true(filewatch_arm(watch));
    assert_int_equal(rename(other, path), 0);
    assert_told(3);
    assert_true(filewatch_arm(watch));
    unlink(path);
    assert_told(4);
}

static void the_target_of_a_link(void **state)
{
    (void)state;
    char target[] = "/tmp/filewatch_target.XXXXXX";
    close(mkstemp(target));
    assert_int_equal(symlink(target, path), 0);
    assert_true(filewatch_arm(watch));
    append(target);
    assert_told(1);
    unlink(target);
}

static void without_a_folder(void **state)
{
    (void)state;
    struct filewatch *w = filewatch_new(&loop, "/nonexistent/log", changed, &told);
    assert_false(filewatch_arm(w));
    filewatch_free(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_told_once), TEST(neighbours_are_not_told), TEST(comings_and_goings),
        TEST(the_target_of_a_link),  TEST(without_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
