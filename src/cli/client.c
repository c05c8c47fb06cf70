#include "client.h"

#include "answer.h"
#include "buf.h"
#include "clock.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 5000
#define GRACE_S 5.0 /* the monitor answers a timeout itself; only if not even that comes, we give up */
#define SCHEME "http://"

/* One exchange with the monitor. */
struct exchange {
    const struct client_target *target;
    int64_t until_ms; /* -1: as long as it takes */
    struct answer answer;
    FILE *out;       /* decided when the answer begins */
    int write_error; /* errno, when it could not be written */
};

/* ---- what is asked */

static void add_escaped(struct buf *b, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (isascii(c) && (isalnum(c) || strchr("-._~", c)))
            buf_addc(b, (char)c);
        else
            buf_addf(b, "%%%02X", c);
    }
}

static void add_field(struct buf *b, const char *key, size_t key_len, const char *value)
{
    buf_adds(b, b->len ? "&" : "");
    add_escaped(b, key, key_len);
    buf_addc(b, '=');
    add_escaped(b, value, strlen(value));
}

static void add_option(struct buf *b, const char *key, const char *value)
{
    if (value)
        add_field(b, key, strlen(key), value);
}

static void make_form(const struct options *o, struct buf *b)
{
    add_option(b, "command", o->command);
    add_option(b, "service", o->service);
    add_option(b, "format", o->format);
    add_option(b, "timeout", o->timeout);
    add_option(b, "lines", o->lines);
    add_option(b, "follow", o->follow);
    for (size_t i = 0; i < o->nargs; i++) {
        const char *eq = strchr(o->args[i], '=');
        add_field(b, o->args[i], (size_t)(eq - o->args[i]), eq + 1);
    }
}

/* Adds the token as a header; false when it had to be there and was not. */
static bool add_token(const struct client_target *t, struct buf *head)
{
    char token[256] = "";
    FILE *f = t->token_file ? fopen(t->token_file, "re") : NULL;
    if (!f) {
        if (t->token_must)
            fprintf(stderr, "Error: -token-file %s: %s\n", t->token_file, strerror(errno));
        return !t->token_must;
    }
    if (fgets(token, sizeof token, f)) {
        token[strcspn(token, "\r\n")] = 0;
        buf_addf(head, "Authorization: Bearer %s\r\n", token);
    }
    fclose(f);
    return true;
}

/* HOST:PORT of the address. */
static const char *authority(const struct client_target *t)
{
    return strncmp(t->address, SCHEME, sizeof SCHEME - 1) ? t->address : t->address + sizeof SCHEME - 1;
}

static bool make_request(const struct options *o, const struct client_target *t, struct buf *b)
{
    struct buf form = {0};
    make_form(o, &form);
    buf_addf(b,
             "POST / HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: fota_monitor/" FM_VERSION
             "\r\nAccept: */*\r\nConnection: close\r\n"
             "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n",
             (int)strcspn(authority(t), "/"), authority(t), form.len);
    bool ok = add_token(t, b);
    buf_addf(b, "\r\n%s", buf_str(&form));
    b->failed |= form.failed;
    buf_fini(&form);
    return ok;
}

/* ---- the exchange */

/* Whatever answers there, if it is not our monitor, has no exit code to tell. */
static int exit_code(const struct answer *a)
{
    if (a->exit_code >= 0)
        return a->exit_code;
    if (a->status < 400)
        return 0;
    return a->status == 401 || a->status == 403 ? CLIENT_REFUSED : a->status < 500 ? CLIENT_USAGE : CLIENT_COMMAND;
}

static int on_body(void *arg, const char *data, size_t len)
{
    struct exchange *x = arg;
    if (!x->out)
        x->out = x->answer.status >= 400 && exit_code(&x->answer) != 1 ? stderr : stdout;
    /* Flushed, for what comes next may take its time. */
    x->write_error = fwrite(data, 1, len, x->out) < len || fflush(x->out) ? errno : 0;
    return -x->write_error;
}

static int fail(const struct exchange *x, const char *why)
{
    static const char down[] = "Error: [fota_monitor maybe down!]";
    if (x->out)
        fprintf(stderr, "%s %s: the answer broke off: %s\n", down, x->target->address, why);
    else if (!x->target->quiet)
        fprintf(stderr, "%s %s: %s\nStart it with: fota_monitor.sh start ENV\n", down, x->target->address, why);
    return CLIENT_UNREACHABLE;
}

