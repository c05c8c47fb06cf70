#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void test_release(void **state)
{
    (void)state;
    conf_free(NULL);
    conf_free(calloc(1, sizeof(struct conf)));
    struct conf *conf = calloc(1, sizeof *conf);
    assert_non_null(conf);
    conf->path = strdup("p");
    conf->home = strdup("h");
    conf->env = strdup("e");
    conf->rundir = strdup("r");
    conf->rootpath = strdup("r");
    conf->environ = strdup("");
    conf->clog.name = strdup("n");
    conf->clog.addr = strdup("a");
    conf->log.day = strdup("d");
    conf->vars = strdup("{}");
    conf->bind = calloc(2, sizeof *conf->bind);
    conf->bind[0] = strdup("inner");
    conf->svrs = calloc(2, sizeof *conf->svrs);
    conf->nsvrs = 2; /* the second is still empty, as after a failed load */
    struct conf_service *s = conf->svrs;
    char **texts[] = {&s->name,  &s->cmd, &s->dir,  &s->environ, &s->user,
                      &s->group, &s->log, &s->vars, &s->policy,  &s->policy_params};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = strdup("x");
    s->env = calloc(2, sizeof *s->env);
    s->env[0] = strdup("A=b");
    conf_free(conf); /* a leak is for the sanitizer build to find */

    struct conf_service one = {.name = strdup("x")};
    conf_service_fini(&one);
    assert_null(one.name);
    conf_service_fini(&one);
}

static void test_find(void **state)
{
    (void)state;
    struct conf_service svrs[] = {{.name = "Web"}, {.name = "a"}, {.name = "a.b"}, {.name = "b"}, {.name = "\xe4"}};
    struct conf conf = {.svrs = svrs, .nsvrs = ARRAY_LEN(svrs)};
    for (size_t i = 0; i < ARRAY_LEN(svrs); i++)
        assert_ptr_equal(conf_find(&conf, svrs[i].name), &svrs[i]);
    assert_null(conf_find(&conf, "web"));
    assert_null(conf_find(&conf, ""));
    assert_null(conf_find(&conf, "zz"));
    conf.nsvrs = 0;
    conf.svrs = NULL;
    assert_null(conf_find(&conf, "a"));
}

static void test_diff(void **state)
{
    (void)state;
    char *env1[] = {"A=1", "B=2", NULL}, *same[] = {"A=1", "B=2", NULL}, *env2[] = {"A=1", NULL},
         *env3[] = {"A=1", "B=3", NULL};
    const struct conf_service base = {.name = "a",
                                      .cmd = "c",
                                      .env = env1,
                                      .umask = -1,
                                      .autostart = true,
                                      .stop = {.signal = SIGTERM, .timeout_ms = 10000},
                                      .graceful = {.signal = SIGHUP, .timeout_ms = 10000}};
    struct conf_service b = base;
    b.env = same;
    b.name = "other"; /* the name is not a field */
    assert_int_equal(conf_service_diff(&base, &b), 0);

#define CHANGED(member, value, bits)                                                                                   \
    do {                                                                                                               \
        struct conf_service changed = base;                                                                            \
        changed.member = (value);                                                                                      \
        assert_int_equal(conf_service_diff(&base, &changed), (bits));                                                  \
        assert_int_equal(conf_service_diff(&changed, &base), (bits));                                                  \
    } while (0)
    CHANGED(cmd, "d", CONF_FIELD_CMD);
    CHANGED(dir, "d", CONF_FIELD_DIR);
    CHANGED(environ, "", CONF_FIELD_ENVIRON);
    CHANGED(env, NULL, CONF_FIELD_ENV);
    CHANGED(env, env2, CONF_FIELD_ENV);
    CHANGED(env, env3, CONF_FIELD_ENV);
    CHANGED(user, "u", CONF_FIELD_USER);
    CHANGED(group, "g", CONF_FIELD_GROUP);
    CHANGED(umask, 0, CONF_FIELD_UMASK);
    CHANGED(autostart, false, CONF_FIELD_AUTOSTART);
    CHANGED(essential, true, CONF_FIELD_ESSENTIAL);
    CHANGED(policy, "p", CONF_FIELD_POLICY);
    CHANGED(policy_params, "{}", CONF_FIELD_POLICY);
    CHANGED(stop.signal, SIGINT, CONF_FIELD_STOP);
    CHANGED(stop.timeout_ms, 1, CONF_FIELD_STOP);
    CHANGED(stop.scope, CONF_SCOPE_PARENT, CONF_FIELD_STOP);
    CHANGED(graceful.signal, SIGINT, CONF_FIELD_GRACEFUL);
    CHANGED(graceful.timeout_ms, 1, CONF_FIELD_GRACEFUL);
    CHANGED(log, "l", CONF_FIELD_LOG);
    CHANGED(vars, "{}", CONF_FIELD_VARS);
#undef CHANGED

    b.cmd = "d";
    b.vars = "{}";
    assert_int_equal(conf_service_diff(&base, &b), CONF_FIELD_CMD | CONF_FIELD_VARS);
}

