/* The text of -conf: how it is taken apart, and what it does to the configuration. */
#include "confload_util.h"

#include "conf.h"
#include "confset.h"

static void parts_are(const char *text, const char *expected)
{
    struct confset set = {0};
    char got[1024] = "";
    if (!confset_parse(&set, text, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < set.n; i++) {
        const struct confset_item *item = &set.items[i];
        struct buf path = {0};
        for (size_t k = 0; k < item->nsteps; k++)
            jsonpath_add(&path, &item->steps[k]);
        size_t len = strlen(got);
        snprintf(got + len, sizeof got - len, "%s|%.*s|%.*s|\n", buf_str(&path), (int)item->value_len, item->value,
                 (int)item->text_len, item->text);
        buf_fini(&path);
    }
    assert_string_equal(got, expected);
    confset_fini(&set);
}

static void test_split(void **state)
{
    (void)state;
    parts_are("", "");
    parts_are(" ; ;;", "");
    parts_are("port=1", "port|1|port=1|\n");
    parts_are("port=1;", "port|1|port=1|\n");
    parts_are("port=8080;clog.mode=1", "port|8080|port=8080|\nclog.mode|1|clog.mode=1|\n");
    parts_are(" port = 1 ; a . b = c d \n", "port|1|port = 1|\na.b|c d|a . b = c d|\n");
    parts_are("a=", "a||a=|\n");
    parts_are("a=b=c", "a|b=c|a=b=c|\n");
    parts_are("a=\"x;y\";b=1", "a|\"x;y\"|a=\"x;y\"|\nb|1|b=1|\n");
    parts_are("a=sh -c 'x; y' \"z;\";b=1", "a|sh -c 'x; y' \"z;\"|a=sh -c 'x; y' \"z;\"|\nb|1|b=1|\n");
    parts_are("a=\"x\\\";y\";b=1", "a|\"x\\\";y\"|a=\"x\\\";y\"|\nb|1|b=1|\n");
    parts_are("a='x\\';b=1", "a|'x\\'|a='x\\'|\nb|1|b=1|\n");
    parts_are("a={\"k\":\"};\",\"l\":[1;2]};b=1",
              "a|{\"k\":\"};\",\"l\":[1;2]}|a={\"k\":\"};\",\"l\":[1;2]}|\nb|1|b=1|\n");
    parts_are("a=[\"it's\"];b=1", "a|[\"it's\"]|a=[\"it's\"]|\nb|1|b=1|\n");
    parts_are("log={name}.log;b=1", "log|{name}.log|log={name}.log|\nb|1|b=1|\n");
    parts_are("a=echo [x;b=1", "a|echo [x|a=echo [x|\nb|1|b=1|\n"); /* brackets count only where JSON can be */
    parts_are("svrs.\"a.b\".cmd=x", "svrs.\"a.b\".cmd|x|svrs.\"a.b\".cmd=x|\n");
    parts_are("\"a\" . \"b;=\" = x", "a.\"b;=\"|x|\"a\" . \"b;=\" = x|\n");
    parts_are("svrs.\"\\u0061\\\"\".x=1", "svrs.\"a\\\"\".x|1|svrs.\"\\u0061\\\"\".x=1|\n");
    parts_are("svrs.my app.cmd=x", "svrs.\"my app\".cmd|x|svrs.my app.cmd=x|\n");
}

static void test_bad_items(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"port", "-conf: \"port\": must be written dotted.path=value"},
        {"a=1;port;b=2", "-conf: \"port\": must be written dotted.path=value"},
        {"\"port\"", "-conf: \"\\\"port\\\"\": must be written dotted.path=value"},
        {"\"a\"b=1", "-conf: \"\\\"a\\\"b=1\": must be written dotted.path=value"},
        {"=1", "-conf: \"=1\": a part of the path is empty"},
        {"a..b=1", "-conf: \"a..b=1\": a part of the path is empty"},
        {".a=1", "-conf: \".a=1\": a part of the path is empty"},
        {"a. =1", "-conf: \"a. =1\": a part of the path is empty"},
        {"\"a=1", "-conf: \"\\\"a=1\": a quote in the path is never closed"},
        {"b=1; a=\"x;c=2", "-conf: \"a=\\\"x\": a quote is never closed (a value with a lone quote in it is written "
                           "as a JSON string)"},
        {"a=don't", "-conf: \"a=don't\": a quote is never closed (a value with a lone quote in it is written as a "
                    "JSON string)"},
        {"a={\"b\":[1}", "-conf: \"a={\\\"b\\\":[1}\": a bracket is never closed"},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g=1",
         "-conf: \"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g=1\": the path is too long"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_error_with("{\"dev\":{}}", cases[i].text, cases[i].message);
}

