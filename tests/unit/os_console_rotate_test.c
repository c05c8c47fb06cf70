/* One rotation: what moves where, what stays, and that no line is lost or doubled wherever it is broken off. */
#include "console_look.h"
#include "os_console_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>

static const unsigned all_ways[] = {CONSOLE_ROTATE_ALL, CONSOLE_ROTATE_PUNCH | CONSOLE_ROTATE_EMPTY,
                                    CONSOLE_ROTATE_PUNCH, CONSOLE_ROTATE_EMPTY, 0};

/* Rotates up to that step, and dies. */
static void die_before(enum console_rotate_step step, unsigned ways, bool part)
{
    struct console_rotate r = rotation();
    r.ways = ways;
    r.part = part;
    assert_int_equal(console_rotate_begin(&r), 0);
    while (r.step < step && r.step != CONSOLE_ROTATE_DONE)
        assert_int_equal(console_rotate_step(&r), 0);
    console_rotate_close(&r);
}

static void finish(unsigned ways, bool part)
{
    struct console_rotate r = rotation();
    r.ways = ways;
    r.part = part;
    rotate(&r);
    int fd = open(log_path, O_RDONLY);
    assert_false(console_rotate_is_unfinished(log_path, fd));
    close(fd);
}

static void lines_move_to_the_days_file(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    append("one\ntwo\n", 8);
    set_time("fota_monitor.log", NOON_MS - 5000);
    assert_int_equal(chmod(log_path, 0640), 0);
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\ntwo\n");
    assert_live("");
    assert_string_equal(r.file, "fota_monitor.22.log");
    assert_int_equal(r.moved, 8);
    assert_false(r.emptied || r.resumed || r.later || r.uncollapsed);
    struct stat st;
    assert_int_equal(stat(beside(r.file), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_sec, NOON_MS / 1000 - 5); /* of the last line */
    append("three\n", 6);
    assert_live("three\n");
}

static void the_banner_says_where_they_are(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    append("one\n", 4);
    rotate(&r);
    char *text = slurp("fota_monitor.log", NULL);
    assert_non_null(strstr(text, "--- earlier lines are in fota_monitor.22.log --- rotated by fota_monitor 2026-11-22 "
                                 "12:00:00.000, "));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
}

static void an_unfinished_line_stays(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    append("one\ntw", 6);
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\n");
    append("o\n", 2);
    assert_live("two\n");
    r = rotation();
    append("thr", 3);
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\ntwo\n");
    r = rotation();
    rotate(&r);
    assert_string_equal(r.file, "");
    assert_live("thr");
}

static void lines_behind_the_cut_stay(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    append("one\ntwo\nthree\n", 14);
    r.cut = 9; /* within "three" */
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\ntwo\n");
    assert_live("three\n");
    r = rotation();
    r.cut = 8; /* what was before that has gone already */
    rotate(&r);
    assert_string_equal(r.file, "");
    r = rotation();
    r.cut = 14;
    r.day++;
    rotate(&r);
    assert_file("fota_monitor.23.log", "three\n");
    assert_live("");
}

static void nothing_to_move_is_no_rotation(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    append("", 0);
    rotate(&r);
    append("unfinished", 10);
    rotate(&r);
    r = rotation();
    r.more_than = 100;
    append("\nshort\n", 7);
    rotate(&r);
    assert_string_equal(r.file, "");
    assert_file("fota_monitor.22.log", NULL);
    assert_live("unfinished\nshort\n");
}

static void todays_file_is_appended_to_and_last_months_replaced(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_file("fota_monitor.22.log", "a month ago\n", NOON_MS - 31 * DAY_MS);
    write_file("fota_monitor.22.1.log", "a month ago\n", NOON_MS - 31 * DAY_MS);
    write_file("fota_monitor.22.2.log", "a month ago\n", NOON_MS - 31 * DAY_MS);
    append("one\n", 4);
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\n");
    assert_file("fota_monitor.22.1.log", NULL);
    assert_file("fota_monitor.22.2.log", NULL);
    set_time("fota_monitor.22.log", NOON_MS - 3600000);
    append("two\n", 4);
    r = rotation();
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\ntwo\n");
}

/* The clock was set back after midnight: parts of the day came after its own file. */
static void lines_in_between_keep_their_order(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_file("fota_monitor.22.log", "one\n", NOON_MS - 3000);
    write_file("fota_monitor.22.1.log", "two\n", NOON_MS - 2000);
    append("three\n", 6);
    rotate(&r);
    assert_file("fota_monitor.22.2.log", "three\n");
}

static void a_months_file_takes_all_its_days(void **state)
{
    (void)state;
    for (int day = 0; day < 3; day++) {
        char line[16];
        struct console_rotate r = rotation();
        r.format = "%Y-%m";
        r.day = TODAY + day;
        append(line, (size_t)snprintf(line, sizeof line, "%d\n", day));
        set_time("fota_monitor.log", NOON_MS + day * DAY_MS);
        rotate(&r);
    }
    assert_file("fota_monitor.2026-11.log", "0\n1\n2\n");
}

static void parts_are_numbered_on(void **state)
{
    (void)state;
    write_file("fota_monitor.22.log", "a month ago\n", NOON_MS - 31 * DAY_MS);
    write_file("fota_monitor.22.2.log", "a month ago\n", NOON_MS - 31 * DAY_MS);
    for (int i = 1; i <= 40; i++) {
        char name[32], line[16];
        struct console_rotate r = rotation();
        r.part = true;
        append(line, (size_t)snprintf(line, sizeof line, "part %d\n", i));
        set_time("fota_monitor.log", NOON_MS + i);
        rotate(&r);
        snprintf(name, sizeof name, "fota_monitor.22.%d.log", i);
        assert_string_equal(r.file, name);
        assert_file(name, line);
        assert_file("fota_monitor.22.log", NULL);
    }
}

static void lines_of_an_earlier_day_keep_its_time(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    struct stat st;
    append("one\n", 4);
    set_time("fota_monitor.log", NOON_MS);
    r.day = TODAY - 3;
    rotate(&r);
    assert_int_equal(stat(beside("fota_monitor.19.log"), &st), 0);
    assert_int_equal(day_of((int64_t)st.st_mtim.tv_sec * 1000), TODAY - 3);
    assert_int_equal(stat(log_path, &st), 0); /* and the log the time of its last line */
    assert_int_equal(st.st_mtim.tv_sec, NOON_MS / 1000);
}

static void names_of_others_are_left_alone(void **state)
{
    (void)state;
    char *others[] = {strdup(beside("fota_monitor.22.log")), NULL};
    struct console_rotate r = rotation();
    write_file("fota_monitor.22.log", "a service's live log\n", NOON_MS);
    r.others = others;
    append("one\n", 4);
    rotate(&r);
    assert_file("fota_monitor.22.log", "a service's live log\n");
    assert_file("fota_monitor.22.1.log", "one\n");
    free(others[0]);
}

static void planted_links_and_folders_are_passed_over(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_file("victim", "precious\n", NOON_MS);
    assert_int_equal(symlink(beside("victim"), beside("fota_monitor.22.log")), 0);
    assert_int_equal(mkdir(beside("fota_monitor.22.1.log"), 0700), 0);
    assert_int_equal(symlink(beside("victim"), beside(".fota_monitor.log.part")), 0);
    assert_int_equal(symlink(beside("victim"), beside(".fota_monitor.log.rotating")), 0);
    append("one\n", 4);
    rotate(&r);
    assert_string_equal(r.file, "fota_monitor.22.2.log");
    assert_file("fota_monitor.22.2.log", "one\n");
    assert_file("victim", "precious\n");
}

static void a_hard_link_is_not_appended_to(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_file("victim", "precious\n", NOON_MS);
    assert_int_equal(link(beside("victim"), beside("fota_monitor.22.log")), 0);
    append("one\n", 4);
    rotate(&r);
    assert_file("victim", "precious\n");
    assert_file("fota_monitor.22.1.log", "one\n");
}

static void a_log_with_another_name_is_left_alone(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_file("victim", "precious\n", NOON_MS);
    assert_int_equal(link(beside("victim"), log_path), 0);
    assert_int_equal(console_rotate_run(&r), -EMLINK);
    assert_file("victim", "precious\n");
    assert_file("fota_monitor.22.log", NULL);
}

static void a_planted_intent_is_not_believed(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    struct console_intent in = {.id = 1, .cut = 4, .append_at = -1, .day = TODAY, .file = "fota_monitor.22.log"};
    struct stat st;
    if (geteuid())
        skip();
    append("one\n", 4);
    assert_int_equal(stat(log_path, &st), 0);
    in.inode = (int64_t)st.st_ino;
    int dir = open(folder, O_RDONLY);
    write_file("fota_monitor.22.log", "one\n", NOON_MS); /* it says that this is a complete copy */
    assert_int_equal(console_intent_write(dir, ".fota_monitor.log.rotating", &in), 0);
    assert_int_equal(fchownat(dir, ".fota_monitor.log.rotating", 65534, 65534, 0), 0);
    close(dir);
    rotate(&r);
    assert_false(r.resumed);
    assert_file("fota_monitor.22.log", "one\none\n");
}

static void what_is_no_file_is_not_rotated(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    r.path = "/dev/null";
    rotate(&r);
    assert_string_equal(r.file, "");
    r = rotation();
    assert_int_equal(console_rotate_run(&r), -ENOENT);
    assert_int_equal(mkdir(log_path, 0700), 0);
    r = rotation();
    assert_int_equal(console_rotate_run(&r), -EISDIR);
    assert_non_null(strstr(r.err.text, "Is a directory"));
    rmdir(log_path);
    assert_int_equal(mkfifo(log_path, 0600), 0);
    r = rotation();
    assert_int_equal(console_rotate_run(&r), -ENOTSUP);
}

static void a_link_of_ours_is_followed_and_the_days_file_is_beside_it(void **state)
{
    (void)state;
    char other[] = "/dev/shm/console_test.XXXXXX", target[64];
    struct console_rotate r = rotation();
    assert_non_null(mkdtemp(other));
    snprintf(target, sizeof target, "%s/elsewhere", other);
    assert_int_equal(symlink(target, log_path), 0);
    for (int i = 0; i < 2; i++) {
        write_lines(1000, 20);
        r = rotation();
        r.day += i;
        rotate(&r);
        assert_true(r.moved > 20000);
    }
    assert_int_equal(access(beside("fota_monitor.22.log"), F_OK), 0);
    assert_all_lines();
    if (geteuid() == 0) {
        assert_int_equal(lchown(log_path, 65534, 65534), 0);
        r = rotation();
        assert_int_equal(console_rotate_run(&r), -EPERM);
    }
    unlink(target);
    rmdir(other);
}

static void two_monitors_do_not_rotate_at_once(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    append("one\n", 4);
    int fd = open(log_path, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(console_rotate_run(&r), -EAGAIN);
    close(fd);
    r = rotation();
    rotate(&r);
    assert_file("fota_monitor.22.log", "one\n");
}

static void a_log_emptied_by_hand_loses_nothing_new(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_lines(1000, 20);
    assert_int_equal(console_rotate_begin(&r), 0);
    while (r.step < CONSOLE_ROTATE_BANNER)
        assert_int_equal(console_rotate_step(&r), 0);
    assert_int_equal(truncate(log_path, 0), 0);
    append("new\n", 4);
    while (r.step < CONSOLE_ROTATE_DONE)
        assert_int_equal(console_rotate_step(&r), 0);
    console_rotate_close(&r);
    assert_file("fota_monitor.log", "new\n");
    assert_file(".fota_monitor.log.rotating", NULL);
}

static void a_failed_copy_leaves_nothing_behind(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    write_file("fota_monitor.22.log", "before\n", NOON_MS);
    write_lines(300000, 30);
    atomic_store(&r.stop, true);
    assert_int_equal(console_rotate_run(&r), -ECANCELED);
    assert_file("fota_monitor.22.log", "before\n");
    assert_file(".fota_monitor.log.rotating", NULL);
    r = rotation();
    r.day++;
    atomic_store(&r.stop, true);
    assert_int_equal(console_rotate_run(&r), -ECANCELED);
    assert_file("fota_monitor.23.log", NULL);
    assert_file(".fota_monitor.log.part", NULL);
}

/* As a disk that is full half way: no file may grow past a limit. */
static void a_disk_full_half_way_is_told_and_tried_again(void **state)
{
    (void)state;
    struct rlimit old, small = {.rlim_cur = 1 << 20};
    struct console_rotate r = rotation();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    write_lines(100000, 30);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        r = rotation();
        int e = console_rotate_run(&r);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(e, -EFBIG);
        assert_string_equal(r.err.text, "fota_monitor.22.log: File too large");
        assert_file(".fota_monitor.log.part", NULL);
        write_lines(1000, 30);
    }
    finish(CONSOLE_ROTATE_ALL, false);
    assert_all_lines();
}

static void what_has_no_line_end_is_cut_somewhere(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    int fd = console_open(log_path);
    char *junk = malloc(1 << 20);
    memset(junk, 7, 1 << 20);
    for (int i = 0; i < 80; i++)
        assert_int_equal(write(fd, junk, 1 << 20), 1 << 20);
    rotate(&r);
    assert_int_equal(r.moved, 80 << 20);
    free(junk);
    close(fd);
}

/* ---- broken off */

static void break_off(const char *parent, enum console_rotate_step step, unsigned ways, int lines, bool part)
{
    begin_in(parent);
    for (int round = 0; round < 3; round++) {
        write_lines(lines, 30);
        die_before(step, ways, part);
        write_lines(lines / 3 + 1, 30);
        finish(ways, part);
        if (round == 1) /* a second death on the way */
            die_before(step, ways, part);
        write_lines(1, 30);
    }
    finish(ways, part);
    assert_all_lines();
    end();
}

/* The better way where there is collapse, the others (and it, turned down) where there is none. */
static void broken_off_at_any_step_nothing_is_lost(void **state)
{
    (void)state;
    static const int sizes[] = {1, 5, 150, 4000};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (enum console_rotate_step step = CONSOLE_ROTATE_PLAN; step <= CONSOLE_ROTATE_DONE; step++)
            for (int part = 0; part < 2; part++) {
                break_off("/tmp", step, CONSOLE_ROTATE_ALL, sizes[s], part);
                for (size_t w = 0; w < ARRAY_LEN(all_ways); w++)
                    break_off("/dev/shm", step, all_ways[w], sizes[s], part);
            }
}

/* The copy is half done, the banner torn. */
static void broken_off_within_a_step(void **state)
{
    (void)state;
    static const int before[] = {0, 100};
    for (size_t i = 0; i < ARRAY_LEN(before); i++) {
        begin_in("/tmp");
        if (before[i]) { /* so that today's file is appended to */
            write_lines(before[i], 30);
            finish(CONSOLE_ROTATE_ALL, false);
        }
        write_lines(500, 30);
        die_before(CONSOLE_ROTATE_PLACE, CONSOLE_ROTATE_ALL, false);
        const char *copy = beside(before[i] ? "fota_monitor.22.log" : ".fota_monitor.log.part");
        struct stat st;
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(truncate(copy, st.st_size - 777), 0);
        finish(CONSOLE_ROTATE_ALL, false);
        assert_all_lines();

        write_lines(500, 30);
        struct console_rotate r = rotation();
        assert_int_equal(console_rotate_begin(&r), 0);
        while (r.step < CONSOLE_ROTATE_FREE)
            assert_int_equal(console_rotate_step(&r), 0);
        int fd = open(log_path, O_WRONLY);
        /* The rest of the banner was not written: there the lines still stand. Or half of what is before it has gone.
         */
        assert_int_equal(pwrite(fd, "torn", 4, r.intent.cut - 4), 4);
        assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, r.intent.from / 2), 0);
        close(fd);
        console_rotate_close(&r);
        finish(CONSOLE_ROTATE_ALL, false);
        assert_all_lines();
        end();
    }
    begin_in("/tmp");
}

