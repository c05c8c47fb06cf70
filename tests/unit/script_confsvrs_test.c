/* The services: keys, names, users, and the warnings about what cannot be executed. */
#include "confload_util.h"

#include "conf.h"

#include <grp.h>
#include <pwd.h>

static void test_bad_service_keys(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"\"dir\":\"\"", "dir: must not be empty"},
        {"\"env\":\"A=b\"", "env: must be an object, got \"A=b\""},
        {"\"env\":[\"A=b\"]", "env: must be an object, got an array"},
        {"\"umask\":\"8\"", "umask: must be an octal mask from \"000\" to \"777\", got \"8\""},
        {"\"umask\":29", "umask: must be an octal mask from \"000\" to \"777\", got 29"},
        {"\"umask\":\"1777\"", "umask: must be an octal mask from \"000\" to \"777\", got \"1777\""},
        {"\"umask\":-1", "umask: must be an octal mask from \"000\" to \"777\", got -1"},
        {"\"umask\":2.5", "umask: must be an octal mask from \"000\" to \"777\", got 2.5"},
        {"\"umask\":\"\"", "umask: must be an octal mask from \"000\" to \"777\", got \"\""},
        {"\"umask\":\"022\\u0000\"", "umask: must be an octal mask from \"000\" to \"777\", got \"022\\u0000\""},
        {"\"autostart\":\"false\"", "autostart: must be true or false, got \"false\""},
        {"\"policy\":7", "policy: must be the name of a policy, or an object with a name in it, got 7"},
        {"\"policy\":[\"x\"]", "policy: must be the name of a policy, or an object with a name in it, got an array"},
        {"\"policy\":\"\"", "policy: must not be empty"},
        {"\"policy\":{\"max\":3}", "policy.name: is required"},
        {"\"policy\":{}", "policy.name: is required"},
        {"\"policy\":null", "policy: must not be null"},
        {"\"stop\":10", "stop: must be an object, got 10"},
        {"\"graceful\":\"HUP\"", "graceful: must be an object, got \"HUP\""},
        {"\"log\":\"\"", "log: must not be empty"},
        {"\"log\":\"logs/\"", "log: must name a file, not a folder"},
        {"\"vars\":\"x\"", "vars: must be an object, got \"x\""},
        {"\"user\":0", "user: must be a string, got 0"},
        {"\"user\":\"no-such-user-here\"", "user: there is no user \"no-such-user-here\" on this host"},
        {"\"group\":\"no-such-group-here\"", "group: there is no group \"no-such-group-here\" on this host"},
        {"\"environ\":\"A='b\"", "environ: environ: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char prefix[256];
        snprintf(prefix, sizeof prefix, "conf.json:3:1: dev.svrs.web.%s", cases[i].message);
        write_conf(service_of(cases[i].inside));
        assert_null(load_with(NULL));
        if (i + 1 == ARRAY_LEN(cases)) /* whose rest is the shell reader's own text */
            assert_memory_equal(err.text, prefix, strlen(prefix));
        else
            assert_string_equal(err.text, prefix);
    }
}

static const char *stop_of(const char *inside)
{
    static char text[512];
    snprintf(text, sizeof text, "\"stop\":{\n%s}", inside);
    return service_of(text);
}

#define SIGNAL_MESSAGE "signal: must be a signal, such as \"TERM\", \"SIGUSR1\" or 15, got "

static void test_bad_stop(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"\"signal\":\"TREM\"", SIGNAL_MESSAGE "\"TREM\""},
        {"\"signal\":0", SIGNAL_MESSAGE "0"},
        {"\"signal\":65", SIGNAL_MESSAGE "65"},
        {"\"signal\":15.5", SIGNAL_MESSAGE "15.5"},
        {"\"signal\":true", SIGNAL_MESSAGE "true"},
        {"\"signal\":\"TERM\\u0000\"", SIGNAL_MESSAGE "\"TERM\\u0000\""},
        {"\"timeout\":\"10s\"", "timeout: must be a number of seconds, got \"10s\""},
        {"\"timeout\":-1", "timeout: must be from 0 to 86400 seconds, got -1"},
        {"\"timeout\":86400.5", "timeout: must be from 0 to 86400 seconds, got 86400.5"},
        {"\"scope\":\"all\"", "scope: must be \"group\" or \"parent\", got \"all\""},
    };
    refuse(cases, ARRAY_LEN(cases), stop_of, "conf.json:4:1: dev.svrs.web.stop.");
}

