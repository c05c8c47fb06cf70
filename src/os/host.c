#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The private networks of RFC 1918. */
static bool is_private(uint32_t a)
{
    return a >> 24 == 10 || a >> 20 == (172 << 4 | 1) || a >> 16 == (192 << 8 | 168);
}

bool host_private_address(char out[HOST_ADDRESS_SIZE])
{
    struct ifaddrs *list;
    bool found = false;
    if (getifaddrs(&list))
        return false;
    for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP))
            continue;
        const struct in_addr *a = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
        found = is_private(ntohl(a->s_addr)) && inet_ntop(AF_INET, a, out, HOST_ADDRESS_SIZE);
    }
    freeifaddrs(list);
    return found;
}

socklen_t host_parse(const char *text, int port, union host_address *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        return sizeof out->v4;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return sizeof out->v6;
    }
    return 0;
}

int host_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    int port = digits > 0 && digits <= 5 && !text[digits] ? atoi(text) : 0;
    return port <= 65535 ? port : 0;
}

socklen_t host_parse_pair(const char *text, union host_address *out)
{
    char ip[HOST_ADDRESS_SIZE];
    const char *colon = strrchr(text, ':');
    int port = colon ? host_port(colon + 1) : 0;
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (brackets) {
        text++;
        len -= 2;
    }
    if (!port || len >= sizeof ip)
        return 0;
    memcpy(ip, text, len);
    ip[len] = 0;
    return brackets == (strchr(ip, ':') != NULL) ? host_parse(ip, port, out) : 0;
}

void host_text(const union host_address *a, char out[HOST_PAIR_SIZE])
{
    char ip[HOST_ADDRESS_SIZE] = "?";
    bool v6 = a->any.sa_family == AF_INET6;
    inet_ntop(a->any.sa_family, v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, ip, sizeof ip);
    snprintf(out, HOST_PAIR_SIZE, v6 ? "[%s]:%d" : "%s:%d", ip, ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port));
}

void host_share(int fd, bool on)
{
    int value = on;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof value);
}

static bool bind_and_listen(int fd, const union host_address *a, socklen_t len, bool shared)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        host_share(fd, true);
    /* "::" beside "0.0.0.0" must not be the same port twice. */
    if (a->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on))
        return false;
    return !bind(fd, &a->any, len) && !listen(fd, SOMAXCONN);
}

int host_listen(const char *address, int port, bool shared, int *actual, struct err *err)
{
    union host_address a;
    socklen_t len = host_parse(address, port, &a);
    if (!len) {
        err_set(err, "bind: \"%s\" is no address", address);
        return -1;
    }
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !bind_and_listen(fd, &a, len, shared)) {
        err_set(err, "port %d on %s: %s", port, address, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (actual && !getsockname(fd, &a.any, &len))
        *actual = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    return fd;
}
