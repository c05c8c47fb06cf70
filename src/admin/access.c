#include "access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const struct sockaddr *peer)
{
    if (peer && peer->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)peer)->sin_addr.s_addr) >> 24 == 127;
    if (peer && peer->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
    }
    return false;
}

/* A page of another site can make a browser send us requests; the browser then says so. */
static bool is_cross_site(const struct access_request *req)
{
    const char *site = req->sec_fetch_site;
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return true;
    if (!req->origin)
        return false;
    const char *sep = strstr(req->origin, "://");
    return !sep || !req->host || strcasecmp(sep + 3, req->host) != 0;
}

/* A name that an attacker's DNS points at us (rebinding) is a name; addresses and localhost are ours. */
static bool is_own_host(const char *host)
{
    char name[64];
    struct in6_addr any;
    size_t n = strlen(host);
    const char *end = strrchr(host, ':');
    if (end && !strchr(end, ']'))
        n = (size_t)(end - host);
    if (host[0] == '[' && n >= 2 && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n >= sizeof name)
        return false;
    memcpy(name, host, n);
    name[n] = 0;
    return !strcasecmp(name, "localhost") || inet_pton(AF_INET, name, &any) == 1 ||
           inet_pton(AF_INET6, name, &any) == 1;
}

bool access_may_change(enum conf_auth auth, const struct access_request *req, struct err *err)
{
    if (is_cross_site(req))
        return err_set(err, "a page of another site may not change anything here");
    if (auth == CONF_AUTH_OPEN)
        return true;
    if (!is_loopback(req->peer))
        return err_set(err, "only clients on this host may change anything (auth: \"%s\")",
                       auth == CONF_AUTH_LOCAL ? "local" : "token");
    if (req->host && !is_own_host(req->host))
        return err_set(err, "the host name \"%.64s\" is not one of this host; use its address or localhost", req->host);
    return true;
}