static void test_env_map(void **state)
{
    (void)state;
    struct conf *conf = load_text(service_of("\"env\":{\"S\":\"a=b c\",\"I\":8080,\"F\":0.1,\"B\":true,\"E\":\"\","
                                             "\"BIG\":9007199254740991,\"MS\":1700000000000,\"NEG\":-5,\"X\":1e300,"
                                             "\"spring.profile\":\"x\"}"));
    static const char *const expected[] = {"B=true",   "BIG=9007199254740991", "E=",     "F=0.1",
                                           "I=8080",   "MS=1700000000000",     "NEG=-5", "S=a=b c",
                                           "X=1e+300", "spring.profile=x"};
    char *const *env = conf->svrs[0].env;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_string_equal(env[i], expected[i]);
    assert_null(env[ARRAY_LEN(expected)]);
    conf_free(conf);
    conf = load_text(service_of("\"env\":{}"));
    assert_null(conf->svrs[0].env);
    conf_free(conf);

    static const struct bad cases[] = {
        {"\"env\":{\n\"\":1}", "\"\": the name of a variable must not be empty"},
        {"\"env\":{\n\"A=B\":1}",
         "\"A=B\": the name of a variable must not contain \"=\", blanks or control characters"},
        {"\"env\":{\n\"A B\":1}",
         "\"A B\": the name of a variable must not contain \"=\", blanks or control characters"},
        {"\"env\":{\n\"A\\u0000\":1}",
         "\"A\\u0000\": the name of a variable must not contain \"=\", blanks or control characters"},
        {"\"env\":{\n\"A\":null}", "A: must not be null"},
        {"\"env\":{\n\"A\":{}}", "A: must be a string, a number, true or false, got an object"},
        {"\"env\":{\n\"A\":\"x\\u0000\"}", "A: must not contain a NUL character"},
        {"\"env\":{\n\"A\":1e999}", "A: the number is too large"},
        {"\"env\":{\n\"FOTA_MONITOR_SERVICE\":1}",
         "FOTA_MONITOR_SERVICE: is set by fota_monitor itself, to know the service again"},
    };
    refuse(cases, ARRAY_LEN(cases), service_of, "conf.json:4:1: dev.svrs.web.env.");
}

static void test_policy(void **state)
{
    (void)state;
    static const struct {
        const char *given, *name, *params;
    } cases[] = {
        {"\"backoff\"", "backoff", NULL},
        {"{\"name\":\"backoff\"}", "backoff", NULL},
        {"{\"name\":\"b\",\"max\":5,\"list\":[1,2],\"deep\":{\"z\":1,\"a\":0.5}}", "b",
         "{\"deep\":{\"a\":0.5,\"z\":1},\"list\":[1,2],\"max\":5}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char inside[256];
        snprintf(inside, sizeof inside, "\"policy\":%s", cases[i].given);
        struct conf *conf = load_text(service_of(inside));
        assert_string_equal(conf->svrs[0].policy, cases[i].name);
        if (cases[i].params)
            assert_string_equal(conf->svrs[0].policy_params, cases[i].params);
        else
            assert_null(conf->svrs[0].policy_params);
        conf_free(conf);
    }
}

static void test_log_path(void **state)
{
    (void)state;
    struct conf *conf = load_text(env_of("\"svrs\":{\"a{name}b\":{\"cmd\":\"/bin/true\",\"log\":"
                                         "\"{name}/x{name}{nam}{{name}\"}}"));
    assert_string_equal(conf->svrs[0].log, "a{name}b/xa{name}b{nam}{a{name}b");
    conf_free(conf);
}

static void test_names(void **state)
{
    (void)state;
    struct conf *conf = load_text(
        env_of("\"svrs\":{\"b\":\"/bin/true\",\"B\":\"/bin/true\",\"a.b\":\"/bin/true\",\"a\":\"/bin/true\","
               "\"服务\":\"/bin/true\",\"my app\":\"/bin/true\",\"10\":\"/bin/true\",\"ALL\":\"/bin/true\"}"));
    static const char *const sorted[] = {"10", "ALL", "B", "a", "a.b", "b", "my app", "服务"};
    assert_int_equal(conf->nsvrs, ARRAY_LEN(sorted));
    for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
        assert_string_equal(conf->svrs[i].name, sorted[i]);
    conf_free(conf);

    char longest[257], text[400], message[600];
    memset(longest, 'n', sizeof longest);
    longest[255] = 0;
    snprintf(text, sizeof text, "\"svrs\":{\n\"%s\":\"/bin/true\"}", longest);
    conf_free(load_text(env_of(text)));
    longest[255] = 'n';
    longest[256] = 0;
    snprintf(text, sizeof text, "\"svrs\":{\n\"%s\":\"/bin/true\"}", longest);
    snprintf(message, sizeof message,
             "conf.json:3:1: dev.svrs.%s: the name of a service must not be longer than 255 bytes", longest);
    expect_error(env_of(text), message);

    static const struct {
        const char *name, *shown, *problem;
    } cases[] = {
        {"", "\"\"", "the name of a service must not be empty"},
        {"all", "all", "\"all\" means every service and cannot be the name of one"},
        {"a/b", "a/b", "the name of a service must not contain \"/\" or \",\""},
        {"a,b", "a,b", "the name of a service must not contain \"/\" or \",\""},
        {"-a", "-a", "the name of a service must not begin with \"-\", or begin or end with a blank"},
        {" a", "\" a\"", "the name of a service must not begin with \"-\", or begin or end with a blank"},
        {"a ", "\"a \"", "the name of a service must not begin with \"-\", or begin or end with a blank"},
        {"a\\nb", "\"a\\nb\"", "the name of a service must not contain control characters"},
        {"a\\u0000b", "\"a\\u0000b\"", "the name of a service must not contain control characters"},
        {"a\x7f", "\"a\\u007f\"", "the name of a service must not contain control characters"},
        {"\xff", "\xff", "the name of a service must be valid UTF-8"},
        {"a\xc0\x80", "a\xc0\x80", "the name of a service must be valid UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof text, "\"svrs\":{\n\"%s\":\"/bin/true\"}", cases[i].name);
        snprintf(message, sizeof message, "conf.json:3:1: dev.svrs.%s: %s", cases[i].shown, cases[i].problem);
        expect_error(env_of(text), message);
    }
}

static void test_bad_services(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"\"svrs\":{\n\"a\":1}", "a: must be a command line or an object, got 1"},
        {"\"svrs\":{\n\"a\":[\"x\"]}", "a: must be a command line or an object, got an array"},
        {"\"svrs\":{\n\"a\":null}", "a: must not be null"},
        {"\"svrs\":{\n\"a\":\"\"}", "a: must not be empty"},
        {"\"svrs\":{\n\"a\":\" \\t\\n\"}", "a: must not be empty"},
        {"\"svrs\":{\n\"a\":\"x\\u0000y\"}", "a: must not contain a NUL character"},
        {"\"svrs\":{\n\"a\":{}}", "a.cmd: is required"},
        {"\"svrs\":{\n\"z\":1,\n\"a\":{\"cmd\":\"/bin/true\"}}", "z: must be a command line or an object, got 1"},
    };
    refuse(cases, ARRAY_LEN(cases), env_of, "conf.json:3:1: dev.svrs.");
    /* a command that can never be executed; the reason is the command line reader's own text */
    write_conf(env_of("\"svrs\":{\n\"a\":\"echo 'x\"}"));
    assert_null(load_with(NULL));
    assert_memory_equal(err.text, "conf.json:3:1: dev.svrs.a: the command line: ", 45);
    write_conf(env_of("\"svrs\":{\n\"a\":{ \"cmd\":\"echo 'x\"}}"));
    assert_null(load_with(NULL));
    assert_memory_equal(err.text, "conf.json:3:7: dev.svrs.a.cmd: the command line: ", 49);
}

