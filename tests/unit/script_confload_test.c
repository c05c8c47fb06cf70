/* The file as a whole: reading, syntax, the choice of the env, places of errors. What the single keys mean is in
 * script_confkeys_test.c, -conf in script_confset_test.c. */
#include "confload_util.h"

#include "conf.h"

#include <time.h>

static void test_minimal(void **state)
{
    (void)state;
    struct conf *conf = load_text("{\"dev\":{}}");
    assert_string_equal(conf->path, conf_path);
    assert_string_equal(conf->home, home);
    assert_string_equal(conf->env, "dev");
    assert_int_equal(conf->nsvrs, 0);
    assert_null(warnings);
    conf_free(conf);
}

/* What the Go tool was shipped with. */
static void test_go_tool(void **state)
{
    (void)state;
    static const char env[] = "    \"port\": 29118, // configure admin port\n"
                              "    \"rootpath\": \"/home/leizhen/Programming\",\n"
                              "    \"environ\": \"ulimit -n 65536\",\n"
                              "    \"svrs\": {\n"
                              "      // demo\n"
                              "      \"demo\": \"wsp/demo/demo\"\n"
                              "    },\n"
                              "    \"clog\": {\n"
                              "      \"name\": \"fota_monitor\",\n"
                              "      \"addr\": \"clog.srv.ns\",\n"
                              "      \"mode\": 1, // 0: none, 1: localfile, 2: clog (数字代表bit位)\n"
                              "      \"level\": 15 // 0: none, 1: debug, 2: warn 4: error 8: info (数字代表bit位)\n"
                              "    }\n";
    char text[4096];
    snprintf(text, sizeof text, "{\n  \"dev\": {\n%s  },\n  \"test\": {\n%s  },\n  \"prod\": {\n%s  }\n}\n", env, env,
             env);
    struct conf *conf = load_text_with(text, "port=8080;clog.mode=2"); /* and its -conf */
    assert_int_equal(conf->port, 8080);
    assert_string_equal(conf->rootpath, "/home/leizhen/Programming");
    assert_string_equal(conf->environ, "ulimit -n 65536");
    assert_int_equal(conf->nsvrs, 1);
    assert_string_equal(conf->svrs[0].name, "demo");
    assert_string_equal(conf->svrs[0].cmd, "wsp/demo/demo");
    assert_string_equal(conf->clog.name, "fota_monitor");
    assert_string_equal(conf->clog.addr, "clog.srv.ns");
    assert_int_equal(conf->clog.mode, CONF_CLOG_COLLECTOR);
    assert_int_equal(conf->clog.level, 15);
    assert_string_equal(warnings, "service[demo]: /home/leizhen/Programming/wsp/demo/demo does not exist\n");
    conf_free(conf);
}

static void expect_prefix(const char *prefix)
{
    struct conf *conf = load_with(NULL);
    assert_null(conf);
    if (strncmp(err.text, prefix, strlen(prefix)) != 0)
        fail_msg("\"%s\" does not begin with \"%s\"", err.text, prefix);
}

static void test_no_file(void **state)
{
    (void)state;
    char message[256];
    snprintf(message, sizeof message, "conf.json: cannot open %s: No such file or directory", conf_path);
    expect_prefix(message);
    assert_int_equal(symlink("conf.json", conf_path), 0); /* a loop: unreadable even for root */
    snprintf(message, sizeof message, "conf.json: cannot open %s: Too many levels of symbolic links", conf_path);
    expect_prefix(message);
    unlink(conf_path);
    assert_int_equal(mkdir(conf_path, 0700), 0);
    snprintf(message, sizeof message, "conf.json: %s is a directory", conf_path);
    expect_prefix(message);
    rmdir(conf_path);
    assert_int_equal(mkfifo(conf_path, 0600), 0); /* nobody writes: it must not wait for that */
    snprintf(message, sizeof message, "conf.json: %s is no regular file", conf_path);
    expect_prefix(message);
    unlink(conf_path);
    if (geteuid() != 0) {
        write_conf("{}");
        assert_int_equal(chmod(conf_path, 0), 0);
        snprintf(message, sizeof message, "conf.json: cannot open %s: Permission denied", conf_path);
        expect_prefix(message);
    }
}

