#include "autoreload.h"

#include "clog.h"
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Editors write in several steps, and people save several files. */
#define SETTLE_MS 300

struct autoreload {
    struct admin *admin;
    uv_fs_event_t lua, conf;
    uv_timer_t settle;
    int open; /* handles not closed yet */
    bool watching;
    struct request *request; /* the reload that is under way */
    bool again;              /* something changed meanwhile */
};

static void on_settled(uv_timer_t *timer);
static void reload(struct autoreload *a);

static void finish(struct autoreload *a)
{
    struct request *r = a->request;
    const char *text = buf_str(&r->body);
    bool ok = r->exit_code == EXIT_OK;
    a->request = NULL;
    enum clog_level level = ok ? CLOG_INFO : CLOG_ERROR;
    clog_write(level, "a changed file was read: %.*s", (int)strcspn(text, "\n"), text);
    while ((text = strchr(text, '\n')) && text[1]) {
        text += 1 + strspn(text + 1, " \t");
        clog_write(level, "  %.*s", (int)strcspn(text, "\n"), text);
    }
    request_free(r);
    autoreload_follow(a);
    if (a->again)
        reload(a);
}

static void on_news(struct request *r, void *arg)
{
    struct autoreload *a = arg;
    if (r->done && r == a->request)
        uv_timer_start(&a->settle, on_settled, 0, 0); /* it can't be freed from inside its own call */
}

static void reload(struct autoreload *a)
{
    a->again = false;
    a->request = request_new(a->admin, "a changed file");
    if (!a->request) {
        clog_error("a changed file can't be read: out of memory");
        return;
    }
    request_set(a->request, "command", "reload");
    request_run(a->request, on_news, a);
    if (a->request->done)
        finish(a);
}

static void on_settled(uv_timer_t *timer)
{
    struct autoreload *a = timer->data;
    if (a->request && a->request->done)
        finish(a);
    else if (a->request)
        a->again = true;
    else
        reload(a);
}

static void on_change(uv_fs_event_t *handle, const char *name, int events, int status)
{
    (void)events;
    struct autoreload *a = handle->data;
    size_t len = name ? strlen(name) : 0;
    bool script = handle == &a->lua && len > 4 && name[0] != '.' && !strcmp(name + len - 4, ".lua");
    bool conf = handle == &a->conf && name && !strcmp(name, "conf.json");
    if (status == 0 && (script || conf || !name))
        uv_timer_start(&a->settle, on_settled, SETTLE_MS, 0);
}

static void watch(uv_fs_event_t *handle, const char *home, const char *folder)
{
    struct buf path = {0};
    buf_addf(&path, "%s/%s", home, folder);
    int r = path.failed ? UV_ENOMEM : uv_fs_event_start(handle, on_change, path.data, 0);
    if (r && r != UV_ENOENT)
        clog_error("lua.autoreload: %s can't be watched: %s", buf_str(&path), uv_strerror(r));
    buf_fini(&path);
}

void autoreload_follow(struct autoreload *a)
{
    const struct conf *conf = a->admin->mon->conf;
    if (a->watching == conf->lua.autoreload)
        return;
    a->watching = conf->lua.autoreload;
    if (a->watching) {
        watch(&a->lua, conf->home, "lua");
        watch(&a->conf, conf->home, "conf");
        return;
    }
    uv_fs_event_stop(&a->lua);
    uv_fs_event_stop(&a->conf);
}

struct autoreload *autoreload_new(struct uv_loop_s *loop, struct admin *admin)
{
    struct autoreload *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->admin = admin;
    uv_fs_event_init(loop, &a->lua);
    uv_fs_event_init(loop, &a->conf);
    uv_timer_init(loop, &a->settle);
    a->lua.data = a->conf.data = a->settle.data = a;
    a->open = 3;
    return a;
}

static void on_closed(uv_handle_t *handle)
{
    struct autoreload *a = handle->data;
    if (--a->open == 0)
        free(a);
}

void autoreload_free(struct autoreload *a)
{
    if (!a)
        return;
    request_free(a->request);
    a->request = NULL;
    uv_close((uv_handle_t *)&a->lua, on_closed);
    uv_close((uv_handle_t *)&a->conf, on_closed);
    uv_close((uv_handle_t *)&a->settle, on_closed);
}
