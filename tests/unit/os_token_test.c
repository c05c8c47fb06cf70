/* token: made once, kept, refused when it is not safe. */
#include "token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64], path[80];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/fm-token-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    rmdir(path);
    return rmdir(dir);
}

static void put(const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void is_made_once_and_kept(void **state)
{
    (void)state;
    char one[TOKEN_SIZE], two[TOKEN_SIZE];
    struct err err = {0};
    struct stat st;
    assert_true(token_ensure(path, one, &err));
    assert_int_equal(strspn(one, "0123456789abcdef"), 64);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(token_ensure(path, two, &err));
    assert_string_equal(one, two);
    unlink(path);
    assert_true(token_ensure(path, two, &err));
    assert_string_not_equal(one, two);
}

static void is_refused_when_others_may_read_it(void **state)
{
    (void)state;
    char token[TOKEN_SIZE];
    struct err err = {0};
    assert_true(token_ensure(path, token, &err));
    chmod(path, 0640);
    assert_false(token_ensure(path, token, &err));
    assert_non_null(strstr(err.text, "others may read"));
    assert_string_equal(token, "");
}

static void is_refused_when_it_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "short\n", "zz", "\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char token[TOKEN_SIZE];
        struct err err = {0};
        put(texts[i], 0600);
        assert_false(token_ensure(path, token, &err));
        assert_non_null(strstr(err.text, "no token"));
        assert_string_equal(token, "");
    }
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    char token[TOKEN_SIZE];
    struct err err = {0};
    assert_false(token_ensure(path, token, &err));
    assert_non_null(strstr(err.text, path));
}

static void is_refused_when_it_is_somebody_elses(void **state)
{
    (void)state;
    char token[TOKEN_SIZE];
    struct err err = {0};
    if (geteuid() != 0)
        skip();
    assert_true(token_ensure(path, token, &err));
    assert_int_equal(chown(path, 65534, 65534), 0);
    assert_false(token_ensure(path, token, &err));
    assert_non_null(strstr(err.text, "somebody else"));
    assert_string_equal(token, "");
}

static void can_fail_to_be_made(void **state)
{
    (void)state;
    char token[TOKEN_SIZE];
    struct err err = {0};
    assert_false(token_ensure("/nonexistent/folder/t", token, &err));
    assert_non_null(strstr(err.text, "No such file"));
    assert_string_equal(token, "");
}

static void only_equals_itself(void **state)
{
    (void)state;
    assert_true(token_equal("abcd", "abcd"));
    assert_false(token_equal("abcd", "abcx"));
    assert_false(token_equal("abcd", "xbcd"));
    assert_false(token_equal("abcd", "abc"));
    assert_false(token_equal("abcd", "abcdabcd"));
    assert_false(token_equal("abcd", ""));
    assert_false(token_equal("", ""));
    assert_false(token_equal("", "abcd"));
}

/* The least of many tries, of so long a text that where it differs would show. */
static int64_t compare_ns(const char *token, const char *given)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < 10; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        assert_false(token_equal(token, given));
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        least = MIN(least, (b.tv_sec - a.tv_sec) * INT64_C(1000000000) + b.tv_nsec - a.tv_nsec);
    }
    return least;
}

static void takes_equally_long_wherever_it_differs(void **state)
{
    (void)state;
    enum { LONG = 1 << 20 };
    char *token = malloc(LONG), *first = malloc(LONG), *last = malloc(LONG);
    assert_true(token && first && last);
    memset(token, 'a', LONG - 1);
    token[LONG - 1] = 0;
    memcpy(first, token, LONG);
    memcpy(last, token, LONG);
    first[0] = last[LONG - 2] = 'b';
    assert_true(compare_ns(token, first) > compare_ns(token, last) / 3);
    free(token);
    free(first);
    free(last);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(is_made_once_and_kept),
        TEST(is_refused_when_others_may_read_it),
        TEST(is_refused_when_it_is_none),
        TEST(can_fail_to_be_made),
        TEST(is_refused_when_it_is_somebody_elses),
        TEST(only_equals_itself),
        TEST(takes_equally_long_wherever_it_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