static void test_field_names(void **state)
{
    (void)state;
    static const char *const names[] = {"cmd",       "dir",    "environ", "env",      "user", "group",     "umask",
                                        "autostart", "policy", "stop",    "graceful", "log",  "essential", "vars"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(conf_field_name((enum conf_field)(1 << i)), names[i]);
}

static void test_signal_number(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int number;
    } cases[] = {
        {"TERM", SIGTERM},
        {"SIGTERM", SIGTERM},
        {"term", SIGTERM},
        {"sigterm", SIGTERM},
        {"15", SIGTERM},
        {"HUP", SIGHUP},
        {"USR1", SIGUSR1},
        {"KILL", SIGKILL},
        {"1", SIGHUP},
        {"31", 31},
        {"CHLD", SIGCHLD},
        {"CLD", SIGCHLD},
        {"IO", SIGIO},
        {"POLL", SIGPOLL},
        {"IOT", SIGABRT},
        {"SIG15", 15},
        {"64", SIGRTMAX},
        {"SIG40", 40},
        {"RTMIN", SIGRTMIN},
        {"SIGRTMIN+3", SIGRTMIN + 3},
        {"RTMAX-1", SIGRTMAX - 1},
        /* none of them is one */
        {"", 0},
        {"SIG", 0},
        {"0", 0},
        {"-1", 0},
        {"32", 0},
        {"33", 0},
        {"65", 0},
        {"999", 0},
        {"1000", 0},
        {"9999999999999999999", 0},
        {"TERMX", 0},
        {"SIGSIGTERM", 0},
        {"TERM ", 0},
        {" TERM", 0},
        {"15 ", 0},
        {"1.5", 0},
        {"RTMIN+", 0},
        {"RTMIN+99", 0},
        {"RTMAX+1", 0},
        {"RTMIN-1", 0},
        {"RTMINX", 0},
        {"EXIT", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (conf_signal_number(cases[i].name) != cases[i].number)
            fail_msg("\"%s\" is %d", cases[i].name, conf_signal_number(cases[i].name));
}

static void test_signal_name(void **state)
{
    (void)state;
    assert_string_equal(conf_signal_name(SIGTERM), "SIGTERM");
    assert_string_equal(conf_signal_name(SIGSEGV), "SIGSEGV");
    assert_string_equal(conf_signal_name(40), "SIG40");
    assert_string_equal(conf_signal_name(99), "SIG99");
    assert_string_equal(conf_signal_name(0), "SIG0");
    assert_string_equal(conf_signal_name(-1), "SIG-1");
    const char *a = conf_signal_name(SIGTERM), *b = conf_signal_name(SIGHUP); /* both stay */
    assert_string_equal(a, "SIGTERM");
    assert_string_equal(b, "SIGHUP");
    for (int i = 1; i < 65; i++) /* what is written is read back */
        if (i != 32 && i != 33)
            assert_int_equal(conf_signal_number(conf_signal_name(i)), i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release),     cmocka_unit_test(test_find),          cmocka_unit_test(test_diff),
        cmocka_unit_test(test_field_names), cmocka_unit_test(test_signal_number), cmocka_unit_test(test_signal_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
