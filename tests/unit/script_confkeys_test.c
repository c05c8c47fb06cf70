/* The keys of an env: defaults, meaning, limits, and the message for what does not fit. Those of a service are in
 * script_confsvrs_test.c. */
#include "confload_util.h"

#include "conf.h"

#include <signal.h>

static void test_defaults(void **state)
{
    (void)state;
    struct conf *conf = load_text(env_of("\"svrs\":{\"web\":\"/bin/true\",\"obj\":{\"cmd\":\"/bin/true -x\"}}"));
    char path[128];
    snprintf(path, sizeof path, "%s/run", home);
    assert_int_equal(conf->port, 29118);
    assert_string_equal(conf->bind[0], "127.0.0.1");
    assert_string_equal(conf->bind[1], "inner");
    assert_null(conf->bind[2]);
    assert_string_equal(conf->rootpath, home);
    assert_string_equal(conf->rundir, path);
    assert_string_equal(conf->environ, "");
    assert_string_equal(conf->clog.name, "fota_monitor");
    assert_null(conf->clog.addr);
    assert_int_equal(conf->clog.mode, 1);
    assert_int_equal(conf->clog.level, 14);
    assert_int_equal(conf->log.keep_days, 30);
    assert_int_equal(conf->log.max_size, 0);
    assert_string_equal(conf->log.day, "%-d");
    assert_int_equal(conf->auth, CONF_AUTH_LOCAL);
    assert_int_equal(conf->probe, CONF_PROBE_SIGNAL);
    assert_int_equal(conf->http.idle_timeout, 60);
    assert_int_equal(conf->http.backlog_kb, 1024);
    assert_int_equal(conf->http.body_kb, 1024);
    assert_int_equal(conf->http.header_kb, 32);
    assert_int_equal(conf->http.max_connections, 1024);
    assert_int_equal(conf->http.max_per_client, 256);
    assert_int_equal(conf->http.refused_delay_ms, 2000);
    assert_int_equal(conf->lua.budget_ms, 50);
    assert_int_equal(conf->lua.memory_mb, 64);
    assert_false(conf->lua.autoreload);
    assert_null(conf->vars);
    assert_int_equal(conf->nsvrs, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct conf_service *s = &conf->svrs[i];
        assert_string_equal(s->name, i == 0 ? "obj" : "web");
        assert_string_equal(s->cmd, i == 0 ? "/bin/true -x" : "/bin/true");
        const char *const none[] = {s->dir,    s->environ,       s->user, s->group,
                                    s->policy, s->policy_params, s->log,  s->vars};
        for (size_t k = 0; k < ARRAY_LEN(none); k++)
            assert_null(none[k]);
        assert_null(s->env);
        assert_int_equal(s->umask, -1);
        assert_true(s->autostart);
        assert_int_equal(s->stop.signal, SIGTERM);
        assert_int_equal(s->stop.timeout_ms, 10000);
        assert_int_equal(s->stop.scope, CONF_SCOPE_GROUP);
        assert_int_equal(s->graceful.signal, SIGHUP);
        assert_int_equal(s->graceful.timeout_ms, 10000);
    }
    conf_free(conf);
}

