/* The registry of commands: builtin ones, and those that come and go at run time. */
#include "core_fixture.h"
#include "request.h"

static struct admin admin;

static int setup(void **state)
{
    if (fixture_setup(state))
        return -1;
    fixture_up(fixture_conf("alpha", "beta"));
    admin = (struct admin){.mon = fx.m};
    return 0;
}

static int teardown(void **state)
{
    command_set_extra(&admin, NULL);
    return fixture_teardown(state);
}

/* ---- a command that says what it was asked, now or when told to */

static struct request *waiting;

static void run_echo(struct request *r)
{
    buf_addf(&r->body, "%s:", (const char *)r->command->data);
    for (size_t i = 0; i < r->nslots; i++)
        buf_addf(&r->body, " %s", r->slots[i].name);
    for (size_t i = 0; i < r->nargs; i++)
        buf_addf(&r->body, " %s=%s", r->args[i].key, r->args[i].value);
    request_done(r, 200, EXIT_OK);
}

static void run_later(struct request *r)
{
    waiting = r;
}

/* The table that was given back last, and how many were. */
static struct command_table *given_back;
static int times_given_back;

static void on_unused(struct command_table *t)
{
    given_back = t;
    times_given_back++;
}

static const struct command_arg echo_args[] = {
    {"one", "the first", "1"}, {"two", NULL, "2"}, {"three", "the third", NULL}, {NULL, NULL, NULL}};
static const struct command echo = {.name = "echo",
                                    .help = "says what it was asked",
                                    .services = COMMAND_ANY_SERVICES,
                                    .args = echo_args,
                                    .run = run_echo,
                                    .data = (void *)(uintptr_t) "first"};
static const struct command any = {.name = "any", .any_args = true, .run = run_echo, .data = (void *)(uintptr_t) "any"};
static const struct command later = {.name = "later", .help = "waits", .run = run_later};
static const struct command echo_again = {
    .name = "echo", .help = "another", .run = run_echo, .data = (void *)(uintptr_t) "second"};
static const struct command *const first_commands[] = {&echo, &any, &later};
static const struct command *const second_commands[] = {&echo_again};

static struct command_table first = {.commands = first_commands, .count = 3, .unused = on_unused};
static struct command_table second = {.commands = second_commands, .count = 1, .unused = on_unused};

/* Asks for a command with an argument or two; the caller frees the request. */
static struct request *ask(const char *command, const char *key, const char *value)
{
    struct request *r = request_new(&admin, "a test");
    assert_non_null(r);
    request_set(r, "command", command);
    if (key)
        request_set(r, key, value);
    request_run(r, NULL, NULL);
    return r;
}

static void assert_answer(const char *command, const char *key, const char *value, int status, const char *text)
{
    struct request *r = ask(command, key, value);
    assert_true(r->done);
    assert_string_equal(buf_str(&r->body), text);
    assert_int_equal(r->status, status);
    request_free(r);
}

static void further_commands_join(void **state)
{
    (void)state;
    size_t n = 0;
    while (command_at(&admin, n))
        n++;
    assert_null(command_find(&admin, "echo", NULL));
    command_set_extra(&admin, &first);
    assert_ptr_equal(command_find(&admin, "echo", NULL), &echo);
    assert_ptr_equal(command_at(&admin, n), &echo);
    assert_ptr_equal(command_at(&admin, n + 2), &later);
    assert_null(command_at(&admin, n + 3));
    assert_answer("echo", NULL, NULL, 200, "first: alpha beta");
    assert_answer("echo", "two", "x", 200, "first: alpha beta two=x");
    assert_answer("echo", "four", "x", 400,
                  "Error: command[echo] has no argument \"four\"; it takes one, two, three, format, timeout\n");
    assert_answer("any", "four", "x", 200, "any: four=x");
    command_set_extra(&admin, NULL);
    assert_answer("echo", NULL, NULL, 404, "Error: command[echo] unknown; command=help lists them all\n");
}

static void a_builtin_command_is_not_replaced(void **state)
{
    (void)state;
    static const struct command impostor = {.name = "status", .run = run_echo, .data = (void *)(uintptr_t) "no"};
    static const struct command *const commands[] = {&impostor};
    struct command_table t = {.commands = commands, .count = 1};
    command_set_extra(&admin, &t);
    assert_ptr_not_equal(command_find(&admin, "status", NULL), &impostor);
    command_set_extra(&admin, NULL);
}

static void help_shows_them(void **state)
{
    (void)state;
    command_set_extra(&admin, &first);
    struct request *r = ask("help", NULL, NULL);
    assert_non_null(strstr(r->body.data, "echo       says what it was asked\n"
                                         "             one=the first (1)\n"
                                         "             two=(2)\n"
                                         "             three=the third\n"
                                         "any        \n"
                                         "later      waits\n"));
    request_free(r);
    r = ask("help", "format", "json");
    assert_non_null(strstr(r->body.data, ",\n{\"name\":\"echo\",\"help\":\"says what it was asked\",\"changes\":false,"
                                         "\"service\":\"optional\",\"args\":{\"one\":\"the first (1)\",\"two\":\"(2)\","
                                         "\"three\":\"the third\"}},\n"));
    assert_non_null(strstr(r->body.data, "\"args\":{},\"any_args\":true}"));
    request_free(r);
}

static void a_request_keeps_the_table_it_came_from(void **state)
{
    (void)state;
    times_given_back = 0;
    command_set_extra(&admin, &first);
    struct request *a = ask("later", NULL, NULL), *b = ask("later", NULL, NULL), *other = ask("version", NULL, NULL);
    assert_false(a->done || b->done);
    command_set_extra(&admin, &second);
    assert_answer("echo", NULL, NULL, 200, "second:");
    request_free(a);
    assert_int_equal(times_given_back, 0);
    assert_ptr_equal(waiting, b);
    assert_string_equal(b->command->name, "later");
    request_done(b, 200, EXIT_OK);
    assert_int_equal(times_given_back, 0); /* the answer is not sent yet */
    request_free(b);
    assert_int_equal(times_given_back, 1);
    assert_ptr_equal(given_back, &first);
    request_free(other);
    command_set_extra(&admin, NULL);
    assert_int_equal(times_given_back, 2);
    assert_ptr_equal(given_back, &second);
}

static void a_request_that_names_two_commands_keeps_the_last(void **state)
{
    (void)state;
    times_given_back = 0;
    command_set_extra(&admin, &first);
    struct request *r = ask("later", "command", "echo");
    assert_string_equal(buf_str(&r->body), "first: alpha beta");
    request_free(r);
    r = ask("later", "command", "version");
    command_set_extra(&admin, NULL);
    assert_int_equal(times_given_back, 1);
    request_free(r);
    assert_int_equal(times_given_back, 1);
}

static void reserved_names(void **state)
{
    (void)state;
    static const char *const reserved[] = {"status", "restart", "help", "env", "token-file", "lines", "h", "version"};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        assert_true(command_is_reserved(reserved[i]));
    static const char *const others[] = {"drain", "", "stat", "statuses", "token"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(command_is_reserved(others[i]));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(further_commands_join),
        TEST(a_builtin_command_is_not_replaced),
        TEST(help_shows_them),
        TEST(a_request_keeps_the_table_it_came_from),
        TEST(a_request_that_names_two_commands_keeps_the_last),
        TEST(reserved_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
