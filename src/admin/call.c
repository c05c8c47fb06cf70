#include "call.h"

#include "clock.h"
#include "guard.h"
#include "page.h"
#include "peers.h"
#include "sockowner.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SLOWEST 16 /* bytes of an answer that a client must take in a millisecond, beside the idle timeout */
#define WHO_SIZE (INET6_ADDRSTRLEN + 32)
#define STREAM_BLOCK 4096
#define EXIT_HEADER "X-Exit-Code"
#define HINT_HEADER "X-Hint"
#define NUL_INSIDE "a parameter with a NUL byte in it"

struct call {
    struct call *next, *prev;
    struct call_shared *shared;
    struct MHD_Connection *connection;
    struct peer *peer; /* NULL: not known */
    int64_t due_ms;    /* by when the client must have sent the rest, or taken the answer (coarse); 0: we are on */
    struct MHD_PostProcessor *post;
    struct request *request;
    struct MHD_Response *stream; /* the answer, when it comes in pieces */
    size_t received;             /* bytes of the body so far */
    struct buf value;            /* of the form parameter being received */
    char key[64];                /* its name */
    bool too_large;
    bool suspended;
    bool asked;                   /* the request is running, or done */
    bool gone;                    /* the client has hung up */
    struct refusals_client *held; /* it was refused, and hears of it when `release` fires */
    struct timer release;
    bool answered;
};

static int fd_of(const struct call *c)
{
    return MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static const struct sockaddr *peer_address(const struct call *c)
{
    return MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

static bool local_address(const struct call *c, struct sockaddr_storage *out)
{
    socklen_t size = sizeof *out;
    return !getsockname(fd_of(c), (struct sockaddr *)out, &size);
}

static const struct conf_http *limits(const struct call *c)
{
    return &c->shared->admin->mon->conf->http;
}

/* It is the client's turn, to send or to take so many bytes. */
static void expect(struct call *c, size_t bytes)
{
    int64_t now = clock_coarse_ms();
    c->due_ms = now + limits(c)->idle_timeout * INT64_C(1000) + (int64_t)(bytes / SLOWEST);
    peer_await(c->peer, true, now);
}

/* ---- answers */

static void add_common_headers(struct MHD_Response *response, enum request_format format, bool stream)
{
    static const char *const types[FORMATS] = {[FORMAT_TEXT] = "text/plain; charset=utf-8",
                                               [FORMAT_TABLE] = "text/plain; charset=utf-8",
                                               [FORMAT_JSON] = "application/json",
                                               [FORMAT_SSE] = "text/event-stream",
                                               [FORMAT_METRICS] = "text/plain; version=0.0.4; charset=utf-8"};
    bool lines = stream && format == FORMAT_JSON;
    bool error = !stream && format == FORMAT_SSE;
    MHD_add_response_header(response, "Content-Type",
                            lines ? "application/x-ndjson" : types[error ? FORMAT_TEXT : format]);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
}

static const char *text_of_code(int exit_code, char out[16])
{
    snprintf(out, 16, "%d", exit_code);
    return out;
}

static void add_headers(struct MHD_Response *response, enum request_format format, int exit_code)
{
    char code[16];
    add_common_headers(response, format, false);
    MHD_add_response_header(response, EXIT_HEADER, text_of_code(exit_code, code));
}

static enum MHD_Result queue(struct call *c, unsigned status, struct MHD_Response *response, size_t len)
{
    if (!response)
        return MHD_NO;
    if (c->shared->last)
        MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result r = MHD_queue_response(c->connection, status, response);
    MHD_destroy_response(response);
    c->answered = true;
    if (len)
        expect(c, len);
    return r;
}

/* Hands the request's body over to a response. */
static enum MHD_Result queue_request(struct call *c)
{
    struct request *r = c->request;
    monitor_flush(c->shared->admin->mon); /* what was done is remembered before it is said to be done */
    size_t len = r->body.len;
    char *body = buf_take(&r->body);
    if (!body)
        return MHD_NO;
    struct MHD_Response *response = MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(body);
        return MHD_NO;
    }
    add_headers(response, r->format, r->exit_code);
    if (r->hint && r->status >= 400)
        MHD_add_response_header(response, HINT_HEADER, r->hint);
    if (r->status == MHD_HTTP_UNAUTHORIZED) /* so that a browser asks for it */
        MHD_add_response_header(response, "WWW-Authenticate", "Basic realm=\"fota_monitor: the token as password\"");
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", r->command ? "GET, POST" : "GET, HEAD, POST");
    if (r->status == MHD_HTTP_TOO_MANY_REQUESTS)
        MHD_add_response_header(response, "Retry-After", "5");
    return queue(c, (unsigned)r->status, response, len);
}

/* What is wrong is not the command, but how it was asked for. */
static enum MHD_Result queue_error(struct call *c, int status, const char *code, const char *text)
{
    const char *format = MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND, "format");
    if (format)
        request_set(c->request, "format", format);
    request_fail(c->request, status, EXIT_USAGE, code, "%s", text);
    return queue_request(c);
}

