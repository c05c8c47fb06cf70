/* The other ends of all connections: how many there are of each client, and how long they have
 * asked for nothing. */
#ifndef FM_PEERS_H
#define FM_PEERS_H

#include "base.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct peer {
    struct peer *next, *prev;
    int fd;
    bool busy;                       /* with a request whose head has come, until its answer is sent */
    bool awaited;                    /* busy, and it is for the client to send the rest, or to take the answer */
    int64_t since_ms;                /* since when it is not busy, or awaited (coarse) */
    struct sockaddr_storage address; /* without its port */
    char text[INET6_ADDRSTRLEN];     /* the same for people */
};

/* A zeroed struct has none. */
struct peers {
    struct peer *first;
};

/* A new connection; the descriptor is borrowed. NULL: no memory. */
struct peer *peers_add(struct peers *ps, int fd, const struct sockaddr *address);
void peers_remove(struct peers *ps, struct peer *p);

/* A request of it has begun, or is over. NULL is allowed. */
void peer_begin(struct peer *p);
void peer_end(struct peer *p);

/* Of the request that has begun: is it for the client to go on, from now (coarse) on? NULL is allowed. */
void peer_await(struct peer *p, bool client, int64_t now_ms);

/* May one more come from there? Clients of this host are not counted. */
bool peers_may_come(const struct peers *ps, const struct sockaddr *address, int max_per_client);

/* Ends up to n connections that it is for the client to go on with, and that have been so for a second or more, the
 * longest first: else whoever begins requests and leaves them there could keep all others out. */
void peers_make_room(struct peers *ps, int n);

/* To be called from time to time: notices ends that would be missed, and ends those that have not
 * been busy for longer than that. */
void peers_sweep(struct peers *ps, int64_t idle_ms);

#endif
