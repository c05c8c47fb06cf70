#include "http.h"

#include "call.h"
#include "clock.h"
#include "clog.h"
#include "facts.h"
#include "host.h"
#include "mhd.h"
#include "peers.h"
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#define ADDRESSES_MAX 16
#define CONNECTIONS_MAX 65536U
#define SWEEP_MS 300
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define ACCEPTS_PER_TURN 64
#define READABLE_NS 200000  /* in one turn of the loop */
#define LAST_TURNS 64       /* to send what is there when it ends */
#define ROOM_MADE 16        /* connections ended at a time to make room for others */
#define TLS_SETTLED_MS 300  /* who has asked for nothing for so long is not about to */
#define ACCEPT_PAUSE_MS 100 /* when there is no room for a connection, it is looked for again after this */

/* One address listened on: a daemon of libmicrohttpd, whose epoll descriptor is one
 * watcher of our loop. We accept the connections it gets: left to itself it would turn in
 * circles for as long as there are no descriptors, or deaf until a connection is closed. */
struct listener {
    struct listener *next;
    struct http *http;
    struct MHD_Daemon *daemon;
    uv_poll_t poll, incoming;
    uv_timer_t timer, pause;
    int handles;
    int fd;        /* -1: it does not listen any more */
    int port;      /* as configured: 0 stays 0 */
    int header_kb; /* as configured */
    struct tls tls;
    bool retired; /* others listen in its place; goes with its last connection */
    char address[HOST_ADDRESS_SIZE];
    char shown[HOST_ADDRESS_SIZE + 20];
};

struct http {
    uv_loop_t *loop;
    struct admin *admin;
    struct call_shared calls;
    struct listener *listeners; /* in the order of bind; retired ones last */
    uv_prepare_t prepare;
    struct peers peers;
    unsigned room;    /* connections a listener takes at most: services need descriptors too */
    uv_timer_t sweep; /* runs while there are peers */
    int handles;
    struct http_given *given; /* of the program before this one */
    size_t ngiven;
    bool winding_down; /* takes no new connections */
    char said[256];    /* by libmicrohttpd, last */
};

static void listener_free(struct listener *l)
{
    tls_fini(&l->tls);
    free(l);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    if (--l->handles == 0)
        listener_free(l);
}

/* Stops listening; connections are served to their end. */
static void stop_listening(struct listener *l)
{
    if (l->fd < 0)
        return;
    /* Before the descriptor: its number may be another's right after. */
    uv_close((uv_handle_t *)&l->incoming, on_closed);
    close(l->fd);
    l->fd = -1;
}

/* Takes the listener off the list and down; its connections are closed. */
static void listener_stop(struct http *h, struct listener *l)
{
    for (struct listener **p = &h->listeners; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            break;
        }
    uv_poll_stop(&l->poll);
    MHD_stop_daemon(l->daemon);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    uv_close((uv_handle_t *)&l->timer, on_closed);
    uv_close((uv_handle_t *)&l->pause, on_closed);
    stop_listening(l);
}

/* Answers what was asked, and what is asked meanwhile: a busy client's next request is there before the loop has been
 * round, which costs as much as a third of an answer. For so short a time that nothing else has to wait. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = CONTAINER_OF(poll, struct listener, poll);
    uint64_t until = uv_hrtime() + READABLE_NS, before;
    do {
        before = l->http->calls.begun;
        MHD_run(l->daemon);
    } while (l->http->calls.begun != before && uv_hrtime() < until);
}

static void on_timer(uv_timer_t *timer)
{
    MHD_run(CONTAINER_OF(timer, struct listener, timer)->daemon);
}

static void on_incoming(uv_poll_t *poll, int status, int events);

static void on_pause(uv_timer_t *timer)
{
    struct listener *l = CONTAINER_OF(timer, struct listener, pause);
    if (l->fd >= 0 && !l->http->winding_down)
        uv_poll_start(&l->incoming, UV_READABLE, on_incoming);
}

static bool is_full(const struct listener *l)
{
    unsigned room = MIN(l->http->room, (unsigned)l->http->admin->mon->conf->http.max_connections);
    return MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections >= room;
}

static bool may_come(const struct http *h, const struct sockaddr *peer)
{
    return peers_may_come(&h->peers, peer, h->admin->mon->conf->http.max_per_client);
}

/* Takes connections, as many as there are and is room for. */
static void on_incoming(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = CONTAINER_OF(poll, struct listener, incoming);
    bool room = true, more = true;
    for (int i = 0; i < ACCEPTS_PER_TURN && room && more; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = is_full(l) ? -1 : accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && !may_come(l->http, (struct sockaddr *)&peer)) {
            close(fd);
        } else if (fd >= 0) {
            MHD_add_connection(l->daemon, fd, (struct sockaddr *)&peer, len); /* else it closes it */
        } else if (is_full(l) || errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            room = false;
        } else {
            more = errno == EINTR || errno == ECONNABORTED;
        }
    }
    if (!room) {
        peers_make_room(&l->http->peers, ROOM_MADE);
        uv_poll_stop(&l->incoming);
        uv_timer_start(&l->pause, on_pause, ACCEPT_PAUSE_MS, 0);
    }
    MHD_run(l->daemon);
}

