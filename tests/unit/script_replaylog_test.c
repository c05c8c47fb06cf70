/* Journals read for a replay: their order, their times, what belongs together. */
#include "replaylog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char paths[2][64];
static struct replaylog rl;
static struct err err;

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        strcpy(paths[i], "/tmp/fm-replay-XXXXXX");
        int fd = mkstemp(paths[i]);
        if (fd < 0)
            return -1;
        close(fd);
    }
    memset(&err, 0, sizeof err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    replaylog_fini(&rl);
    return unlink(paths[0]) | unlink(paths[1]);
}

static void write_file(int i, const char *text)
{
    FILE *f = fopen(paths[i], "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
}

static bool read_both(void)
{
    const char *files[] = {paths[0], paths[1]};
    return replaylog_read(&rl, files, 2, &err);
}

static const struct replay_event *event(uint64_t seq)
{
    const struct replay_event *e = replaylog_find(&rl, seq);
    assert_non_null(e);
    return e;
}

static void files_are_one_whatever_their_order(void **state)
{
    (void)state;
    write_file(0, "{\"seq\":3,\"time\":12.000,\"mono\":3.000,\"service\":\"a\",\"kind\":\"up\",\"pid\":7}\n");
    write_file(1, "{\"seq\":1,\"time\":10.000,\"mono\":1.000,\"kind\":\"monitor\",\"text\":\"x\"}\n\n"
                  "{\"seq\":2,\"time\":11.000,\"mono\":2.000,\"service\":\"a\",\"kind\":\"starting\",\"cause\":1}\r\n"
                  "{\"seq\":3,\"time\":12.000,\"mono\":3.000,\"service\":\"a\",\"kind\":\"up\",\"pid\":7}\n");
    assert_true(read_both());
    assert_int_equal(rl.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rl.events[i].seq, i + 1);
    assert_null(rl.events[0].service);
    assert_string_equal(rl.events[2].service, "a");
    assert_null(replaylog_find(&rl, 4));
}

static void time_goes_on_over_clocks_that_are_set_and_boots(void **state)
{
    (void)state;
    write_file(0, "{\"seq\":1,\"time\":1000.000,\"mono\":50.000,\"kind\":\"monitor\"}\n"
                  "{\"seq\":2,\"time\":9000.000,\"mono\":51.500,\"kind\":\"monitor\"}\n" /* the clock was set */
                  "{\"seq\":3,\"time\":9100.000,\"mono\":2.000,\"kind\":\"monitor\"}\n"  /* a boot */
                  "{\"seq\":4,\"time\":500.000,\"mono\":1.000,\"kind\":\"monitor\"}\n"   /* both */
                  "{\"seq\":5,\"time\":501.000,\"mono\":2.000,\"kind\":\"monitor\"}\n");
    assert_true(read_both());
    static const int64_t at[] = {0, 1500, 101500, 101500, 102500};
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        assert_int_equal(rl.events[i].at_ms, at[i]);
}

/* An end, the decision on it, and what came of that, for each kind of decision. */
static void decisions_are_what_came_of_them(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        enum decision_kind kind;
    } rows[] = {{"waiting", DECISION_RESTART},
                {"starting", DECISION_RESTART},
                {"down", DECISION_STOP},
                {"failed", DECISION_FAIL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"seq\":1,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"exit\",\"count\":1}\n"
                 "{\"seq\":2,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"decision\",\"cause\":1,"
                 "\"duration\":2.500,\"text\":\"whatever\"}\n"
                 "{\"seq\":3,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"%s\",\"cause\":2}\n",
                 rows[i].state);
        write_file(0, text);
        assert_true(read_both());
        assert_ptr_equal(event(1)->decision, event(2));
        assert_int_equal(event(2)->outcome.kind, rows[i].kind);
        assert_int_equal(event(2)->outcome.delay_ms, 2500);
        replaylog_fini(&rl);
    }
}

/* The journal ends behind it. */
static void a_decision_of_which_nothing_came_is_what_it_says(void **state)
{
    (void)state;
    write_file(0, "{\"seq\":1,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"decision\","
                  "\"text\":\"policy p (x:1): give up: enough\"}\n"
                  "{\"seq\":2,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"decision\","
                  "\"text\":\"policy p (x:1): leave it down\"}\n"
                  "{\"seq\":3,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"decision\","
                  "\"duration\":1.000,\"text\":\"policy give up (x:1): try again later\"}\n");
    assert_true(read_both());
    assert_int_equal(event(1)->outcome.kind, DECISION_FAIL);
    assert_int_equal(event(2)->outcome.kind, DECISION_STOP);
    assert_int_equal(event(3)->outcome.kind, DECISION_RESTART);
    assert_int_equal(event(3)->outcome.delay_ms, 1000);
}

static void the_next_start_is_that_of_the_same_service(void **state)
{
    (void)state;
    write_file(0, "{\"seq\":1,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"down\"}\n"
                  "{\"seq\":2,\"time\":1.000,\"mono\":1.000,\"service\":\"b\",\"kind\":\"starting\"}\n"
                  "{\"seq\":3,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"spawn_fail\","
                  "\"text\":\"chdir /x: Permission denied\"}\n"
                  "{\"seq\":4,\"time\":1.000,\"mono\":1.000,\"service\":\"a\",\"kind\":\"starting\"}\n");
    assert_true(read_both());
    assert_ptr_equal(event(1)->next, event(3));
    assert_null(event(2)->next);
    assert_ptr_equal(event(3)->next, event(4));
    assert_null(event(4)->next);
    assert_int_equal(replaylog_error(event(3)), EACCES);
    assert_int_equal(replaylog_error(event(4)), ENOENT);
}

static void what_can_not_be_read_is_said(void **state)
{
    (void)state;
    char message[128];
    assert_false(read_both());
    snprintf(message, sizeof message, "%s: there is no event in it", paths[0]);
    assert_string_equal(err.text, message);
    const char *nowhere[] = {"/nonexistent/x"};
    assert_false(replaylog_read(&rl, nowhere, 1, &err));
    assert_string_equal(err.text, "/nonexistent/x can't be read: No such file or directory");
    const char *folder[] = {"/tmp"};
    assert_false(replaylog_read(&rl, folder, 1, &err));
    assert_string_equal(err.text, "/tmp can't be read: Is a directory");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_one_whatever_their_order),
        TEST(time_goes_on_over_clocks_that_are_set_and_boots),
        TEST(decisions_are_what_came_of_them),
        TEST(a_decision_of_which_nothing_came_is_what_it_says),
        TEST(the_next_start_is_that_of_the_same_service),
        TEST(what_can_not_be_read_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
