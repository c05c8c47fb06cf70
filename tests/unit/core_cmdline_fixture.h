/* A rootpath with a few programs in it, for the tests of command lines. */
#ifndef CORE_CMDLINE_FIXTURE_H
#define CORE_CMDLINE_FIXTURE_H

#include "cmdline.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Shows its arguments, each in <>, and the variables the tests set. */
#define SHOW "#!/bin/sh\nprintf '<%s>' \"$@\"\necho \" A=$A B=$B\"\n"

static char root[64];

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void make_dir(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/cmdline_test.XXXXXX");
    assert_non_null(mkdtemp(root));
    make_dir("web");
    make_dir("my dir");
    make_dir("it's ü");
    make_dir("bin");
    write_file("web/show", SHOW, 0755);
    write_file("my dir/run me", SHOW, 0755);
    write_file("it's ü/läuft", SHOW, 0755);
    write_file("show", SHOW, 0755);
    write_file("test", SHOW, 0755); /* a service with the name of a builtin */
    write_file("web/where", "#!/bin/sh\necho \"$$ $PPID $PWD\"\n", 0755);
    write_file("bin/tool", "#!/bin/sh\necho \"tool $*\"\n", 0755);
    write_file("bin/data", "no program\n", 0644);
    unsetenv("A");
    unsetenv("B");
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* "ROOT/name", valid until the fourth call after this one. */
static const char *in_root(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s%s%s", root, *name ? "/" : "", name);
    return path;
}

static void must_resolve(const struct cmdline_input *in, struct cmdline *c)
{
    struct err err = {0};
    if (!cmdline_resolve(in, c, &err))
        fail_msg("%.200s: %s", in->cmd, err.text);
}

#endif
