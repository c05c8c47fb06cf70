#include "outside_uv.h"

#include "exec.h"
#include "fetch.h"

#include <stdlib.h>

struct outside_uv {
    struct outside outside;
    struct uv_loop_s *loop;
    struct fetcher *fetcher; /* made with the first request */
};

static void *start_exec(struct outside *o, const struct exec_spec *spec,
                        void (*done)(void *arg, const struct exec_result *r), void *arg, struct err *err)
{
    return exec_start(CONTAINER_OF(o, struct outside_uv, outside)->loop, spec, done, arg, err);
}

static void cancel_exec(struct outside *o, void *handle)
{
    (void)o;
    exec_cancel(handle);
}

static void *start_fetch(struct outside *o, const struct fetch_spec *spec,
                         void (*done)(void *arg, const struct fetch_result *r), void *arg, struct err *err)
{
    struct outside_uv *u = CONTAINER_OF(o, struct outside_uv, outside);
    if (!u->fetcher && !(u->fetcher = fetcher_new(u->loop))) {
        err_nomem(err);
        return NULL;
    }
    return fetch_start(u->fetcher, spec, done, arg, err);
}

static void cancel_fetch(struct outside *o, void *handle)
{
    (void)o;
    fetch_cancel(handle);
}

static const struct outside_ops ops = {
    .exec = start_exec, .exec_cancel = cancel_exec, .fetch = start_fetch, .fetch_cancel = cancel_fetch};

struct outside *outside_uv_new(struct uv_loop_s *loop)
{
    struct outside_uv *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    *o = (struct outside_uv){.outside.ops = &ops, .loop = loop};
    return &o->outside;
}

void outside_uv_free(struct outside *o)
{
    if (!o)
        return;
    struct outside_uv *u = CONTAINER_OF(o, struct outside_uv, outside);
    exec_end_all();
    if (u->fetcher)
        fetcher_free(u->fetcher);
    free(u);
}