static void test_too_large(void **state)
{
    (void)state;
    write_conf("{\"dev\":{}}");
    assert_int_equal(truncate(conf_path, (64 << 20) + 1), 0);
    expect_prefix("conf.json: is larger than 64 MB");
}

static void test_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "conf.json:1:1: expected value but found the end of the text"},
        {" \n ", "conf.json:2:2: expected value but found the end of the text"},
        {"// only a comment\n", "conf.json:2:1: expected value but found the end of the text"},
        {"nonsense", "conf.json:1:1: expected value but found invalid token"},
        {"{\"dev\":{}", "conf.json:1:10: dev: expected comma or object end but found the end of the text"},
        {"{\"dev\":{}}}", "conf.json:1:11: expected the end but found \"}\""},
        {"{\"dev\":{},}", "conf.json:1:11: expected object key string but found \"}\""},
        {"{\n  \"dev\": {\n    \"port\": 1,\n  }\n}", "conf.json:4:3: dev: expected object key string but found \"}\""},
        {"{\n  \"dev\": {\n    \"port\": 1\n    \"auth\": \"open\"\n  }\n}",
         "conf.json:4:5: dev.port: expected comma or object end but found a string"},
        {"{\"dev\":{\"port\" 1}}", "conf.json:1:16: dev.port: expected colon but found a number"},
        {"{\"dev\":{\"port\":}}", "conf.json:1:16: dev.port: expected value but found \"}\""},
        {"{\"dev\":{\"bind\":[\"inner\",]}}", "conf.json:1:25: dev.bind[1]: expected value but found \"]\""},
        {"{\"dev\":{\"bind\":[\"inner\" \"x\"]}}",
         "conf.json:1:25: dev.bind[0]: expected comma or array end but found a string"},
        {"{dev:{}}", "conf.json:1:2: expected object key string but found invalid token"},
        {"{1:{}}", "conf.json:1:2: expected object key string but found a number"},
        {"{'dev':{}}", "conf.json:1:2: expected object key string but found invalid token"},
        {"{\"dev\":{\"port\":0x10}}", "conf.json:1:16: dev.port: expected value but found invalid number"},
        {"{\"dev\":{\"port\":08080}}", "conf.json:1:16: dev.port: expected value but found invalid number"},
        {"{\"dev\":{\"port\":nan}}", "conf.json:1:16: dev.port: expected value but found invalid token"},
        {"{\"dev\":{\"port\":-Infinity}}", "conf.json:1:16: dev.port: expected value but found invalid number"},
        {"{\"dev\":{\"port\":True}}", "conf.json:1:16: dev.port: expected value but found invalid token"},
        {"{\"dev\":{\"environ\":\"\\q\"}}",
         "conf.json:1:20: dev.environ: expected value but found invalid escape code"},
        {"{\"dev\":{\"environ\":\"\\ud800\"}}",
         "conf.json:1:20: dev.environ: expected value but found invalid unicode escape code"},
        {"{\"dev\":{} / 1}", "conf.json:1:11: dev: expected comma or object end but found invalid token"},
        /* the place where something begins that never ends */
        {"{\n  \"dev\": {\n    \"environ\": \"abc\n  }\n}\n",
         "conf.json:3:16: dev.environ: the string is never closed"},
        {"{\n  \"dev", "conf.json:2:3: the string is never closed"},
        {"{\n  \"dev\": { /* abc\n  }\n}\n", "conf.json:2:12: dev: the comment is never closed"},
        {"/*", "conf.json:1:1: the comment is never closed"},
        /* columns are characters; comments and line ends of any kind count */
        {"{\"dev\":{/* 数字 */ \"environ\":\"数字\" x}}",
         "conf.json:1:33: dev.environ: expected comma or object end but found invalid token"},
        {"{\r\n\"dev\":{ // a\r\n\"port\":x}}", "conf.json:3:8: dev.port: expected value but found invalid token"},
        {"\xef\xbb\xbf{x}", "conf.json:1:2: expected object key string but found invalid token"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_error(cases[i].text, cases[i].message);
}