/* Killed while the space is given back: before the next rotation comes to it, the log is read as if it were done. */
static void a_front_half_taken_away_is_not_read(void **state)
{
    (void)state;
    struct console_look look;
    write_lines(1000, 30);
    die_before(CONSOLE_ROTATE_FREE, CONSOLE_ROTATE_ALL, false);
    write_lines(10, 30);
    int fd = open(log_path, O_RDWR);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192), 0);
    close(fd);
    console_look(log_path, &look);
    assert_true(look.unfinished);
    assert_int_equal(look.size - look.start, 10 * 36);
    assert_reads_all();
    finish(CONSOLE_ROTATE_ALL, false);
    assert_all_lines();
}

static void zero_bytes_of_the_service_are_its_own(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    struct console_look look;
    append("\0\0zero\n", 7);
    console_look(log_path, &look);
    assert_true(look.start == 0 && look.end == 7);
    rotate(&r);
    assert_int_equal(r.moved, 7);
    append("\0\0more\n", 7);
    console_look(log_path, &look);
    assert_true(look.size - look.start == 7 && look.end == 14);
}

static void a_log_replaced_after_a_death_is_a_new_one(void **state)
{
    (void)state;
    write_lines(1000, 30);
    for (enum console_rotate_step step = CONSOLE_ROTATE_COPY; step <= CONSOLE_ROTATE_FREE; step++) {
        next_line = 0;
        unlink(log_path);
        unlink(beside("fota_monitor.22.log"));
        write_lines(1000, 30);
        die_before(step, CONSOLE_ROTATE_ALL, false);
        assert_int_equal(rename(log_path, beside("kept.log")), 0);
        next_line = 0;
        unlink(beside("fota_monitor.22.log"));
        write_lines(1200, 30);
        finish(CONSOLE_ROTATE_ALL, false);
        unlink(beside("kept.log"));
        assert_all_lines();
    }
}