/* Waits for events on fd until a moment (-1: for ever). 0, or -ETIMEDOUT. */
static int wait_for(int fd, short events, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = until_ms < 0 ? -1 : MAX(until_ms - clock_mono_ms(), 0);
        int r = poll(&p, 1, (int)MIN(left, 3600 * 1000));
        if (r > 0 || (r < 0 && errno != EINTR))
            return r > 0 ? 0 : -errno;
        if (left == 0)
            return -ETIMEDOUT;
    }
}

/* A connected socket, or -errno. */
static int connect_to(const struct exchange *x, const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return -errno;
    int64_t until = clock_mono_ms() + CONNECT_TIMEOUT_MS;
    if (connect(fd, a->ai_addr, a->ai_addrlen))
        error = errno;
    if (error == EINPROGRESS) {
        error = -wait_for(fd, POLLOUT, x->until_ms < 0 ? until : MIN(until, x->until_ms));
        if (!error && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
            error = errno;
    }
    if (error)
        close(fd);
    return error ? -error : fd;
}

/* Cuts "HOST:PORT", "[ADDRESS]:PORT" or either with a slash behind it in two; false when it is none. */
static bool split(char *text, char **host, char **port)
{
    text[strcspn(text, "/")] = 0;
    *port = strrchr(text, ':');
    if (!*port || *port == text || !(*port)[1])
        return false;
    *(*port)++ = 0;
    size_t len = strlen(text);
    bool brackets = text[0] == '[' && text[len - 1] == ']';
    if (brackets)
        text[len - 1] = 0;
    *host = text + brackets;
    return brackets || !strchr(text, ':');
}

/* The socket, or -1 with why not. */
static int connect_any(const struct exchange *x, const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    char *text = strdup(authority(x->target)), *host, *port;
    *why = "HOST:PORT is expected";
    if (!text || !split(text, &host, &port)) {
        free(text);
        return -1;
    }
    int r = getaddrinfo(host, port, &hints, &found), fd = -1;
    if (!r && strtol(port, NULL, 10) > UINT16_MAX)
        r = EAI_SERVICE;
    *why = r ? gai_strerror(r) : *why;
    for (const struct addrinfo *a = r ? NULL : found; a && fd < 0; a = a->ai_next) {
        fd = connect_to(x, a);
        *why = fd < 0 ? strerror(-fd) : NULL;
    }
    if (found)
        freeaddrinfo(found);
    free(text);
    return fd < 0 ? -1 : fd;
}

/* One that answers before it has read everything and closes may be worth reading all the same. */
static int send_all(const struct exchange *x, int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return errno == EPIPE || errno == ECONNRESET ? 0 : -errno;
        int r = n < 0 && errno == EAGAIN ? wait_for(fd, POLLOUT, x->until_ms) : 0;
        if (r)
            return r;
        data += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return 0;
}

static int receive(struct exchange *x, int fd)
{
    static char data[65536];
    while (x->answer.state != ANSWER_DONE) {
        int r = wait_for(fd, POLLIN, x->until_ms);
        ssize_t n = r ? 0 : recv(fd, data, sizeof data, 0);
        if (r || (n < 0 && errno != EAGAIN && errno != EINTR))
            return r ? r : -errno;
        if (n == 0)
            break;
        if (n > 0 && (r = answer_feed(&x->answer, data, (size_t)n)))
            return r;
    }
    return 0;
}

static int perform(struct exchange *x, const struct buf *request)
{
    const char *why;
    int fd = connect_any(x, &why);
    if (fd < 0)
        return fail(x, why);
    int r = send_all(x, fd, request->data, request->len);
    if (!r)
        r = receive(x, fd);
    close(fd);
    if (x->write_error) {
        fprintf(stderr, "Error: the answer can't be written: %s\n", strerror(x->write_error));
        return CLIENT_COMMAND;
    }
    if (r)
        return fail(x, r == -EPROTO ? "what answers is no monitor" : strerror(-r));
    if (!answer_is_whole(&x->answer))
        return fail(x, "it closed the connection");
    return exit_code(&x->answer);
}

int client_run(const struct options *o, const struct client_target *target)
{
    struct exchange x = {.target = target, .until_ms = -1};
    double seconds = o->timeout ? strtod(o->timeout, NULL) : 0;
    if (seconds > 0 && seconds < 1e6)
        x.until_ms = clock_mono_ms() + (int64_t)((seconds + GRACE_S) * 1000);
    answer_init(&x.answer, on_body, &x);
    struct buf request = {0};
    int code = CLIENT_USAGE;
    if (make_request(o, target, &request))
        code = request.failed ? CLIENT_COMMAND : perform(&x, &request);
    buf_fini(&request);
    return code;
}
