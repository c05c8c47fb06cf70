#include "sockowner.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One end of a connection, IPv4 as it is, IPv6 with mapped IPv4 addresses made plain. */
struct end {
    int family;
    uint32_t address[4]; /* network order; IPv4 in the first */
    uint16_t port;       /* network order */
};

static bool make_end(const struct sockaddr *sa, struct end *out)
{
    *out = (struct end){0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        *out = (struct end){AF_INET, {v4->sin_addr.s_addr}, v4->sin_port};
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    out->port = v6->sin6_port;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        out->family = AF_INET;
        memcpy(out->address, v6->sin6_addr.s6_addr + 12, 4);
    } else {
        out->family = AF_INET6;
        memcpy(out->address, &v6->sin6_addr, 16);
    }
    return true;
}

/* What the kernel's tables say of a socket. */
struct socket {
    uid_t uid;
    unsigned long inode; /* 0: no process has it open */
};

/* ---- sock_diag(7): one question, one answer */

static bool ask_diag(int fd, const struct end *peer, const struct end *local, struct socket *out)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 req;
    } ask = {.head = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
             .req = {.sdiag_family = (uint8_t)peer->family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U}};
    struct inet_diag_sockid *id = &ask.req.id;
    id->idiag_sport = peer->port;
    id->idiag_dport = local->port;
    memcpy(id->idiag_src, peer->address, sizeof id->idiag_src);
    memcpy(id->idiag_dst, local->address, sizeof id->idiag_dst);
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(fd, &ask, sizeof ask, 0) != (ssize_t)sizeof ask)
        return false;
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } answer;
    ssize_t n = recv(fd, &answer, sizeof answer, 0);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) || answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return false;
    const struct inet_diag_msg *m = NLMSG_DATA(&answer.head);
    /* The kernel may fall back to a listening socket: only the connection itself counts. */
    if (m->id.idiag_sport != peer->port || m->id.idiag_dport != local->port)
        return false;
    *out = (struct socket){.uid = m->idiag_uid, .inode = m->idiag_inode};
    return true;
}

static bool find_by_diag(const struct end *peer, const struct end *local, struct socket *out)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return false;
    bool ok = ask_diag(fd, peer, local, out);
    close(fd);
    return ok;
}

/* ---- /proc/net/tcp, where the kernel has no sock_diag */

/* Addresses stand there as 32-bit words in host order, in hexadecimal. */
static void format_end(const struct end *e, char *out, size_t size)
{
    if (e->family == AF_INET)
        snprintf(out, size, "%08" PRIX32 ":%04X", e->address[0], ntohs(e->port));
    else
        snprintf(out, size, "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 ":%04X", e->address[0], e->address[1],
                 e->address[2], e->address[3], ntohs(e->port));
}

static bool find_in_file(const char *path, const struct end *peer, const struct end *local, struct socket *out)
{
    char line[512], want_peer[48], want_local[48], a[48], b[48];
    unsigned owner;
    unsigned long inode;
    bool found = false;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    format_end(peer, want_peer, sizeof want_peer);
    format_end(local, want_local, sizeof want_local);
    while (!found && fgets(line, sizeof line, f))
        found = sscanf(line, " %*d: %47s %47s %*x %*x:%*x %*x:%*x %*x %u %*d %lu", a, b, &owner, &inode) == 4 &&
                !strcmp(a, want_peer) && !strcmp(b, want_local);
    fclose(f);
    if (found)
        *out = (struct socket){.uid = owner, .inode = inode};
    return found;
}

static bool find_socket(const struct sockaddr *peer, const struct sockaddr *local, struct socket *out)
{
    struct end p, l;
    if (!make_end(peer, &p) || !make_end(local, &l) || p.family != l.family)
        return false;
    return find_by_diag(&p, &l, out) ||
           find_in_file(p.family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6", &p, &l, out);
}

bool sockowner_find(const struct sockaddr *peer, const struct sockaddr *local, uid_t *uid)
{
    struct socket s;
    if (!find_socket(peer, local, &s))
        return false;
    *uid = s.uid;
    return true;
}

bool sockowner_is_open(const struct sockaddr *peer, const struct sockaddr *local)
{
    struct socket s;
    return find_socket(peer, local, &s) && s.inode;
}
