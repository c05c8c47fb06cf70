#include "utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void lengths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        {"a", 1},
        {"\x7f", 1},
        {"é", 2},
        {"中", 3},
        {"😀", 4},
        {"\x80", 0},
        {"\xc3", 0},
        {"\xc0\xaf", 0},
        {"\xe4\xb8", 0},
        {"\xe0\x80\x80", 0},
        {"\xed\xa0\x80", 0},
        {"\xff", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf0\x9f\x98", 0},
        {"\xc3(", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(utf8_len(cases[i].text, strlen(cases[i].text)), cases[i].len);
    assert_int_equal(utf8_len("", 1), 1); /* a NUL is a character too */
}

static void a_cut_never_tears_a_character(void **state)
{
    (void)state;
    assert_int_equal(utf8_cut("abc", 3, 4), 3);
    assert_int_equal(utf8_cut("abcd", 4, 4), 4);
    assert_int_equal(utf8_cut("abcde", 5, 4), 4);
    assert_int_equal(utf8_cut("abcé", 5, 4), 3);
    assert_int_equal(utf8_cut("ab中", 5, 4), 2);
    assert_int_equal(utf8_cut("a😀", 5, 4), 1);
    assert_int_equal(utf8_cut("😀a", 5, 4), 4);
    assert_int_equal(utf8_cut("中文", 6, 5), 3);
}

static unsigned width(const char *s)
{
    return utf8_width(s, strlen(s));
}

static void columns_on_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(width(""), 0);
    assert_int_equal(width("web-1"), 5);
    assert_int_equal(width("naïve"), 5);
    assert_int_equal(width("网关服务"), 8);
    assert_int_equal(width("サーバ"), 6);
    assert_int_equal(width("서버"), 4);
    assert_int_equal(width("ｗｅｂ"), 6); /* fullwidth */
    assert_int_equal(width("cafe\u0301"), 4);
    assert_int_equal(width("เซิร์ฟเวอร์"), 8); /* three of its marks stand above others */
    assert_int_equal(width("😀"), 2);
    assert_int_equal(width("\xff\xfe"), 2);
    assert_int_equal(width("a\033\nb"), 2);
    assert_int_equal(utf8_width("网关", 3), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),
        cmocka_unit_test(columns_on_a_terminal),
        cmocka_unit_test(a_cut_never_tears_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
