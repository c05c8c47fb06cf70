/* When the lines of the logs move, over a clock that is set at will: the logs are real files, whose times are those of
 * the simulated world. */
#include "console_front.h"
#include "console_rotate.h"
#include "consoles.h"
#include "core_fixture.h"
#include "day.h"
#include "reconf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define SECOND ((int64_t)1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static void set_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    day_refresh_zone();
}

/* Wall clock of a local time. */
static int64_t at(int month, int day, int hour, int minute)
{
    struct tm tm = {
        .tm_year = 126, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_isdst = -1};
    return (int64_t)mktime(&tm) * 1000;
}

static int64_t wall(void)
{
    return fx.w->ops->wall_ms(fx.w);
}

static const char *in_dir(const char *name, const char *file)
{
    static char path[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s/%s", fx.dir, name, file);
    return path[i];
}

static void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.'))
            continue;
        if (unlink(path))
            remove_tree(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static int setup(void **state)
{
    set_zone("UTC0");
    if (fixture_setup(state))
        return -1;
    world_sim_set_wall(fx.w, at(11, 22, 12, 0));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_die();
    world_sim_free(fx.w);
    remove_tree(fx.dir);
    return access(fx.dir, F_OK) == 0;
}

#define CONSOLES_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A configuration of services that log in folders of their own. */
static struct conf *conf_of(const char *const *names, size_t n)
{
    struct conf *c = fixture_conf_of(names, n);
    for (size_t i = 0; i < n; i++) {
        mkdir(in_dir(names[i], ""), 0755);
        c->svrs[i].dir = strdup(in_dir(names[i], "."));
        c->svrs[i].log = strdup(in_dir(names[i], "fota_monitor.log"));
    }
    return c;
}

#define conf(...) conf_of((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

/* The service writes to its log, now. */
static void say(const char *name, const char *text)
{
    const char *path = in_dir(name, "fota_monitor.log");
    struct timespec t = {.tv_sec = wall() / 1000, .tv_nsec = wall() % 1000 * 1000000};
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(futimens(fd, (struct timespec[]){t, t}), 0);
    close(fd);
}

static void assert_text(const char *name, const char *file, const char *expected)
{
    char text[8192];
    struct stat st;
    struct console_front front;
    int fd = open(in_dir(name, file), O_RDONLY);
    if (fd < 0 && expected)
        fail_msg("there is no %s", file);
    if (fd >= 0 && !expected)
        fail_msg("there is a %s", file);
    if (fd < 0)
        return;
    fstat(fd, &st);
    console_front_read(fd, st.st_size, &front);
    ssize_t n = pread(fd, text, sizeof text - 1, front.start);
    close(fd);
    text[MAX(n, 0)] = 0;
    assert_string_equal(text, expected);
}

static void assert_live(const char *name, const char *expected)
{
    assert_text(name, "fota_monitor.log", expected);
}

static void assert_day(const char *name, int day, const char *expected)
{
    char file[64];
    snprintf(file, sizeof file, "fota_monitor.%d.log", day);
    assert_text(name, file, expected);
}

static void run_to(int64_t time)
{
    assert_true(time >= wall());
    run(time - wall());
}

/* The monitor ends, and another one is started. */
static void restart(struct conf *c)
{
    fixture_die();
    fixture_begin(c);
    run(0);
}

/* ---- days */

static void lines_move_at_midnight(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    run_to(at(11, 23, 0, 0) - 1);
    assert_live("a", "one\n");
    run(2);
    assert_day("a", 22, "one\n");
    assert_live("a", "");
    say("a", "two\n");
    run_to(at(11, 25, 12, 0));
    assert_day("a", 23, "two\n");
    assert_day("a", 24, NULL); /* nothing was written */
    assert_int_equal(consoles_counts(fx.m->consoles)->rotations, 2);
    assert_int_equal(consoles_counts(fx.m->consoles)->bytes, 8);
    assert_int_equal(consoles_counts(fx.m->consoles)->failures, 0);
}

/* Somebody holds the log when midnight comes: what is written meanwhile is of the new day. */
static void the_cut_is_at_midnight_however_late_lines_move(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    int fd = open(in_dir("a", "fota_monitor.log"), O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    run_to(at(11, 23, 3, 0));
    say("a", "two\n");
    assert_live("a", "one\ntwo\n");
    close(fd);
    run(2 * SECOND);
    assert_day("a", 22, "one\n");
    assert_live("a", "two\n");
    assert_int_equal(count_events("a", EVENT_LOG), 0); /* another monitor at it is no trouble */
    run_to(at(11, 24, 1, 0));
    assert_day("a", 23, "two\n");
}

static void two_midnights_may_wait(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    int fd = open(in_dir("a", "fota_monitor.log"), O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    run_to(at(11, 23, 3, 0));
    say("a", "two\n");
    run_to(at(11, 24, 3, 0));
    say("a", "three\n");
    close(fd);
    run(2 * SECOND);
    assert_day("a", 22, "one\n");
    assert_day("a", 23, "two\n");
    assert_live("a", "three\n");
}

static void the_name_of_the_day_is_configured(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    fixture_set(&c->log.day, "%Y-%m-%d");
    fixture_up(c);
    say("a", "one\n");
    run_to(at(11, 23, 1, 0));
    assert_text("a", "fota_monitor.2026-11-22.log", "one\n");
}

static void last_months_day_is_replaced(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    c->log.keep_days = 100;
    fixture_up(c);
    say("a", "november\n");
    run_to(at(12, 22, 12, 0));
    assert_day("a", 22, "november\n");
    say("a", "december\n");
    run_to(at(12, 23, 12, 0));
    assert_day("a", 22, "december\n");
}

static void old_days_are_removed_at_midnight(void **state)
{
    (void)state;
    struct conf *c = conf("a", "b");
    c->log.keep_days = 2;
    fixture_up(c);
    for (int day = 22; day < 26; day++) {
        say("a", "a\n");
        say("b", "b\n");
        run(DAY);
    }
    assert_day("a", 22, NULL);
    assert_day("b", 23, NULL);
    assert_day("a", 24, "a\n");
    assert_day("b", 25, "b\n");
    c = conf("a", "b");
    c->log.keep_days = 0;
    restart(c);
    assert_day("a", 24, "a\n"); /* services come first */
    run(2000);
    assert_day("a", 24, NULL);
    assert_day("b", 25, NULL);
}

/* ---- midnights that were missed */

static void a_midnight_missed_is_made_up_for_before_services_start(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    say("a", "one\n");
    world_sim_set_wall(fx.w, at(11, 23, 9, 0));
    fixture_begin(c);
    for (int i = 0; i < 1000 && access(in_dir("a", "fota_monitor.22.log"), F_OK); i++) {
        assert_int_equal(world_sim_spawns(fx.w), 0);
        world_sim_advance(fx.w, 0);
    }
    await("a", STATE_UP, 60000);
    assert_day("a", 22, "one\n");
    assert_live("a", "");
}

/* Down for three days in which the service wrote nothing: its lines are of the day of the last one. */
static void down_for_three_days_with_a_quiet_service(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    fixture_die();
    world_sim_set_wall(fx.w, at(11, 25, 9, 0));
    fixture_up(conf("a"));
    assert_day("a", 22, "one\n");
    assert_live("a", "");
}

/* Down for three days in which the service went on: nobody can tell its lines apart. */
static void down_for_three_days_with_a_busy_service(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    run_to(at(11, 23, 9, 0));
    say("a", "one\n");
    run(HOUR); /* now it is known since when there is a log; when the file was made no test can choose */
    fixture_die();
    for (int day = 23; day <= 26; day++) {
        world_sim_set_wall(fx.w, at(11, day, 10, 0));
        say("a", "day\n");
    }
    world_sim_set_wall(fx.w, at(11, 26, 11, 0));
    fixture_begin(conf("a"));
    run(5 * SECOND);
    assert_day("a", 25, "one\nday\nday\nday\nday\n"); /* yesterday, the last day that is over */
    assert_day("a", 23, NULL);
    say("a", "new\n");
    run_to(at(11, 27, 0, 1));
    assert_day("a", 26, "new\n");
}

static void down_since_the_day_before_last(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    fixture_die();
    world_sim_set_wall(fx.w, at(11, 24, 10, 0));
    say("a", "two\n");
    world_sim_set_wall(fx.w, at(11, 26, 11, 0));
    fixture_up(conf("a"));
    assert_day("a", 24, "one\ntwo\n"); /* when the last line was written */
}

static void a_restart_within_the_day_moves_nothing(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    run(HOUR);
    restart(conf("a"));
    run(HOUR);
    say("a", "two\n");
    restart(conf("a"));
    run(HOUR);
    assert_live("a", "one\ntwo\n");
    run_to(at(11, 23, 1, 0));
    assert_day("a", 22, "one\ntwo\n");
    /* The file is from yesterday, and was empty at midnight: that is remembered. */
    say("a", "three\n");
    restart(conf("a"));
    run(HOUR);
    assert_live("a", "three\n");
    run_to(at(11, 24, 1, 0));
    run_to(at(11, 25, 1, 0));
    say("a", "four\n");
    restart(conf("a"));
    run(HOUR);
    assert_live("a", "four\n");
}

/* The file tells itself when it was last rotated. */
static void without_its_memory_the_banner_tells(void **state)
{
    (void)state;
    char memory[128];
    snprintf(memory, sizeof memory, "%s/test.logs", fx.dir);
    fixture_up(conf("a"));
    say("a", "one\n");
    run_to(at(11, 23, 8, 0));
    say("a", "two\n");
    fixture_die();
    FILE *f = fopen(memory, "w");
    fputs("garbage\n-5 x y /\n1 2 3\n\n99999999999999999999999 1 1 /x", f);
    fclose(f);
    fixture_begin(conf("a"));
    run(HOUR);
    assert_live("a", "two\n");
    fixture_die();
    unlink(memory);
    world_sim_set_wall(fx.w, at(11, 24, 8, 0));
    say("a", "three\n");
    fixture_begin(conf("a"));
    run(HOUR);
    assert_day("a", 23, "two\nthree\n");
}

/* Nothing is known of it but that the file was made before today: a midnight was missed. */
static void a_log_met_for_the_first_time(void **state)
{
    (void)state;
    struct conf *c = conf("a", "b");
    struct timespec now;
    char day[32], file[64];
    clock_gettime(CLOCK_REALTIME, &now);
    world_sim_set_wall(fx.w, (day_of((int64_t)now.tv_sec * 1000) + 5) * DAY + DAY / 2);
    day_name(day_of(wall()) - 1, "%-d", day, sizeof day);
    snprintf(file, sizeof file, "fota_monitor.%s.log", day);
    say("a", "one\n");
    fixture_begin(c);
    run(5 * SECOND);
    assert_text("a", file, "one\n");
    /* One that is made while the monitor runs has just begun. */
    say("b", "one\n");
    run(DAY / 4);
    say("b", "two\n");
    assert_live("b", "one\ntwo\n");
}

/* ---- clocks and zones */

static void the_clock_is_set_forward(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    run(HOUR);
    world_sim_set_wall(fx.w, at(11, 27, 15, 0));
    say("a", "two\n"); /* before we know */
    run(61 * SECOND);
    assert_day("a", 22, "one\ntwo\n");
    assert_live("a", "");
    say("a", "three\n");
    run_to(at(11, 28, 0, 1));
    assert_day("a", 27, "three\n");
}

static void the_clock_is_set_back(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    run_to(at(11, 23, 0, 10));
    assert_day("a", 22, "one\n");
    say("a", "two\n");
    world_sim_set_wall(fx.w, at(11, 22, 23, 50));
    run(61 * SECOND);
    assert_day("a", 23, "two\n"); /* under that date they were written */
    say("a", "three\n");
    run_to(at(11, 23, 0, 10));
    assert_day("a", 22, "one\nthree\n");
    say("a", "four\n");
    run_to(at(11, 24, 0, 10));
    assert_day("a", 23, "two\nfour\n");
}

/* A wrong clock must not cost old logs. */
static void a_jump_of_the_clock_removes_nothing(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    run_to(at(11, 23, 1, 0));
    world_sim_set_wall(fx.w, at(12, 31, 12, 0) + 3650 * DAY);
    run(HOUR);
    world_sim_set_wall(fx.w, at(11, 23, 3, 0));
    run(HOUR);
    assert_day("a", 22, "one\n");
}

static void the_clock_was_set_back_while_the_monitor_was_down(void **state)
{
    (void)state;
    world_sim_set_wall(fx.w, at(11, 30, 12, 0));
    fixture_up(conf("a"));
    say("a", "one\n");
    fixture_die();
    world_sim_set_wall(fx.w, at(11, 22, 12, 0));
    fixture_up(conf("a"));
    assert_day("a", 30, "one\n");
    run(2 * DAY);
    assert_int_equal(consoles_counts(fx.m->consoles)->rotations, 1);
}

/* The monitor stood still for days, the service did not. */
static void a_monitor_that_was_stopped(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    world_sim_set_wall(fx.w, at(11, 24, 15, 0));
    say("a", "two\n");
    world_sim_set_wall(fx.w, at(11, 27, 15, 0));
    run(61 * SECOND);
    assert_day("a", 24, "one\ntwo\n");
}

static void days_of_23_and_25_hours(void **state)
{
    (void)state;
    set_zone("CET-1CEST,M3.5.0,M10.5.0/3");
    static const int changes[][2] = {{3, 29}, {10, 25}};
    world_sim_set_wall(fx.w, at(3, 28, 12, 0));
    fixture_up(conf("a"));
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        int month = changes[i][0], day = changes[i][1];
        world_sim_set_wall(fx.w, at(month, day, 1, 30));
        run(61 * SECOND);
        uint64_t before = consoles_counts(fx.m->consoles)->rotations;
        say("a", "night\n");
        run_to(at(month, day, 4, 30)); /* the clocks have changed */
        say("a", "morning\n");
        run_to(at(month, day + 1, 0, 0) - 1);
        assert_int_equal(consoles_counts(fx.m->consoles)->rotations, before);
        run(2);
        assert_day("a", day, "night\nmorning\n");
        assert_live("a", "");
    }
}

static void a_day_without_a_midnight(void **state)
{
    (void)state;
    set_zone(
        "XXX3YYY,M10.3.0/0,M2.3.0/0"); /* clocks go on at midnight of October 18, and back at that of February 15 */
    world_sim_set_wall(fx.w, at(10, 17, 23, 59));
    fixture_up(conf("a"));
    say("a", "one\n");
    run(60 * SECOND + 2);
    assert_day("a", 17, "one\n");
    world_sim_set_wall(fx.w, at(2, 14, 12, 0));
    run(61 * SECOND);
    say("a", "noon\n");
    run(11 * HOUR + 58 * 60 * SECOND); /* 23:59, for the first time */
    say("a", "one\n");
    run(HOUR); /* 23:59 again */
    say("a", "two\n");
    assert_live("a", "noon\none\ntwo\n");
    run(60 * SECOND);
    assert_day("a", 14, "noon\none\ntwo\n");
}

static void the_time_zone_changes(void **state)
{
    (void)state;
    world_sim_set_wall(fx.w, at(11, 22, 20, 0));
    fixture_up(conf("a"));
    say("a", "one\n");
    setenv("TZ", "XXX-8", 1); /* there it is the 23rd, 4 o'clock; nobody tells the monitor */
    run(61 * SECOND);
    assert_day("a", 22, "one\n");
    say("a", "two\n");
    run_to(at(11, 24, 0, 0) + 10);
    assert_day("a", 23, "two\n");
    say("a", "three\n");
    setenv("TZ", "UTC0", 1);
    run(61 * SECOND); /* the 23rd again */
    assert_day("a", 24, "three\n");
    restart(conf("a"));
    run(HOUR);
    assert_int_equal(consoles_counts(fx.m->consoles)->rotations, 0);
}

/* ---- sizes */

static void a_log_that_grows_moves_in_parts(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    char big[202];
    memset(big, 'x', 200);
    strcpy(big + 200, "\n");
    c->log.max_size = 300;
    fixture_up(c);
    for (int i = 0; i < 4; i++) {
        say("a", big);
        run(2 * SECOND);
    }
    char two[404];
    snprintf(two, sizeof two, "%s%s", big, big);
    assert_text("a", "fota_monitor.22.1.log", two);
    assert_text("a", "fota_monitor.22.2.log", two);
    say("a", "rest\n");
    run_to(at(11, 23, 0, 1));
    assert_day("a", 22, "rest\n");
    for (int i = 0; i < 2; i++)
        say("a", big);
    run(2 * SECOND);
    assert_text("a", "fota_monitor.23.1.log", two);
    assert_live("a", "");
}

static void another_limit_holds_from_a_reload_on(void **state)
{
    (void)state;
    struct err err = {0};
    struct reconf plan;
    fixture_up(conf("a"));
    say("a", "one\ntwo\nthree\n");
    run(10 * SECOND);
    struct conf *c = conf("a", "b");
    c->log.max_size = 10;
    say("b", "yesterday\n");
    world_sim_set_wall(fx.w, at(11, 23, 11, 0));
    run(60 * SECOND);
    say("a", "one\ntwo\nthree\n");
    assert_int_equal(reconf_plan(fx.m, c, &plan), 0);
    assert_true(reconf_apply(fx.m, c, &plan, command("reload"), &err));
    reconf_fini(&plan);
    run(5 * SECOND);
    assert_text("a", "fota_monitor.23.1.log", "one\ntwo\nthree\n");
    assert_day("b", 22, "yesterday\n"); /* a log that has joined is looked at as at a start */
}

/* ---- shared, odd and broken ones */

static void a_shared_log_moves_once(void **state)
{
    (void)state;
    struct conf *c = conf("a", "b", "c");
    fixture_set(&c->svrs[1].log, in_dir("a", "fota_monitor.log"));
    assert_int_equal(symlink(in_dir("a", "fota_monitor.log"), in_dir("c", "fota_monitor.log")), 0);
    say("a", "one\n");
    fixture_up(c);
    run_to(at(11, 23, 0, 10));
    assert_day("a", 22, "one\n");
    assert_day("b", 22, NULL);
    assert_day("c", 22, NULL);
    assert_int_equal(consoles_counts(fx.m->consoles)->rotations, 1);
}

static void a_failure_is_told_once_and_tried_again(void **state)
{
    (void)state;
    struct conf *c = conf("a", "b");
    fixture_set(&c->svrs[1].log, in_dir("a", "fota_monitor.log"));
    fixture_up(c);
    say("a", "one\n");
    assert_int_equal(mkdir(in_dir("a", ".fota_monitor.log.rotating"), 0700), 0);
    run_to(at(11, 23, 3, 0));
    assert_int_equal(count_events("a", EVENT_LOG), 1);
    assert_int_equal(count_events("b", EVENT_LOG), 1);
    assert_string_equal(last_event("b", EVENT_LOG)->text,
                        "the log can't be rotated: .fota_monitor.log.rotating: File exists; it is tried again");
    assert_true(consoles_counts(fx.m->consoles)->failures > 10);
    assert_true(consoles_counts(fx.m->consoles)->failures < 40);
    assert_live("a", "one\n");
    assert_state("a", STATE_UP);
    assert_int_equal(rmdir(in_dir("a", ".fota_monitor.log.rotating")), 0);
    run(HOUR / 4);
    assert_day("a", 22, "one\n");
    assert_int_equal(count_events("a", EVENT_LOG), 2);
    assert_string_equal(last_event("a", EVENT_LOG)->text, "the log is well again");
    run(DAY);
    assert_int_equal(count_events("a", EVENT_LOG), 2);
}

static void a_log_that_is_no_file_any_more(void **state)
{
    (void)state;
    fixture_up(conf("a"));
    say("a", "one\n");
    run(2 * 60 * SECOND);
    assert_int_equal(unlink(in_dir("a", "fota_monitor.log")), 0);
    run(HOUR);
    assert_int_equal(count_events("a", EVENT_LOG), 1);
    assert_non_null(strstr(last_event("a", EVENT_LOG)->text, "the log is gone"));
    assert_int_equal(mkdir(in_dir("a", "fota_monitor.log"), 0700), 0);
    run(DAY);
    assert_int_equal(count_events("a", EVENT_LOG), 2);
    assert_string_equal(last_event("a", EVENT_LOG)->text, "the log can't be read: Is a directory");
    assert_int_equal(rmdir(in_dir("a", "fota_monitor.log")), 0);
    say("a", "two\n");
    run(61 * SECOND);
    assert_string_equal(last_event("a", EVENT_LOG)->text, "the log is well again");
    run_to(at(11, 24, 0, 1));
    assert_day("a", 23, "two\n");
}

static void devices_are_left_alone(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    fixture_set(&c->svrs[0].log, "/dev/null");
    c->log.max_size = 1;
    fixture_up(c);
    run(2 * DAY);
    assert_int_equal(consoles_counts(fx.m->consoles)->rotations, 0);
    assert_int_equal(count_events("a", EVENT_LOG), 0);
}

static void a_log_emptied_by_hand_goes_on(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    c->log.max_size = 20;
    fixture_up(c);
    for (int i = 0; i < 3; i++) {
        say("a", "one\ntwo\nthree\nfour\nfive\n");
        run(3 * SECOND);
        assert_live("a", "");
        say("a", "gone\n");
        assert_int_equal(truncate(in_dir("a", "fota_monitor.log"), 0), 0);
    }
    say("a", "last\n");
    run_to(at(11, 23, 0, 1));
    assert_day("a", 22, "last\n");
    assert_text("a", "fota_monitor.22.3.log", "one\ntwo\nthree\nfour\nfive\n");
}

/* Killed in the middle of the rotation at midnight: the next monitor finishes it, and takes nothing of the new day. */
static void what_was_broken_off_is_finished(void **state)
{
    (void)state;
    for (enum console_rotate_step step = CONSOLE_ROTATE_COPY; step <= CONSOLE_ROTATE_FINISH; step++) {
        int day = 1 + (int)step;
        world_sim_set_wall(fx.w, at(12, day, 12, 0));
        fixture_begin(conf("a"));
        run(5 * SECOND);
        say("a", "one\n");
        fixture_die();
        world_sim_set_wall(fx.w, at(12, day + 1, 0, 0));
        struct console_rotate r = {.path = in_dir("a", "fota_monitor.log"),
                                   .format = "%-d",
                                   .day = day_of(wall()) - 1,
                                   .cut = -1,
                                   .now_ms = wall(),
                                   .ways = CONSOLE_ROTATE_ALL};
        assert_int_equal(console_rotate_begin(&r), 0);
        while (r.step < step)
            assert_int_equal(console_rotate_step(&r), 0);
        console_rotate_close(&r);
        run(10 * SECOND);
        say("a", "two\n");
        fixture_begin(conf("a"));
        run(5 * SECOND);
        assert_day("a", day, "one\n");
        assert_live("a", "two\n");
        fixture_die();
        remove_tree(in_dir("a", ""));
    }
}

/* A log on a disk that does not answer. */
static void services_do_not_wait_for_ever_for_their_logs(void **state)
{
    (void)state;
    world_sim_set_work_ms(fx.w, HOUR);
    fixture_begin(conf("a"));
    await("a", STATE_UP, 3000);
}

/* Simulations run with the real configuration: they must not touch what it names. */
static void without_a_rundir_no_log_is_touched(void **state)
{
    (void)state;
    struct conf *c = conf("a");
    fixture_set(&c->rundir, NULL);
    c->log.max_size = 1;
    say("a", "one\n");
    world_sim_set_wall(fx.w, at(11, 23, 9, 0));
    fixture_up(c);
    run(2 * DAY);
    assert_text("a", "fota_monitor.log", "one\n");
    assert_day("a", 22, NULL);
}

static void it_may_end_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct conf *c = conf("a");
        c->log.max_size = 3;
        world_sim_set_work_ms(fx.w, 100);
        fixture_begin(c);
        say("a", "line\n");
        run(i * 70);
        fixture_die();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSOLES_TEST(lines_move_at_midnight),
        CONSOLES_TEST(the_cut_is_at_midnight_however_late_lines_move),
        CONSOLES_TEST(two_midnights_may_wait),
        CONSOLES_TEST(the_name_of_the_day_is_configured),
        CONSOLES_TEST(last_months_day_is_replaced),
        CONSOLES_TEST(old_days_are_removed_at_midnight),
        CONSOLES_TEST(a_midnight_missed_is_made_up_for_before_services_start),
        CONSOLES_TEST(down_for_three_days_with_a_quiet_service),
        CONSOLES_TEST(down_for_three_days_with_a_busy_service),
        CONSOLES_TEST(down_since_the_day_before_last),
        CONSOLES_TEST(a_restart_within_the_day_moves_nothing),
        CONSOLES_TEST(without_its_memory_the_banner_tells),
        CONSOLES_TEST(a_log_met_for_the_first_time),
        CONSOLES_TEST(the_clock_is_set_forward),
        CONSOLES_TEST(the_clock_is_set_back),
        CONSOLES_TEST(a_jump_of_the_clock_removes_nothing),
        CONSOLES_TEST(the_clock_was_set_back_while_the_monitor_was_down),
        CONSOLES_TEST(a_monitor_that_was_stopped),
        CONSOLES_TEST(days_of_23_and_25_hours),
        CONSOLES_TEST(a_day_without_a_midnight),
        CONSOLES_TEST(the_time_zone_changes),
        CONSOLES_TEST(a_log_that_grows_moves_in_parts),
        CONSOLES_TEST(another_limit_holds_from_a_reload_on),
        CONSOLES_TEST(a_shared_log_moves_once),
        CONSOLES_TEST(a_failure_is_told_once_and_tried_again),
        CONSOLES_TEST(a_log_that_is_no_file_any_more),
        CONSOLES_TEST(devices_are_left_alone),
        CONSOLES_TEST(a_log_emptied_by_hand_goes_on),
        CONSOLES_TEST(what_was_broken_off_is_finished),
        CONSOLES_TEST(services_do_not_wait_for_ever_for_their_logs),
        CONSOLES_TEST(without_a_rundir_no_log_is_touched),
        CONSOLES_TEST(it_may_end_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
