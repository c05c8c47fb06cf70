/* This host: its addresses. */
#ifndef FM_HOST_H
#define FM_HOST_H

#include "base.h"
#include "err.h"

#include <netinet/in.h>

#define HOST_ADDRESS_SIZE 48
#define HOST_PAIR_SIZE (HOST_ADDRESS_SIZE + 10)

/* An address with its port. */
union host_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Reads an IPv4 or IPv6 literal. Returns the length of the address; 0: it is none. */
socklen_t host_parse(const char *text, int port, union host_address *out);

/* The same for "1.2.3.4:5" and "[::1]:5"; the port is 1 to 65535. */
socklen_t host_parse_pair(const char *text, union host_address *out);

/* The other way round. */
void host_text(const union host_address *a, char out[HOST_PAIR_SIZE]);

/* "1" to "65535" and nothing else; 0: it is no port. */
int host_port(const char *text);

/* The first private IPv4 address of this host (10/8, 172.16/12, 192.168/16), as text.
 * false when it has none. */
bool host_private_address(char out[HOST_ADDRESS_SIZE]);

/* A listening TCP socket on address (an IPv4 or IPv6 literal) and port (0: the system
 * chooses), non-blocking. Returns the descriptor, for the caller to close, or -1 with a
 * message. *actual (may be NULL) is set to the port. `shared`: beside sockets of this
 * process that host_share was called for. */
int host_listen(const char *address, int port, bool shared, int *actual, struct err *err);

/* While it is on, another shared socket may listen on the same port: "0.0.0.0" before
 * "127.0.0.1" is closed, say. */
void host_share(int fd, bool on);

#endif