static void test_nul_bytes(void **state)
{
    (void)state;
    static const char after[] = "{\"dev\":{}}\0garbage", inside[] = "{\"dev\":{\n\"port\":1\0}}";
    write_conf_bytes(after, sizeof after - 1);
    expect_prefix("conf.json:1:11: a NUL byte does not belong in JSON");
    write_conf_bytes(inside, sizeof inside - 1);
    expect_prefix("conf.json:2:9: dev.port: a NUL byte does not belong in JSON");
}

static void test_bom_and_crlf(void **state)
{
    (void)state;
    struct conf *conf = load_text("\xef\xbb\xbf{\r\n  // first\r\n  \"dev\": { /* a\r\n b */ \"port\": 5 }\r\n}\r\n");
    assert_int_equal(conf->port, 5);
    conf_free(conf);
    expect_error("\xef\xbb\xbf{\"dev\":{\"prot\":1}}",
                 "conf.json:1:9: dev.prot: unknown key \"prot\"; did you mean \"port\"?");
    expect_error("{\r\n  \"dev\": {\r\n    \"prot\": 1\r\n  }\r\n}\r\n",
                 "conf.json:3:5: dev.prot: unknown key \"prot\"; did you mean \"port\"?");
}

static void test_comments(void **state)
{
    (void)state;
    struct conf *conf = load_text("// a \" in a comment\n{/**/\"dev\"/* { */:{//}\n\"environ\":\"A=/*no*/1 "
                                  "B=http://x\"/*,*/}}// end");
    assert_string_equal(conf->environ, "A=/*no*/1 B=http://x");
    conf_free(conf);
}

static void test_duplicates(void **state)
{
    (void)state;
    expect_error("{\n  \"dev\": {\n    \"port\": 1,\n    \"port\": 2\n  }\n}",
                 "conf.json:4:5: dev.port: duplicate key, the first one is at conf.json:3:5");
    expect_error("{\"dev\":{},\n \"dev\":{}}", "conf.json:2:2: dev: duplicate key, the first one is at conf.json:1:2");
    expect_error("{\"dev\":{},\n\"test\":{\"svrs\":{\"a.b\":\"x\",\n\"c\":\"d\",\"a\\u002eb\":\"y\"}}}",
                 "conf.json:3:9: test.svrs.\"a.b\": duplicate key, the first one is at conf.json:2:17");
}

static void test_envs(void **state)
{
    (void)state;
    expect_error("[]", "conf.json:1:1: dev: there is no such env, nor any other"); /* Lua cannot tell [] from {} */
    expect_error("[1]", "conf.json:1:1: must be an object with one object for each env");
    expect_error("\n 1", "conf.json:2:2: must be an object with one object for each env");
    expect_error("null", "conf.json:1:1: must be an object with one object for each env");
    expect_error("\"dev\"", "conf.json:1:1: must be an object with one object for each env");
    expect_error("{}", "conf.json:1:1: dev: there is no such env, nor any other");
    expect_error("// x\n{\"test\":{},\"prod\":{},\"a b\":{}}",
                 "conf.json:2:1: dev: there is no such env; there are \"a b\", \"prod\", \"test\"");
    expect_error("{\"dev\":1}", "conf.json:1:2: dev: an env must be an object");
    expect_error("{\"dev\":null}", "conf.json:1:2: dev: an env must be an object");
    expect_error("{\"dev\":{},\n\"y\":[1],\"x\":2}", "conf.json:2:9: x: an env must be an object");
    struct conf *conf = load_text("{\"dev\":{},\"test\":{\"prot\":\"nobody judges this\"}}");
    conf_free(conf);
}

static void test_env_name(void **state)
{
    (void)state;
    write_conf("{\"dev\":{},\"\":{},\"a/b\":{},\"..\":{},\"-x\":{},\"生产\":{}}");
    static const char *const bad[] = {"", "a/b", "..", "-x", "a\nb", "\x7f"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct confload_input in = {.home = home, .env = bad[i]};
        assert_null(confload(vm_state(vm), &in, NULL, &err));
        assert_ptr_equal(strstr(err.text, "the env must be a name"), err.text);
    }
    char longest[300];
    memset(longest, 'e', sizeof longest);
    longest[sizeof longest - 1] = 0;
    const struct confload_input in = {.home = home, .env = longest};
    assert_null(confload(vm_state(vm), &in, NULL, &err));
    const struct confload_input utf8 = {.home = home, .env = "生产"};
    struct conf *conf = confload(vm_state(vm), &utf8, NULL, &err);
    assert_non_null(conf);
    conf_free(conf);
}