static enum MHD_Result queue_health(struct call *c)
{
    static char ok[] = "ok\n";
    struct MHD_Response *response = MHD_create_response_from_buffer(sizeof ok - 1, ok, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    add_headers(response, FORMAT_TEXT, EXIT_OK);
    return queue(c, MHD_HTTP_OK, response, sizeof ok - 1);
}

/* ---- streams */

static void suspend(struct call *c)
{
    c->suspended = true;
    MHD_suspend_connection(c->connection);
}

static void resume(struct call *c)
{
    if (!c->suspended)
        return;
    c->suspended = false;
    c->shared->resumed = true;
    MHD_resume_connection(c->connection);
}

/* libmicrohttpd wants more of the answer. */
static ssize_t read_stream(void *arg, uint64_t pos, char *out, size_t max)
{
    (void)pos;
    struct call *c = arg;
    struct request *r = c->request;
    char code[16];
    monitor_flush(c->shared->admin->mon); /* nobody hears of an event that a kill could still undo */
    size_t n = request_take(r, out, max);
    if (c->gone || r->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n > 0)
        return (ssize_t)n;
    if (r->done) {
        MHD_add_response_footer(c->stream, EXIT_HEADER, text_of_code(r->exit_code, code));
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    suspend(c);
    return 0;
}

/* Begins an answer whose end is not known yet: in chunks, with the exit code behind them. */
static enum MHD_Result queue_stream(struct call *c)
{
    const struct request *r = c->request;
    c->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, c, NULL);
    if (!c->stream)
        return MHD_NO;
    add_common_headers(c->stream, r->format, true);
    MHD_add_response_header(c->stream, "Trailer", EXIT_HEADER);
    return queue(c, MHD_HTTP_OK, c->stream, 0); /* its backlog is looked after */
}

/* There is news of the request. */
static void on_news(struct request *r, void *arg)
{
    struct call *c = arg;
    if (r->cut) /* its socket is full: only so does libmicrohttpd hear of it */
        shutdown(fd_of(c), SHUT_RDWR);
    resume(c);
}

static enum MHD_Result answer_now(struct call *c)
{
    const struct request *r = c->request;
    if (r->done && !r->cut)
        return queue_request(c);
    if (r->streamed)
        return queue_stream(c);
    suspend(c);
    return MHD_YES;
}

/* ---- refusals are held back for a while */

static void let_go(struct call *c)
{
    struct world *w = c->shared->admin->mon->world;
    if (!c->held)
        return;
    timers_clear(&w->timers, &c->release);
    refusals_release(&c->shared->refusals, c->held);
    c->held = NULL;
}

static void on_release(struct timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, release);
    let_go(c);
    resume(c);
}

static bool hold(struct call *c)
{
    struct world *w = c->shared->admin->mon->world;
    int64_t ms = refusals_hold(&c->shared->refusals, c->request->client, limits(c)->refused_delay_ms, &c->held);
    if (!ms)
        return false;
    c->release.fire = on_release;
    if (timers_set(&w->timers, &c->release, w->ops->mono_ms(w) + ms)) {
        let_go(c);
        return false;
    }
    suspend(c);
    return true;
}

/* ---- what is asked most */

/* Plain `status` of all is what is asked most often: rendered once for every change. */
static bool is_plain_status(const struct request *r)
{
    return !r->bad.text && r->command && !strcmp(r->command->name, "status") && r->format == FORMAT_TEXT &&
           r->nargs == 0 && (!r->service_text || !strcmp(r->service_text, "all"));
}

static enum MHD_Result queue_status(struct call *c)
{
    struct call_shared *sh = c->shared;
    uint64_t generation = sh->admin->mon->generation;
    if (!sh->status || sh->status_generation != generation) {
        request_run(c->request, NULL, NULL);
        struct request *r = c->request;
        size_t len = r->body.len;
        char *body = r->status == 200 ? buf_take(&r->body) : NULL;
        struct MHD_Response *fresh = body ? MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE) : NULL;
        if (!fresh) {
            free(body);
            return body ? MHD_NO : queue_request(c);
        }
        add_headers(fresh, FORMAT_TEXT, r->exit_code);
        if (sh->status)
            MHD_destroy_response(sh->status);
        sh->status = fresh;
        sh->status_len = len;
        sh->status_generation = generation;
    }
    c->answered = true;
    expect(c, sh->status_len);
    return MHD_queue_response(c->connection, MHD_HTTP_OK, sh->status);
}

