#include "collector.h"

#include "buf.h"
#include "clock.h"
#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

#define HEAD_SIZE (COLLECTOR_NAME_MAX + HOST_ADDRESS_SIZE + 16)
#define ADDR_SIZE (AGENT_NAME_MAX + 16)

struct collector {
    struct clog_sink sink;
    uv_timer_t timer; /* the next look-up */
    struct resolve *lookup;
    bool on;
    struct collector_setup setup; /* its texts are these: */
    char name[COLLECTOR_NAME_MAX + 1], addr[ADDR_SIZE];
    struct resolve_target target;
    char local[HOST_ADDRESS_SIZE]; /* this host, in the head */

    int fd; /* -1: the address is not known */
    char shown[HOST_PAIR_SIZE];
    int64_t pause_ms;       /* until the next look-up, as long as things go wrong */
    bool no_agent, no_addr; /* said already */

    struct buf kept; /* lines said before the address was known, each behind a struct kept */
    uint64_t not_kept;

    bool failing; /* the last datagrams were not taken; said already */
    int64_t failed_ms;
    uint64_t lost; /* since then */
};

struct kept {
    uint32_t level, len;
};

/* ---- sending */

static const char *kind_of(enum clog_level level)
{
    static const char *const kinds[] = {
        [CLOG_DEBUG] = "logdbg", [CLOG_WARN] = "logwar", [CLOG_ERROR] = "logerr", [CLOG_INFO] = "loginfo"};
    return kinds[level];
}

static void look_soon(struct collector *c, int64_t after_ms);

static void note_failure(struct collector *c, int error)
{
    c->lost++;
    c->failed_ms = clock_mono_ms();
    if (c->failing)
        return;
    c->failing = true;
    clog_local(CLOG_WARN, "the clog collector %s: %s; lines for it are being lost", c->shown, strerror(error));
    c->pause_ms = c->setup.retry_ms;
    look_soon(c, c->pause_ms); /* it may have moved */
}

/* One datagram. That an earlier one was refused is told by the next call, which then has sent nothing. */
static bool send_part(struct collector *c, const char *head, size_t head_len, const char *text, size_t len)
{
    struct iovec parts[] = {{(char *)(uintptr_t)head, head_len}, {(char *)(uintptr_t)text, len}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts)};
    ssize_t r = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (r < 0 && errno == ECONNREFUSED) {
        note_failure(c, errno);
        r = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (r < 0)
        note_failure(c, errno);
    return r >= 0;
}

/* A long text goes in parts. */
static void send_line(struct collector *c, enum clog_level level, const char *text, size_t len)
{
    char head[HEAD_SIZE];
    size_t head_len = (size_t)snprintf(head, sizeof head, "%s,%s,%s,,", c->name, kind_of(level), c->local);
    for (;;) {
        size_t n = utf8_cut(text, len, COLLECTOR_TEXT_MAX);
        if (!send_part(c, head, head_len, text, n) || n == len)
            return;
        text += n;
        len -= n;
    }
}

/* To both, whatever the mode: what was lost is of interest in both places. */
static void tell_lost(struct collector *c, uint64_t lost, const char *which)
{
    char text[160];
    snprintf(text, sizeof text, "%" PRIu64 " line%s for the clog collector got lost%s", lost, lost == 1 ? "" : "s",
             which);
    clog_local(CLOG_WARN, "%s", text);
    if (c->fd >= 0 && clog_is_on(CLOG_WARN))
        send_line(c, CLOG_WARN, text, strlen(text));
}

static void end_failure(struct collector *c)
{
    uint64_t lost = c->lost;
    c->failing = false;
    c->lost = 0;
    if (lost)
        tell_lost(c, lost, "; it takes them again");
}

/* ---- lines until the address is known */

static void keep(struct collector *c, enum clog_level level, const char *text, size_t len)
{
    struct kept k = {level, (uint32_t)len};
    size_t before = c->kept.len;
    /* Once a line has been dropped those after it are too: the gap is where the count is told. */
    if (!c->not_kept && before + sizeof k + len <= COLLECTOR_KEEP_BYTES) {
        buf_add(&c->kept, &k, sizeof k);
        buf_add(&c->kept, text, len);
        if (!c->kept.failed)
            return;
        c->kept.len = before;
        c->kept.failed = false;
    }
    c->not_kept++;
}

static void send_kept(struct collector *c)
{
    struct buf kept = c->kept;
    uint64_t not_kept = c->not_kept;
    c->kept = (struct buf){0};
    c->not_kept = 0;
    for (size_t at = 0; at < kept.len;) {
        struct kept k;
        memcpy(&k, kept.data + at, sizeof k);
        send_line(c, k.level, kept.data + at + sizeof k, k.len);
        at += sizeof k + k.len;
    }
    buf_fini(&kept);
    if (not_kept)
        tell_lost(c, not_kept, " while its address was not known");
}

static void forget_kept(struct collector *c, const char *why)
{
    uint64_t lost = c->not_kept + c->lost;
    for (size_t at = 0; at < c->kept.len; lost++) {
        struct kept k;
        memcpy(&k, c->kept.data + at, sizeof k);
        at += sizeof k + k.len;
    }
    buf_fini(&c->kept);
    c->not_kept = c->lost = 0;
    if (lost)
        tell_lost(c, lost, why);
}

static void write_line(struct clog_sink *sink, enum clog_level level, const char *text, size_t len)
{
    struct collector *c = CONTAINER_OF(sink, struct collector, sink);
    if (!c->on)
        return;
    if (c->fd < 0) {
        keep(c, level, text, len);
        return;
    }
    if (c->failing && clock_mono_ms() - c->failed_ms >= c->setup.quiet_ms) {
        /* The first line after a pause shows whether the one before it was refused. */
        uint64_t lost = c->lost;
        send_line(c, level, text, len);
        if (c->lost == lost)
            end_failure(c);
        return;
    }
    send_line(c, level, text, len);
}