static void test_everything_given(void **state)
{
    (void)state;
    struct conf *conf = load_text(
        env_of("\"port\":0,\"bind\":[\"0.0.0.0\",\"::1\",\"inner\"],\"rootpath\":\"/srv/\",\"rundir\":\"/run/fm//\","
               "\"environ\":\"ulimit -n 100; export A=b\",\"auth\":\"open\",\"probe\":\"pidfd\","
               "\"clog\":{\"name\":\"n\",\"addr\":\"h:1\",\"mode\":3,\"level\":0},"
               "\"log\":{\"keep_days\":0,\"max_size\":\"100M\",\"day\":\"%Y-%m-%d\"},"
               "\"http\":{\"idle_timeout\":86400,\"backlog_kb\":16,\"max_connections\":1,\"body_kb\":2,"
               "\"header_kb\":16,\"max_per_client\":3,\"refused_delay\":0.5},"
               "\"lua\":{\"budget_ms\":1,\"memory_mb\":65536,\"autoreload\":true},"
               "\"vars\":{\"b\":[1,2.5,\"x\",null,true],\"a\":{}},"
               "\"svrs\":{\"web\":{\"cmd\":\"/bin/true\",\"dir\":\"d\",\"environ\":\"C=d\",\"env\":{\"K\":\"v\"},"
               "\"umask\":\"027\",\"autostart\":false,\"policy\":{\"name\":\"p\",\"max\":3},"
               "\"stop\":{\"signal\":\"INT\",\"timeout\":0.5,\"scope\":\"parent\"},"
               "\"graceful\":{\"signal\":10,\"timeout\":86400},\"log\":\"/var/log/{name}.log\",\"vars\":{\"x\":1}}}"));
    assert_int_equal(conf->port, 0);
    assert_string_equal(conf->bind[0], "0.0.0.0");
    assert_string_equal(conf->bind[1], "::1");
    assert_string_equal(conf->bind[2], "inner");
    assert_null(conf->bind[3]);
    assert_string_equal(conf->rootpath, "/srv");
    assert_string_equal(conf->rundir, "/run/fm");
    assert_string_equal(conf->environ, "ulimit -n 100; export A=b");
    assert_int_equal(conf->auth, CONF_AUTH_OPEN);
    assert_int_equal(conf->probe, CONF_PROBE_PIDFD);
    assert_string_equal(conf->clog.name, "n");
    assert_string_equal(conf->clog.addr, "h:1");
    assert_int_equal(conf->clog.mode, 3);
    assert_int_equal(conf->clog.level, 0);
    assert_int_equal(conf->log.keep_days, 0);
    assert_int_equal(conf->log.max_size, 100 << 20);
    assert_string_equal(conf->log.day, "%Y-%m-%d");
    assert_int_equal(conf->http.idle_timeout, 86400);
    assert_int_equal(conf->http.backlog_kb, 16);
    assert_int_equal(conf->http.max_connections, 1);
    assert_int_equal(conf->http.body_kb, 2);
    assert_int_equal(conf->http.header_kb, 16);
    assert_int_equal(conf->http.max_per_client, 3);
    assert_int_equal(conf->http.refused_delay_ms, 500);
    assert_int_equal(conf->lua.budget_ms, 1);
    assert_int_equal(conf->lua.memory_mb, 65536);
    assert_true(conf->lua.autoreload);
    assert_string_equal(conf->vars, "{\"a\":{},\"b\":[1,2.5,\"x\",null,true]}");
    const struct conf_service *s = conf_find(conf, "web");
    assert_non_null(s);
    assert_string_equal(s->dir, "d");
    assert_string_equal(s->environ, "C=d");
    assert_string_equal(s->env[0], "K=v");
    assert_int_equal(s->umask, 027);
    assert_false(s->autostart);
    assert_string_equal(s->policy, "p");
    assert_string_equal(s->policy_params, "{\"max\":3}");
    assert_int_equal(s->stop.signal, SIGINT);
    assert_int_equal(s->stop.timeout_ms, 500);
    assert_int_equal(s->stop.scope, CONF_SCOPE_PARENT);
    assert_int_equal(s->graceful.signal, SIGUSR1);
    assert_int_equal(s->graceful.timeout_ms, 86400000);
    assert_string_equal(s->log, "/var/log/web.log");
    assert_string_equal(s->vars, "{\"x\":1}");
    conf_free(conf);
}