/* What had been copied must not be copied over by what was written since. */
static void a_log_emptied_after_a_death_keeps_its_old_lines(void **state)
{
    (void)state;
    write_lines(1000, 30);
    die_before(CONSOLE_ROTATE_BANNER, CONSOLE_ROTATE_ALL, false);
    assert_int_equal(truncate(log_path, 0), 0);
    write_lines(1200, 30);
    finish(CONSOLE_ROTATE_ALL, false);
    assert_all_lines();
}

/* ---- while somebody writes */

#define AHEAD_MAX (8 << 20)

struct writer {
    pthread_t thread;
    atomic_bool stop;
    int chunk; /* bytes that are written at once, so that lines are torn; 0: whole lines */
};

/* On a busy disk the rotations are slower than the writer: it must not fill the disk. */
static bool is_far_ahead(int fd)
{
    struct stat st;
    return !fstat(fd, &st) && st.st_blocks > (AHEAD_MAX >> 9);
}

static void *write_on(void *arg)
{
    struct writer *w = arg;
    int fd = console_open(log_path);
    struct buf b = {0};
    while (!atomic_load(&w->stop)) {
        buf_addf(&b, "line %030d\n", next_line++);
        if ((int)b.len < w->chunk)
            continue;
        while (next_line % 1024 < 128 && is_far_ahead(fd) && !atomic_load(&w->stop))
            usleep(1000);
        size_t len = w->chunk ? (size_t)w->chunk : b.len;
        if (write(fd, b.data, len) != (ssize_t)len)
            break;
        buf_drop(&b, len);
    }
    if (b.len && write(fd, b.data, b.len) < 0)
        atomic_store(&w->stop, false); /* shows in the lines that are missed */
    buf_fini(&b);
    close(fd);
    return NULL;
}

