/* Which files are old days of a log, and which of them are removed. */
#include "console_prune.h"
#include "os_console_fixture.h"

static int prune(int keep_days, const char *format)
{
    struct console_name n;
    assert_int_equal(console_name_init(&n, log_path, format, NULL), 0);
    int r = console_prune(&n, TODAY, keep_days);
    console_name_fini(&n);
    return r;
}

static void write_day(const char *file, int days_ago)
{
    write_file(file, "x\n", NOON_MS - days_ago * DAY_MS);
}

static bool is_there(const char *file)
{
    return access(beside(file), F_OK) == 0;
}

static void files_older_than_keep_days_are_removed(void **state)
{
    (void)state;
    write_day("fota_monitor.log", 100);
    write_day("fota_monitor.22.log", 0);
    write_day("fota_monitor.21.log", 1);
    write_day("fota_monitor.20.log", 2);
    write_day("fota_monitor.20.1.log", 2);
    write_day("fota_monitor.19.12.log", 3);
    assert_int_equal(prune(3, "%-d"), 0);
    assert_int_equal(prune(2, "%-d"), 1);
    assert_int_equal(prune(1, "%-d"), 2);
    assert_true(is_there("fota_monitor.21.log"));
    assert_int_equal(prune(0, "%-d"), 1);
    assert_true(is_there("fota_monitor.22.log"));
    assert_true(is_there("fota_monitor.log"));
    assert_int_equal(prune(0, "%-d"), 0);
}

static void what_is_not_ours_stays(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        "fota_monitor.21.log", /* not of that day */
        "fota_monitor.12.log.gz",  "fota_monitor.12",        "fota_monitor.12.x.log",
        "fota_monitor.12..log",    "fota_monitor.12.01.log", "fota_monitor.012.log",
        "fota_monitor.backup.log", "xfota_monitor.12.log",   "fota_monitor.2026-10-12.log",
    };
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        write_day(foreign[i], 41); /* the 12th of October */
    write_day("fota_monitor.12.log", 41);
    write_day("victim", 41);
    assert_int_equal(symlink(beside("victim"), beside("fota_monitor.12.1.log")), 0);
    set_time("fota_monitor.12.1.log", NOON_MS - 41 * DAY_MS);
    assert_int_equal(mkdir(beside("fota_monitor.12.2.log"), 0700), 0);
    set_time("fota_monitor.12.2.log", NOON_MS - 41 * DAY_MS);
    assert_int_equal(prune(30, "%-d"), 1);
    assert_false(is_there("fota_monitor.12.log"));
    assert_true(is_there("victim"));
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        assert_true(is_there(foreign[i]));
    assert_int_equal(prune(30, "%Y-%m-%d"), 1);
    assert_false(is_there("fota_monitor.2026-10-12.log"));
}

/* Logs of services "web" and "web.12" in one folder: the one's log is named as an old day of the other. */
static void the_log_of_another_service_stays(void **state)
{
    (void)state;
    char *others[] = {strdup(beside("web.12.log")), NULL};
    struct console_name n;
    write_day("web.12.log", 41);
    write_day("web.12.1.log", 41);
    assert_int_equal(console_name_init(&n, beside("web.log"), "%-d", others), 0);
    assert_int_equal(console_prune(&n, TODAY, 30), 1);
    assert_true(is_there("web.12.log"));
    console_name_fini(&n);
    free(others[0]);
}

static void a_change_of_time_zone_makes_no_difference(void **state)
{
    (void)state;
    write_file("fota_monitor.12.log", "x\n", (TODAY - 41) * DAY_MS + 3600000); /* at one o'clock */
    setenv("TZ", "XXX+5", 1);                                                  /* there it was the 11th */
    day_refresh_zone();
    assert_int_equal(prune(30, "%-d"), 1);
}

static void logs_may_have_any_name(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"console", "console.22"}, {".hidden", ".hidden.22"}, {"a.b.out", "a.b.22.out"}, {"x.", "x.22."}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct console_name n;
        char file[NAME_MAX + 1];
        assert_int_equal(console_name_init(&n, names[i][0], "%-d", NULL), 0);
        assert_string_equal(n.dir, ".");
        assert_int_equal(console_name_make(&n, TODAY, 0, file), 0);
        assert_string_equal(file, names[i][1]);
        console_name_fini(&n);
    }
    struct console_name n;
    char file[NAME_MAX + 1], longest[NAME_MAX + 2];
    memset(longest, 'x', NAME_MAX);
    longest[0] = '/';
    longest[NAME_MAX] = 0;
    assert_int_equal(console_name_init(&n, longest, "%-d", NULL), 0);
    assert_string_equal(n.dir, "/");
    assert_int_equal(console_name_make(&n, TODAY, 0, file), -ENAMETOOLONG);
    console_name_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSOLE_TEST(files_older_than_keep_days_are_removed),
        CONSOLE_TEST(what_is_not_ours_stays),
        CONSOLE_TEST(the_log_of_another_service_stays),
        CONSOLE_TEST(a_change_of_time_zone_makes_no_difference),
        CONSOLE_TEST(logs_may_have_any_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
