/* The address of a host name, asked of the system's resolver (DNS, /etc/hosts) off the
 * loop.
 *
 * In a thread of its own rather than in libuv's pool: a name server that does not answer
 * keeps getaddrinfo for tens of seconds, and the end of a process waits for its pool. */
#ifndef FM_DNS_H
#define FM_DNS_H

#include "base.h"
#include "host.h"

struct uv_loop_s;
struct dns;

/* Called once, from the loop: the address (IPv4 where there is one), or NULL and why not. */
typedef void dns_done_fn(void *arg, const union host_address *found, socklen_t len, const char *why);

/* Asks. Returns a handle that is good until done is called, or NULL with -errno in *error. */
struct dns *dns_ask(struct uv_loop_s *loop, const char *host, int port, dns_done_fn *done, void *arg, int *error);

/* done will not be called. The loop has to run once more to let go of it; the question
 * itself is left to end whenever it does. */
void dns_cancel(struct dns *d);

#endif
