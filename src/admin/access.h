/* Who may do what through the admin port. */
#ifndef FM_ACCESS_H
#define FM_ACCESS_H

#include "base.h"
#include "conf.h"
#include "err.h"

struct sockaddr;

/* What is known of a request before it is carried out. Pointers may be NULL. */
struct access_request {
    const struct sockaddr *peer, *local; /* the two ends of the connection */
    const char *host;                    /* Host header */
    const char *origin;                  /* Origin header */
    const char *sec_fetch_site;          /* Sec-Fetch-Site header */
    const char *authorization;           /* Authorization header */
    const char *password;                /* of HTTP Basic */
};

enum access_verdict {
    ACCESS_GRANTED,
    ACCESS_TOKEN_WANTED, /* with the token it would be granted */
    ACCESS_FORBIDDEN,
};

/* May the request change something? Reading is open to everybody who reaches the port.
 *   open   everybody, as the Go tool did it
 *   local  a client on this host whose socket belongs to root or to our own user; others with the token
 *   token  only with the token
 * and never another site's page in a browser. `token` "" is never matched. When it is not
 * granted, *err says why, for the client; when it is, *principal is as what: "token", "local", "anyone". */
enum access_verdict access_judge(enum conf_auth auth, const char *token, const struct access_request *req,
                                 const char **principal, struct err *err);

#endif
