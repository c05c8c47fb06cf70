#include "client.h"

#include "buf.h"
#include "curl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_S 5L
#define GRACE_S 5.0 /* the monitor answers a timeout itself; only if not even that comes, we give up */

/* One exchange with the monitor. */
struct exchange {
    const struct curl *api;
    CURL *easy;
    FILE *out;       /* decided when the answer begins */
    int write_error; /* errno, when it could not be written */
    int exit_code;
};

/* The exit code comes before the answer, or behind one that was sent in pieces: libcurl hands both here. */
static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    static const char name[] = "X-Exit-Code:";
    struct exchange *x = arg;
    size_t len = size * count;
    if (len > sizeof name && !strncasecmp(line, name, sizeof name - 1))
        x->exit_code = (int)strtol(line + sizeof name - 1, NULL, 10);
    return len;
}

/* Whatever answers there, if it is not our monitor, has no exit code to tell. */
static int exit_of_status(long status)
{
    if (status < 400)
        return 0;
    return status == 401 || status == 403 ? CLIENT_REFUSED : status < 500 ? CLIENT_USAGE : CLIENT_COMMAND;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    if (!x->out) {
        long status = 0;
        x->api->easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
        int code = x->exit_code >= 0 ? x->exit_code : exit_of_status(status);
        x->out = status >= 400 && code != 1 ? stderr : stdout;
    }
    size_t written = fwrite(data, size, count, x->out);
    x->write_error = written < count || fflush(x->out) ? errno : 0; /* what comes next may take its time */
    return x->write_error ? 0 : written * size;
}

static void add_field(struct exchange *x, struct buf *b, const char *key, size_t key_len, const char *value)
{
    char *k = x->api->easy_escape(x->easy, key, (int)key_len), *v = x->api->easy_escape(x->easy, value, 0);
    if (k && v)
        buf_addf(b, "%s%s=%s", b->len ? "&" : "", k, v);
    else
        b->failed = true;
    x->api->free(k);
    x->api->free(v);
}

static void add_option(struct exchange *x, struct buf *b, const char *key, const char *value)
{
    if (value)
        add_field(x, b, key, strlen(key), value);
}

static void make_form(struct exchange *x, const struct options *o, struct buf *b)
{
    add_option(x, b, "command", o->command);
    add_option(x, b, "service", o->service);
    add_option(x, b, "format", o->format);
    add_option(x, b, "timeout", o->timeout);
    add_option(x, b, "lines", o->lines);
    add_option(x, b, "follow", o->follow);
    for (size_t i = 0; i < o->nargs; i++) {
        const char *eq = strchr(o->args[i], '=');
        add_field(x, b, o->args[i], (size_t)(eq - o->args[i]), eq + 1);
    }
}

/* Adds the token as a header; false when it had to be there and was not. */
static bool add_token(const struct client_target *t, struct buf *header)
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
        buf_addf(header, "Authorization: Bearer %s", token);
    }
    fclose(f);
    return true;
}

static void set_timeouts(struct exchange *x, const struct options *o)
{
    x->api->easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    double seconds = o->timeout ? strtod(o->timeout, NULL) : 0;
    if (seconds > 0 && seconds < 1e6)
        x->api->easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)((seconds + GRACE_S) * 1000));
}

static int fail(const struct exchange *x, const struct client_target *t, const char *why)
{
    static const char down[] = "Error: [fota_monitor maybe down!]";
    if (x->out)
        fprintf(stderr, "%s %s: the answer broke off: %s\n", down, t->address, why);
    else if (!t->quiet)
        fprintf(stderr, "%s %s: %s\nStart it with: fota_monitor.sh start ENV\n", down, t->address, why);
    return CLIENT_UNREACHABLE;
}

static int perform(struct exchange *x, const struct client_target *t, const char *url, const char *form,
                   struct curl_slist *headers)
{
    char why[CURL_ERROR_SIZE] = "";
    x->api->easy_setopt(x->easy, CURLOPT_URL, url);
    x->api->easy_setopt(x->easy, CURLOPT_PROXY, "");
    x->api->easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
    x->api->easy_setopt(x->easy, CURLOPT_USERAGENT, "fota_monitor/" FM_VERSION);
    x->api->easy_setopt(x->easy, CURLOPT_POSTFIELDS, form);
    x->api->easy_setopt(x->easy, CURLOPT_HTTPHEADER, headers);
    x->api->easy_setopt(x->easy, CURLOPT_ERRORBUFFER, why);
    x->api->easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
    x->api->easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
    x->api->easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
    x->api->easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    CURLcode r = x->api->easy_perform(x->easy);
    if (fflush(stdout) && !x->write_error)
        x->write_error = errno;
    if (x->write_error) {
        fprintf(stderr, "Error: the answer can't be written: %s\n", strerror(x->write_error));
        return CLIENT_COMMAND;
    }
    if (r != CURLE_OK)
        return fail(x, t, why[0] ? why : x->api->easy_strerror(r));
    long status = 0;
    x->api->easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    return x->exit_code >= 0 ? x->exit_code : exit_of_status(status);
}

int client_run(const struct options *o, const struct client_target *target)
{
    struct err err = {0};
    struct exchange x = {.api = curl_load(&err), .exit_code = -1};
    if (!x.api || !(x.easy = x.api->easy_init())) {
        fprintf(stderr, "Error: %s\n", x.api ? "out of memory" : err.text);
        return CLIENT_COMMAND;
    }
    struct buf form = {0}, url = {0}, token = {0};
    /* Without "Expect:" libcurl would wait for a go-ahead before it sends a large form. */
    struct curl_slist *headers = x.api->slist_append(NULL, "Expect:");
    int code = CLIENT_USAGE;
    if (add_token(target, &token)) {
        if (token.len)
            headers = x.api->slist_append(headers, token.data);
        make_form(&x, o, &form);
        buf_addf(&url, "%s%s/", strstr(target->address, "://") ? "" : "http://", target->address);
        set_timeouts(&x, o);
        code = form.failed || url.failed ? CLIENT_COMMAND : perform(&x, target, url.data, form.data, headers);
    }
    x.api->slist_free_all(headers);
    x.api->easy_cleanup(x.easy);
    buf_fini(&form);
    buf_fini(&url);
    buf_fini(&token);
    return code;
}
