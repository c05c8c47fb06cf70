#include "sdnotify.h"

#include "buf.h"
#include "clog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define RETRY_MS 100
#define MAX_PENDING 4096

struct sdnotify {
    uv_loop_t *loop;
    uv_timer_t watchdog, retry;
    int handles; /* not closed yet */
    int fd;
    struct sockaddr_un addr;
    socklen_t addr_len;
    struct buf pending; /* messages that were not taken yet, each ends with a NUL */
    bool complained;
};

static void complain(struct sdnotify *s, const char *why)
{
    if (!s->complained)
        clog_warn("the service manager at NOTIFY_SOCKET can't be told: %s", why);
    s->complained = true;
}

static bool read_address(const char *name, struct sockaddr_un *addr, socklen_t *addr_len)
{
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof addr->sun_path)
        return false;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(addr->sun_path, name, len);
    if (name[0] == '@')
        addr->sun_path[0] = 0;
    *addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

/* How often to say that all is well; 0: nobody asks us to. */
static uint64_t watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
        return 0;
    unsigned long long n = strtoull(usec, NULL, 10);
    return n ? MAX(n / 2000, 1) : 0;
}

static void send_pending(struct sdnotify *s)
{
    while (s->pending.len) {
        size_t len = strlen(s->pending.data);
        ssize_t n =
            sendto(s->fd, s->pending.data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&s->addr, s->addr_len);
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
            return;
        if (n < 0)
            complain(s, strerror(errno));
        buf_drop(&s->pending, len + 1);
    }
    uv_timer_stop(&s->retry);
}

static void on_retry(uv_timer_t *timer)
{
    send_pending(timer->data);
}

static void on_watchdog(uv_timer_t *timer)
{
    struct sdnotify *s = timer->data;
    if (s->pending.len == 0) /* it does not read: one more would tell it nothing */
        sdnotify_tell(s, "WATCHDOG=1");
}

struct sdnotify *sdnotify_new(struct uv_loop_s *loop)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sdnotify *s = name && *name ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool known = read_address(name, &s->addr, &s->addr_len);
    if (s->fd < 0 || !known) {
        complain(s, known ? strerror(errno) : "it is neither a path nor an abstract name");
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return NULL;
    }
    s->loop = loop;
    s->handles = 2;
    uv_timer_init(loop, &s->watchdog);
    uv_timer_init(loop, &s->retry);
    s->watchdog.data = s->retry.data = s;
    uint64_t ms = watchdog_ms();
    if (ms)
        uv_timer_start(&s->watchdog, on_watchdog, ms, ms);
    return s;
}

static void on_closed(uv_handle_t *handle)
{
    struct sdnotify *s = handle->data;
    if (--s->handles)
        return;
    buf_fini(&s->pending);
    close(s->fd);
    free(s);
}

void sdnotify_free(struct sdnotify *s)
{
    if (!s)
        return;
    uv_close((uv_handle_t *)&s->watchdog, on_closed);
    uv_close((uv_handle_t *)&s->retry, on_closed);
}

void sdnotify_tell(struct sdnotify *s, const char *fmt, ...)
{
    char message[512];
    if (!s || s->pending.len > MAX_PENDING)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    buf_add(&s->pending, message, strlen(message) + 1);
    send_pending(s);
    if (s->pending.len && !uv_is_active((uv_handle_t *)&s->retry))
        uv_timer_start(&s->retry, on_retry, RETRY_MS, RETRY_MS);
}

void sdnotify_reloading(struct sdnotify *s)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    long long usec = (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
    sdnotify_tell(s, "RELOADING=1\nMONOTONIC_USEC=%lld", usec);
}