/* ---- what is asked */

static enum MHD_Result on_argument(void *arg, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                   const char *value, size_t value_size)
{
    (void)kind;
    struct call *c = arg;
    if (strlen(key) != key_size || (value && strlen(value) != value_size))
        request_set_bad(c->request, NUL_INSIDE);
    else
        request_set(c->request, key, value ? value : "");
    return MHD_YES;
}

/* A complete form parameter. */
static void end_value(struct call *c)
{
    if (c->value.failed)
        request_set_bad(c->request, "out of memory");
    else if (c->key[0])
        request_set(c->request, c->key, buf_str(&c->value));
    c->key[0] = 0;
    buf_clear(&c->value);
}

static enum MHD_Result on_form(void *arg, enum MHD_ValueKind kind, const char *key, const char *filename,
                               const char *content_type, const char *encoding, const char *data, uint64_t off,
                               size_t size)
{
    (void)kind;
    (void)filename;
    (void)content_type;
    (void)encoding;
    struct call *c = arg;
    if (off == 0) {
        end_value(c);
        snprintf(c->key, sizeof c->key, "%s", key);
    }
    if (memchr(data, 0, size)) {
        request_set_bad(c->request, NUL_INSIDE);
        c->key[0] = 0;
    }
    buf_add(&c->value, data, size);
    return MHD_YES;
}

/* Who asks, for events: "HTTP from 10.0.0.7". */
static void describe(const struct call *c, const char *address, char out[WHO_SIZE])
{
    const char *agent = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "User-Agent");
    bool ours = agent && !strncmp(agent, "fota_monitor/", 13);
    stpcpy(stpcpy(out, ours ? "the command line from " : "HTTP from "), address);
}

static enum MHD_Result begin(struct call_shared *sh, struct MHD_Connection *connection, void **out)
{
    char who[WHO_SIZE];
    struct call *c = malloc(sizeof *c);
    if (!c)
        return MHD_NO;
    *c = (struct call){.shared = sh, .connection = connection, .next = sh->calls};
    c->peer = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    const char *address = c->peer ? c->peer->text : "?";
    describe(c, address, who);
    c->request = request_new(sh->admin, who);
    if (!c->request) {
        free(c);
        return MHD_NO;
    }
    stpcpy(c->request->peer, address);
    if (sh->calls)
        sh->calls->prev = c;
    sh->calls = c;
    sh->begun++;
    peer_begin(c->peer);
    expect(c, 0);
    *out = c;
    return MHD_YES;
}

static bool may_go_on(struct call *c)
{
    const struct command *command = c->request->command;
    struct sockaddr_storage local;
    bool known = local_address(c, &local);
    return !command || command->open ||
           guard_admits(c->request, c->connection, peer_address(c), known ? (struct sockaddr *)&local : NULL);
}

/* Who asks by HEAD wants to know what a GET would say, and counts on it to change nothing. */
static bool may_be_asked(struct request *r, bool head)
{
    if (!head || !r->command || !r->command->changes)
        return true;
    request_fail(r, 405, EXIT_USAGE, "method", "%s changes something: use GET or POST", r->command->name);
    return false;
}

/* Paths that stand for a command. */
static const struct path {
    const char *path, *command;
    enum request_format format;
} paths[] = {
    {"/", NULL, FORMAT_TEXT},
    {"/events", "events", FORMAT_SSE},
    {"/log", "log", FORMAT_TEXT},
    {"/metrics", "metrics", FORMAT_METRICS},
};

static const struct path *find_path(const char *url)
{
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (!strcmp(paths[i].path, url))
            return &paths[i];
    return NULL;
}

static void read_query(struct call *c, const struct path *path)
{
    /* A browser that was cut off says where: that counts more than what it asked for at first. */
    const char *last = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "Last-Event-ID");
    if (last && path->format == FORMAT_SSE)
        request_set(c->request, "since", last);
    MHD_get_connection_values_n(c->connection, MHD_GET_ARGUMENT_KIND, on_argument, c);
    if (!path->command)
        return;
    request_set(c->request, "command", path->command);
    if (path->format != FORMAT_TEXT)
        c->request->format = path->format;
}

/* Of the dashboard: for a browser that asks for the address alone. */
static const struct embedded *find_page(const struct call *c, const char *url)
{
    bool alone = !c->received && !MHD_get_connection_values_n(c->connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);
    return alone ? page_find(url, MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "Accept")) : NULL;
}

