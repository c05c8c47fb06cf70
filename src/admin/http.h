/* The admin port: HTTP requests in, commands' answers out, on the monitor's loop. */
#ifndef FM_HTTP_H
#define FM_HTTP_H

#include "command.h"
#include "conf.h"
#include "err.h"
#include "host.h"

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

/* Keeps those who come waiting, as the kernel has them, until http_go_on. */
void http_hold(struct http *h);

/* The start is over, and its haste: has it found out by a helper process (-check-http) whether libmicrohttpd can be
 * loaded at all, so that the log says so before anybody asks; then http_let_go. */
void http_start_over(struct http *h);

/* Lets go of libmicrohttpd, and of a megabyte with it, if nobody is connected and no TLS is spoken; it is loaded again,
 * in a thread, for who comes next. Happens by itself when nobody has been connected for some time. */
void http_let_go(struct http *h);

/* ---- over to the next program that this process runs */

/* A descriptor that is handed over. */
struct http_given {
    int fd;
    bool listens; /* else it is a connection on which nothing is asked at the moment */
    int port;     /* listened on */
    char address[HOST_ADDRESS_SIZE];
};

/* Is nothing being asked or answered but `but` (NULL: none)? */
bool http_is_quiet(const struct http *h, const struct request *but);

/* Ends streams that have no end of themselves, all but that of `but`. With `waiting` all others too, and answers what
 * waits. Then, and where connections are encrypted from the beginning, no new ones are taken and each is closed after
 * its next answer, until http_go_on. To be called each turn. */
void http_wind_down(struct http *h, const struct request *but, bool waiting, const char *why);

/* New connections are taken again. */
void http_go_on(struct http *h);

/* What is to be handed over when it is quiet; the caller frees it. The connection of `but` is not among them. NULL: no
 * memory. Connections are left out where they are encrypted: what was agreed on them can't be handed over. */
struct http_given *http_give(const struct http *h, const struct request *but, size_t *count);

/* The descriptor of the connection the request came over; -1: none, or it is encrypted. */
int http_fd(const struct http *h, const struct request *r);

/* The other side: what http_listen is to use instead of opening it anew. Borrowed until http_taken. */
void http_take(struct http *h, struct http_given *given, size_t count);
/* Listening has begun: connections are served on, what nobody wanted is closed. */
void http_taken(struct http *h);

/* Answers what is still waiting with 503, closes everything (run the loop once more for
 * its handles to go) and frees it. */
void http_free(struct http *h);

#endif
