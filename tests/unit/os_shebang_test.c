/* shebang: an interpreter of the script, or something else that has it as an argument. */
#include "shebang.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *line, *exe;
    bool fits;
} cases[] = {
    {"#!/bin/sh\n", "/usr/bin/dash", true},
    {"#!/bin/sh -e\necho\n", "/bin/bash", true},
    {"#! /bin/bash", "/bin/bash", true},
    {"#!/usr/bin/python3\n", "/usr/bin/python3.11", true},
    {"#!/usr/bin/env python3\n", "/usr/bin/python3.11", true},
    {"#!/usr/bin/env -S LANG=C perl -w\n", "/usr/bin/perl", true},
    {"#!/usr/bin/lua5.4\n", "/usr/bin/lua", true},
    {"#!/bin/sh\n", "/usr/bin/vim.basic", false},
    {"#!/bin/sh\n", "/usr/bin/python3", false},
    {"#!/usr/bin/python3\n", "/bin/sh", false},
    {"#!/usr/bin/env python3\n", "/usr/bin/env", false},
    {"#!/bin/sh\n", NULL, false},
    {"#!\n", "/bin/sh", false},
    {"#!/usr/bin/env\n", "/bin/sh", false},
    {"echo no shebang\n", "/bin/sh", false},
    {"", "/bin/sh", false},
    {"\x7f"
     "ELF",
     "/bin/sh", false},
};

static void reads_the_first_line(void **state)
{
    (void)state;
    char path[] = "/tmp/fm-shebang-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(cases[i].line, f);
        fclose(f);
        if (shebang_fits(path, cases[i].exe) != cases[i].fits)
            fail_msg("%s by %s", cases[i].line, cases[i].exe ? cases[i].exe : "nobody");
    }
    unlink(path);
    assert_false(shebang_fits(path, "/bin/sh"));
    assert_false(shebang_fits("/tmp", "/bin/sh"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_the_first_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
