#include "fetch.h"

#include "buf.h"
#include "curl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#define PROTOCOLS "http,https"
#define MAX_REDIRECTS 5L
#define MAX_HEADER_BYTES (256 * 1024)
#define KEPT_CONNECTIONS 8L
#define MAX_CONNECTIONS 100L /* at a time; further requests wait, and their timeout runs */

struct fetcher {
    uv_loop_t *loop;
    uv_timer_t timer; /* the one libcurl asks for */
    const struct curl *api;
    CURLM *multi; /* NULL: no request yet */
    struct fetch *first;
    int handles; /* not closed yet */
    bool freed;
};

/* A socket of libcurl's that is watched. */
struct watch {
    uv_poll_t poll;
    struct fetcher *fetcher;
    curl_socket_t fd;
};

struct fetch {
    struct fetcher *fetcher;
    struct fetch *next;
    CURL *easy;
    struct curl_slist *sent;
    struct buf body, headers; /* headers: each ends with a NUL */
    size_t nheaders, max_body;
    bool body_too_large, headers_too_large;
    char why[CURL_ERROR_SIZE];
    void (*done)(void *arg, const struct fetch_result *r);
    void *arg;
};

/* ---- libcurl on the loop ---- */

static void read_messages(struct fetcher *f);

static void free_if_closed(struct fetcher *f)
{
    if (f->freed && f->handles == 0)
        free(f);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    w->fetcher->handles--;
    free_if_closed(w->fetcher);
    free(w);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fetcher *f = handle->data;
    f->handles--;
    free_if_closed(f);
}

static void act(struct fetcher *f, curl_socket_t fd, int flags)
{
    int running;
    f->api->multi_socket_action(f->multi, fd, flags, &running);
    read_messages(f);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(w->fetcher, w->fd, flags);
}

/* libcurl: call me in so many milliseconds (-1: no more). */
static int on_set_timer(CURLM *multi, long ms, void *arg)
{
    (void)multi;
    struct fetcher *f = arg;
    if (ms < 0) {
        uv_timer_stop(&f->timer);
        return 0;
    }
    uv_update_time(f->loop);
    return uv_timer_start(&f->timer, on_timer, (uint64_t)ms, 0);
}

static struct watch *watch_new(struct fetcher *f, curl_socket_t fd)
{
    struct watch *w = malloc(sizeof *w);
    if (!w)
        return NULL;
    *w = (struct watch){.fetcher = f, .fd = fd};
    if (uv_poll_init_socket(f->loop, &w->poll, fd)) {
        free(w);
        return NULL;
    }
    w->poll.data = w;
    f->handles++;
    f->api->multi_assign(f->multi, fd, w);
    return w;
}

/* libcurl: watch this socket for that, or no longer. */
static int on_set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
    (void)easy;
    struct fetcher *f = arg;
    struct watch *w = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        f->api->multi_assign(f->multi, fd, NULL);
        return 0;
    }
    if (!w && !(w = watch_new(f, fd)))
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_ready) ? -1 : 0;
}

struct fetcher *fetcher_new(struct uv_loop_s *loop)
{
    struct fetcher *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->loop = loop;
    uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    f->handles = 1;
    return f;
}

/* Loads libcurl and sets it up, unless it is. */
static bool get_ready(struct fetcher *f, struct err *err)
{
    if (f->multi)
        return true;
    f->api = curl_load(err);
    if (!f->api)
        return false;
    if (!(f->api->version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS))
        return err_set(err, "this libcurl looks names up while everything waits; one with AsynchDNS is needed");
    f->multi = f->api->multi_init();
    if (!f->multi)
        return err_nomem(err);
    f->api->multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_set_socket);
    f->api->multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    f->api->multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_set_timer);
    f->api->multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    f->api->multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, KEPT_CONNECTIONS);
    f->api->multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, MAX_CONNECTIONS);
    return true;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    for (struct fetch *t = f->first, *next; t; t = next) {
        next = t->next;
        fetch_cancel(t);
    }
    if (f->multi)
        f->api->multi_cleanup(f->multi);
    f->freed = true;
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

/* ---- one request ---- */

/* Takes it out of everything but memory. */
static void detach(struct fetch *t)
{
    struct fetcher *f = t->fetcher;
    struct fetch **link = &f->first;
    while (*link && *link != t)
        link = &(*link)->next;
    if (*link)
        *link = t->next;
    if (!t->easy)
        return;
    f->api->multi_remove_handle(f->multi, t->easy);
    f->api->easy_cleanup(t->easy);
    t->easy = NULL;
}

