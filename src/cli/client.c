#include "client.h"

#include "answer.h"
#include "buf.h"
#include "clock.h"
#include "screen.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_S 5.0          /* the monitor answers a timeout itself; only if not even that comes, we give up */
#define PATIENCE_MS 400      /* what is done sooner needs no line that tells how far it is */
#define PROGRESS_MARK '\036' /* lines "<mark>412/1000" before the answer, which only who asks for them gets */

enum token { TOKEN_NONE, TOKEN_SHOWN, TOKEN_UNREADABLE };

/* One exchange with the monitor. */
struct exchange {
    const struct client_target *target;
    const struct options *options;
    int64_t until_ms; /* -1: as long as it takes */
    struct answer answer;
    enum token token;
    int token_error; /* errno, why it is unreadable */
    bool begun;      /* the answer */
    FILE *out;       /* decided when the answer begins */
    bool hold;       /* it is printed when it is whole */
    struct buf held;
    struct screen_progress progress;
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

/* Commands of the core that wait for services, and what to call that. */
static const char *doing(const char *command)
{
    static const char *const words[][2] = {
        {"start", "starting"},     {"stop", "stopping"},
        {"restart", "restarting"}, {"grestart", "restarting gracefully"},
        {"reload", "reloading"},   {"shutdown", "stopping"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (!strcmp(words[i][0], command))
            return words[i][1];
    return NULL;
}

static void make_form(const struct exchange *x, struct buf *b)
{
    const struct options *o = x->options;
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
    if (x->progress.doing)
        add_option(b, "_progress", "1");
}

/* Adds the token as a header; false when it had to be there and was not. */
static bool add_token(struct exchange *x, struct buf *head)
{
    const struct client_target *t = x->target;
    char token[256] = "";
    FILE *f = t->token_file ? fopen(t->token_file, "re") : NULL;
    if (!f && t->token_file) {
        x->token = TOKEN_UNREADABLE;
        x->token_error = errno;
        if (t->token_must)
            fprintf(stderr, "Error: -token-file %s: %s\n", t->token_file, strerror(errno));
    }
    if (!f)
        return !t->token_must;
    if (fgets(token, sizeof token, f)) {
        token[strcspn(token, "\r\n")] = 0;
        buf_addf(head, "Authorization: Bearer %s\r\n", token);
        x->token = TOKEN_SHOWN;
    }
    fclose(f);
    return true;
}

static bool make_request(struct exchange *x, struct buf *b)
{
    struct buf form = {0};
    size_t host_len;
    const char *host = link_host(x->target->address, &host_len);
    make_form(x, &form);
    buf_addf(b,
             "POST / HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: fota_monitor/" FM_VERSION
             "\r\nAccept: */*\r\nConnection: close\r\n"
             "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n",
             (int)host_len, host, form.len);
    bool ok = add_token(x, b);
    buf_addf(b, "\r\n%s", buf_str(&form));
    b->failed |= form.failed;
    buf_fini(&form);
    return ok;
}

/* ---- what to do about an error */

static void advise_unreachable(const struct exchange *x)
{
    const struct client_target *t = x->target;
    if (t->nearest)
        fprintf(stderr, "-%s is no command of the core; did you mean -%s?\n", x->options->command, t->nearest);
    if (t->env)
        fprintf(stderr, "Start it with: fota_monitor.sh start %s\n", t->env);
    else
        fprintf(stderr, "Does it run there, and listen at that address? fota_monitor.sh status on that host tells.\n");
}

static void advise_refused(const struct exchange *x)
{
    const char *file = x->target->token_file;
    if (x->token == TOKEN_SHOWN)
        fprintf(stderr, "The token in %s was shown; it is not that monitor's, or not enough.\n", file);
    else if (x->token == TOKEN_NONE)
        fprintf(stderr, "-token-file FILE shows the token: a copy of run/ENV.token beside that monitor's conf/.\n");
    else if (x->token_error == EACCES)
        fprintf(stderr, "The token in %s is for its owner: be that user, or root (sudo).\n", file);
    else
        fprintf(stderr, "The token, %s: %s. -token-file FILE names another one.\n", file, strerror(x->token_error));
}

static void advise(const struct exchange *x, int code)
{
    if (options_want_json(x->options) || x->target->into || x->answer.status < 400)
        return;
    if (code == CLIENT_REFUSED && !x->answer.hint[0])
        advise_refused(x);
    else if (code == CLIENT_USAGE && x->target->nearest && x->answer.status == 404)
        fprintf(stderr, "Did you mean -%s?\n", x->target->nearest);
    else if (x->answer.hint[0])
        fprintf(stderr, "%s\n", x->answer.hint);
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

static FILE *destination(const struct exchange *x)
{
    return (x->answer.status >= 400 && exit_code(&x->answer) != 1) || exit_code(&x->answer) > 1 ? stderr : stdout;
}

/* Flushed, for what comes next may take its time. */
static int print(struct exchange *x, const char *data, size_t len)
{
    x->write_error = fwrite(data, 1, len, x->out) < len || fflush(x->out) ? errno : 0;
    return -x->write_error;
}

/* Lines about the progress come before anything else. */
static void take_progress(struct exchange *x)
{
    const char *end;
    unsigned done, total;
    while (x->held.len && x->held.data[0] == PROGRESS_MARK && (end = memchr(x->held.data, '\n', x->held.len))) {
        if (sscanf(x->held.data + 1, "%u/%u", &done, &total) == 2)
            screen_progress_set(&x->progress, done, total, clock_mono_ms());
        buf_drop(&x->held, (size_t)(end + 1 - x->held.data));
    }
}

static int on_body(void *arg, const char *data, size_t len)
{
    struct exchange *x = arg;
    x->begun = true;
    if (x->hold) {
        buf_add(&x->held, data, len);
        take_progress(x);
        return x->held.failed ? -ENOMEM : 0;
    }
    if (!x->out)
        x->out = destination(x);
    return print(x, data, len);
}

/* What was held back. */
static void print_held(struct exchange *x)
{
    struct buf shown = {0};
    const struct buf *text = &x->held;
    if (x->target->into) {
        buf_add(x->target->into, x->held.data, x->held.len);
        return;
    }
    x->out = destination(x);
    if (!x->progress.doing && x->out == stdout) {
        screen_table(&shown, buf_str(&x->held), screen_has_colours(STDOUT_FILENO), screen_width(STDOUT_FILENO));
        text = shown.failed ? text : &shown;
    }
    if (text->len)
        print(x, text->data, text->len);
    buf_fini(&shown);
}

static int fail(const struct exchange *x, const char *why)
{
    static const char down[] = "Error: [fota_monitor maybe down!]";
    if (x->target->into)
        return CLIENT_UNREACHABLE;
    if (x->begun) {
        fprintf(stderr, "%s %s: the answer broke off: %s\n", down, x->target->address, why);
    } else {
        fprintf(stderr, "%s %s: %s\n", down, x->target->address, why);
        advise_unreachable(x);
    }
    return CLIENT_UNREACHABLE;
}

/* Until something comes, or a person would want to know why nothing does. */
static ssize_t receive_some(struct exchange *x, struct link *l, char *data, size_t max)
{
    int64_t due = x->progress.due_ms;
    if (x->progress.doing && !x->progress.shown && (x->until_ms < 0 || due < x->until_ms) && clock_mono_ms() < due) {
        ssize_t n = link_receive(l, data, max, due);
        if (n != -ETIMEDOUT)
            return n;
        screen_progress_tick(&x->progress, clock_mono_ms());
    }
    return link_receive(l, data, max, x->until_ms);
}

static int receive(struct exchange *x, struct link *l)
{
    static char data[65536];
    while (x->answer.state != ANSWER_DONE) {
        ssize_t n = receive_some(x, l, data, sizeof data);
        if (n <= 0)
            return (int)n;
        int r = answer_feed(&x->answer, data, (size_t)n);
        if (r)
            return r;
    }
    return 0;
}

static int finish(struct exchange *x, int r)
{
    if (!r && x->hold)
        print_held(x);
    if (x->write_error) {
        fprintf(stderr, "Error: the answer can't be written: %s\n", strerror(x->write_error));
        return CLIENT_COMMAND;
    }
    if (r)
        return fail(x, r == -EPROTO ? "what answers is no monitor" : strerror(-r));
    if (!answer_is_whole(&x->answer))
        return fail(x, "it closed the connection");
    advise(x, exit_code(&x->answer));
    return exit_code(&x->answer);
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
    screen_progress_erase(&x->progress);
    return finish(x, r);
}

/* What a terminal gets more than a file. */
static void set_screen(struct exchange *x)
{
    const struct options *o = x->options;
    bool table = o->format && !strcmp(o->format, "table") && !strcmp(o->command, "status");
    if (!x->target->into && screen_is_capable(STDERR_FILENO))
        x->progress = (struct screen_progress){
            .doing = doing(o->command), .fd = STDERR_FILENO, .due_ms = clock_mono_ms() + PATIENCE_MS};
    x->hold = x->target->into || x->progress.doing || (table && isatty(STDOUT_FILENO));
}

int client_run(const struct options *o, const struct client_target *target)
{
    struct exchange x = {.target = target, .options = o, .until_ms = -1};
    double seconds = o->timeout ? strtod(o->timeout, NULL) : 0;
    if (seconds > 0 && seconds < 1e6)
        x.until_ms = clock_mono_ms() + (int64_t)((seconds + (target->into ? 0 : GRACE_S)) * 1000);
    answer_init(&x.answer, on_body, &x);
    set_screen(&x);
    struct buf request = {0};
    int code = CLIENT_USAGE;
    if (make_request(&x, &request))
        code = request.failed ? CLIENT_COMMAND : perform(&x, &request);
    buf_fini(&request);
    buf_fini(&x.held);
    return code;
}