/* ---- the address */

static void find_local(struct collector *c)
{
    if (!host_private_address(c->local))
        strcpy(c->local, "127.0.0.1");
}

/* Closes the socket; what it has not told yet was not taken either. */
static void hang_up(struct collector *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (c->fd < 0)
        return;
    if (!getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) && error)
        c->lost++;
    close(c->fd);
    c->fd = -1;
}

/* Goes over to an address; false with errno: it can't be sent to. */
static bool connect_to(struct collector *c, const union host_address *to, socklen_t len)
{
    int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, &to->any, len)) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        errno = error;
        return false;
    }
    bool first = c->fd < 0;
    hang_up(c);
    c->fd = fd;
    host_text(to, c->shown);
    if (first)
        send_kept(c);
    if (first)
        clog_debug("lines for the clog collector go to %s", c->shown);
    else
        clog_info("lines for the clog collector %s go to %s from now on", c->addr, c->shown);
    if (c->failing || c->lost)
        end_failure(c);
    return true;
}

static bool use(struct collector *c, const union host_address *to, socklen_t len)
{
    char text[HOST_PAIR_SIZE];
    host_text(to, text);
    bool same = c->fd >= 0 && !strcmp(c->shown, text);
    if (!same && !connect_to(c, to, len)) {
        const char *why = strerror(errno);
        if (!c->no_addr)
            clog_local(CLOG_WARN, "the clog collector %s: %s; it is tried again", text, why);
        c->no_addr = true;
        return false;
    }
    if (c->no_addr)
        clog_local(CLOG_WARN, "the clog collector %s has an address again: %s", c->addr, c->shown);
    c->no_addr = false;
    return true;
}

static void judge_agent(struct collector *c, const struct resolve_result *r)
{
    if (!r->asked_agent || c->no_agent == (r->agent != NULL))
        return;
    c->no_agent = r->agent != NULL;
    if (r->agent)
        clog_local(CLOG_WARN, "the name agent %s; DNS is asked for %s instead", r->agent, c->addr);
    else
        clog_local(CLOG_WARN, "the name agent tells where %s is again", c->addr);
}

/* The next look-up: as usual, or after a pause that grows as long as something is wrong. */
static void look_later(struct collector *c, bool well)
{
    look_soon(c, well && !c->failing ? c->setup.refresh_ms : c->pause_ms);
    c->pause_ms = well && !c->failing ? c->setup.retry_ms : MIN(c->pause_ms * 2, c->setup.refresh_ms);
}

static void on_found(void *arg, const struct resolve_result *r)
{
    struct collector *c = arg;
    c->lookup = NULL;
    judge_agent(c, r);
    if (!r->found && !c->no_addr) {
        clog_local(CLOG_WARN, "the clog collector %s can't be looked up: %s; it is tried again", c->addr, r->why);
        c->no_addr = true;
    }
    look_later(c, r->found && use(c, r->found, r->len));
}

static void look(struct collector *c)
{
    union host_address to = c->target.literal;
    find_local(c);
    if (c->target.literal_len) {
        if (!c->target.port)
            *(to.any.sa_family == AF_INET6 ? &to.v6.sin6_port : &to.v4.sin_port) = htons((uint16_t)c->setup.ports.dns);
        look_later(c, use(c, &to, c->target.literal_len));
        return;
    }
    if (c->lookup)
        return;
    c->lookup = resolve_start(c->timer.loop, &c->target, &c->setup.ports, on_found, c);
    if (!c->lookup)
        look_later(c, false);
}

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

static void look_soon(struct collector *c, int64_t after_ms)
{
    uv_update_time(c->timer.loop);
    uv_timer_start(&c->timer, on_timer, (uint64_t)after_ms, 0);
}

/* ---- life */

struct collector *collector_new(struct uv_loop_s *loop)
{
    struct collector *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct collector){.sink.write = write_line, .fd = -1, .timer.data = c};
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    return c;
}

/* Forgets the address, but not what waits for it. */
static void disconnect(struct collector *c)
{
    uv_timer_stop(&c->timer);
    if (c->lookup)
        resolve_cancel(c->lookup);
    c->lookup = NULL;
    hang_up(c);
    c->no_agent = c->no_addr = c->failing = false;
}

bool collector_configure(struct collector *c, const struct collector_setup *setup)
{
    struct resolve_target target;
    bool good = setup && resolve_parse(setup->addr, &target) && strlen(setup->name) <= COLLECTOR_NAME_MAX &&
                strlen(setup->addr) < sizeof c->addr;
    if (!good) {
        disconnect(c);
        c->on = false;
        forget_kept(c, ": it is not wanted any more");
        return !setup;
    }
    bool same = c->on && !strcmp(c->addr, setup->addr);
    strcpy(c->name, setup->name);
    strcpy(c->addr, setup->addr);
    c->setup = *setup;
    c->setup.name = c->name;
    c->setup.addr = c->addr;
    c->target = target;
    if (same)
        return true;
    disconnect(c);
    c->on = true;
    c->pause_ms = setup->retry_ms;
    look(c);
    return true;
}

struct clog_sink *collector_sink(struct collector *c)
{
    return &c->sink;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void collector_free(struct collector *c)
{
    disconnect(c);
    c->on = false;
    forget_kept(c, ": the monitor ends");
    uv_close((uv_handle_t *)&c->timer, on_closed);
}