static void test_bad_env_keys(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"\"port\":65536", "port: must be a whole number from 0 to 65535, got 65536"},
        {"\"port\":-1", "port: must be a whole number from 0 to 65535, got -1"},
        {"\"port\":80.5", "port: must be a whole number from 0 to 65535, got 80.5"},
        {"\"port\":1e999", "port: must be a whole number from 0 to 65535, got inf"},
        {"\"port\":\"80\"", "port: must be a whole number from 0 to 65535, got \"80\""},
        {"\"port\":true", "port: must be a whole number from 0 to 65535, got true"},
        {"\"port\":{}", "port: must be a whole number from 0 to 65535, got an object"},
        {"\"port\":[1]", "port: must be a whole number from 0 to 65535, got an array"},
        {"\"port\":null", "port: must not be null"},
        {"\"bind\":[]", "bind: must be an address or an array of addresses, got an object"},
        {"\"bind\":{\"a\":1}", "bind: must be an address or an array of addresses, got an object"},
        {"\"bind\":7", "bind: must be an address or an array of addresses, got 7"},
        {"\"bind\":\"localhost\"", "bind: must be \"inner\" or an IPv4 or IPv6 address, got \"localhost\""},
        {"\"bind\":\"\"", "bind: must be \"inner\" or an IPv4 or IPv6 address, got \"\""},
        {"\"bind\":\"1.2.3\"", "bind: must be \"inner\" or an IPv4 or IPv6 address, got \"1.2.3\""},
        {"\"bind\":\"1.2.3.4:80\"", "bind: must be \"inner\" or an IPv4 or IPv6 address, got \"1.2.3.4:80\""},
        {"\"bind\":null", "bind: must not be null"},
        {"\"rootpath\":1", "rootpath: must be a string, got 1"},
        {"\"rootpath\":\"a\\u0000b\"", "rootpath: must not contain a NUL character"},
        {"\"rundir\":\"\"", "rundir: must not be empty"},
        {"\"rundir\":\" \"", "rundir: must not be empty"},
        {"\"environ\":[\"A=b\"]", "environ: must be a string, got an array"},
        {"\"environ\":null", "environ: must not be null"},
        {"\"auth\":\"none\"", "auth: must be \"local\", \"token\" or \"open\", got \"none\""},
        {"\"auth\":\"open\\u0000\"", "auth: must be \"local\", \"token\" or \"open\", got \"open\\u0000\""},
        {"\"probe\":\"poll\"", "probe: must be \"signal\" or \"pidfd\", got \"poll\""},
        {"\"auth\":false", "auth: must be \"local\", \"token\" or \"open\", got false"},
        {"\"clog\":\"x\"", "clog: must be an object, got \"x\""},
        {"\"clog\":[1]", "clog: must be an object, got an array"},
        {"\"clog\":null", "clog: must not be null"},
        {"\"lua\":7", "lua: must be an object, got 7"},
        {"\"log\":\"x\"", "log: must be an object, got \"x\""},
        {"\"vars\":1", "vars: must be an object, got 1"},
        {"\"vars\":[1]", "vars: must be an object, got an array"},
        {"\"vars\":null", "vars: must not be null"},
        {"\"vars\":{\"a\":1e999}", "vars: a number is too large"},
        {"\"svrs\":[\"x\"]", "svrs: must be an object, got an array"},
        {"\"svrs\":\"x\"", "svrs: must be an object, got \"x\""},
        {"\"svrs\":null", "svrs: must not be null"},
    };
    refuse(cases, ARRAY_LEN(cases), env_of, "conf.json:2:1: dev.");
}

static const char *clog_of(const char *inside)
{
    static char text[512];
    snprintf(text, sizeof text, "\"clog\":{\n%s}", inside);
    return env_of(text);
}

static const char *log_of(const char *inside)
{
    static char text[512];
    snprintf(text, sizeof text, "\"log\":{\n%s}", inside);
    return env_of(text);
}

static const char *lua_of(const char *inside)
{
    static char text[512];
    snprintf(text, sizeof text, "\"lua\":{\n%s}", inside);
    return env_of(text);
}

#define SIZE_MESSAGE "max_size: must be a number of bytes, or a text such as \"64K\", \"100M\" or \"1G\", got "
#define ADDR_MESSAGE "addr: must be HOST:PORT, or a name such as \"clog.srv.ns\", got "
#define DAY_MESSAGE "day: must give a part of a file name, but gives "

