#include "clock.h"
#include "clog.h"
#include "facts.h"
#include "http_parts.h"
#include "mhd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ADDRESSES_MAX 16
#define CONNECTIONS_MAX 65536U
#define LAST_TURNS 64      /* to send what is there when it ends */
#define TLS_SETTLED_MS 300 /* who has asked for nothing for so long is not about to */

static void run_all(struct http *h)
{
    for (struct listener *l = h->listeners; l; l = l->next)
        if (l->daemon)
            MHD_run(l->daemon);
}

/* Before the loop waits: until when each daemon may be left alone. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct http *h = CONTAINER_OF(prepare, struct http, prepare);
    /* Resuming from outside its own callbacks does not reliably wake a daemon that we drive ourselves. */
    while (h->calls.resumed) {
        h->calls.resumed = false;
        run_all(h);
    }
    for (struct listener *l = h->listeners, *next; l; l = next) {
        next = l->next;
        http_listener_turn(l);
    }
}

struct http *http_new(struct uv_loop_s *loop, struct admin *admin)
{
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    struct rlimit limit;
    bool known = !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY;
    h->room = known ? (unsigned)MIN(limit.rlim_cur / 4, CONNECTIONS_MAX) : CONNECTIONS_MAX;
    h->loop = loop;
    h->admin = admin;
    h->calls.admin = admin;
    admin->refusals = &h->calls.refusals;
    uv_prepare_init(loop, &h->prepare);
    uv_prepare_start(&h->prepare, on_prepare);
    uv_timer_init(loop, &h->sweep);
    h->handles = 2;
    http_awake_init(h);
    return h;
}

/* One that listens there already as it is wanted. */
static struct listener *find(const struct http *h, const char *address, const struct http_wanted *wanted)
{
    for (struct listener *l = h->listeners; l; l = l->next)
        if (!l->retired && l->port == wanted->conf->port && l->header_kb == wanted->conf->http.header_kb &&
            !strcmp(l->address, address) && tls_is_same(&l->tls, &wanted->tls))
            return l;
    return NULL;
}

/* The addresses of conf as literals; `inner` is left out where the host has none. */
static size_t wanted_addresses(const struct conf *conf, char out[ADDRESSES_MAX][HOST_ADDRESS_SIZE])
{
    size_t n = 0;
    for (char **p = conf->bind; *p && n < ADDRESSES_MAX; p++) {
        bool inner = !strcmp(*p, "inner"), twice = false;
        if (inner && !host_private_address(out[n]))
            continue;
        if (!inner)
            snprintf(out[n], HOST_ADDRESS_SIZE, "%s", *p);
        for (size_t i = 0; i < n; i++)
            twice = twice || !strcmp(out[i], out[n]);
        n += !twice;
    }
    return n;
}

static bool open_missing(struct http *h, const struct http_wanted *wanted, char addresses[][HOST_ADDRESS_SIZE],
                         size_t n, struct listener **kept, struct listener **fresh, struct err *err)
{
    int actual = 0;
    for (size_t i = 0; i < n; i++) {
        kept[i] = find(h, addresses[i], wanted);
        if (!kept[i] && !(fresh[i] = http_listener_new(h, addresses[i], wanted, &actual, err)))
            return false;
    }
    return true;
}

/* Opens what is not open yet; `fresh` are the ones opened now. What is open may stand in the way of what is not
 * ("0.0.0.0" after "127.0.0.1"), so that they share the port until all is open. */
static bool open_beside(struct http *h, const struct http_wanted *wanted, char addresses[][HOST_ADDRESS_SIZE], size_t n,
                        struct listener **kept, struct listener **fresh, struct err *err)
{
    for (struct listener *l = h->listeners; l; l = l->next)
        if (!l->retired)
            host_share(l->fd, true);
    bool ok = open_missing(h, wanted, addresses, n, kept, fresh, err);
    for (struct listener *l = h->listeners; l; l = l->next)
        if (!l->retired)
            host_share(l->fd, false);
    for (size_t i = 0; i < n; i++) {
        if (fresh[i] && ok)
            host_share(fresh[i]->fd, false);
        else if (fresh[i])
            http_listener_stop(fresh[i]);
    }
    return ok;
}

bool http_listen(struct http *h, const struct conf *conf, struct err *err)
{
    char addresses[ADDRESSES_MAX][HOST_ADDRESS_SIZE];
    struct listener *kept[ADDRESSES_MAX] = {0}, *fresh[ADDRESSES_MAX] = {0};
    size_t n = wanted_addresses(conf, addresses);
    if (n == 0)
        return err_set(err, "bind: there is no address to listen on (\"inner\" needs a private IPv4 address)");
    struct http_wanted wanted_now = {.conf = conf};
    if (!tls_read(&wanted_now.tls, conf, err))
        return false;
    bool ok = !wanted_now.tls.cert || mhd_load(err); /* else it is loaded for who comes */
    ok = ok && open_beside(h, &wanted_now, addresses, n, kept, fresh, err);
    tls_fini(&wanted_now.tls);
    http_rest_later(h);
    if (!ok)
        return false;
    for (struct listener *l = h->listeners; l; l = l->next) {
        bool wanted = l->retired;
        for (size_t i = 0; i < n; i++)
            wanted = wanted || kept[i] == l;
        l->retired = !wanted || l->retired;
    }
    /* Rebuilt in the order of bind, what is retired behind. */
    struct listener *retired = NULL, **end = &h->listeners;
    for (struct listener *l = h->listeners, *next; l; l = next) {
        next = l->next;
        if (l->retired) {
            l->next = retired;
            retired = l;
        }
    }
    for (size_t i = 0; i < n; i++) {
        *end = kept[i] ? kept[i] : fresh[i];
        end = &(*end)->next;
    }
    *end = retired;
    return true;
}

