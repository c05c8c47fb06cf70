#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jsontext.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY(k)                                                                                                         \
    {                                                                                                                  \
        .key = (k), .len = sizeof(k) - 1                                                                               \
    }
#define INDEX(i)                                                                                                       \
    {                                                                                                                  \
        .index = (i)                                                                                                   \
    }

/* A copy on the heap without a NUL after it, so that a sanitizer sees every read past the end. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static void blank_is(const char *text, const char *expected)
{
    size_t len = strlen(text), bad = 99;
    char *copy = exact(text, len);
    assert_true(jsontext_blank(copy, len, &bad));
    assert_int_equal(strlen(expected), len);
    assert_memory_equal(copy, expected, len);
    free(copy);
}

static void test_blank(void **state)
{
    (void)state;
    blank_is("", "");
    blank_is("{}", "{}");
    blank_is("{} // end", "{}       ");
    blank_is("// a\n{}", "    \n{}");
    blank_is("// a\r\n{}", "    \r\n{}");
    blank_is("/* a */{}", "       {}");
    blank_is("/* a\n * b\r\n */{}", "    \n    \r\n   {}");
    blank_is("/**/{}", "    {}");
    blank_is("/*/ x */{}", "        {}");
    blank_is("/* // */1", "        1");
    blank_is("// /* \n1", "      \n1");
    blank_is("\"// a\" // b", "\"// a\"     ");
    blank_is("\"/* a\" /* b */", "\"/* a\"        ");
    blank_is("\"\\\" // \" //", "\"\\\" // \"   ");
    blank_is("\"\\\\\" // \"", "\"\\\\\"     ");
    blank_is("1 / 2", "1 / 2");
    blank_is("1 /", "1 /");
    blank_is("\"never closed // x", "\"never closed // x");
    blank_is("// \xe4\xb8\xad", "      ");
}

static void test_unfinished(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bad;
    } cases[] = {{"/*", 0}, {"{} /* a", 3}, {"/* a */ /*/", 8}, {"/* a *", 0}, {"\"/*\" /*", 5}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].text), bad = 99;
        char *copy = exact(cases[i].text, len);
        assert_false(jsontext_blank(copy, len, &bad));
        assert_int_equal(bad, cases[i].bad);
        free(copy);
    }
    size_t at = 99;
    assert_true(jsontext_open_string("{\"a\":\"b", 7, &at));
    assert_int_equal(at, 5);
    assert_true(jsontext_open_string("\"\\\"", 3, &at));
    assert_int_equal(at, 0);
    assert_false(jsontext_open_string("{\"a\":\"b\"}", 9, &at));
    assert_false(jsontext_open_string("", 0, &at));
}

static void position_is(const char *text, size_t offset, int line, int column)
{
    int l = 0, c = 0;
    jsontext_position(text, strlen(text), offset, &l, &c);
    assert_int_equal(l, line);
    assert_int_equal(c, column);
}

static void test_position(void **state)
{
    (void)state;
    position_is("", 0, 1, 1);
    position_is("abc", 2, 1, 3);
    position_is("abc", 3, 1, 4);
    position_is("abc", 99, 1, 4);
    position_is("a\nb", 1, 1, 2);
    position_is("a\nb", 2, 2, 1);
    position_is("a\r\nb", 3, 2, 1);
    position_is("\n\n  x", 4, 3, 3);
    position_is("\xe4\xb8\xad\xe6\x96\x87x", 6, 1, 3); /* characters, not bytes */
}

/* How many steps are found, and which line and column the last one has. */
static void find_is(const char *text, const struct jsonpath_step *steps, size_t n, size_t found, size_t offset)
{
    size_t len = strlen(text), at = 99;
    char *copy = exact(text, len);
    assert_int_equal(jsontext_find(copy, len, steps, n, &at), found);
    assert_int_equal(at, offset);
    free(copy);
}

