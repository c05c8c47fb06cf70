/* Words to options. How words look to a person is tested end to end. */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static bool parse(struct options *o, char **argv, struct err *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return options_parse(o, argc, argv, err);
}

/* The words are cut at "=", so they must not be constants. */
#define WORDS(...) ((char *[]){(char[]){"fota_monitor"}, __VA_ARGS__, NULL})
#define W(text) ((char[]){text})

static void commands(void **state)
{
    (void)state;
    struct options o;
    assert_true(parse(&o, WORDS(W("-env"), W("x"), W("--restart=a,b"), W("grace=5")), NULL));
    assert_int_equal(o.mode, MODE_COMMAND);
    assert_string_equal(o.env, "x");
    assert_string_equal(o.command, "restart");
    assert_string_equal(o.service, "a,b");
    assert_int_equal(o.nargs, 1);
    assert_true(parse(&o, WORDS(W("-log"), W("a"), W("-follow"), W("-lines=3")), NULL));
    assert_string_equal(o.follow, "1");
    assert_string_equal(o.lines, "3");
}

static void help_takes_a_name_or_none(void **state)
{
    (void)state;
    struct options o;
    assert_true(parse(&o, WORDS(W("-h")), NULL));
    assert_int_equal(o.mode, MODE_HELP);
    assert_null(o.topic);
    assert_true(parse(&o, WORDS(W("-help"), W("status")), NULL));
    assert_string_equal(o.topic, "status");
    assert_true(parse(&o, WORDS(W("-h=-status")), NULL));
    assert_string_equal(o.topic, "status");
    assert_true(parse(&o, WORDS(W("-h"), W("-env"), W("dev")), NULL));
    assert_null(o.topic);
    assert_string_equal(o.env, "dev");
    assert_true(parse(&o, WORDS(W("-status"), W("all"), W("-h")), NULL));
    assert_int_equal(o.mode, MODE_HELP);
    assert_string_equal(o.command, "status");
    assert_true(parse(&o, WORDS(W("-h"), W("-status")), NULL));
    assert_int_equal(o.mode, MODE_HELP);
}

static void completion_takes_all_that_follows(void **state)
{
    (void)state;
    struct options o;
    assert_true(parse(&o, WORDS(W("-complete"), W("-env"), W("x"), W("-status"), W("")), NULL));
    assert_int_equal(o.mode, MODE_COMPLETE);
    assert_int_equal(o.nfiles, 4);
    assert_string_equal(o.files[0], "-env");
    assert_string_equal(o.files[3], "");
    assert_string_equal(o.env, "prod");
}

static void slips(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *meant;
    } cases[] = {{"evn", "env"},
                 {"enc", "env"},
                 {"Format", "format"},
                 {"tokenfile", "token-file"},
                 {"tiemout", "timeout"},
                 {"complte", NULL},
                 {"x", NULL},
                 {"restart", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned distance = 2;
        const char *found = options_nearest(cases[i].typed, &distance);
        if (cases[i].meant)
            assert_string_equal(found, cases[i].meant);
        else
            assert_null(found);
    }
}

static void the_table_is_complete(void **state)
{
    (void)state;
    for (const struct option *o = options_table; o->name; o++) {
        assert_true(options_has(o->name));
        assert_true(o->group == OPTION_HIDDEN || (o->help && o->help[0]));
        assert_true(!o->alone || !o->value);
        assert_ptr_equal(options_find(o->name, strlen(o->name)), o); /* no name stands twice */
    }
    assert_null(options_find("environment", 11));
    assert_non_null(options_find("env=x", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(help_takes_a_name_or_none),
        cmocka_unit_test(completion_takes_all_that_follows),
        cmocka_unit_test(slips),
        cmocka_unit_test(the_table_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