static void rotate_under_load(const char *parent, unsigned ways, int chunk, int times, int64_t more_than)
{
    struct writer w = {.chunk = chunk};
    begin_in(parent);
    append("", 0);
    assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
    for (int i = 0; i < times;) {
        struct console_rotate r = rotation();
        r.ways = ways;
        r.part = i % 8 != 7;
        r.more_than = more_than;
        r.day = TODAY + i / 8; /* the file's real time is another one */
        rotate(&r);
        assert_false(r.emptied);
        i += r.file[0] != 0;
    }
    atomic_store(&w.stop, true);
    pthread_join(w.thread, NULL);
    struct console_rotate r = rotation();
    r.day = TODAY + times / 8 + 1;
    r.ways = ways;
    rotate(&r);
    assert_all_lines();
    end();
}

static void a_writer_at_full_speed_loses_nothing(void **state)
{
    (void)state;
    rotate_under_load("/tmp", CONSOLE_ROTATE_ALL, 0, 20, 20000);
    rotate_under_load("/tmp", CONSOLE_ROTATE_ALL, 4096, 12, 200000);
    rotate_under_load("/dev/shm", CONSOLE_ROTATE_ALL, 0, 30, 20000);
    rotate_under_load("/dev/shm", CONSOLE_ROTATE_ALL, 1000, 20, 200000);
    begin_in("/tmp");
}

