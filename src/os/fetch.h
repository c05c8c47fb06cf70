/* HTTP requests to others, many at a time, on the loop (libcurl, loaded with the first one). */
#ifndef FM_FETCH_H
#define FM_FETCH_H

#include "base.h"
#include "err.h"

struct uv_loop_s;

/* All requests of a loop; keeps connections open for the next one to the same server. */
struct fetcher;

/* One request under way. */
struct fetch;

/* All borrowed for the call of fetch_start. */
struct fetch_spec {
    const char *url;            /* http:// or https:// */
    const char *method;         /* NULL: GET, or POST where there is a body */
    const char *const *headers; /* "Name: value", NULL-terminated; NULL: none but libcurl's own */
    const char *body;           /* NULL: none */
    size_t body_len;
    int64_t timeout_ms;  /* for all of it, from looking the name up to the last byte; 0: however long it takes */
    size_t max_body;     /* an answer that is longer is an error */
    bool insecure;       /* does not ask who the server is */
    const char *ca_file; /* who may vouch for the server, in PEM; NULL: whom the system trusts */
};

/* How it went. All the callee's only during the call of `done`. */
struct fetch_result {
    const char *error; /* why there is no answer; NULL: there is one, whatever its status */
    int status;
    const char *body; /* ends with a NUL that is not counted */
    size_t body_len;
    const char *const *headers; /* of the last answer, as "Name: value", NULL-terminated */
};

/* NULL: memory ran out. */
struct fetcher *fetcher_new(struct uv_loop_s *loop);

/* Cancels what is under way; its memory is given back when the loop has turned. Not from inside `done`. */
void fetcher_free(struct fetcher *f);

/* Sends a request. Redirects are followed five times, to http and https alone; proxies are those of the environment
 * (http_proxy, https_proxy, no_proxy). `done` is called once, later, from the loop; the handle is gone with it.
 * NULL with a message for a request that makes no sense, or without libcurl; then `done` is never called. */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_spec *spec,
                          void (*done)(void *arg, const struct fetch_result *r), void *arg, struct err *err);

/* Breaks it off; `done` is not called any more, the handle is gone. */
void fetch_cancel(struct fetch *t);

#endif
