#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void pairs(void **state)
{
    (void)state;
    static const char *const good[] = {"1.2.3.4:5", "127.0.0.1:65535", "[::1]:80", "[fe80::2]:28702"};
    static const char *const bad[] = {
        "",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:123456",
        "1.2.3.4:-5",
        "1.2.3:4",
        "1.2.3.4.5:6",
        "host:5",
        "::1",
        "::1:5",
        "[1.2.3.4]:5",
        "[::1]",
        "[::1]5",
        "[]:5",
        ":5",
        " 1.2.3.4:5",
        "1.2.3.4:5 ",
        "1.2.3.4 :5",
        "1.2.3.4:+5",
        "[::1:5",
        "1.2.3.4:5,",
        "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]:5",
    };
    union host_address a;
    char text[HOST_PAIR_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(host_parse_pair(good[i], &a) > 0);
        host_text(&a, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (host_parse_pair(bad[i], &a))
            fail_msg("\"%s\" is taken for an address", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
