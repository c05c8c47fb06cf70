#include "agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uv.h>

/* "the name agent …" */
#define WHY_SIZE 200

struct agent {
    uv_udp_t udp;
    uv_timer_t timer;
    int handles; /* still to be closed */
    uint32_t seq;
    int tries;
    int error;    /* of making the socket */
    bool strange; /* something came, but no answer to this question */
    char why[WHY_SIZE];
    char name[AGENT_NAME_MAX + 1];
    char datagram[512];
    agent_done_fn *done;
    void *arg;
};

static void on_closed(uv_handle_t *handle)
{
    struct agent *a = handle->data;
    if (--a->handles == 0)
        free(a);
}

static void let_go(struct agent *a)
{
    uv_close((uv_handle_t *)&a->udp, on_closed);
    uv_close((uv_handle_t *)&a->timer, on_closed);
}

static void finish(struct agent *a, const union host_address *found, socklen_t len)
{
    let_go(a);
    a->done(a->arg, found, len, a->why);
}

static void fail(struct agent *a, const char *why)
{
    snprintf(a->why, sizeof a->why, "%s", why);
    finish(a, NULL, 0);
}

static void fail_errno(struct agent *a, int error)
{
    snprintf(a->why, sizeof a->why, "can't be asked: %s", strerror(-error)); /* libuv's errors are the system's */
    finish(a, NULL, 0);
}

/* The part after "SEQ,", when it is this question's; else NULL. */
static const char *answer_of(const struct agent *a, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits] != ',' || strtoull(text, NULL, 10) != a->seq)
        return NULL;
    return text + digits + 1;
}

static void on_datagram(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct agent *a = udp->data;
    if (n < 0) {
        fail_errno(a, (int)n);
        return;
    }
    if (!from) /* nothing more to read for now */
        return;
    /* An end of line (or of a C string) behind it does no harm. */
    size_t len = (size_t)n;
    while (len > 0 && strchr("\r\n \t", buf->base[len - 1]))
        len--;
    buf->base[len] = 0;
    const char *answer = flags & UV_UDP_PARTIAL ? NULL : answer_of(a, buf->base);
    union host_address found;
    if (!answer) {
        a->strange = true;
        return;
    }
    socklen_t length = host_parse_pair(answer, &found);
    if (!length)
        snprintf(a->why, sizeof a->why, "answers \"%.100s\" for %.60s", answer, a->name);
    finish(a, length ? &found : NULL, length);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct agent *a = handle->data;
    *buf = uv_buf_init(a->datagram, sizeof a->datagram - 1);
}

static void on_timer(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    char text[AGENT_NAME_MAX + 16];
    if (a->error) {
        fail_errno(a, a->error);
        return;
    }
    if (a->tries == AGENT_TRIES) {
        fail(a, a->strange ? "answers what makes no sense" : "does not answer");
        return;
    }
    a->tries++;
    int n = snprintf(text, sizeof text, "%" PRIu32 ",%s", a->seq, a->name);
    uv_buf_t buf = uv_buf_init(text, (unsigned)n);
    int r = uv_udp_try_send(&a->udp, &buf, 1, NULL);
    if (r < 0)
        fail_errno(a, r);
    else
        uv_timer_start(timer, on_timer, AGENT_TIMEOUT_MS, 0);
}

struct agent *agent_ask(struct uv_loop_s *loop, int port, const char *name, agent_done_fn *done, void *arg)
{
    struct agent *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    *a = (struct agent){.handles = 2, .done = done, .arg = arg};
    a->udp.data = a->timer.data = a;
    snprintf(a->name, sizeof a->name, "%s", name);
    if (getrandom(&a->seq, sizeof a->seq, GRND_NONBLOCK) < 0)
        a->seq = (uint32_t)uv_hrtime(); /* just booted; any number will do */
    uv_udp_init(loop, &a->udp);
    uv_timer_init(loop, &a->timer);
    union host_address to;
    host_parse("127.0.0.1", port, &to);
    /* Connected: only the agent's own answers come in, and that there is no agent is told at once. */
    a->error = uv_udp_connect(&a->udp, &to.any);
    if (!a->error)
        a->error = uv_udp_recv_start(&a->udp, give_buffer, on_datagram);
    uv_timer_start(&a->timer, on_timer, 0, 0);
    return a;
}

void agent_cancel(struct agent *a)
{
    let_go(a);
}
