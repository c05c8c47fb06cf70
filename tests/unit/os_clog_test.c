#include "clog.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int kept, ends[2];

static int setup(void **state)
{
    (void)state;
    kept = dup(STDERR_FILENO);
    return kept < 0 || pipe(ends) || dup2(ends[1], STDERR_FILENO) < 0;
}

static int teardown(void **state)
{
    (void)state;
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[0]);
    close(ends[1]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(never_waits_for_a_reader, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