/* Before the loop waits: until when each daemon may be left alone. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct http *h = CONTAINER_OF(prepare, struct http, prepare);
    /* Resuming from outside its own callbacks does not reliably wake a daemon that we drive ourselves. */
    while (h->calls.resumed) {
        h->calls.resumed = false;
        for (struct listener *l = h->listeners; l; l = l->next)
            MHD_run(l->daemon);
    }
    for (struct listener *l = h->listeners, *next; l; l = next) {
        next = l->next;
        if (l->retired && l->fd >= 0) {
            on_incoming(&l->incoming, 0, UV_READABLE); /* who has come to it until now is served by it */
            stop_listening(l);
        }
        if (l->retired && MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections == 0) {
            listener_stop(h, l);
            continue;
        }
        MHD_UNSIGNED_LONG_LONG ms;
        if (MHD_get_timeout(l->daemon, &ms) == MHD_YES)
            uv_timer_start(&l->timer, on_timer, ms, 0);
        else
            uv_timer_stop(&l->timer);
    }
}

static void on_sweep(uv_timer_t *timer)
{
    struct http *h = CONTAINER_OF(timer, struct http, sweep);
    peers_sweep(&h->peers, h->admin->mon->conf->http.idle_timeout * INT64_C(1000));
    call_sweep(&h->calls);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *h = arg;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)h->admin->mon->conf->http.idle_timeout);
        if (!h->peers.first)
            uv_timer_start(&h->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
        *context =
            peers_add(&h->peers, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    } else if (*context) {
        peers_remove(&h->peers, *context);
        if (!h->peers.first)
            uv_timer_stop(&h->sweep);
        *context = NULL;
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
    return h;
}

static void on_mhd_log(void *arg, const char *fmt, va_list ap)
{
    struct http *h = arg;
    vsnprintf(h->said, sizeof h->said, fmt, ap);
    size_t n = strlen(h->said);
    while (n > 0 && strchr("\n .", h->said[n - 1]))
        h->said[--n] = 0;
    clog_debug("http: %s", h->said);
}

static bool start_daemon(struct listener *l)
{
    struct MHD_OptionItem secure[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, l->tls.cert},
                                      {MHD_OPTION_HTTPS_MEM_KEY, 0, l->tls.key},
                                      {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
                                      {MHD_OPTION_END, 0, NULL}};
    bool tls = l->tls.cert != NULL;
    l->http->said[0] = 0;
    /* A literal, not a macro list: libmicrohttpd reads its options as variadic arguments. */
    l->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                             (tls ? MHD_USE_TLS : 0),
                         0, NULL, NULL, call_handle, &l->http->calls, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, l->http,
                         MHD_OPTION_NOTIFY_COMPLETED, call_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                         l->http, MHD_OPTION_CONNECTION_LIMIT, l->http->room, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)l->header_kb * 1024, MHD_OPTION_ARRAY, tls ? secure : secure + 3, MHD_OPTION_END);
    return l->daemon != NULL;
}

static bool has_port(const struct http *h, int port)
{
    for (const struct listener *l = h->listeners; l; l = l->next)
        if (!l->retired && port && l->port == port)
            return true;
    return false;
}

/* What is to be listened with. */
struct wanted {
    const struct conf *conf;
    struct tls tls;
};

static bool fail_start(const struct listener *l, int port, struct err *err)
{
    const char *said = l->http->said;
    return l->tls.cert ? err_set(err, "tls: the certificate and its key are of no use: %s", said[0] ? said : "?")
                       : err_set(err, "port %d on %s: the HTTP server does not start: %s", port, l->address,
                                 said[0] ? said : strerror(errno));
}

