/* Copying: what arrives, and how much of the time it takes. */
#include "console_copy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG (64 << 20)

static int temp_file(void)
{
    char path[] = "/dev/shm/copy_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static void a_part_goes_to_its_place(void **state)
{
    (void)state;
    int in = temp_file(), out = temp_file();
    char text[16] = {0};
    assert_int_equal(write(in, "one\ntwo\nthree\n", 14), 14);
    assert_int_equal(write(out, "zero\n", 5), 5);
    assert_int_equal(console_copy(in, 4, 8, out, 5, NULL), 0);
    assert_int_equal(pread(out, text, sizeof text, 0), 9);
    assert_string_equal(text, "zero\ntwo\n");
    assert_int_equal(console_copy(in, 4, 100, out, 5, NULL), -ESTALE);
    close(in);
    close(out);
}

/* Where nothing has to wait for a disk, either. */
static void most_of_the_time_is_left_to_others(void **state)
{
    (void)state;
    int in = temp_file(), out = temp_file();
    struct stat st;
    assert_int_equal(ftruncate(in, BIG), 0);
    int64_t began = console_copy_ns(CLOCK_MONOTONIC), cpu = console_copy_ns(CLOCK_THREAD_CPUTIME_ID);
    assert_int_equal(console_copy(in, 0, BIG, out, 0, NULL), 0);
    int64_t used = console_copy_ns(CLOCK_THREAD_CPUTIME_ID) - cpu, gone = console_copy_ns(CLOCK_MONOTONIC) - began;
    assert_int_equal(fstat(out, &st), 0);
    assert_int_equal(st.st_size, BIG);
    assert_true(gone > 3 * used);
    close(in);
    close(out);
}

static void it_rests_no_longer_than_it_must(void **state)
{
    (void)state;
    atomic_bool stop = true;
    int64_t began = console_copy_ns(CLOCK_MONOTONIC);
    console_copy_rest(INT64_MAX, &stop);
    assert_true(console_copy_ns(CLOCK_MONOTONIC) - began < 10000000000);
    int in = temp_file();
    assert_int_equal(console_copy(in, 0, BIG, in, 0, &stop), -ECANCELED);
    close(in);
    stop = false;
    began = console_copy_ns(CLOCK_MONOTONIC);
    console_copy_rest(120000000, &stop);
    assert_true(console_copy_ns(CLOCK_MONOTONIC) - began >= 120000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_goes_to_its_place),
        cmocka_unit_test(most_of_the_time_is_left_to_others),
        cmocka_unit_test(it_rests_no_longer_than_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
