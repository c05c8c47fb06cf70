/* What is made of a table for a terminal. */
#include "screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect(const char *table, bool colours, unsigned width, const char *expected)
{
    struct buf b = {0};
    screen_table(&b, table, colours, width);
    assert_string_equal(buf_str(&b), expected);
    buf_fini(&b);
}

#define HEAD "NAME    STATE     PID  LAST EXIT\n"

static void states_are_coloured(void **state)
{
    (void)state;
    expect(HEAD "a       up        12   -\n", true, 0, HEAD "a       \033[32mup\033[0m        12   -\n");
    expect(HEAD "网关    failed    -    up up\n", true, 0, HEAD "网关    \033[1;31mfailed\033[0m    -    up up\n");
    expect(HEAD "cafe\u0301    stopping  -    -\n", true, 0, HEAD "cafe\u0301    \033[36mstopping\033[0m  -    -\n");
    expect(HEAD "up      upset     -    -\n", true, 0, HEAD "up      upset     -    -\n");
    expect(HEAD "a       up        12   -\n", false, 0, HEAD "a       up        12   -\n");
}

static void lines_are_cut(void **state)
{
    (void)state;
    expect(HEAD "a       up        12   exited with code 3\n", false, 32, HEAD "a       up        12   exited w…\n");
    expect(HEAD "a       up        12   网关网关网\n", false, 32, HEAD "a       up        12   网关网关…\n");
    expect(HEAD "a       waiting   12   x\n", true, 20, "NAME    STATE     P…\na       \033[33mwaiting\033[0m   1…\n");
    expect("NAME      STATE  \nservice12 waiting\n", true, 3, "NAME      STATE  \nservice12 \033[33mwaiting\033[0m\n");
    expect("A NAME AS LONG AS IT GETS STATE\nup                        up\n", true, 21,
           "A NAME AS LONG AS IT…\nup                  …\n");
}

static void what_is_no_table_stays(void **state)
{
    (void)state;
    expect("", true, 80, "");
    expect("up\nand up\n", true, 80, "up\nand up\n");
    expect("no newline", true, 80, "no newline\n");
    expect("a\nNAME STATE \n", true, 80, "a\nNAME STATE \n");
}

static void a_pipe_is_no_screen(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    assert_false(screen_is_capable(ends[1]));
    assert_false(screen_has_colours(ends[1]));
    assert_int_equal(screen_width(ends[1]), 0);
    close(ends[0]);
    close(ends[1]);
}

/* What came out of a pipe since the last time. */
static void expect_written(int fd, const char *expected)
{
    char got[256] = "";
    ssize_t n = read(fd, got, sizeof got - 1);
    got[n > 0 ? n : 0] = 0;
    assert_string_equal(got, expected);
}

static void progress_shows_when_it_is_time(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, 04000), 0); /* O_NONBLOCK */
    struct screen_progress p = {.doing = "restarting", .fd = ends[1], .due_ms = 400};
    screen_progress_tick(&p, 500);
    screen_progress_set(&p, 1, 9, 100);
    screen_progress_erase(&p);
    expect_written(ends[0], "");
    screen_progress_tick(&p, 400);
    screen_progress_set(&p, 2, 9, 500);
    expect_written(ends[0], "\rrestarting 1/9\033[K\rrestarting 2/9\033[K");
    screen_progress_erase(&p);
    screen_progress_erase(&p);
    expect_written(ends[0], "\r\033[K");
    struct screen_progress none = {.fd = ends[1]};
    screen_progress_set(&none, 1, 2, 1000);
    screen_progress_erase(&none);
    expect_written(ends[0], "");
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_coloured),
        cmocka_unit_test(lines_are_cut),
        cmocka_unit_test(what_is_no_table_stays),
        cmocka_unit_test(a_pipe_is_no_screen),
        cmocka_unit_test(progress_shows_when_it_is_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
