/* For the tests of the configuration: a home of their own with a conf.json in it, loaded in a fresh state. */
#ifndef FM_CONFLOAD_UTIL_H
#define FM_CONFLOAD_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "confload.h"
#include "vm.h"

#include <lua.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[64];
static char conf_path[96];
static struct vm *vm;
static struct err err;
static char *warnings;

static int setup(void **state)
{
    (void)state;
    strcpy(home, "/tmp/fm-conf-XXXXXX");
    if (!mkdtemp(home))
        return -1;
    char dir[96];
    snprintf(dir, sizeof dir, "%s/conf", home);
    snprintf(conf_path, sizeof conf_path, "%s/conf/conf.json", home);
    vm = vm_new(0, &err);
    return !vm || mkdir(dir, 0700);
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", home);
    vm_free(vm);
    free(warnings);
    warnings = NULL;
    return system(command);
}

static inline void write_conf_bytes(const char *text, size_t len)
{
    FILE *f = fopen(conf_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void write_conf(const char *text)
{
    write_conf_bytes(text, strlen(text));
}

/* What is in the file, for env "dev". The stack must come back as it was. */
static inline struct conf *load_with(const char *overrides)
{
    const struct confload_input in = {.home = home, .env = "dev", .overrides = overrides};
    lua_State *L = vm_state(vm);
    int top = lua_gettop(L);
    free(warnings);
    memset(&err, 0, sizeof err);
    struct conf *conf = confload(L, &in, &warnings, &err);
    assert_int_equal(lua_gettop(L), top);
    if (!conf)
        assert_null(warnings);
    return conf;
}

/* The same from a text; fails the test when it does not load. */
static inline struct conf *load_text_with(const char *text, const char *overrides)
{
    write_conf(text);
    struct conf *conf = load_with(overrides);
    if (!conf)
        fail_msg("%s", err.text);
    return conf;
}

static inline struct conf *load_text(const char *text)
{
    return load_text_with(text, NULL);
}

/* The text must fail with exactly that message. */
static inline void expect_error_with(const char *text, const char *overrides, const char *message)
{
    write_conf(text);
    struct conf *conf = load_with(overrides);
    if (conf) {
        conf_free(conf);
        fail_msg("loaded, but expected: %s", message);
    }
    assert_string_equal(err.text, message);
}

static inline void expect_error(const char *text, const char *message)
{
    expect_error_with(text, NULL, message);
}

/* A conf.json whose env dev has this inside; what is inside begins at line 2, column 1. */
static inline const char *env_of(const char *inside)
{
    static char text[8192];
    snprintf(text, sizeof text, "{\"dev\":{\n%s\n}}", inside);
    return text;
}

/* The same for one service "web" that has this beside its cmd. */
static inline const char *service_of(const char *inside)
{
    static char text[4096];
    snprintf(text, sizeof text, "\"svrs\":{\"web\":{\"cmd\":\"/bin/true\",\n%s}}", inside);
    return env_of(text);
}

struct bad {
    const char *inside, *message;
};

/* Each must be refused with the prefix (place and path) and its message. */
static inline void refuse(const struct bad *cases, size_t n, const char *(*text_of)(const char *), const char *prefix)
{
    for (size_t i = 0; i < n; i++) {
        char message[2100];
        snprintf(message, sizeof message, "%s%s", prefix, cases[i].message);
        expect_error(text_of(cases[i].inside), message);
    }
}

#endif