static const char file[] = "{\"dev\":{\n"
                           "  \"port\": 1,\n"
                           "  \"vars\": {\"a\": 1, \"b\": {\"c\": 2}},\n"
                           "  \"svrs\": {\n"
                           "    \"demo\": \"/bin/true -d\",\n"
                           "    \"web\": {\"cmd\": \"/bin/true\", \"policy\": \"once\", \"stop\": {\"timeout\": 3}}\n"
                           "  }\n}}";

static void test_values(void **state)
{
    (void)state;
    struct conf *conf = load_text_with(file, "port=8080 ; auth=open; rootpath=\"/a;b\"; clog.addr=host:1;"
                                             "bind=[\"0.0.0.0\"]; lua.autoreload=true; log={\"keep_days\":3};"
                                             "log.max_size=5M;environ=\"ulimit -n 5; export A=b\"");
    assert_int_equal(conf->port, 8080);
    assert_int_equal(conf->auth, CONF_AUTH_OPEN);
    assert_string_equal(conf->rootpath, "/a;b");
    assert_string_equal(conf->clog.addr, "host:1");
    assert_string_equal(conf->bind[0], "0.0.0.0");
    assert_true(conf->lua.autoreload);
    assert_int_equal(conf->log.keep_days, 3);
    assert_int_equal(conf->log.max_size, 5 << 20);
    assert_string_equal(conf->environ, "ulimit -n 5; export A=b");
    conf_free(conf);
    conf = load_text_with(file, "bind=127.0.0.1;vars.n=1;vars.s=1.2.3;vars.t=tru;vars.u=\"1\";vars.l=[1;vars.e=]");
    assert_string_equal(conf->bind[0], "127.0.0.1");
    assert_string_equal(conf->vars, "{\"a\":1,\"b\":{\"c\":2},\"l\":\"[1;vars.e=]\",\"n\":1,\"s\":\"1.2.3\","
                                    "\"t\":\"tru\",\"u\":\"1\"}");
    conf_free(conf);
    conf = load_text_with(file, "port=1;port=2;port=3"); /* the last one */
    assert_int_equal(conf->port, 3);
    conf_free(conf);
}

static void test_null(void **state)
{
    (void)state;
    struct conf *conf = load_text_with(file, "port=null;vars.b.c=null;svrs.demo=null;clog.mode=null;x.y.z=null;"
                                             "svrs.web.policy.max=null;vars.a.b=null");
    assert_int_equal(conf->port, 29118); /* the default again */
    assert_string_equal(conf->vars, "{\"a\":1,\"b\":{}}");
    assert_int_equal(conf->nsvrs, 1);
    assert_string_equal(conf->svrs[0].policy, "once");
    assert_int_equal(conf->clog.mode, 1);
    conf_free(conf);
    expect_error_with(file, "svrs.web={\"cmd\":null}",
                      "-conf: svrs.web.cmd: must not be null (from \"svrs.web={\\\"cmd\\\":null}\")");
    expect_error_with(file, "svrs.web.cmd=null", "-conf: svrs.web.cmd: is required (from \"svrs.web.cmd=null\")");
}

static void test_services(void **state)
{
    (void)state;
    struct conf *conf = load_text_with(
        file, "svrs.new=/bin/true -p 1; svrs.obj.cmd=/bin/true; svrs.obj.stop.timeout=7; svrs.\"a.b\"=/bin/true;"
              "svrs.demo.autostart=false; svrs.web.policy.max=5; svrs.web.stop.signal=INT; svrs.web.env.PORT=8081;"
              "svrs.web.umask=027");
    assert_int_equal(conf->nsvrs, 5);
    assert_string_equal(conf_find(conf, "new")->cmd, "/bin/true -p 1");
    assert_string_equal(conf_find(conf, "obj")->cmd, "/bin/true");
    assert_int_equal(conf_find(conf, "obj")->stop.timeout_ms, 7000);
    assert_non_null(conf_find(conf, "a.b"));
    const struct conf_service *demo = conf_find(conf, "demo"), *web = conf_find(conf, "web");
    assert_string_equal(demo->cmd, "/bin/true -d");
    assert_false(demo->autostart);
    assert_string_equal(web->policy, "once");
    assert_string_equal(web->policy_params, "{\"max\":5}");
    assert_int_equal(web->stop.timeout_ms, 3000);
    assert_int_equal(web->stop.signal, 2);
    assert_string_equal(web->env[0], "PORT=8081");
    assert_int_equal(web->umask, 027);
    conf_free(conf);
}