static void fetch_free(struct fetch *t)
{
    detach(t);
    if (t->sent)
        t->fetcher->api->slist_free_all(t->sent);
    buf_fini(&t->body);
    buf_fini(&t->headers);
    free(t);
}

void fetch_cancel(struct fetch *t)
{
    fetch_free(t);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *t = arg;
    size_t len = size * count;
    t->body_too_large = len > t->max_body - t->body.len;
    if (t->body_too_large)
        return 0;
    buf_add(&t->body, data, len);
    return t->body.failed ? 0 : len;
}

/* A line of an answer's head, with its line end. Each answer (a redirect, 100 Continue) begins anew. */
static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct fetch *t = arg;
    size_t len = size * count, shown = len;
    while (shown > 0 && (line[shown - 1] == '\r' || line[shown - 1] == '\n'))
        shown--;
    if (shown >= 5 && !memcmp(line, "HTTP/", 5)) {
        buf_clear(&t->headers);
        t->nheaders = 0;
        return len;
    }
    if (shown == 0)
        return len;
    t->headers_too_large = t->headers.len + shown > MAX_HEADER_BYTES;
    if (t->headers_too_large)
        return 0;
    buf_add(&t->headers, line, shown);
    buf_addc(&t->headers, 0);
    t->nheaders++;
    return t->headers.failed ? 0 : len;
}

/* Pointers to each of the headers, then NULL. A NUL inside one would only cut it: there are as many ends at least. */
static const char **list_headers(const struct fetch *t)
{
    const char **list = calloc(t->nheaders + 1, sizeof *list), *p = buf_str(&t->headers);
    for (size_t i = 0; list && i < t->nheaders; i++, p += strlen(p) + 1)
        list[i] = p;
    return list;
}

static const char *error_of(struct fetch *t, CURLcode code, struct buf *text)
{
    if (t->body_too_large)
        buf_addf(text, "the answer is larger than %zu bytes", t->max_body);
    else if (t->headers_too_large)
        buf_addf(text, "the headers of the answer are larger than %d bytes", MAX_HEADER_BYTES);
    else if (t->body.failed || t->headers.failed)
        return "out of memory";
    else if (code != CURLE_OK)
        buf_adds(text, t->why[0] ? t->why : t->fetcher->api->easy_strerror(code));
    else
        return NULL;
    return text->failed ? "out of memory" : text->data;
}

static void finish(struct fetch *t, CURLcode code)
{
    struct buf text = {0};
    long status = 0;
    const char **headers = list_headers(t);
    struct fetch_result r = {.error = headers ? error_of(t, code, &text) : "out of memory"};
    if (!r.error) {
        t->fetcher->api->easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        r.status = (int)status;
        r.body = buf_str(&t->body);
        r.body_len = t->body.len;
        r.headers = headers;
    }
    detach(t);
    t->done(t->arg, &r);
    fetch_free(t);
    free(headers);
    buf_fini(&text);
}

/* What libcurl is done with. */
static void read_messages(struct fetcher *f)
{
    int left;
    for (CURLMsg *m; (m = f->api->multi_info_read(f->multi, &left));) {
        struct fetch *t = NULL;
        CURLcode code = m->data.result;
        if (m->msg == CURLMSG_DONE && !f->api->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) && t)
            finish(t, code);
    }
}

static bool is_token(const char *s)
{
    size_t len = strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return len > 0 && !s[len];
}

static bool check(const struct fetch_spec *spec, struct err *err)
{
    if (!spec->url || (strncasecmp(spec->url, "http://", 7) != 0 && strncasecmp(spec->url, "https://", 8) != 0))
        return err_set(err, "the url must begin with http:// or https://");
    if (spec->method && !is_token(spec->method))
        return err_set(err, "the method is no word");
    for (const char *const *h = spec->headers; h && *h; h++) {
        size_t name = strcspn(*h, ":");
        if (name == 0 || !(*h)[name] || strpbrk(*h, "\r\n") || strcspn(*h, " \t") < name)
            return err_set(err, "header \"%.*s\" is not of the form \"Name: value\"", (int)strcspn(*h, "\r\n"), *h);
    }
    return true;
}

