/* Whose socket is at the other end of a TCP connection within this host. */
#ifndef FM_SOCKOWNER_H
#define FM_SOCKOWNER_H

#include "base.h"

#include <sys/socket.h>
#include <sys/types.h>

/* Looks up, in the kernel's socket tables, the user who owns the socket at `peer` that is
 * connected to `local`. false: there is no such socket on this host (in this network
 * namespace), or nobody can tell. */
bool sockowner_find(const struct sockaddr *peer, const struct sockaddr *local, uid_t *uid);

/* Does a process on this host still have the socket at `peer` open? One that it has closed lingers
 * in the kernel for a while. false as well when nobody can tell. */
bool sockowner_is_open(const struct sockaddr *peer, const struct sockaddr *local);

#endif