static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *overrides, *message;
    } cases[] = {
        {"port=abc", "-conf: port: must be a whole number from 0 to 65535, got \"abc\" (from \"port=abc\")"},
        {"prot=1", "-conf: prot: unknown key \"prot\"; did you mean \"port\"? (from \"prot=1\")"},
        {"dev.port=1",
         "-conf: dev: unknown key \"dev\"; known are \"port\", \"bind\", \"rootpath\", \"rundir\", "
         "\"environ\", \"clog\", \"log\", \"auth\", \"probe\", \"http\", \"tls\", \"lua\", \"vars\", \"svrs\" (from "
         "\"dev.port=1\")"},
        {"port=1;bind=[\"inner\",\"x\"]", "-conf: bind[1]: must be \"inner\" or an IPv4 or IPv6 address, got \"x\" "
                                          "(from \"bind=[\\\"inner\\\",\\\"x\\\"]\")"},
        {"svrs.web.stop.timeout=10s",
         "-conf: svrs.web.stop.timeout: must be a number of seconds, got \"10s\" (from \"svrs.web.stop.timeout=10s\")"},
        {"svrs.web.stop={\"timeout\":\"x\"}", "-conf: svrs.web.stop.timeout: must be a number of seconds, got \"x\" "
                                              "(from \"svrs.web.stop={\\\"timeout\\\":\\\"x\\\"}\")"},
        {"svrs.demo.autostart=no",
         "-conf: svrs.demo.autostart: must be true or false, got \"no\" (from \"svrs.demo.autostart=no\")"},
        {"svrs.new.autostart=false", "-conf: svrs.new.cmd: is required (from \"svrs.new.autostart=false\")"},
        {"svrs.a.b=x",
         "-conf: svrs.a.b: unknown key \"b\"; known are \"cmd\", \"dir\", \"environ\", \"env\", "
         "\"user\", \"group\", \"umask\", \"autostart\", \"essential\", \"policy\", \"stop\", \"graceful\", \"log\", "
         "\"vars\" (from \"svrs.a.b=x\")"},
        {"svrs.demo=", "-conf: svrs.demo: must not be empty (from \"svrs.demo=\")"},
        {"svrs.all=/bin/true", "-conf: svrs.all: \"all\" means every service and cannot be the name of one (from "
                               "\"svrs.all=/bin/true\")"},
        {"port.x=1", "-conf: port: is no object, so nothing can be set inside it (from \"port.x=1\")"},
        {"svrs.demo.cmd.x=1",
         "-conf: svrs.demo.cmd: is no object, so nothing can be set inside it (from \"svrs.demo.cmd.x=1\")"},
        {"vars={\"l\":[1]};vars.l.x=1",
         "-conf: vars.l: is no object, so nothing can be set inside it (from \"vars.l.x=1\")"},
        {"environ=a;environ=b;port=c",
         "-conf: port: must be a whole number from 0 to 65535, got \"c\" (from \"port=c\")"},
        {"port=a;port=b", "-conf: port: must be a whole number from 0 to 65535, got \"b\" (from \"port=b\")"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_error_with(file, cases[i].overrides, cases[i].message);
    /* what -conf did not touch keeps its place in the file */
    expect_error_with("{\"dev\":{\n\"port\":\"x\"}}", "svrs.a=/bin/true",
                      "conf.json:2:1: dev.port: must be a whole number from 0 to 65535, got \"x\"");
    expect_error_with("{\"dev\":{\"svrs\":{\n\"web\":{\"autostart\":1}}}}", "svrs.web.cmd=/bin/true",
                      "conf.json:2:8: dev.svrs.web.autostart: must be true or false, got 1");
    /* and what it made good is no error any more */
    conf_free(load_text_with("{\"dev\":{\"port\":\"x\"}}", "port=5"));
    conf_free(load_text_with("{\"dev\":{\"prot\":5}}", "prot=null"));
}

static void test_long_item(void **state)
{
    (void)state;
    char text[1024];
    memset(text, 'x', sizeof text);
    memcpy(text, "port=", 5);
    text[sizeof text - 1] = 0;
    write_conf("{\"dev\":{}}");
    assert_null(load_with(text));
    assert_non_null(strstr(err.text, "xxx\"… (from \"port=xxx"));
    assert_true(strlen(err.text) < 400);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_split),    TEST(test_bad_items), TEST(test_values),    TEST(test_null),
        TEST(test_services), TEST(test_places),    TEST(test_long_item),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
