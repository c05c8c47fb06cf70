#include "peers.h"

#include "clock.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define SETTLED_MS 1000 /* younger ones may be about to ask */

static void keep_address(struct sockaddr_storage *out, const struct sockaddr *a)
{
    *out = (struct sockaddr_storage){.ss_family = a->sa_family};
    if (a->sa_family == AF_INET)
        ((struct sockaddr_in *)out)->sin_addr = ((const struct sockaddr_in *)(const void *)a)->sin_addr;
    else if (a->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)out)->sin6_addr = ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
}

static void keep_text(char out[INET6_ADDRSTRLEN], const struct sockaddr *a)
{
    memcpy(out, "?", 2);
    if (a->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, out, INET6_ADDRSTRLEN);
    else if (a->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, out, INET6_ADDRSTRLEN);
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

struct peer *peers_add(struct peers *ps, int fd, const struct sockaddr *address)
{
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct peer){.next = ps->first, .fd = fd, .since_ms = clock_coarse_ms()};
    keep_address(&p->address, address);
    keep_text(p->text, address);
    if (p->next)
        p->next->prev = p;
    return ps->first = p;
}

void peers_remove(struct peers *ps, struct peer *p)
{
    *(p->prev ? &p->prev->next : &ps->first) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    free(p);
}

void peer_begin(struct peer *p)
{
    if (p)
        p->busy = true;
}

void peer_end(struct peer *p)
{
    if (!p)
        return;
    p->busy = p->awaited = false;
    p->since_ms = clock_coarse_ms();
}

void peer_await(struct peer *p, bool client, int64_t now_ms)
{
    if (!p)
        return;
    p->awaited = client;
    p->since_ms = now_ms;
}

bool peers_may_come(const struct peers *ps, const struct sockaddr *address, int max_per_client)
{
    struct sockaddr_storage a;
    int n = 0;
    if (is_loopback(address))
        return true;
    keep_address(&a, address);
    for (const struct peer *p = ps->first; p && n < max_per_client; p = p->next)
        n += !memcmp(&p->address, &a, sizeof a);
    return n < max_per_client;
}

/* Whoever serves the connection sees that it is over. */
static void hang_up(struct peer *p)
{
    shutdown(p->fd, SHUT_RDWR);
    p->busy = true; /* as far as we are concerned */
    p->awaited = false;
}

void peers_make_room(struct peers *ps, int n)
{
    int64_t now = clock_coarse_ms();
    for (struct peer *oldest = ps->first; n-- > 0 && oldest;) {
        oldest = NULL;
        for (struct peer *p = ps->first; p; p = p->next)
            if ((!p->busy || p->awaited) && now - p->since_ms >= SETTLED_MS &&
                (!oldest || p->since_ms < oldest->since_ms))
                oldest = p;
        if (oldest)
            hang_up(oldest);
    }
}

/* libmicrohttpd takes a short read for the last one, as long as nothing new arrives. The end of a stream that came
 * together with the last bytes is never read then: the peer is gone, but its connection lasts until the idle timeout.
 * Ending the stream once more, from our side, wakes it up. */
void peers_sweep(struct peers *ps, int64_t idle_ms)
{
    int64_t now = clock_coarse_ms();
    char byte;
    for (struct peer *p = ps->first; p; p = p->next) {
        if (recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            shutdown(p->fd, SHUT_RD);
        if (!p->busy && now - p->since_ms > idle_ms)
            hang_up(p);
    }
}