/* One that the program before this one listened on there, to be closed by the caller; -1: none. */
static int take_listening(const struct http *h, const char *address, int port, int *actual)
{
    for (const struct http_given *g = h->given; g < h->given + h->ngiven; g++)
        if (g->listens && !strcmp(g->address, address) && (!port || port == g->port)) {
            *actual = g->port;
            return fcntl(g->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        }
    return -1;
}

static struct listener *listener_new(struct http *h, const char *address, const struct wanted *wanted, int *actual,
                                     struct err *err)
{
    int port = wanted->conf->port;
    struct listener *l = calloc(1, sizeof *l);
    if (!l || !tls_copy(&l->tls, &wanted->tls)) {
        free(l);
        err_nomem(err);
        return NULL;
    }
    l->http = h;
    l->port = port;
    l->header_kb = wanted->conf->http.header_kb;
    l->handles = 4;
    snprintf(l->address, sizeof l->address, "%.*s", HOST_ADDRESS_SIZE - 1, address);
    l->fd = take_listening(h, address, port, actual);
    if (l->fd < 0)
        l->fd = host_listen(address, port ? port : *actual, has_port(h, port), actual, err);
    if (l->fd < 0 || !start_daemon(l)) {
        if (l->fd >= 0) {
            fail_start(l, *actual, err);
            close(l->fd);
        }
        listener_free(l);
        return NULL;
    }
    snprintf(l->shown, sizeof l->shown, strchr(address, ':') ? "%s[%s]:%d" : "%s%s:%d", l->tls.cert ? "https://" : "",
             address, *actual);
    uv_poll_init(h->loop, &l->poll, MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_poll_init(h->loop, &l->incoming, l->fd);
    uv_timer_init(h->loop, &l->timer);
    uv_timer_init(h->loop, &l->pause);
    l->poll.data = l->incoming.data = l->timer.data = l->pause.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
    uv_poll_start(&l->incoming, UV_READABLE, on_incoming);
    return l;
}

/* One that listens there already as it is wanted. */
static struct listener *find(const struct http *h, const char *address, const struct wanted *wanted)
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

static bool open_missing(struct http *h, const struct wanted *wanted, char addresses[][HOST_ADDRESS_SIZE], size_t n,
                         struct listener **kept, struct listener **fresh, struct err *err)
{
    int actual = 0;
    for (size_t i = 0; i < n; i++) {
        kept[i] = find(h, addresses[i], wanted);
        if (!kept[i] && !(fresh[i] = listener_new(h, addresses[i], wanted, &actual, err)))
            return false;
    }
    return true;
}

/* Opens what is not open yet; `fresh` are the ones opened now. What is open may stand in the way of what is not
 * ("0.0.0.0" after "127.0.0.1"), so that they share the port until all is open. */
static bool open_beside(struct http *h, const struct wanted *wanted, char addresses[][HOST_ADDRESS_SIZE], size_t n,
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
            listener_stop(h, fresh[i]);
    }
    return ok;
}

bool http_listen(struct http *h, const struct conf *conf, struct err *err)
{
    char addresses[ADDRESSES_MAX][HOST_ADDRESS_SIZE];
    struct listener *kept[ADDRESSES_MAX] = {0}, *fresh[ADDRESSES_MAX] = {0};
    if (!mhd_load(err))
        return false;
    size_t n = wanted_addresses(conf, addresses);
    if (n == 0)
        return err_set(err, "bind: there is no address to listen on (\"inner\" needs a private IPv4 address)");
    struct wanted wanted_now = {.conf = conf};
    if (!tls_read(&wanted_now.tls, conf, err))
        return false;
    bool ok = open_beside(h, &wanted_now, addresses, n, kept, fresh, err);
    tls_fini(&wanted_now.tls);
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

void http_wind_down(struct http *h, const struct request *but, bool waiting, const char *why)
{
    bool deaf = waiting || is_encrypted(h);
    for (struct listener *l = h->listeners; deaf && !h->winding_down && l; l = l->next)
        if (l->fd >= 0)
            uv_poll_stop(&l->incoming);
    h->winding_down = h->calls.last = h->winding_down || deaf;
    call_end(&h->calls, but, waiting, why);
}

void http_go_on(struct http *h)
{
    h->winding_down = h->calls.last = false;
    for (struct listener *l = h->listeners; l; l = l->next)
        if (l->fd >= 0)
            uv_poll_start(&l->incoming, UV_READABLE, on_incoming);
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

void http_taken(struct http *h)
{
    for (struct http_given *g = h->given; g < h->given + h->ngiven; g++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        bool serve = h->listeners && g->fd >= 0 && !g->listens && !is_encrypted(h) &&
                     !getpeername(g->fd, (struct sockaddr *)&peer, &len);
        if (serve) /* else it closes it */
            MHD_add_connection(h->listeners->daemon, g->fd, (struct sockaddr *)&peer, len);
        else if (g->fd >= 0)
            close(g->fd);
    }
    if (h->listeners)
        MHD_run(h->listeners->daemon);
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
        for (struct listener *l = h->listeners; l; l = l->next)
            MHD_run(l->daemon); /* sends what was just answered */
    while (h->listeners)
        listener_stop(h, h->listeners);
    call_shared_fini(&h->calls);
    facts_free(h->admin);
    h->prepare.data = h->sweep.data = h;
    uv_close((uv_handle_t *)&h->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&h->sweep, on_handle_closed);
}
