/* Inside of http: what its parts share. http.c knows which addresses are listened on, and hands them over to the next
 * program; http_listener.c is one of them and takes its connections; http_awake.c has libmicrohttpd loaded when
 * somebody comes, and lets go of it when nobody has come for some time. */
#ifndef FM_HTTP_PARTS_H
#define FM_HTTP_PARTS_H

#include "call.h"
#include "host.h"
#include "http.h"
#include "hush.h"
#include "peers.h"
#include "tls.h"

#include <microhttpd.h>
#include <uv.h>

/* One address listened on. While it is awake it is a daemon of libmicrohttpd, whose epoll descriptor is one watcher of
 * our loop; asleep, it is its socket alone. One that speaks TLS never sleeps. We accept the connections the daemon
 * gets: left to itself it would turn in circles for as long as there are no descriptors, or deaf until a connection is
 * closed. */
struct listener {
    struct listener *next;
    struct http *http;
    struct MHD_Daemon *daemon; /* NULL: it sleeps */
    uv_poll_t *poll;           /* of the daemon; on its own, as the next one may be there before it is closed */
    uv_poll_t incoming;
    uv_timer_t timer, pause;
    int handles;
    int fd;        /* -1: it does not listen any more */
    int port;      /* as configured: 0 stays 0 */
    int header_kb; /* as configured */
    struct tls tls;
    bool retired; /* others listen in its place; goes with its last connection */
    char address[HOST_ADDRESS_SIZE];
    char shown[HOST_ADDRESS_SIZE + 20];
};

struct http {
    uv_loop_t *loop;
    struct admin *admin;
    struct call_shared calls;
    struct listener *listeners; /* in the order of bind; retired ones last */
    uv_prepare_t prepare;
    struct peers peers;
    unsigned room;     /* connections a listener takes at most: services need descriptors too */
    uv_timer_t sweep;  /* runs while there are peers */
    uv_timer_t rest;   /* runs since there are none */
    uv_timer_t settle; /* runs since the library was loaded, by the thread */
    uv_async_t loaded; /* tells that the library is */
    bool loading;      /* in a thread */
    bool failed;       /* it could not be loaded last time */
    int handles;
    struct http_given *given; /* of the program before this one */
    size_t ngiven;
    bool deaf;        /* takes no new connections */
    struct hush hush; /* of what keeps it from waking */
    char said[256];   /* by libmicrohttpd, last */
};

/* What is to be listened with. */
struct http_wanted {
    const struct conf *conf;
    struct tls tls;
};

/* ---- http_listener.c */

/* Listens on that address, on *actual where no port is configured, and says in *actual on which. Where TLS is wanted it
 * is awake from the beginning, as the certificate must be of use; libmicrohttpd must be loaded then. NULL with a
 * message on failure. */
struct listener *http_listener_new(struct http *h, const char *address, const struct http_wanted *wanted, int *actual,
                                   struct err *err);

/* Takes the listener off the list and down; its connections are closed. Its memory goes with its handles, later. */
void http_listener_stop(struct listener *l);

/* Makes it a daemon of libmicrohttpd, which must be loaded, unless it is one. False with a message: there is no memory
 * or no descriptor for it, or its certificate is of no use. */
bool http_listener_wake(struct listener *l, struct err *err);

/* Ends the daemon; there must be no connections. */
void http_listener_rest(struct listener *l);

/* Are there connections? */
bool http_listener_is_used(const struct listener *l);

/* Ends who waits to be let in, and lets nobody in for a moment. */
void http_listener_turn_away(struct listener *l);

/* Ends some connections that their clients leave idle, and lets nobody in for a moment: who waits comes in then. */
void http_listener_make_room(struct listener *l);

/* Begins to let in who comes, and ends it. */
void http_listener_let_in(struct listener *l);
void http_listener_keep_out(struct listener *l);

/* Before the loop waits: does what is due, and settles until when it may be left alone. One that is retired and has no
 * connections any more is stopped and gone. */
void http_listener_turn(struct listener *l);

/* ---- http_awake.c */

void http_awake_init(struct http *h);
/* Closes its handles: `on_closed` is called for each. */
void http_awake_fini(struct http *h, uv_close_cb on_closed);

/* Somebody has come to a listener that sleeps. True: it is awake. False: it will be, or cannot be, which is logged. */
bool http_wake(struct listener *l);

/* The last connection is gone, or nobody has come yet: from now on time counts. */
void http_rest_later(struct http *h);

#endif
