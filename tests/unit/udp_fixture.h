/* A loop under test, and plain UDP sockets that play the other end. */
#ifndef UDP_FIXTURE_H
#define UDP_FIXTURE_H

#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define UDP_LIMIT_MS 10000 /* for what takes milliseconds */

static uv_loop_t loop;
static uv_timer_t tick; /* so that what is waited for is looked at now and then */

static inline void loop_begin(void)
{
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_timer_init(&loop, &tick);
}

/* Everything must have been let go of. */
static inline void loop_end(void)
{
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static inline void keep_turning(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until ready(arg) is true. */
static inline void loop_until(bool (*ready)(void *arg), void *arg)
{
    uint64_t end = uv_hrtime() + UDP_LIMIT_MS * 1000000ULL;
    uv_timer_start(&tick, keep_turning, 1, 1);
    while (!ready(arg) && uv_hrtime() < end)
        uv_run(&loop, UV_RUN_ONCE);
    uv_timer_stop(&tick);
    if (!ready(arg))
        fail_msg("it has not happened within %d ms", UDP_LIMIT_MS);
}

/* A socket on 127.0.0.1 and that port; 0: any. */
static inline int udp_open(int port)
{
    union host_address a;
    socklen_t len = host_parse("127.0.0.1", port, &a);
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_true(fd >= 0 && bind(fd, &a.any, len) == 0);
    return fd;
}

static inline int udp_port(int fd)
{
    union host_address a;
    socklen_t len = sizeof a;
    assert_int_equal(getsockname(fd, &a.any, &len), 0);
    return ntohs(a.v4.sin_port);
}

/* One where nobody listens. */
static inline int udp_free_port(void)
{
    int fd = udp_open(0), port = udp_port(fd);
    close(fd);
    return port;
}

struct datagram {
    int fd;
    union host_address from;
    ssize_t len; /* -1: none yet */
    char text[70000];
};

static inline bool datagram_came(void *arg)
{
    struct datagram *d = arg;
    socklen_t len = sizeof d->from;
    if (d->len < 0)
        d->len = recvfrom(d->fd, d->text, sizeof d->text - 1, MSG_DONTWAIT, &d->from.any, &len);
    if (d->len >= 0)
        d->text[d->len] = 0;
    return d->len >= 0;
}

/* The next datagram; the loop runs meanwhile. Valid until the next call. */
static inline struct datagram *udp_next(int fd)
{
    static struct datagram d;
    d.fd = fd;
    d.len = -1;
    loop_until(datagram_came, &d);
    return &d;
}

static inline bool udp_is_quiet(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static inline void udp_reply(const struct datagram *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void udp_reply(const struct datagram *d, const char *fmt, ...)
{
    static char text[70000];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert_int_equal(sendto(d->fd, text, (size_t)n, 0, &d->from.any, sizeof d->from.v4), n);
}

#endif