static void test_users(void **state)
{
    (void)state;
    const struct passwd *pw = getpwuid(geteuid());
    const struct group *gr = getgrgid(getegid());
    if (!pw || !gr) {
        skip();
        return;
    }
    char inside[256];
    snprintf(inside, sizeof inside, "\"user\":\"%s\",\"group\":\"%s\"", pw->pw_name, gr->gr_name);
    struct conf *conf = load_text(service_of(inside));
    assert_string_equal(conf->svrs[0].user, pw->pw_name);
    assert_string_equal(conf->svrs[0].group, gr->gr_name);
    conf_free(conf);
}

/* Who is not root may not start services as somebody else. */
static void test_users_not_root(void **state)
{
    (void)state;
    if (geteuid() == 0) { /* become nobody for a while */
        char dir[96];
        snprintf(dir, sizeof dir, "%s/conf", home);
        assert_int_equal(chmod(home, 0755) | chmod(dir, 0777), 0);
        assert_int_equal(setegid(65534), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    struct conf *one = NULL, *two = NULL;
    write_conf(service_of("\"user\":\"root\""));
    one = load_with(NULL);
    char first[sizeof err.text];
    strcpy(first, err.text);
    write_conf(service_of("\"group\":\"root\""));
    two = load_with(NULL);
    if (getuid() == 0 && (seteuid(0) != 0 || setegid(0) != 0))
        abort();
    assert_null(one);
    assert_null(two);
    assert_string_equal(first, "conf.json:3:1: dev.svrs.web.user: needs root: only it can start a service as another "
                               "user");
    assert_string_equal(err.text,
                        "conf.json:3:1: dev.svrs.web.group: needs root: only it can start a service in another group");
}

static void test_warnings(void **state)
{
    (void)state;
    char command[256], expected[512];
    snprintf(command, sizeof command, "cd %s && mkdir folder && echo x > plain && echo x > good && chmod 755 good",
             home);
    assert_int_equal(system(command), 0);
    struct conf *conf =
        load_text(env_of("\"svrs\":{\"a\":\"missing -x\",\"b\":\"folder\",\"c\":\"plain\",\"d\":\"good\","
                         "\"e\":\"sh -c true\",\"f\":\"$SOMETHING\",\"g\":{\"cmd\":\"/no/such/file\"},"
                         "\"h\":\"good/er\"}"));
    snprintf(expected, sizeof expected,
             "service[a]: %s/missing does not exist\n"
             "service[b]: %s/folder is a directory\n"
             "service[c]: %s/plain is not executable\n"
             "service[g]: /no/such/file does not exist\n"
             "service[h]: %s/good/er does not exist\n",
             home, home, home, home);
    assert_string_equal(warnings, expected);
    conf_free(conf);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bad_service_keys), TEST(test_bad_stop), TEST(test_env_map),      TEST(test_policy),
        TEST(test_log_path),         TEST(test_names),    TEST(test_bad_services), TEST(test_users),
        TEST(test_users_not_root),   TEST(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