const char *http_address(const struct http *h)
{
    return h->listeners ? h->listeners->shown : "";
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http *h = handle->data;
    if (--h->handles == 0)
        free(h);
}

/* ---- over to the next program */

/* What was agreed on an encrypted connection can't be handed over: it has to be ended. */
static bool is_encrypted(const struct http *h)
{
    for (const struct listener *l = h->listeners; l; l = l->next)
        if (l->tls.cert)
            return true;
    return false;
}

/* Is something being asked over it, or about to be? */
static bool is_active(const struct peer *p, bool encrypted, int64_t now)
{
    return p->busy || (encrypted && now - p->since_ms < TLS_SETTLED_MS);
}

bool http_is_quiet(const struct http *h, const struct request *but)
{
    int fd = but ? call_fd(&h->calls, but) : -1;
    bool encrypted = is_encrypted(h);
    int64_t now = clock_coarse_ms();
    if (call_is_any(&h->calls, but))
        return false;
    for (const struct peer *p = h->peers.first; p; p = p->next)
        if (p->fd != fd && is_active(p, encrypted, now))
            return false;
    return true;
}

void http_hold(struct http *h)
{
    for (struct listener *l = h->listeners; !h->deaf && l; l = l->next)
        http_listener_keep_out(l);
    h->deaf = true;
}

void http_wind_down(struct http *h, const struct request *but, bool waiting, const char *why)
{
    if (waiting || is_encrypted(h)) {
        http_hold(h);
        h->calls.last = true;
    }
    call_end(&h->calls, but, waiting, why);
}

void http_go_on(struct http *h)
{
    h->deaf = h->calls.last = false;
    for (struct listener *l = h->listeners; l; l = l->next)
        http_listener_let_in(l);
}

static int port_of(int fd)
{
    union host_address a = {0};
    socklen_t len = sizeof a;
    if (getsockname(fd, &a.any, &len))
        return 0;
    return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

struct http_given *http_give(const struct http *h, const struct request *but, size_t *count)
{
    size_t n = 0;
    int own = but ? call_fd(&h->calls, but) : -1;
    for (const struct listener *l = h->listeners; l; l = l->next)
        n++;
    for (const struct peer *p = h->peers.first; p; p = p->next)
        n++;
    struct http_given *given = calloc(n + 1, sizeof *given);
    *count = 0;
    for (const struct listener *l = h->listeners; given && l; l = l->next) {
        struct http_given *g = &given[*count];
        *g = (struct http_given){.fd = l->fd, .listens = true, .port = l->fd >= 0 ? port_of(l->fd) : 0};
        memcpy(g->address, l->address, sizeof g->address);
        *count += l->fd >= 0 && !l->retired;
    }
    for (const struct peer *p = h->peers.first; given && p && !is_encrypted(h); p = p->next)
        if (p->fd != own && !p->busy)
            given[(*count)++] = (struct http_given){.fd = p->fd};
    return given;
}

int http_fd(const struct http *h, const struct request *r)
{
    return is_encrypted(h) ? -1 : call_fd(&h->calls, r);
}

void http_take(struct http *h, struct http_given *given, size_t count)
{
    h->given = given;
    h->ngiven = count;
}

/* To whom the connections are given, if there are any; NULL: to nobody. */
static struct MHD_Daemon *heir(struct http *h)
{
    struct err err = {0};
    bool any = false;
    for (size_t i = 0; i < h->ngiven; i++)
        any = any || (h->given[i].fd >= 0 && !h->given[i].listens);
    if (!any || !h->listeners || is_encrypted(h))
        return NULL;
    if (!mhd_load(&err) || !http_listener_wake(h->listeners, &err))
        clog_error("the connections there were are closed: %s", err.text);
    return h->listeners->daemon;
}

void http_taken(struct http *h)
{
    struct MHD_Daemon *daemon = heir(h);
    for (struct http_given *g = h->given; g < h->given + h->ngiven; g++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        bool serve = daemon && g->fd >= 0 && !g->listens && !getpeername(g->fd, (struct sockaddr *)&peer, &len);
        if (serve) /* else it closes it */
            MHD_add_connection(daemon, g->fd, (struct sockaddr *)&peer, len);
        else if (g->fd >= 0)
            close(g->fd);
    }
    if (daemon)
        MHD_run(daemon);
    h->given = NULL;
    h->ngiven = 0;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    h->admin->refusals = NULL;
    call_end(&h->calls, NULL, true, "the monitor is ending; what was asked for goes on");
    for (int i = 0; i < LAST_TURNS && h->calls.calls; i++)
        run_all(h); /* sends what was just answered */
    while (h->listeners)
        http_listener_stop(h->listeners);
    call_shared_clear(&h->calls);
    facts_free(h->admin);
    http_awake_fini(h, on_handle_closed);
    h->prepare.data = h->sweep.data = h;
    uv_close((uv_handle_t *)&h->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&h->sweep, on_handle_closed);
}
