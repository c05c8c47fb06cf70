/* What a service's user may plant where its log is to be, and what of it is followed. */
#include "console_path.h"

#include "console.h"
#include "console_prune.h"
#include "console_rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ALICE 54321
#define BOB 54322
#define AS_ROOT()                                                                                                      \
    if (geteuid() != 0)                                                                                                \
    skip()

static char dir[] = "/tmp/path_test.XXXXXX";

static int setup(void **state)
{
    (void)state;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return mkdtemp(dir) && !chmod(dir, 0755) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char cmd[80];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return system(cmd);
}

/* A path below the test's folder; four of them at a time. */
static const char *at(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void make_folder(const char *name, uid_t owner)
{
    assert_int_equal(mkdir(at(name), 0755), 0);
    assert_int_equal(chown(at(name), owner, (gid_t)-1), 0);
}

static void make_file(const char *name, uid_t owner)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, owner, (gid_t)-1), 0);
    close(fd);
}

static void make_link(const char *name, const char *target, uid_t owner)
{
    assert_int_equal(symlink(target, at(name)), 0);
    assert_int_equal(lchown(at(name), owner, (gid_t)-1), 0);
}

/* Opens it as a service's log is opened; 0 or -errno. */
static int try(const char *name)
{
    int fd = console_open(at(name));
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static bool same(const char *a, const char *b)
{
    struct stat x, y;
    assert_int_equal(stat(at(a), &x), 0);
    assert_int_equal(stat(at(b), &y), 0);
    return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void links_of_ours_are_followed_wherever_they_are(void **state)
{
    (void)state;
    uid_t us = geteuid();
    make_folder("real", us);
    make_folder("real/deep", us);
    make_link("dirlink", "real/deep/../deep", us);
    make_link("abslink", at("dirlink"), us);
    make_link("real/deep/log", "./elsewhere", us);
    make_link("real/deep/elsewhere", "../../abslink//file", us);
    assert_int_equal(try("abslink/log"), 0);
    assert_true(same("abslink/log", "real/deep/file"));
    make_link("round", "about", us);
    make_link("about", "round", us);
    assert_int_equal(try("round"), -ELOOP);
    assert_int_equal(try("round/log"), -ELOOP);
    make_link("tofolder", "real/", us);
    assert_int_equal(try("tofolder"), -EISDIR);
    assert_int_equal(try("real/nowhere/log"), -ENOENT);
    assert_int_equal(try("dirlink/file/log"), -ENOTDIR);
}

static void a_log_that_is_our_own_stdout(void **state)
{
    (void)state;
    make_file("out", geteuid());
    int out = dup(STDOUT_FILENO), fd = open(at("out"), O_WRONLY | O_CLOEXEC);
    assert_true(out >= 0 && fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
    int log = console_open("/dev/stdout");
    dup2(out, STDOUT_FILENO);
    struct stat a, b;
    assert_true(log >= 0);
    assert_int_equal(fstat(log, &a) | fstat(fd, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    close(log);
    close(fd);
    close(out);
}

static void a_users_own_layout_works(void **state)
{
    (void)state;
    AS_ROOT();
    make_folder("app", ALICE);
    make_folder("app/release-7", ALICE);
    make_link("app/current", "release-7", ALICE);
    assert_int_equal(try("app/current/fota_monitor.log"), 0);
    assert_true(same("app/current/fota_monitor.log", "app/release-7/fota_monitor.log"));
}

static void planted_links_on_the_way_are_not(void **state)
{
    (void)state;
    AS_ROOT();
    make_folder("secret", 0);
    make_folder("bobs", BOB);
    make_folder("home", ALICE);
    make_link("home/toroot", "../secret", ALICE);
    make_link("home/tobob", "../bobs", ALICE);
    make_link("home/indirect", "toroot", ALICE);
    make_link("ours", "home/toroot", 0); /* a link of ours over one of hers */
    static const char *const ways[] = {"home/toroot", "home/tobob", "home/indirect", "ours"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char log[64], folder[256];
        snprintf(log, sizeof log, "%s/log", ways[i]);
        assert_int_equal(try(log), -EPERM);
        snprintf(folder, sizeof folder, "%s", at(ways[i]));
        assert_int_equal(console_path_folder(folder, O_PATH), -EPERM);
        assert_int_equal(console_path_folder(folder, O_RDONLY), -EPERM);
    }
    assert_int_not_equal(access(at("secret/log"), F_OK), 0); /* and nothing was made there */
    assert_int_not_equal(access(at("bobs/log"), F_OK), 0);
}

static void planted_links_at_the_end_are_not(void **state)
{
    (void)state;
    AS_ROOT();
    make_folder("home", ALICE);
    make_file("precious", 0);
    make_file("home/hers", ALICE);
    make_link("home/log", "../precious", ALICE);
    make_link("home/own", "hers", ALICE);
    make_link("home/new", "../made", ALICE);
    assert_int_equal(try("home/log"), -EPERM);
    assert_int_equal(try("home/own"), -EPERM);
    assert_int_equal(try("home/new"), -EPERM);
    assert_int_not_equal(access(at("made"), F_OK), 0);
}

/* Where the kernel lets anybody give a second name to any file (fs.protected_hardlinks off). */
static void planted_second_names_are_not(void **state)
{
    (void)state;
    AS_ROOT();
    make_folder("home", ALICE);
    make_folder("shared", 0);
    make_file("precious", 0);
    make_file("home/hers", ALICE);
    make_link("trusted", "precious", 0);
    assert_int_equal(link(at("precious"), at("home/log")), 0);
    assert_int_equal(try("home/log"), -EPERM);
    assert_int_equal(link(at("home/hers"), at("home/again")), 0);
    assert_int_equal(try("home/again"), 0); /* all of it is hers */
    assert_int_equal(link(at("precious"), at("shared/log")), 0);
    assert_int_equal(try("shared/log"), 0); /* nobody but us could have done that */
    assert_int_equal(chmod(at("shared"), 01777), 0);
    assert_int_equal(try("shared/log"), -EPERM);
    /* a second name of a link of ours */
    assert_int_equal(linkat(AT_FDCWD, at("trusted"), AT_FDCWD, at("home/link"), 0), 0);
    assert_int_equal(try("home/link"), -EPERM);
}

static void rotating_and_pruning_keep_to_it(void **state)
{
    (void)state;
    AS_ROOT();
    make_folder("secret", 0);
    make_folder("home", ALICE);
    make_file("secret/log", 0);
    make_file("secret/log.1970-01-02", 0);
    assert_int_equal(truncate(at("secret/log"), 100), 0);
    struct timespec old[2] = {{.tv_sec = 86400 + 43200}, {.tv_sec = 86400 + 43200}};
    assert_int_equal(utimensat(AT_FDCWD, at("secret/log.1970-01-02"), old, 0), 0);
    make_link("home/app", "../secret", ALICE);
    struct console_rotate r = {
        .path = at("home/app/log"), .format = "%Y-%m-%d", .day = 10, .cut = -1, .ways = CONSOLE_ROTATE_ALL};
    assert_int_equal(console_rotate_run(&r), -EPERM);
    assert_false(console_rotate_is_unfinished(at("home/app/log"), -1));
    struct console_name n;
    assert_int_equal(console_name_init(&n, at("home/app/log"), "%Y-%m-%d", NULL), 0);
    assert_int_equal(console_prune(&n, 20000, 1), -EPERM);
    console_name_fini(&n);
    assert_int_equal(access(at("secret/log.1970-01-02"), F_OK), 0);
    assert_int_equal(console_name_init(&n, at("secret/log"), "%Y-%m-%d", NULL), 0);
    assert_int_equal(console_prune(&n, 20000, 1), 1); /* what the link would have led to */
    console_name_fini(&n);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(links_of_ours_are_followed_wherever_they_are),
        TEST(a_log_that_is_our_own_stdout),
        TEST(a_users_own_layout_works),
        TEST(planted_links_on_the_way_are_not),
        TEST(planted_links_at_the_end_are_not),
        TEST(planted_second_names_are_not),
        TEST(rotating_and_pruning_keep_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