/* Neither collapse nor holes: what could be lost is told. */
static void emptying_in_use_is_told(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    r.ways = CONSOLE_ROTATE_EMPTY;
    write_lines(1000, 30);
    rotate(&r); /* just written: not quiet, so it is chased */
    assert_true(r.emptied);
    assert_true(r.uncollapsed);
    assert_file("fota_monitor.log", "");
    write_lines(1000, 30);
    assert_all_lines();
}

static void a_quiet_log_is_emptied_where_holes_would_stay(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    r.ways = CONSOLE_ROTATE_PUNCH | CONSOLE_ROTATE_EMPTY;
    write_lines(1000, 30);
    rotate(&r);
    assert_true(r.uncollapsed && !r.emptied);
    struct stat st;
    assert_int_equal(stat(log_path, &st), 0);
    assert_true(st.st_size > 30000 && st.st_blocks * 512 < 20000);
    assert_live("");
    write_lines(1000, 30);
    set_time("fota_monitor.log", NOON_MS); /* a while ago */
    r = rotation();
    r.ways = CONSOLE_ROTATE_PUNCH | CONSOLE_ROTATE_EMPTY;
    rotate(&r);
    assert_true(r.emptied);
    assert_file("fota_monitor.log", "");
    assert_all_lines();
}

static void few_lines_without_room_for_a_banner_wait_until_it_is_quiet(void **state)
{
    (void)state;
    struct console_rotate r = rotation();
    r.ways = CONSOLE_ROTATE_PUNCH;
    append("one\n", 4);
    rotate(&r);
    assert_true(r.later);
    assert_file("fota_monitor.22.log", NULL);
    set_time("fota_monitor.log", NOON_MS);
    r = rotation();
    r.ways = CONSOLE_ROTATE_PUNCH;
    rotate(&r);
    assert_true(r.emptied);
    assert_file("fota_monitor.22.log", "one\n");
    assert_file("fota_monitor.log", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONSOLE_TEST(lines_move_to_the_days_file),
        CONSOLE_TEST(the_banner_says_where_they_are),
        CONSOLE_TEST(an_unfinished_line_stays),
        CONSOLE_TEST(lines_behind_the_cut_stay),
        CONSOLE_TEST(nothing_to_move_is_no_rotation),
        CONSOLE_TEST(todays_file_is_appended_to_and_last_months_replaced),
        CONSOLE_TEST(lines_in_between_keep_their_order),
        CONSOLE_TEST(a_months_file_takes_all_its_days),
        CONSOLE_TEST(parts_are_numbered_on),
        CONSOLE_TEST(lines_of_an_earlier_day_keep_its_time),
        CONSOLE_TEST(names_of_others_are_left_alone),
        CONSOLE_TEST(planted_links_and_folders_are_passed_over),
        CONSOLE_TEST(a_hard_link_is_not_appended_to),
        CONSOLE_TEST(a_log_with_another_name_is_left_alone),
        CONSOLE_TEST(a_planted_intent_is_not_believed),
        CONSOLE_TEST(what_is_no_file_is_not_rotated),
        CONSOLE_TEST(a_link_of_ours_is_followed_and_the_days_file_is_beside_it),
        CONSOLE_TEST(two_monitors_do_not_rotate_at_once),
        CONSOLE_TEST(a_log_emptied_by_hand_loses_nothing_new),
        CONSOLE_TEST(a_failed_copy_leaves_nothing_behind),
        CONSOLE_TEST(a_disk_full_half_way_is_told_and_tried_again),
        CONSOLE_TEST(what_has_no_line_end_is_cut_somewhere),
        cmocka_unit_test(broken_off_at_any_step_nothing_is_lost),
        cmocka_unit_test_teardown(broken_off_within_a_step, teardown),
        CONSOLE_TEST(a_front_half_taken_away_is_not_read),
        CONSOLE_TEST(zero_bytes_of_the_service_are_its_own),
        CONSOLE_TEST(a_log_replaced_after_a_death_is_a_new_one),
        CONSOLE_TEST(a_log_emptied_after_a_death_keeps_its_old_lines),
        cmocka_unit_test_teardown(a_writer_at_full_speed_loses_nothing, teardown),
        CONSOLE_TEST(emptying_in_use_is_told),
        CONSOLE_TEST(a_quiet_log_is_emptied_where_holes_would_stay),
        CONSOLE_TEST(few_lines_without_room_for_a_banner_wait_until_it_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
