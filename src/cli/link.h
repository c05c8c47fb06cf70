/* The connection to a monitor: plain, or by TLS (libcurl, loaded only then). */
#ifndef FM_LINK_H
#define FM_LINK_H

#include "base.h"
#include "err.h"

#include <sys/types.h>

/* Who may answer by TLS. Nothing set: whoever the system's certificate authorities vouch for. */
struct link_trust {
    const char *ca_file;     /* instead of those: certificates in this file (PEM) */
    const char *fingerprint; /* whose public key has this SHA-256, "sha256//BASE64"; by itself that is enough */
    bool any_name;           /* the certificate may be another host's */
};

struct link {
    int fd;
    const struct curl *curl; /* NULL: plain */
    void *easy;
};

/* Connects to "HOST:PORT", "[ADDRESS]:PORT", either with "http://" or "https://" before and a slash
 * behind it. until_ms (mono): not longer; -1: the usual time for connecting. */
bool link_open(struct link *l, const char *address, const struct link_trust *trust, int64_t until_ms, struct err *err);
void link_close(struct link *l);

/* Without a scheme and a slash, for the Host header: *len bytes of the address. */
const char *link_host(const char *address, size_t *len);

/* All of it. 0 or -errno; -ETIMEDOUT after until_ms (-1: never). */
int link_send(struct link *l, const char *data, size_t len, int64_t until_ms);

/* Some of what has come; waits for it. 0: the other side has closed. -errno as above. */
ssize_t link_receive(struct link *l, char *data, size_t max, int64_t until_ms);

#endif
