#include "clog.h"

#include "clock.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096 /* PIPE_BUF: a pipe that is ready takes so much without waiting */

static int enabled = CLOG_ERROR | CLOG_WARN | CLOG_INFO;

void clog_configure(bool local, int level)
{
    enabled = local ? level : 0;
}

static const char *level_name(enum clog_level level)
{
    static const char *const names[] = {
        [CLOG_DEBUG] = "DEBUG", [CLOG_WARN] = "WARN", [CLOG_ERROR] = "ERROR", [CLOG_INFO] = "INFO"};
    return names[level];
}

/* Copies text with control characters as \xNN; returns the length. */
static size_t escape(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; *text && n + 5 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 32 || c == 127)
            n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
        else
            out[n++] = (char)c;
    }
    return n;
}

void clog_write(enum clog_level level, const char *fmt, ...)
{
    if (!(enabled & level))
        return;
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES], when[CLOCK_TEXT_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clock_text(clock_wall_ms(), when);
    size_t n = (size_t)snprintf(line, sizeof line, "%s [%s] ", when, level_name(level));
    n += escape(text, line + n, sizeof line - n - 1);
    line[n++] = '\n';
    /* One write a line; if stderr is gone, or a pipe nobody reads, there is nobody to tell, and no time to wait. */
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
        return;
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
