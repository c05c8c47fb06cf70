#include "clog.h"
#include "http_parts.h"
#include "mhd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SWEEP_MS 300
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define ACCEPTS_PER_TURN 64
#define READABLE_NS 200000  /* in one turn of the loop */
#define ROOM_MADE 16        /* connections ended at a time to make room for others */
#define ACCEPT_PAUSE_MS 100 /* when there is no room for a connection, it is looked for again after this */

/* ---- its end */

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

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
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

void http_listener_rest(struct listener *l)
{
    if (!l->daemon)
        return;
    uv_timer_stop(&l->timer);
    uv_poll_stop(l->poll);
    MHD_stop_daemon(l->daemon);
    l->daemon = NULL;
    uv_close((uv_handle_t *)l->poll, on_poll_closed);
    l->poll = NULL;
}

void http_listener_stop(struct listener *l)
{
    for (struct listener **p = &l->http->listeners; *p; p = &(*p)->next)
        if (*p == l) {
            *p = l->next;
            break;
        }
    http_listener_rest(l);
    uv_close((uv_handle_t *)&l->timer, on_closed);
    uv_close((uv_handle_t *)&l->pause, on_closed);
    stop_listening(l);
}

/* ---- connections */

/* Answers what was asked, and what is asked meanwhile: a busy client's next request is there before the loop has been
 * round, which costs as much as a third of an answer. For so short a time that nothing else has to wait. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = poll->data;
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
        *context = NULL;
        if (h->peers.first)
            return;
        uv_timer_stop(&h->sweep);
        http_rest_later(h);
    }
}

static unsigned connections(const struct listener *l)
{
    return l->daemon ? MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections : 0;
}

bool http_listener_is_used(const struct listener *l)
{
    return connections(l) > 0;
}

static bool is_full(const struct listener *l)
{
    unsigned room = MIN(l->http->room, (unsigned)l->http->admin->mon->conf->http.max_connections);
    return connections(l) >= room;
}

static bool may_come(const struct http *h, const struct sockaddr *peer)
{
    return peers_may_come(&h->peers, peer, h->admin->mon->conf->http.max_per_client);
}

static void on_pause(uv_timer_t *timer)
{
    http_listener_let_in(CONTAINER_OF(timer, struct listener, pause));
}

static void pause_accepting(struct listener *l)
{
    http_listener_keep_out(l);
    uv_timer_start(&l->pause, on_pause, ACCEPT_PAUSE_MS, 0);
}

static bool is_lack(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void http_listener_make_room(struct listener *l)
{
    peers_make_room(&l->http->peers, ROOM_MADE);
    pause_accepting(l);
}

/* Takes connections, as many as there are and is room for. */
static void take_connections(struct listener *l)
{
    bool room = true, more = true;
    for (int i = 0; i < ACCEPTS_PER_TURN && room && more; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = is_full(l) ? -1 : accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 && !may_come(l->http, (struct sockaddr *)&peer)) {
            close(fd);
        } else if (fd >= 0) {
            MHD_add_connection(l->daemon, fd, (struct sockaddr *)&peer, len); /* else it closes it */
        } else if (is_full(l) || is_lack(errno)) {
            room = false;
        } else {
            more = errno == EINTR || errno == ECONNABORTED;
        }
    }
    if (!room)
        http_listener_make_room(l);
    MHD_run(l->daemon);
}

static void on_incoming(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = CONTAINER_OF(poll, struct listener, incoming);
    if (l->daemon || http_wake(l))
        take_connections(l);
}

void http_listener_let_in(struct listener *l)
{
    if (l->fd >= 0 && !l->http->deaf)
        uv_poll_start(&l->incoming, UV_READABLE, on_incoming);
}

void http_listener_keep_out(struct listener *l)
{
    if (l->fd >= 0)
        uv_poll_stop(&l->incoming);
}