static void test_bad_sub_keys(void **state)
{
    (void)state;
    static const struct bad clog[] = {
        {"\"name\":\"a,b\"", "name: must not contain a comma"},
        {"\"name\":\"\"", "name: must not be empty"},
        {"\"name\":\"a\\nb\"", "name: must not contain control characters"},
        {"\"addr\":1", "addr: must be a string, got 1"},
        {"\"addr\":\"host:0\"", ADDR_MESSAGE "\"host:0\""},
        {"\"addr\":\"host:http\"", ADDR_MESSAGE "\"host:http\""},
        {"\"addr\":\"a b\"", ADDR_MESSAGE "\"a b\""},
        {"\"addr\":\"a,b\"", ADDR_MESSAGE "\"a,b\""},
        {"\"addr\":\"::1\"", ADDR_MESSAGE "\"::1\""},
        {"\"addr\":\"udp://host:1\"", ADDR_MESSAGE "\"udp://host:1\""},
        {"\"mode\":4", "mode: must be a whole number from 0 to 3, got 4"},
        {"\"level\":16", "level: must be a whole number from 0 to 15, got 16"},
        {"\"level\":null", "level: must not be null"},
    };
    refuse(clog, ARRAY_LEN(clog), clog_of, "conf.json:3:1: dev.clog.");
    char name[300];
    snprintf(name, sizeof name, "\"name\":\"%0255d\"", 0); /* the longest there can be */
    conf_free(load_text(clog_of(name)));
    snprintf(name, sizeof name, "\"name\":\"%0256d\"", 0);
    expect_error(clog_of(name), "conf.json:3:1: dev.clog.name: must be no longer than 255 bytes");
    static const struct bad log[] = {
        {"\"keep_days\":-1", "keep_days: must be a whole number from 0 to 36500, got -1"},
        {"\"max_size\":-1", "max_size: must be a whole number from 0 to 1125899906842624, got -1"},
        {"\"max_size\":1.5", "max_size: must be a whole number from 0 to 1125899906842624, got 1.5"},
        {"\"max_size\":\"\"", SIZE_MESSAGE "\"\""},
        {"\"max_size\":\"M\"", SIZE_MESSAGE "\"M\""},
        {"\"max_size\":\"1T\"", SIZE_MESSAGE "\"1T\""},
        {"\"max_size\":\"1MB\"", SIZE_MESSAGE "\"1MB\""},
        {"\"max_size\":\"1 M\"", SIZE_MESSAGE "\"1 M\""},
        {"\"max_size\":\"-1M\"", SIZE_MESSAGE "\"-1M\""},
        {"\"max_size\":\"9999999999G\"", SIZE_MESSAGE "\"9999999999G\""},
        {"\"max_size\":\"99999999999999999999\"", SIZE_MESSAGE "\"99999999999999999999\""},
        {"\"max_size\":\"1M\\u0000\"", SIZE_MESSAGE "\"1M\\u0000\""},
        {"\"max_size\":true", SIZE_MESSAGE "true"},
        {"\"max_size\":null", "max_size: must not be null"},
        {"\"day\":\"\"", "day: must not be empty"},
        {"\"day\":\"%Y/%m\"", DAY_MESSAGE "\"2026/01\""},
        {"\"day\":\"%D\"", DAY_MESSAGE "\"01/01/26\""},
        {"\"day\":\"a%nb\"", DAY_MESSAGE "\"a\nb\""},
        {"\"day\":\"%200d\"", "day: must give a text of 1 to 100 bytes when a date is put in"},
        {"\"day\":1", "day: must be a string, got 1"},
    };
    refuse(log, ARRAY_LEN(log), log_of, "conf.json:3:1: dev.log.");
    static const struct bad lua[] = {
        {"\"budget_ms\":0", "budget_ms: must be a whole number from 1 to 60000, got 0"},
        {"\"memory_mb\":65537", "memory_mb: must be a whole number from 1 to 65536, got 65537"},
        {"\"autoreload\":1", "autoreload: must be true or false, got 1"},
        {"\"autoreload\":\"yes\"", "autoreload: must be true or false, got \"yes\""},
    };
    refuse(lua, ARRAY_LEN(lua), lua_of, "conf.json:3:1: dev.lua.");
}

