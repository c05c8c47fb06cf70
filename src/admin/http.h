/* The admin port: HTTP requests in, commands' answers out, on the monitor's loop. */
#ifndef FM_HTTP_H
#define FM_HTTP_H

#include "command.h"
#include "conf.h"
#include "err.h"

struct uv_loop_s;
struct http;

/* A server without a port yet. `admin` is borrowed. NULL: no memory. */
struct http *http_new(struct uv_loop_s *loop, struct admin *admin);

/* Listens on the addresses and port of conf, and no more on any other. New ones are
 * opened before old ones are closed; requests under way on those are still answered. On
 * failure false with a message, and all is as before. */
bool http_listen(struct http *h, const struct conf *conf, struct err *err);

/* "127.0.0.1:29118" of the first address listened on; owned by h, valid until the next http_listen. */
const char *http_address(const struct http *h);

/* Answers what is still waiting with 503, closes everything (run the loop once more for
 * its handles to go) and frees it. */
void http_free(struct http *h);

#endif
