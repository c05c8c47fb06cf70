#include "clog.h"

#include "clock.h"
#include "utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SMALL 4096 /* PIPE_BUF: a pipe that is ready takes so much without waiting */
#define TEXT_MAX ((size_t)1024 * 1024)

static int wanted_mode = CLOG_LOCAL;
static int wanted_level = CLOG_ERROR | CLOG_WARN | CLOG_INFO;
static struct clog_sink *collector;

/* Room for a text: on the stack for all but very long ones. */
struct room {
    char *text, *heap;
    size_t size;
    char small[SMALL];
};

static void room_need(struct room *r, size_t size)
{
    r->heap = size > sizeof r->small ? malloc(size) : NULL;
    r->text = r->heap ? r->heap : r->small; /* without memory it is cut */
    r->size = r->heap ? size : sizeof r->small;
}

void clog_configure(int mode, int level)
{
    wanted_mode = mode;
    wanted_level = level;
}

void clog_attach(struct clog_sink *sink)
{
    collector = sink;
}

bool clog_is_on(enum clog_level level)
{
    return wanted_mode && (wanted_level & level);
}

static const char *level_name(enum clog_level level)
{
    static const char *const names[] = {
        [CLOG_DEBUG] = "DEBUG", [CLOG_WARN] = "WARN", [CLOG_ERROR] = "ERROR", [CLOG_INFO] = "INFO"};
    return names[level];
}

/* Is the character of n bytes at s (0: it is none) to be shown as it is? C1 controls are U+0080 to U+009F. */
static bool is_plain(const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0];
    return n == 1 ? c >= 32 && c != 127 : n > 0 && !(n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

/* Writes the text with \xNN for what is not plain, as far as there is room; returns the length it has (with out NULL:
 * would have). */
static size_t escape(const char *text, size_t len, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_len(text + i, len - i);
        bool plain = is_plain(text + i, n);
        n = n ? n : 1;
        size_t need = plain ? n : 4 * n;
        if (out && used + need > size)
            break;
        for (size_t k = 0; out && !plain && k < n; k++) {
            static const char digits[] = "0123456789abcdef";
            unsigned char c = (unsigned char)text[i + k];
            memcpy(out + used + 4 * k, (char[]){'\\', 'x', digits[c >> 4], digits[c & 15]}, 4);
        }
        if (out && plain)
            memcpy(out + used, text + i, n);
        used += need;
    }
    return used;
}

/* One write a line, ended by a newline; if stderr is gone, or a pipe nobody reads, there is nobody to tell, and no time
 * to wait. */
static void write_stderr(char *line, size_t n)
{
    struct stat st;
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
        return;
    static char whole[] = "\n", cut[] = "...\n";
    struct iovec parts[] = {{line, n}, {whole, sizeof whole - 1}};
    if (n + 1 > SMALL && (fstat(STDERR_FILENO, &st) || !S_ISREG(st.st_mode))) {
        parts[0].iov_len = utf8_cut(line, n, SMALL - (sizeof cut - 1));
        parts[1] = (struct iovec){cut, sizeof cut - 1};
    }
    ssize_t ignored = writev(STDERR_FILENO, parts, ARRAY_LEN(parts));
    (void)ignored;
}

static void put(enum clog_level level, const char *text, size_t len, bool to_stderr, bool to_collector)
{
    struct room line;
    char when[CLOCK_TEXT_SIZE];
    room_need(&line, escape(text, len, NULL, 0) + CLOCK_TEXT_SIZE + 16);
    clock_text(clock_wall_ms(), when);
    size_t head = (size_t)snprintf(line.text, line.size, "%s [%s] ", when, level_name(level));
    size_t n = escape(text, len, line.text + head, line.size - head);
    if (to_stderr)
        write_stderr(line.text, head + n);
    if (to_collector)
        collector->write(collector, level, line.text + head, n);
    free(line.heap);
}

static void format(enum clog_level level, bool to_stderr, bool to_collector, const char *fmt, va_list ap)
{
    struct room text;
    int saved = errno;
    va_list again;
    va_copy(again, ap);
    room_need(&text, SMALL);
    int n = vsnprintf(text.text, text.size, fmt, ap);
    if (n >= SMALL) {
        room_need(&text, MIN((size_t)n, TEXT_MAX) + 1);
        vsnprintf(text.text, text.size, fmt, again);
    }
    va_end(again);
    if (n >= 0)
        put(level, text.text, strlen(text.text), to_stderr, to_collector);
    free(text.heap);
    errno = saved;
}

void clog_write(enum clog_level level, const char *fmt, ...)
{
    bool to_collector = (wanted_mode & CLOG_COLLECTOR) && collector;
    bool to_stderr = (wanted_mode & CLOG_LOCAL) || ((wanted_mode & CLOG_COLLECTOR) && !collector);
    if (!clog_is_on(level) || (!to_stderr && !to_collector))
        return;
    va_list ap;
    va_start(ap, fmt);
    format(level, to_stderr, to_collector, fmt, ap);
    va_end(ap);
}

void clog_local(enum clog_level level, const char *fmt, ...)
{
    if (!clog_is_on(level))
        return;
    va_list ap;
    va_start(ap, fmt);
    format(level, true, false, fmt, ap);
    va_end(ap);
}
