/* The growing buffer: what it holds, how it quotes. */
#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void empty_is_a_string(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_string_equal(buf_str(&b), "");
    char *s = buf_take(&b);
    assert_string_equal(s, "");
    free(s);
}

static void grows_and_stays_terminated(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 5000; i++) {
        buf_addc(&b, (char)('a' + i % 26));
        assert_int_equal(b.len, i + 1);
        assert_int_equal(b.data[b.len], 0);
    }
    for (int i = 0; i < 5000; i++)
        assert_int_equal(b.data[i], 'a' + i % 26);
    buf_fini(&b);
    assert_null(b.data);
    buf_adds(&b, "again");
    assert_string_equal(buf_str(&b), "again");
    buf_fini(&b);
}

static void exact_fits(void **state)
{
    (void)state;
    /* Every length around the sizes at which it grows. */
    for (size_t len = 0; len < 300; len++) {
        struct buf b = {0};
        char text[300];
        memset(text, 'x', len);
        buf_add(&b, text, len);
        buf_add(&b, "y", 1);
        assert_int_equal(b.len, len + 1);
        assert_int_equal(strlen(b.data), len + 1);
        buf_fini(&b);
    }
}

static void formats_short_and_long(void **state)
{
    (void)state;
    char longer[1000];
    memset(longer, 'l', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    struct buf b = {0};
    buf_addf(&b, "%d-%s", 7, "x");
    assert_string_equal(b.data, "7-x");
    buf_addf(&b, "<%s>", longer);
    assert_int_equal(b.len, 3 + 2 + sizeof longer - 1);
    assert_int_equal(b.data[b.len - 1], '>');
    for (size_t len = 250; len < 262; len++) { /* the size of the inner buffer is among these */
        buf_clear(&b);
        buf_addf(&b, "%.*s", (int)len, longer);
        assert_int_equal(b.len, len);
        assert_int_equal(strlen(b.data), len);
    }
    buf_fini(&b);
}

static void cleared_it_keeps_little(void **state)
{
    (void)state;
    char some[1000];
    memset(some, 's', sizeof some);
    struct buf b = {0};
    buf_add(&b, some, sizeof some);
    char *kept = b.data;
    buf_clear(&b);
    assert_ptr_equal(b.data, kept);
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 100; i++)
        buf_add(&b, some, sizeof some);
    buf_clear(&b);
    assert_int_equal(b.cap, 0);
    assert_string_equal(buf_str(&b), "");
    buf_adds(&b, "x");
    assert_string_equal(b.data, "x");
    buf_fini(&b);
}

static void assert_json(const char *bytes, size_t len, const char *expected)
{
    struct buf b = {0};
    buf_add_jsonn(&b, bytes, len);
    assert_string_equal(buf_str(&b), expected);
    buf_fini(&b);
}

static void json_escapes(void **state)
{
    (void)state;
    assert_json("", 0, "\"\"");
    assert_json("plain / text", 12, "\"plain / text\"");
    assert_json("\"\\", 2, "\"\\\"\\\\\"");
    assert_json("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
    assert_json("\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\"");
}

static void json_keeps_utf8_and_replaces_the_rest(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"ü", "\"ü\""},
        {"€", "\"€\""},
        {"\xf0\x9f\x8e\x89", "\"\xf0\x9f\x8e\x89\""},
        {"\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\""},                                 /* the last character there is */
        {"a\x80z", "\"a\xef\xbf\xbdz\""},                                             /* a continuation alone */
        {"\xc3", "\"\xef\xbf\xbd\""},                                                 /* cut */
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                                 /* cut */
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                                 /* overlong */
        {"\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},                 /* a surrogate */
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* past the last one */
        {"\xff\xfe", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_json(cases[i].in, strlen(cases[i].in), cases[i].out);
    assert_json("\xc3\xbc", 1, "\"\xef\xbf\xbd\""); /* never reads past the length */
}

static void shell_words(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_add_shell(&b, "");
    buf_addc(&b, ' ');
    buf_add_shell(&b, "a b$c`d\"");
    buf_addc(&b, ' ');
    buf_add_shell(&b, "it's");
    assert_string_equal(b.data, "'' 'a b$c`d\"' 'it'\\''s'");
    buf_fini(&b);
}

static void drops_from_the_front(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_drop(&b, 5);
    buf_adds(&b, "abcdef");
    buf_drop(&b, 0);
    assert_string_equal(b.data, "abcdef");
    buf_drop(&b, 2);
    assert_string_equal(b.data, "cdef");
    assert_int_equal(b.len, 4);
    buf_drop(&b, 100);
    assert_string_equal(b.data, "");
    buf_adds(&b, "x");
    assert_string_equal(b.data, "x");
    buf_fini(&b);
}

static void out_of_memory_is_told_at_the_end(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_adds(&b, "kept");
    b.failed = true; /* as after a failed allocation */
    buf_adds(&b, "never");
    buf_addf(&b, "%d", 1);
    assert_string_equal(buf_str(&b), "kept");
    assert_null(buf_take(&b));
    assert_null(b.data);
    assert_false(b.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_a_string),
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(exact_fits),
        cmocka_unit_test(formats_short_and_long),
        cmocka_unit_test(cleared_it_keeps_little),
        cmocka_unit_test(json_escapes),
        cmocka_unit_test(json_keeps_utf8_and_replaces_the_rest),
        cmocka_unit_test(shell_words),
        cmocka_unit_test(drops_from_the_front),
        cmocka_unit_test(out_of_memory_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