static bool add_header(struct fetch *t, const char *line)
{
    struct curl_slist *list = t->fetcher->api->slist_append(t->sent, line);
    if (list)
        t->sent = list;
    return list != NULL;
}

static bool add_headers(struct fetch *t, const struct fetch_spec *spec)
{
    /* With its own "Expect:" libcurl would wait for a go-ahead before it sends a large body. */
    bool ok = add_header(t, "Expect:");
    for (const char *const *h = spec->headers; ok && h && *h; h++) {
        const char *colon = strchr(*h, ':');
        bool empty = !colon[1 + strspn(colon + 1, " \t")];
        struct buf line = {0};
        buf_add(&line, *h, (size_t)(colon - *h));
        buf_adds(&line, empty ? ";" : colon); /* "Name:" would take libcurl's own header of that name away */
        ok = !line.failed && add_header(t, line.data);
        buf_fini(&line);
    }
    return ok;
}

static CURLcode set_method(struct fetch *t, const struct fetch_spec *spec)
{
    const struct curl *api = t->fetcher->api;
    const char *method = spec->method ? spec->method : spec->body ? "POST" : "GET";
    bool post = !strcmp(method, "POST");
    CURLcode r = CURLE_OK;
    if (post || spec->body) {
        r = api->easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body_len);
        if (!r) /* copies, so that the caller's may go */
            r = api->easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, spec->body ? spec->body : "");
    }
    if (post || r)
        return r;
    /* A POST that is redirected becomes a GET, as browsers do; any other method stays what it is, with its body. */
    api->easy_setopt(t->easy, CURLOPT_POSTREDIR, CURL_REDIR_POST_ALL);
    if (!strcmp(method, "HEAD") && !spec->body)
        return api->easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    return api->easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
}

static CURLcode set_target(struct fetch *t, const struct fetch_spec *spec)
{
    const struct curl *api = t->fetcher->api;
    CURLcode r = api->easy_setopt(t->easy, CURLOPT_URL, spec->url);
    r = r ? r : api->easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, PROTOCOLS);
    r = r ? r : api->easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
    r = r ? r : api->easy_setopt(t->easy, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
    if (!r && spec->insecure) {
        r = api->easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        r = r ? r : api->easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    /* Without the folder of certificates, so that ca_file stands alone, and so that libcurl keeps the 20 ms of work
     * that reading the system's is. */
    r = r ? r : api->easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
    if (!r && spec->ca_file)
        r = api->easy_setopt(t->easy, CURLOPT_CAINFO, spec->ca_file);
    return r;
}

static CURLcode set_rest(struct fetch *t, const struct fetch_spec *spec)
{
    const struct curl *api = t->fetcher->api;
    api->easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    api->easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    /* Or else to break it off while a name is looked up would wait for the one who looks. */
    CURLcode r = api->easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L);
    api->easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
    api->easy_setopt(t->easy, CURLOPT_USERAGENT, "fota_monitor/" FM_VERSION);
    api->easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->sent);
    api->easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    api->easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    api->easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    api->easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    if (!r && spec->timeout_ms > 0)
        r = api->easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)spec->timeout_ms);
    return r;
}

static bool prepare(struct fetch *t, const struct fetch_spec *spec, struct err *err)
{
    const struct curl *api = t->fetcher->api;
    t->easy = api->easy_init();
    if (!t->easy || !add_headers(t, spec))
        return err_nomem(err);
    CURLcode r = set_target(t, spec);
    r = r ? r : set_method(t, spec);
    r = r ? r : set_rest(t, spec);
    if (r)
        return err_set(err, "%s", api->easy_strerror(r));
    return api->multi_add_handle(t->fetcher->multi, t->easy) == CURLM_OK || err_nomem(err);
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_spec *spec,
                          void (*done)(void *arg, const struct fetch_result *r), void *arg, struct err *err)
{
    if (!check(spec, err) || !get_ready(f, err))
        return NULL;
    struct fetch *t = calloc(1, sizeof *t);
    if (!t) {
        err_nomem(err);
        return NULL;
    }
    *t = (struct fetch){.fetcher = f, .max_body = spec->max_body, .done = done, .arg = arg};
    if (!prepare(t, spec, err)) {
        fetch_free(t);
        return NULL;
    }
    t->next = f->first;
    f->first = t;
    return t;
}
