#include "client.h"

#include "answer.h"
#include "buf.h"
#include "clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_S 5.0 /* the monitor answers a timeout itself; only if not even that comes, we give up */

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

static bool make_request(const struct options *o, const struct client_target *t, struct buf *b)
{
    struct buf form = {0};
    size_t host_len;
    const char *host = link_host(t->address, &host_len);
    make_form(o, &form);
    buf_addf(b,
             "POST / HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: fota_monitor/" FM_VERSION
             "\r\nAccept: */*\r\nConnection: close\r\n"
             "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n",
             (int)host_len, host, form.len);
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

static int receive(struct exchange *x, struct link *l)
{
    static char data[65536];
    while (x->answer.state != ANSWER_DONE) {
        ssize_t n = link_receive(l, data, sizeof data, x->until_ms);
        if (n <= 0)
            return (int)n;
        int r = answer_feed(&x->answer, data, (size_t)n);
        if (r)
            return r;
    }
    return 0;
}

static int perform(struct exchange *x, const struct buf *request)
{
    struct err err = {0};
    struct link l;
    if (!link_open(&l, x->target->address, &x->target->trust, x->until_ms, &err))
        return fail(x, err.text);
    int r = link_send(&l, request->data, request->len, x->until_ms);
    if (!r)
        r = receive(x, &l);
    link_close(&l);
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
