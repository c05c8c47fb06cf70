/* What is written to stderr meanwhile, kept in a file. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int capture_fd = -1, capture_old = -1;

static inline void capture_begin(void)
{
    char path[] = "/tmp/capture.XXXXXX";
    fflush(stderr);
    capture_fd = mkstemp(path);
    capture_old = dup(STDERR_FILENO);
    assert_true(capture_fd >= 0 && capture_old >= 0);
    unlink(path);
    dup2(capture_fd, STDERR_FILENO);
}

/* All of it so far; valid until the next call. */
static inline const char *captured(void)
{
    static char *text;
    off_t size = lseek(capture_fd, 0, SEEK_END);
    assert_true(size >= 0);
    text = realloc(text, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(capture_fd, text, (size_t)size, 0), size);
    text[size] = 0;
    return text;
}

/* Returns all of it. What cmocka had to say meanwhile is said now. */
static inline const char *capture_end(void)
{
    if (capture_old < 0)
        return "";
    const char *text = captured();
    dup2(capture_old, STDERR_FILENO);
    if (strstr(text, "Failure!"))
        fputs(text, stderr);
    close(capture_old);
    close(capture_fd);
    capture_fd = capture_old = -1;
    return text;
}

static inline size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

#endif
