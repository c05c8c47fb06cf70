/* Whose the run folder may be, and who could replace it. */
#include "rundir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], home[80], run[96];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/rundir_test.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(home, sizeof home, "%s/home", dir);
    snprintf(run, sizeof run, "%s/run", home);
    return mkdir(home, 0755);
}

static int teardown(void **state)
{
    (void)state;
    if (rmdir(run))
        unlink(run);
    rmdir(home);
    return rmdir(dir);
}

static void refused(const char *why)
{
    struct err err = {0};
    assert_false(rundir_ensure(run, &err));
    assert_non_null(strstr(err.text, run));
    assert_non_null(strstr(err.text, why));
}

static bool replaceable(const char *why)
{
    struct buf who = {0};
    bool found = rundir_is_replaceable(run, &who);
    if (found)
        assert_non_null(strstr(buf_str(&who), why));
    buf_fini(&who);
    return found;
}

static void is_made_for_us_alone(void **state)
{
    (void)state;
    struct err err = {0};
    struct stat st;
    mode_t old = umask(0);
    assert_true(rundir_ensure(run, &err));
    umask(old);
    assert_int_equal(stat(run, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(rundir_ensure(run, &err)); /* there already */
    assert_false(replaceable(""));
}

static void is_refused_when_others_may_write_there(void **state)
{
    (void)state;
    static const mode_t modes[] = {0720, 0702, 01777};
    assert_int_equal(mkdir(run, 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        assert_int_equal(chmod(run, modes[i]), 0);
        refused("others may write there");
    }
    rmdir(run);
    assert_int_equal(symlink("/tmp", run), 0);
    refused("others may write there");
    unlink(run);
    assert_int_equal(symlink("/dev/null", run), 0);
    refused("Not a directory");
    unlink(run);
    if (geteuid() != 0)
        return;
    assert_int_equal(mkdir(run, 0700), 0);
    assert_int_equal(chown(run, 54321, 54321), 0);
    refused("others may write there");
}

static void one_that_others_could_replace_is_told(void **state)
{
    (void)state;
    assert_int_equal(mkdir(run, 0700), 0);
    assert_int_equal(chmod(home, 0777), 0);
    assert_true(replaceable("everybody may write to"));
    assert_int_equal(chmod(home, 01777), 0);
    assert_false(replaceable(""));
    assert_int_equal(chmod(home, 0755), 0);
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(home, 54321, 54321), 0);
    assert_true(replaceable("home belongs to user 54321"));
    assert_int_equal(chown(home, 0, 0), 0);
    assert_int_equal(chown(dir, 54321, 54321), 0);
    assert_true(replaceable(" belongs to user 54321"));
}

static void a_link_counts_as_much_as_what_it_leads_to(void **state)
{
    (void)state;
    char other[96];
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(mkdir(other, 0777), 0);
    assert_int_equal(chmod(other, 0777), 0);
    char in[112];
    snprintf(in, sizeof in, "%s/run", other);
    assert_int_equal(mkdir(in, 0700), 0);
    assert_int_equal(symlink(in, run), 0);
    bool found = replaceable("other, and so");
    rmdir(in);
    rmdir(other);
    assert_true(found);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_made_for_us_alone),
        TEST(is_refused_when_others_may_write_there),
        TEST(one_that_others_could_replace_is_told),
        TEST(a_link_counts_as_much_as_what_it_leads_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