void http_listener_turn_away(struct listener *l)
{
    int fd = 0;
    for (int i = 0; i < ACCEPTS_PER_TURN && (fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0; i++)
        close(fd);
    if (fd < 0 && is_lack(errno))
        http_listener_make_room(l);
    else
        pause_accepting(l);
}

/* Who has come to it until now is served by it. */
static void take_the_last(struct listener *l)
{
    struct pollfd waiting = {.fd = l->fd, .events = POLLIN};
    struct err err = {0};
    if (!l->daemon && poll(&waiting, 1, 0) == 1 && !(mhd_load(&err) && http_listener_wake(l, &err)))
        clog_error("who came to %s before it was closed is turned away: %s", l->shown, err.text);
    if (l->daemon)
        take_connections(l);
    stop_listening(l);
}

void http_listener_turn(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (l->retired && l->fd >= 0)
        take_the_last(l);
    if (l->retired && !http_listener_is_used(l))
        http_listener_stop(l);
    else if (l->daemon && MHD_get_timeout(l->daemon, &ms) == MHD_YES)
        uv_timer_start(&l->timer, on_timer, ms, 0);
    else
        uv_timer_stop(&l->timer);
}

/* ---- its beginning */

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

static bool fail_start(const struct listener *l, struct err *err)
{
    const char *said = l->http->said;
    return l->tls.cert
               ? err_set(err, "tls: the certificate and its key are of no use: %s", said[0] ? said : "?")
               : err_set(err, "%s: the HTTP server does not start: %s", l->shown, said[0] ? said : strerror(errno));
}

bool http_listener_wake(struct listener *l, struct err *err)
{
    if (l->daemon)
        return true;
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (!poll)
        return err_nomem(err);
    if (!start_daemon(l)) {
        free(poll);
        return fail_start(l, err);
    }
    int epoll_fd = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int r = uv_poll_init(l->http->loop, poll, epoll_fd);
    if (r) {
        MHD_stop_daemon(l->daemon);
        l->daemon = NULL;
        free(poll);
        return err_set(err, "%s: the HTTP server can't be watched: %s", l->shown, uv_strerror(r));
    }
    poll->data = l;
    l->poll = poll;
    uv_poll_start(l->poll, UV_READABLE, on_readable);
    return true;
}

/* One that the program before this one listened on there, to be closed by the caller; -1: none. */
static int take_listening(const struct http *h, const char *address, int port, int *actual)
{
    for (size_t i = 0; i < h->ngiven; i++) {
        const struct http_given *g = &h->given[i];
        if (g->listens && !strcmp(g->address, address) && (!port || port == g->port)) {
            *actual = g->port;
            return fcntl(g->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        }
    }
    return -1;
}

static bool has_port(const struct http *h, int port)
{
    for (const struct listener *l = h->listeners; l; l = l->next)
        if (!l->retired && port && l->port == port)
            return true;
    return false;
}

struct listener *http_listener_new(struct http *h, const char *address, const struct http_wanted *wanted, int *actual,
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
    snprintf(l->address, sizeof l->address, "%.*s", HOST_ADDRESS_SIZE - 1, address);
    l->fd = take_listening(h, address, port, actual);
    if (l->fd < 0)
        l->fd = host_listen(address, port ? port : *actual, has_port(h, port), actual, err);
    int r = l->fd < 0 ? -1 : uv_poll_init(h->loop, &l->incoming, l->fd);
    if (r) {
        if (l->fd >= 0) {
            err_set(err, "port %d on %s can't be watched: %s", *actual, address, uv_strerror(r));
            close(l->fd);
        }
        listener_free(l);
        return NULL;
    }
    snprintf(l->shown, sizeof l->shown, strchr(address, ':') ? "%s[%s]:%d" : "%s%s:%d", l->tls.cert ? "https://" : "",
             address, *actual);
    uv_timer_init(h->loop, &l->timer);
    uv_timer_init(h->loop, &l->pause);
    l->handles = 3;
    l->incoming.data = l->timer.data = l->pause.data = l;
    if (l->tls.cert && !http_listener_wake(l, err)) {
        http_listener_stop(l);
        return NULL;
    }
    http_listener_let_in(l);
    return l;
}
