#include "dns.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define STACK_BYTES (1024 * 1024)

/* Shared by the loop and the thread; who lets go of it last frees it. */
struct question {
    pthread_mutex_t lock;
    struct dns *asker; /* NULL: nobody waits any more */
    bool done;
    char *host;
    char port[8];
    union host_address found;
    socklen_t len; /* 0: not found */
    char why[128];
};

struct dns {
    uv_async_t wake;
    struct question *question;
    dns_done_fn *done;
    void *arg;
};

static void question_free(struct question *q)
{
    pthread_mutex_destroy(&q->lock);
    free(q->host);
    free(q);
}

static void take_first(struct question *q, const struct addrinfo *list)
{
    const struct addrinfo *best = NULL;
    for (const struct addrinfo *i = list; i; i = i->ai_next)
        if (i->ai_addrlen <= sizeof q->found && (!best || (best->ai_family != AF_INET && i->ai_family == AF_INET)))
            best = i;
    if (!best)
        return;
    memcpy(&q->found, best->ai_addr, best->ai_addrlen);
    q->len = best->ai_addrlen;
}

static void *look_up(void *arg)
{
    struct question *q = arg;
    struct addrinfo *list = NULL;
    static const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    int r = getaddrinfo(q->host, q->port, &hints, &list);
    if (r == 0)
        take_first(q, list);
    if (list)
        freeaddrinfo(list);
    if (!q->len)
        snprintf(q->why, sizeof q->why, "%s", r == 0 ? "it has no address" : gai_strerror(r));
    pthread_mutex_lock(&q->lock);
    q->done = true;
    bool alone = !q->asker;
    if (!alone)
        uv_async_send(&q->asker->wake);
    pthread_mutex_unlock(&q->lock);
    if (alone)
        question_free(q);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* From now on the thread has the question for itself. */
static void let_go(struct dns *d)
{
    pthread_mutex_lock(&d->question->lock);
    d->question->asker = NULL;
    bool done = d->question->done;
    pthread_mutex_unlock(&d->question->lock);
    if (done)
        question_free(d->question);
    uv_close((uv_handle_t *)&d->wake, on_closed);
}

static void on_wake(uv_async_t *wake)
{
    struct dns *d = wake->data;
    const struct question *q = d->question;
    d->done(d->arg, q->len ? &q->found : NULL, q->len, q->why);
    let_go(d);
}

/* Signals are for the loop's thread. */
static int start_thread(struct question *q)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&thread, &attr, look_up, q);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

static struct question *question_new(struct dns *asker, const char *host, int port)
{
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->asker = asker;
    q->host = strdup(host);
    snprintf(q->port, sizeof q->port, "%d", port);
    pthread_mutex_init(&q->lock, NULL);
    if (!q->host) {
        question_free(q);
        return NULL;
    }
    return q;
}

struct dns *dns_ask(struct uv_loop_s *loop, const char *host, int port, dns_done_fn *done, void *arg, int *error)
{
    struct dns *d = calloc(1, sizeof *d);
    *error = -ENOMEM;
    if (!d || !(d->question = question_new(d, host, port))) {
        free(d);
        return NULL;
    }
    d->done = done;
    d->arg = arg;
    d->wake.data = d;
    *error = uv_async_init(loop, &d->wake, on_wake);
    if (*error) {
        question_free(d->question);
        free(d);
        return NULL;
    }
    *error = start_thread(d->question);
    if (*error) {
        d->question->done = true;
        let_go(d);
        return NULL;
    }
    return d;
}

void dns_cancel(struct dns *d)
{
    let_go(d);
}