static enum MHD_Result answer(struct call *c, const char *url, bool head)
{
    struct request *r = c->request;
    const struct path *path = find_path(url);
    const struct embedded *page = find_page(c, url);
    if (page)
        return queue(c, MHD_HTTP_OK, page_response(page), page->len);
    if (!strcmp(url, "/healthz"))
        return queue_health(c);
    if (!path)
        return queue_error(c, MHD_HTTP_NOT_FOUND, "unknown_path", "there is nothing at this path");
    read_query(c, path);
    if (!r->done && is_plain_status(r) && !c->shared->last)
        return queue_status(c);
    if (!r->done && may_go_on(c) && may_be_asked(r, head))
        request_run(r, on_news, c);
    if (r->refused && hold(c))
        return MHD_YES;
    return answer_now(c);
}

static enum MHD_Result receive(struct call *c, const char *data, size_t *size)
{
    c->received += *size;
    if (c->received > (size_t)limits(c)->body_kb * 1024)
        c->too_large = true;
    if (!c->post && !c->too_large)
        c->post = MHD_create_post_processor(c->connection, 4096, on_form, c);
    /* A body that is no form is read and passed over. */
    if (c->post && memchr(data, 0, *size)) /* libmicrohttpd would take it for the end of the form */
        request_set_bad(c->request, NUL_INSIDE);
    if (c->post && !c->too_large && !MHD_post_process(c->post, data, *size))
        request_set_bad(c->request, "the form can't be read");
    *size = 0;
    return MHD_YES;
}

enum MHD_Result call_handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                            const char *version, const char *upload_data, size_t *upload_data_size, void **call)
{
    (void)version;
    if (!*call)
        return begin(arg, connection, call);
    struct call *c = *call;
    if (c->answered || c->gone)
        return MHD_NO;
    if (*upload_data_size)
        return receive(c, upload_data, upload_data_size);
    if (c->too_large)
        return queue_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "too_large", "the request is too large");
    if (strcmp(method, "GET") != 0 && strcmp(method, "POST") != 0 && strcmp(method, "HEAD") != 0)
        return queue_error(c, MHD_HTTP_METHOD_NOT_ALLOWED, "method", "only GET, HEAD and POST are known here");
    if (c->asked) /* called again after a wait */
        return answer_now(c);
    if (c->post) {
        MHD_destroy_post_processor(c->post);
        c->post = NULL;
    }
    end_value(c);
    c->asked = true;
    c->due_ms = 0;
    peer_await(c->peer, false, 0);
    return answer(c, url, !strcmp(method, "HEAD"));
}

void call_completed(void *arg, struct MHD_Connection *connection, void **call, enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)connection;
    (void)why;
    struct call *c = *call;
    if (!c)
        return;
    if (c->prev)
        c->prev->next = c->next;
    else
        c->shared->calls = c->next;
    if (c->next)
        c->next->prev = c->prev;
    peer_end(c->peer);
    let_go(c);
    if (c->post)
        MHD_destroy_post_processor(c->post);
    request_free(c->request);
    buf_fini(&c->value);
    free(c);
    *call = NULL;
}

/* A client that has sent all it had to say may end its half of the connection and wait. From one that has closed it
 * altogether the same comes over the wire; where its socket is on this host the kernel knows the difference, and of any
 * other the likelier is taken to be true. */
static bool has_hung_up(const struct call *c)
{
    struct pollfd p = {.fd = fd_of(c), .events = POLLRDHUP};
    struct sockaddr_storage local;
    if (poll(&p, 1, 0) <= 0)
        return false;
    if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
        return true;
    return (p.revents & POLLRDHUP) &&
           !(local_address(c, &local) && sockowner_is_open(peer_address(c), (struct sockaddr *)&local));
}

void call_sweep(struct call_shared *sh)
{
    int64_t now = clock_coarse_ms();
    for (struct call *c = sh->calls; c; c = c->next) {
        if (c->suspended && has_hung_up(c)) {
            c->gone = true;
            resume(c);
        }
        if (c->due_ms && now > c->due_ms)
            shutdown(fd_of(c), SHUT_RDWR);
    }
}

void call_end(struct call_shared *sh, const struct request *but, bool waiting, const char *why)
{
    for (struct call *c = sh->calls; c; c = c->next)
        if (c->request != but && waiting && c->held) {
            let_go(c);
            resume(c);
        } else if (c->request != but && (waiting ? c->stream || c->suspended : c->stream && !c->request->timer.place)) {
            request_abort(c->request, 503, EXIT_UNREACHABLE, "shutdown", why);
        }
}

bool call_is_any(const struct call_shared *sh, const struct request *but)
{
    const struct call *c = sh->calls;
    return c && (c->request != but || c->next);
}

int call_fd(const struct call_shared *sh, const struct request *r)
{
    for (const struct call *c = sh->calls; c; c = c->next)
        if (c->request == r)
            return fd_of(c);
    return -1;
}

void call_shared_clear(struct call_shared *sh)
{
    if (sh->status)
        MHD_destroy_response(sh->status);
    sh->status = NULL;
}