static void test_find(void **state)
{
    (void)state;
    const struct jsonpath_step ab[] = {KEY("a"), KEY("b")};
    find_is("{\"a\":{\"b\":1}}", ab, 2, 2, 6);
    find_is(" {\"a\":{\"b\":1}}", ab, 0, 0, 1);
    find_is("{\"a\":{\"c\":1}}", ab, 2, 1, 1);
    find_is("{\"b\":{\"a\":1}}", ab, 2, 0, 0);
    find_is("{\"a\":1,\"b\":2}", ab, 2, 1, 1);
    find_is("{\"a\":1,\"x\":{\"b\":2}}", ab, 2, 1, 1);           /* not inside the next one */
    find_is("{\"a\":{},\"x\":{\"b\":2}}", ab, 2, 1, 1);          /* the same after an object */
    find_is("{\"a\":[{\"b\":1}],\"x\":{\"b\":2}}", ab, 2, 1, 1); /* nor inside an array */
    find_is("{\"x\":{\"a\":{\"b\":2}},\"a\":{\"b\":1}}", ab, 2, 2, 24);
    find_is("{\"x\":\"a\",\"a\":{\"x\":\"b\",\"b\":1}}", ab, 2, 2, 22); /* values are no keys */
    find_is("{\"\\u0061\":{\"b\":1}}", ab, 2, 2, 11);
    find_is("", ab, 2, 0, 0);
    find_is("{\"a\":{\"b\"", ab, 2, 2, 6);
    find_is("{\"a\":{\"b", ab, 2, 2, 6);
    find_is("[1,2]", ab, 2, 0, 0);
    find_is("\"a\"", ab, 2, 0, 0);

    const struct jsonpath_step list[] = {KEY("l"), INDEX(1), KEY("k")};
    find_is("{\"l\":[10,20]}", list, 2, 2, 9);
    find_is("{\"l\":[10]}", list, 2, 1, 1);
    find_is("{\"l\":[{\"k\":1},{\"k\":2}]}", list, 3, 3, 15);
    find_is("{\"l\":[{\"k\":1},{\"x\":2},{\"k\":3}]}", list, 3, 2, 14);
    find_is("{\"l\":[[0,{\"k\":1}],[2,3]],\"k\":1}", list, 3, 2, 18);
}

static void duplicate_is(const char *text, size_t first, size_t second)
{
    size_t len = strlen(text), a = 99, b = 99;
    char *copy = exact(text, len);
    assert_int_equal(jsontext_duplicate(copy, len, &a, &b), -EEXIST);
    assert_int_equal(a, first);
    assert_int_equal(b, second);
    free(copy);
}

static void no_duplicate(const char *text)
{
    size_t len = strlen(text), a = 0, b = 0;
    char *copy = exact(text, len);
    assert_int_equal(jsontext_duplicate(copy, len, &a, &b), 0);
    free(copy);
}

static void test_duplicate(void **state)
{
    (void)state;
    no_duplicate("");
    no_duplicate("{}");
    no_duplicate("{\"a\":1,\"b\":1}");
    no_duplicate("{\"a\":{\"a\":{\"a\":1}}}");
    no_duplicate("[{\"a\":1},{\"a\":1}]");
    no_duplicate("{\"x\":{\"a\":1},\"y\":{\"a\":1},\"a\":1}");
    no_duplicate("{\"x\":{\"y\":{\"q\":1}},\"y\":1,\"q\":2}");
    no_duplicate("{\"a\":\"a\",\"b\":\"a\"}");
    no_duplicate("{\"a\":[\"a\",\"a\"]}");
    no_duplicate("{\"a\":1,\"A\":1,\"a \":1,\"\":1}");
    no_duplicate("{\"a\\u0000b\":1,\"a\\u0000c\":1}");
    no_duplicate("{\"a\":1,\"a\":2"); /* broken: the decoder has said so before */
    duplicate_is("{\"a\":1,\"a\":2}", 1, 7);
    duplicate_is("{\"\":1,\"\":2}", 1, 6);
    duplicate_is("{\"a\":{},\"b\":2,\"a\":{}}", 1, 14);
    duplicate_is("{\"x\":{\"a\":1,\"a\":2}}", 6, 12);
    duplicate_is("[[{\"a\":1,\"a\":2}]]", 3, 9);
    duplicate_is("{\"a\":1,\"\\u0061\":2}", 1, 7);
    duplicate_is("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", 1, 18);
    duplicate_is("{\"a\":1,\"a\":2,\"a\":3}", 1, 7);                   /* the first of several */
    duplicate_is("{\"a\":1,\"x\":{\"b\":1,\"b\":2},\"a\":3}", 12, 18); /* by where the second stands */
    duplicate_is("{\"a\":1,\"a\":{\"b\":1,\"b\":2}}", 1, 7);
}

