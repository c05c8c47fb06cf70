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
 * message. *actual (may be NULL) is set to the port. */
int host_listen(const char *address, int port, int *actual, struct err *err);

#endif