static void nested(char *text, int depth, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "{\"dev\":{\"vars\":{\"x\":");
    memset(text + n, '[', (size_t)depth);
    memset(text + n + depth, ']', (size_t)depth);
    snprintf(text + n + 2 * (size_t)depth, size - n - 2 * (size_t)depth, "}}}");
}

static void test_nesting(void **state)
{
    (void)state;
    static char text[500000];
    nested(text, 900, sizeof text);
    struct conf *conf = load_text(text);
    assert_int_equal(strlen(conf->vars), 1800 + sizeof "{\"x\":}" - 1);
    conf_free(conf);
    nested(text, 1500, sizeof text);
    write_conf(text);
    expect_prefix("conf.json:1:1018: dev.vars.x[0]");
    assert_non_null(strstr(err.text, "too many nested data structures"));
    nested(text, 200000, sizeof text);
    write_conf(text);
    expect_prefix("conf.json:1:1018: dev.vars.x[0]");
}

/* Every place a message can name: key, key inside, list element, what is missing. */
static void test_places(void **state)
{
    (void)state;
    expect_error("{\n"
                 "  \"dev\": {\n"
                 "    \"svrs\": {\n"
                 "      \"web\": {\n"
                 "        \"cmd\": \"bin/web\",\n"
                 "        \"stop\": {\n"
                 "          // a comment\n"
                 "          \"signal\": \"INT\", \"timeout\": \"10s\"\n"
                 "        }\n      }\n    }\n  }\n}\n",
                 "conf.json:8:28: dev.svrs.web.stop.timeout: must be a number of seconds, got \"10s\"");
    expect_error("{\"dev\":{\n\"bind\":[\"inner\",\n  \"x\"]}}",
                 "conf.json:3:3: dev.bind[1]: must be \"inner\" or an IPv4 or IPv6 address, got \"x\"");
    expect_error("{\"dev\":{\"svrs\":{\n \"a\":{\"autostart\":true}}}}", "conf.json:2:2: dev.svrs.a.cmd: is required");
    expect_error("{\"dev\":{\"svrs\":{\n \"x.y\":{\"cmd\":1}}}}",
                 "conf.json:2:9: dev.svrs.\"x.y\".cmd: must be a string, got 1");
    /* the same key elsewhere does not mislead */
    expect_error("{\"test\":{\"port\":\"x\"},\n\"dev\":{\"vars\":{\"port\":\"x\"},\n\"port\":\"x\"}}",
                 "conf.json:3:1: dev.port: must be a whole number from 0 to 65535, got \"x\"");
}

static void test_unknown_keys(void **state)
{
    (void)state;
    expect_error("{\"dev\":{\"Port\":1}}", "conf.json:1:9: dev.Port: unknown key \"Port\"; did you mean \"port\"?");
    expect_error("{\"dev\":{\"root_path\":\"x\"}}",
                 "conf.json:1:9: dev.root_path: unknown key \"root_path\"; did you mean \"rootpath\"?");
    expect_error("{\"dev\":{\"lua\":{\"budgetms\":1}}}",
                 "conf.json:1:16: dev.lua.budgetms: unknown key \"budgetms\"; did you mean \"budget_ms\"?");
    expect_error("{\"dev\":{\"clog\":{\"xyzzy\":1}}}",
                 "conf.json:1:17: dev.clog.xyzzy: unknown key \"xyzzy\"; known are \"name\", \"addr\", \"mode\", "
                 "\"level\"");
    expect_error(
        "{\"dev\":{\"svrs\":{\"a\":{\"command\":\"x\",\"cmd\":\"y\"}}}}",
        "conf.json:1:22: dev.svrs.a.command: unknown key \"command\"; known are \"cmd\", \"dir\", "
        "\"environ\", \"env\", \"user\", \"group\", \"umask\", \"autostart\", \"essential\", \"policy\", \"stop\", "
        "\"graceful\", \"log\", \"vars\"");
    expect_error("{\"dev\":{\"por\\u0000t\":1}}",
                 "conf.json:1:9: dev.\"por\\u0000t\": unknown key \"por\\u0000t\"; did you mean \"port\"?");
    /* of several always the same one */
    expect_error("{\"dev\":{\"zzzzzz\":1,\"prot\":2,\"yyyyyy\":3}}",
                 "conf.json:1:20: dev.prot: unknown key \"prot\"; did you mean \"port\"?");
    expect_error("{\"dev\":{\"\":1}}",
                 "conf.json:1:9: dev.\"\": unknown key \"\"; known are \"port\", \"bind\", \"rootpath\", \"rundir\", "
                 "\"environ\", \"clog\", \"log\", \"auth\", \"probe\", \"http\", \"tls\", \"lua\", \"vars\", \"svrs\"");
    char text[400], key[200];
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = 0;
    snprintf(text, sizeof text, "{\"dev\":{\"clog\":{\"%s\":1}}}", key);
    write_conf(text);
    assert_null(load_with(NULL));
    assert_non_null(strstr(err.text, "kkkk\"…; known are \"name\""));
}