static void path_is(const char *text, size_t end, const char *expected)
{
    size_t len = strlen(text);
    char *copy = exact(text, len);
    struct buf path = {0};
    jsontext_path_at(copy, len, end, &path);
    assert_string_equal(buf_str(&path), expected);
    buf_fini(&path);
    free(copy);
}

static void test_path_at(void **state)
{
    (void)state;
    const char *text = "{\"a\":{\"b\":1},\"c\":[7,{\"d\":8}],\"x.y\":2}";
    path_is(text, 0, "");
    path_is(text, 1, "");
    path_is(text, 2, "a");
    path_is(text, 7, "a.b");
    path_is(text, 11, "a.b");
    path_is(text, 12, "a");
    path_is(text, 13, "");
    path_is(text, 14, "c");
    path_is(text, 19, "c[0]");
    path_is(text, 20, "c[1]");
    path_is(text, 22, "c[1].d");
    path_is(text, 30, "\"x.y\"");
    path_is(text, 38, "");
    path_is(text, 999, "");
    path_is("{\"a\\n\":{", 8, "\"a\\n\"");
}

static void step_is(const char *key, size_t len, const char *expected)
{
    struct buf path = {0};
    const struct jsonpath_step step = {.key = key, .len = len};
    jsonpath_add(&path, &step);
    assert_string_equal(buf_str(&path), expected);
    buf_fini(&path);
}

static void test_steps(void **state)
{
    (void)state;
    step_is("svrs", 4, "svrs");
    step_is("a-b_c", 5, "a-b_c");
    step_is("\xe6\x9c\x8d", 3, "\xe6\x9c\x8d");
    step_is("", 0, "\"\"");
    step_is("a.b", 3, "\"a.b\"");
    step_is("a b", 3, "\"a b\"");
    step_is("a=b", 3, "\"a=b\"");
    step_is("a;b", 3, "\"a;b\"");
    step_is("a\0b", 3, "\"a\\u0000b\"");
    step_is("a\"b", 3, "\"a\\\"b\"");
    struct buf path = {0};
    const struct jsonpath_step steps[] = {KEY("dev"), KEY("bind"), INDEX(12), KEY("x")};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        jsonpath_add(&path, &steps[i]);
    assert_string_equal(buf_str(&path), "dev.bind[12].x");
    buf_fini(&path);
}

static void test_quote(void **state)
{
    (void)state;
    struct buf b = {0};
    jsonpath_quote(&b, "abc", 3, 3);
    jsonpath_quote(&b, "abcd", 4, 3);
    jsonpath_quote(&b, "ab\xe4\xb8\xad", 5, 4); /* no half characters */
    assert_string_equal(buf_str(&b), "\"abc\"\"abc\"…\"ab\"…");
    buf_fini(&b);
}

static void unescape_is(const char *s, const char *expected, size_t expected_len)
{
    size_t len = strlen(s);
    char *copy = exact(s, len);
    struct buf b = {0};
    jsonpath_unescape(copy, len, &b);
    assert_int_equal(b.len, expected_len);
    assert_memory_equal(buf_str(&b), expected, expected_len);
    buf_fini(&b);
    free(copy);
}

