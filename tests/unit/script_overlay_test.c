/* Overlays of scripts, who set what, and the list of the final configuration. */
#include "confload_util.h"

#include "buf.h"
#include "confsource.h"
#include "scripts.h"

#define STEP(k)                                                                                                        \
    {                                                                                                                  \
        .key = (k), .len = sizeof(k) - 1                                                                               \
    }

static struct scripts *scripts;
static struct buf listing;

/* The env "dev" after HOME/lua/a.lua and b.lua. */
static struct conf *load_scripts(const char *a, const char *b, const char *overrides)
{
    const char *texts[] = {a, b};
    char path[96];
    snprintf(path, sizeof path, "%s/lua", home);
    mkdir(path, 0700);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/lua/%c.lua", home, 'a' + i);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(texts[i], f);
        assert_int_equal(fclose(f), 0);
    }
    memset(&err, 0, sizeof err);
    scripts_free(scripts);
    buf_clear(&listing);
    scripts = scripts_new(home, "dev", NULL, &err);
    assert_non_null(scripts);
    const struct confload_input in = {
        .home = home, .env = "dev", .overrides = overrides, .scripts = scripts, .listing = &listing};
    return confload(vm_state(scripts->vm), &in, NULL, &err);
}

static int clean(void **state)
{
    scripts_free(scripts);
    scripts = NULL;
    buf_fini(&listing);
    return teardown(state);
}

static void expect_listed(const char *line)
{
    if (!strstr(buf_str(&listing), line))
        fail_msg("no %s in\n%s", line, buf_str(&listing));
}

static void test_order_and_places(void **state)
{
    (void)state;
    write_conf("{\"dev\":{\"vars\":{\"x\":1,\"y\":1,\"z\":1},\"environ\":\"A=1\"}}");
    struct conf *conf = load_scripts("fm.overlay('dev', function(c) c.vars.x = 2; c.vars.y = 2 end)\n"
                                     "fm.overlay('prod', function(c) c.vars.z = 9 end)",
                                     "\nfm.overlay(function(c, env) c.vars.y = c.vars.y + 1; c.vars.l = { env } end)\n"
                                     "fm.overlay(function(c) c.environ = nil end)",
                                     "vars.x=3");
    if (!conf)
        fail_msg("%s", err.text);
    conf_free(conf);
    expect_listed("vars.x = 3  # -conf\n");
    expect_listed("vars.y = 3  # lua/b.lua:2\n");
    expect_listed("vars.z = 1  # conf.json\n");
    expect_listed("vars.l = [\"dev\"]  # lua/b.lua:2\n");
    assert_null(strstr(buf_str(&listing), "environ"));
}

static void expect_refused(const char *script, const char *message)
{
    write_conf("{\"dev\":{}}");
    assert_null(load_scripts(script, "", NULL));
    if (strncmp(err.text, message, strlen(message)) != 0)
        fail_msg("%s\nis not %s", err.text, message);
}

static void test_errors(void **state)
{
    (void)state;
    expect_refused("\nfm.overlay(function(c) c.svrs = { web = {} } end)", "lua/a.lua:2: dev.svrs.web");
    expect_refused("fm.overlay(function(c)\nc.x.y = 1 end)", "overlay of lua/a.lua:1: lua/a.lua:2: ");
    expect_refused("fm.overlay(function(c) c.vars = { [5] = 1 } end)", "lua/a.lua:1: dev.vars");
    expect_refused("fm.overlay(function(c) c.vars = { f = print } end)", "lua/a.lua:1: dev.vars");
    expect_refused("fm.overlay(function(c) c.vars = { v = c } end)", "lua/a.lua:1: dev.vars");
    expect_refused("fm.overlay(function(c) local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end)",
                   "overlay of lua/a.lua:1: ");
    expect_refused("fm.overlay(function(c) error() end)", "overlay of lua/a.lua:1: ");
}

static void test_sources(void **state)
{
    (void)state;
    struct confsource cs = {0};
    const struct jsonpath_step web[] = {STEP("dev"), STEP("svrs"), STEP("web"), STEP("cmd")};
    assert_null(confsource_of(&cs, web + 1, 3));
    assert_int_equal(confsource_add(&cs, "ksvrs\0kweb\0kcmd\0", 16, "a:1"), 0);
    assert_string_equal(confsource_of(&cs, web + 1, 3), "a:1");
    assert_null(confsource_of(&cs, web + 1, 2));
    assert_string_equal(confsource_inside(&cs, web + 1, 2), "a:1");
    assert_int_equal(confsource_add(&cs, "ksvrs\0kweb\0", 11, "b:2"), 0); /* all of it: what was inside is forgotten */
    assert_int_equal(cs.n, 1);
    assert_string_equal(confsource_of(&cs, web + 1, 3), "b:2");
    assert_int_equal(confsource_add(&cs, "ksvrs\0kweb\0kcmd\0", 16, "c:3"), 0);
    assert_string_equal(confsource_of(&cs, web + 1, 3), "c:3");
    const struct jsonpath_step other[] = {STEP("svrs"), STEP("webs")};
    assert_null(confsource_of(&cs, other, 2));
    confsource_fini(&cs);
    assert_int_equal(cs.n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_places),
        TEST(test_errors),
        TEST(test_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
