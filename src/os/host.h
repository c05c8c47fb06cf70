/* This host: its addresses. */
#ifndef FM_HOST_H
#define FM_HOST_H

#include "base.h"
#include "err.h"

#define HOST_ADDRESS_SIZE 48

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