static void test_unescape(void **state)
{
    (void)state;
    unescape_is("", "", 0);
    unescape_is("plain", "plain", 5);
    unescape_is("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8);
    unescape_is("\\u0041\\u00e9\\u4e2d", "A\xc3\xa9\xe4\xb8\xad", 6);
    unescape_is("\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4);
    unescape_is("\\u0000x", "\0x", 2);
    unescape_is("\\u00E9", "\xc3\xa9", 2);
    /* no escapes: as they are written */
    unescape_is("\\q", "\\q", 2);
    unescape_is("a\\", "a\\", 2);
    unescape_is("\\u12", "\\u12", 4);
    unescape_is("\\u00g0", "\\u00g0", 6);
    unescape_is("\\u\x10\x10\x10\x10", "\\u\x10\x10\x10\x10", 6);
    unescape_is("\\ud83d", "\\ud83d", 6);
    unescape_is("\\ud83d\\u0041", "\\ud83dA", 7);
    unescape_is("\\ude00", "\\ude00", 6);
}

/* Whatever the text is: no read past the end, no endless loop. What a sanitizer build is for. */
static void test_garbage(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]:,\"\\/*\n a1u";
    unsigned seed = 12345;
    const struct jsonpath_step steps[] = {KEY("a"), INDEX(1), KEY("1")};
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t len = (size_t)(round % (int)sizeof text);
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245 + 12345;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet)]; /* the NUL too */
        }
        char *copy = exact(text, len);
        size_t a = 0, b = 0, bad = 0;
        if (!jsontext_blank(copy, len, &bad))
            assert_true(bad < len);
        int rc = jsontext_duplicate(copy, len, &a, &b);
        assert_true(rc == 0 || (rc == -EEXIST && a < b && b < len));
        assert_true(jsontext_find(copy, len, steps, 3, &a) <= 3 && a <= len);
        struct buf path = {0};
        jsontext_path_at(copy, len, len / 2, &path);
        buf_fini(&path);
        free(copy);
    }
}

static void test_deep(void **state)
{
    (void)state;
    size_t len = 300000, at = 0, second = 0;
    char *text = malloc(len);
    assert_non_null(text);
    memset(text, '[', len);
    const struct jsonpath_step steps[] = {INDEX(0), INDEX(0)};
    assert_int_equal(jsontext_find(text, len, steps, 2, &at), 2);
    assert_int_equal(at, 2);
    assert_int_equal(jsontext_duplicate(text, len, &at, &second), 0);
    struct buf path = {0};
    jsontext_path_at(text, len, len, &path);
    buf_fini(&path);
    free(text);
}

/* Ten times the keys must not take a hundred times as long. */
static int64_t time_keys(int n)
{
    struct buf text = {0};
    buf_addc(&text, '{');
    for (int i = 0; i < n; i++)
        buf_addf(&text, "%s\"key number %d\":[{\"a\":1}]", i ? "," : "", i);
    buf_addc(&text, '}');
    char last[32];
    snprintf(last, sizeof last, "key number %d", n - 1);
    const struct jsonpath_step step = {.key = last, .len = strlen(last)};
    size_t a = 0, b = 0;
    clock_t start = clock(); /* the processor's time: another load on the machine does not count */
    assert_int_equal(jsontext_duplicate(text.data, text.len, &a, &b), 0);
    assert_int_equal(jsontext_find(text.data, text.len, &step, 1, &a), 1);
    int64_t took = (int64_t)(clock() - start) * 1000 / CLOCKS_PER_SEC;
    buf_fini(&text);
    return took;
}

static void test_linear(void **state)
{
    (void)state;
    int64_t small = time_keys(20000), large = time_keys(200000);
    assert_true(large <= 30 * MAX(small, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blank),   cmocka_unit_test(test_unfinished), cmocka_unit_test(test_position),
        cmocka_unit_test(test_find),    cmocka_unit_test(test_duplicate),  cmocka_unit_test(test_path_at),
        cmocka_unit_test(test_steps),   cmocka_unit_test(test_quote),      cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_garbage), cmocka_unit_test(test_deep),       cmocka_unit_test(test_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
