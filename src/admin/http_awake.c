#include "clock.h"
#include "clog.h"
#include "exec.h"
#include "http_parts.h"
#include "memory.h"
#include "mhd.h"

#include <string.h>

/* Longer than between two looks of whoever looks often (each 15 s is usual), though it is soon loaded again. */
#define REST_MS 20000
#define SETTLE_MS 1000 /* after it was loaded; what only that needed is given back */
#define TRY_MS 10000
#define ERROR "Error: " /* before what is said on stderr */

/* A first message for each cause, for the log has to bear whoever asks again and again. */
static void tell(struct http *h, const struct err *err)
{
    char more[HUSH_MORE_SIZE];
    if (hush_says(&h->hush, err->text, clock_mono_ms(), more))
        clog_error("who asks over HTTP is not answered: %s%s", err->text, more);
}

static void on_settle(uv_timer_t *timer)
{
    (void)timer;
    memory_trim_loaded();
}

/* In the thread that loads. */
static void on_thread(void *arg)
{
    struct http *h = arg;
    uv_async_send(&h->loaded);
}

static void on_loaded(uv_async_t *async)
{
    struct http *h = CONTAINER_OF(async, struct http, loaded);
    struct err err = {0};
    if (!h->loading)
        return;
    h->loading = false;
    bool loaded = mhd_load(&err), again = h->failed;
    h->failed = !loaded;
    if (loaded)
        uv_timer_start(&h->settle, on_settle, SETTLE_MS, 0);
    else if (again)
        tell(h, &err);
    for (struct listener *l = h->listeners; l; l = l->next) {
        if (l->daemon || l->fd < 0 || h->deaf)
            continue;
        if (loaded)
            http_listener_let_in(l);
        else if (again)
            http_listener_turn_away(l);
        else
            http_listener_make_room(l); /* descriptors may have been lacking for a moment */
    }
}

/* Those who come meanwhile wait, as the kernel keeps them. */
static void load(struct http *h)
{
    h->loading = true;
    for (struct listener *l = h->listeners; l; l = l->next)
        if (!l->daemon)
            http_listener_keep_out(l);
    if (!mhd_load_begin(on_thread, h))
        on_loaded(&h->loaded);
}

bool http_wake(struct listener *l)
{
    struct http *h = l->http;
    struct err err = {0};
    if (h->loading) /* it was let in again meanwhile */
        http_listener_keep_out(l);
    else if (!mhd_is_loaded())
        load(h);
    if (h->loading || !mhd_is_loaded())
        return false;
    http_rest_later(h);
    if (http_listener_wake(l, &err))
        return true;
    tell(h, &err);
    http_listener_make_room(l); /* what there is too little of, there will be */
    return false;
}

void http_let_go(struct http *h)
{
    bool needed = h->peers.first || h->calls.calls || h->loading;
    for (struct listener *l = h->listeners; l && !needed; l = l->next) {
        if (l->daemon && !l->tls.cert && !http_listener_is_used(l))
            http_listener_rest(l);
        needed = l->daemon != NULL;
    }
    if (needed)
        return;
    call_shared_clear(&h->calls);
    mhd_unload();
}

static void on_tried(void *arg, const struct exec_result *r)
{
    (void)arg;
    const char *error = strstr(r->err, ERROR), *said = error ? error + strlen(ERROR) : r->err;
    if (r->code > 0)
        clog_error("who asks over HTTP will not be answered: %.*s", (int)strcspn(said, "\n"), said);
}

void http_start_over(struct http *h)
{
    char *const argv[] = {"/proc/self/exe", "-check-http", NULL};
    const struct exec_spec spec = {.argv = argv, .timeout_ms = TRY_MS, .max_output = sizeof((struct err *)NULL)->text};
    bool known = mhd_is_loaded();
    http_let_go(h);
    if (!known) /* where it can't be started, it is found out by who asks */
        exec_start(h->loop, &spec, on_tried, NULL, NULL);
}

static void on_rest(uv_timer_t *timer)
{
    http_let_go(CONTAINER_OF(timer, struct http, rest));
    memory_trim();
}

void http_rest_later(struct http *h)
{
    uv_timer_start(&h->rest, on_rest, REST_MS, 0);
}

void http_awake_init(struct http *h)
{
    uv_timer_init(h->loop, &h->rest);
    uv_timer_init(h->loop, &h->settle);
    uv_async_init(h->loop, &h->loaded, on_loaded);
    h->handles += 3;
}

void http_awake_fini(struct http *h, uv_close_cb on_closed)
{
    if (h->loading)
        mhd_load(NULL); /* its thread must not tell any more */
    h->loading = false;
    h->rest.data = h->settle.data = h->loaded.data = h;
    uv_close((uv_handle_t *)&h->rest, on_closed);
    uv_close((uv_handle_t *)&h->settle, on_closed);
    uv_close((uv_handle_t *)&h->loaded, on_closed);
}