/* Another load on the machine does not count. */
static int64_t processor_ms(void)
{
    return (int64_t)clock() * 1000 / CLOCKS_PER_SEC;
}

static struct conf *load_many(int n, int64_t *took)
{
    FILE *f = fopen(conf_path, "w");
    assert_non_null(f);
    fputs("{\n  \"dev\": {\n    \"svrs\": {\n", f);
    for (int i = 0; i < n; i++)
        fprintf(f,
                "      // service %d\n      \"service-%d\": {\"cmd\": \"/bin/sleep %d\", \"env\": {\"N\": %d, \"M\": "
                "\"x\"}, \"stop\": {\"timeout\": 3}, \"vars\": {\"tags\": [1, 2]}},\n",
                i, i, i, i);
    fputs("      \"last\": \"/bin/sleep 1\"\n    }\n  }\n}\n", f);
    assert_int_equal(fclose(f), 0);
    int64_t start = processor_ms();
    struct conf *conf = load_with(NULL);
    *took = processor_ms() - start;
    if (!conf)
        fail_msg("%s", err.text);
    return conf;
}

#ifdef FM_SANITIZED
#define SLOWER 10L
#else
#define SLOWER 1L
#endif

static void test_many_services(void **state)
{
    (void)state;
    int64_t took = 0;
    struct conf *conf = load_many(10000, &took);
    assert_int_equal(conf->nsvrs, 10001);
    assert_null(warnings);
    for (size_t i = 1; i < conf->nsvrs; i++)
        assert_true(strcmp(conf->svrs[i - 1].name, conf->svrs[i].name) < 0);
    const struct conf_service *s = conf_find(conf, "service-9999");
    assert_non_null(s);
    assert_string_equal(s->cmd, "/bin/sleep 9999");
    assert_string_equal(s->env[0], "M=x");
    assert_string_equal(s->env[1], "N=9999");
    conf_free(conf);
    print_message("10,001 services: %lld ms\n", (long long)took);
    assert_true(took < 1000 * SLOWER);

    /* an error at the very end is found as fast */
    char command[160];
    snprintf(command, sizeof command, "sed -i 's/\"last\": .*/\"last\": {\"cmd\": 1}/' %s", conf_path);
    assert_int_equal(system(command), 0);
    int64_t start = processor_ms();
    assert_null(load_with(NULL));
    assert_true(processor_ms() - start < 1000 * SLOWER);
    assert_string_equal(err.text, "conf.json:20004:16: dev.svrs.last.cmd: must be a string, got 1");
}

/* An allocator that gives up after so many allocations. */
struct failing {
    lua_Alloc inner;
    void *data;
    long left;
};

static void *failing_alloc(void *data, void *ptr, size_t old_size, size_t size)
{
    struct failing *f = data;
    bool grows = size > 0 && (!ptr || size > old_size);
    if (grows && f->left-- <= 0)
        return NULL;
    return f->inner(f->data, ptr, old_size, size);
}