static void test_signals_and_sizes(void **state)
{
    (void)state;
    struct conf *conf =
        load_text(env_of("\"log\":{\"max_size\":\"64k\"},\"svrs\":{"
                         "\"a\":{\"cmd\":\"/bin/true\",\"stop\":{\"signal\":\"SIGQUIT\",\"timeout\":0}},"
                         "\"b\":{\"cmd\":\"/bin/true\",\"stop\":{\"signal\":\"usr2\",\"timeout\":0.0015}},"
                         "\"c\":{\"cmd\":\"/bin/true\",\"umask\":22},"
                         "\"d\":{\"cmd\":\"/bin/true\",\"umask\":0}}"));
    assert_int_equal(conf->log.max_size, 64 << 10);
    assert_int_equal(conf->svrs[0].stop.signal, SIGQUIT);
    assert_int_equal(conf->svrs[0].stop.timeout_ms, 0);
    assert_int_equal(conf->svrs[1].stop.signal, SIGUSR2);
    assert_int_equal(conf->svrs[1].stop.timeout_ms, 2);
    assert_int_equal(conf->svrs[2].umask, 022);
    assert_int_equal(conf->svrs[3].umask, 0);
    conf_free(conf);
    conf = load_text(env_of("\"log\":{\"max_size\":\"1G\"}"));
    assert_int_equal(conf->log.max_size, 1 << 30);
    conf_free(conf);
    conf = load_text(env_of("\"log\":{\"max_size\":\"1048576G\"}")); /* the most there can be */
    assert_true(conf->log.max_size == INT64_C(1) << 50);
    conf_free(conf);
    conf = load_text(env_of("\"log\":{\"max_size\":\"123\"},\"bind\":\"0.0.0.0\",\"clog\":{\"addr\":\"\"}"));
    assert_int_equal(conf->log.max_size, 123);
    assert_string_equal(conf->bind[0], "0.0.0.0");
    assert_null(conf->bind[1]);
    assert_null(conf->clog.addr);
    conf_free(conf);
    expect_error(env_of("\"bind\":[\"inner\",\"127.0.0.1\",\"inner\"]"), "conf.json:2:29: dev.bind[2]: is there twice");
    expect_error(env_of("\"bind\":[\"inner\",null]"), "conf.json:2:17: dev.bind[1]: must be a string, got null");
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *given, *expected; /* %s: home */
    } cases[] = {{"", "%s"},          {"examples", "%s/examples"}, {"a/b///", "%s/a/b"},
                 {"../x", "%s/../x"}, {"/abs/", "/abs"},           {"/", "/"},
                 {"//", "/"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char inside[128], expected[128];
        snprintf(inside, sizeof inside, "\"rootpath\":\"%s\"", cases[i].given);
        bool relative = cases[i].expected[0] == '%';
        snprintf(expected, sizeof expected, "%s%s", relative ? home : "", cases[i].expected + (relative ? 2 : 0));
        struct conf *conf = load_text(env_of(inside));
        assert_string_equal(conf->rootpath, expected);
        conf_free(conf);
    }
}

static void test_vars(void **state)
{
    (void)state;
    struct conf *conf =
        load_text(env_of("\"vars\":{\"s\":\"q\\\"\\\\\\n\\u0000\\u00e9/\",\"n\":[0,-0,1,1.0,-2,1e3,0.1,1e15,1e16,"
                         "9007199254740991,3.14159265358979,1e300,1e-7],\"e\":[],\"o\":{},\"t\":true,\"z\":null}"));
    assert_string_equal(conf->vars, "{\"e\":{},\"n\":[0,0,1,1,-2,1000,0.1,1000000000000000,10000000000000000,"
                                    "9007199254740991,3.14159265358979,1e+300,1e-07],\"o\":{},"
                                    "\"s\":\"q\\\"\\\\\\n\\u0000é/\",\"t\":true,\"z\":null}");
    conf_free(conf);
    conf = load_text(env_of("\"vars\":{}"));
    assert_null(conf->vars);
    conf_free(conf);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),     TEST(test_everything_given),  TEST(test_bad_env_keys),
        TEST(test_bad_sub_keys), TEST(test_signals_and_sizes), TEST(test_paths),
        TEST(test_vars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