#ifdef FM_SANITIZED
/* The decoder's own buffer, when Lua raises "out of memory" through it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_new\nleak:strbuf_init\n";
}
#endif

/* Lua runs out of memory at every possible place: an error each time, nothing lost, nothing raised. */
static void test_out_of_memory(void **state)
{
    (void)state;
    write_conf("{\"dev\":{\"svrs\":{\"数\":\"/bin/true\",\"b\":{\"cmd\":\"/bin/true\",\"env\":{\"A\":1.5},\"policy\":"
               "{\"name\":\"x\",\"n\":[1,{\"z\":2}]},\"vars\":{\"k\":[true,null]}}},\"vars\":{\"a\":\"b\"}}}");
    bool done = false;
    long n = 0;
    for (; n < 5000 && !done; n++) {
        lua_State *L = vm_state(vm);
        struct failing f = {.left = n};
        f.inner = lua_getallocf(L, &f.data);
        lua_setallocf(L, failing_alloc, &f);
        struct conf *conf = load_with("svrs.b.policy.more={\"x\":1};svrs.c=/bin/true;port=null");
        lua_setallocf(L, f.inner, f.data);
        done = conf;
        if (!conf)
            assert_string_equal(err.text, "out of memory");
        conf_free(conf);
    }
    assert_true(done && n > 50);
}

static void test_capped(void **state)
{
    (void)state;
    int64_t took = 0;
    conf_free(load_many(20000, &took));
    struct vm *big = vm;
    vm = vm_new(2, &err);
    assert_non_null(vm);
    struct conf *conf = load_with(NULL);
    assert_null(conf);
    assert_string_equal(err.text, "out of memory: Lua may use 2 MB");
    write_conf("{\"dev\":{}}");
    conf = load_with(NULL); /* the state is still good */
    assert_non_null(conf);
    conf_free(conf);
    vm_free(vm);
    vm = big;
}

/* The same file in two states gives the same texts: what depends on the order of a Lua table would show as a change. */
static void test_stable(void **state)
{
    (void)state;
    const char *text = "{\"dev\":{\"svrs\":{\"a\":{\"cmd\":\"/bin/true\",\"env\":{\"Z\":1,\"Y\":2,\"X\":3,\"W\":4},"
                       "\"policy\":{\"name\":\"p\",\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4},"
                       "\"vars\":{\"v1\":1,\"v2\":2,\"v3\":3,\"v4\":{\"b\":1,\"a\":2}}}}}}";
    struct conf *first = load_text(text);
    for (int i = 0; i < 20; i++) {
        vm_free(vm);
        vm = vm_new(0, &err);
        assert_non_null(vm);
        struct conf *again = load_text(text);
        assert_int_equal(conf_service_diff(&first->svrs[0], &again->svrs[0]), 0);
        conf_free(again);
    }
    conf_free(first);
}

/* A text in place of the file, which need not be there; the policies that may be named stand beside it. */
static void test_text(void **state)
{
    (void)state;
    char *policies[] = {"patient", NULL};
    struct confload_input in = {.home = home, .env = "dev", .policies = policies};
    in.text = "{\"dev\":{\"svrs\":{\"a\":{\"cmd\":\"/x\",\"policy\":\"patient\"}}}}";
    struct conf *conf = confload(vm_state(vm), &in, NULL, &err);
    assert_non_null(conf);
    assert_string_equal(conf->svrs[0].policy, "patient");
    conf_free(conf);
    in.text = "{\"dev\":{\"svrs\":{\"a\":{\"cmd\":\"/x\",\"policy\":\"patent\"}}}}";
    assert_null(confload(vm_state(vm), &in, NULL, &err));
    assert_string_equal(err.text, "conf.json:1:33: dev.svrs.a.policy: no script defines a policy \"patent\"; did you "
                                  "mean \"patient\"?");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_minimal),    TEST(test_go_tool),      TEST(test_no_file),       TEST(test_too_large),
        TEST(test_syntax),     TEST(test_nul_bytes),    TEST(test_bom_and_crlf),  TEST(test_comments),
        TEST(test_duplicates), TEST(test_envs),         TEST(test_env_name),      TEST(test_nesting),
        TEST(test_places),     TEST(test_unknown_keys), TEST(test_many_services), TEST(test_out_of_memory),
        TEST(test_capped),     TEST(test_stable),       TEST(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
