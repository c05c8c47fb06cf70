/* Who may do what through the admin port. */
#ifndef FM_ACCESS_H
#define FM_ACCESS_H

#include "base.h"
#include "conf.h"
#include "err.h"
#include "refusals.h"

#include <sys/types.h>

struct sockaddr;

/* What is known of a request before it is carried out. Pointers may be NULL. */
struct access_request {
    const struct sockaddr *peer, *local; /* the two ends of the connection */
    const char *host;                    /* Host header */
    const char *origin;                  /* Origin header */
    const char *sec_fetch_site;          /* Sec-Fetch-Site header */
    const char *referer;                 /* Referer header */
    const char *user_agent;              /* User-Agent header */
    bool changes;                        /* something, and does not only read */
    const char *authorization;           /* Authorization header */
    const char *password;                /* of HTTP Basic */
};

enum access_verdict {
    ACCESS_GRANTED,
    ACCESS_TOKEN_WANTED, /* with the token it would be granted */
    ACCESS_FORBIDDEN,
};

struct access_answer {
    enum access_verdict verdict;
    enum refusal why;      /* when it is not granted */
    const char *principal; /* as what it is judged: "token", "local", "anyone" */
    bool shown;            /* something was shown for the token, right or wrong */
    bool owner_known;      /* the client is on this host, */
    uid_t owner;           /* and its socket belongs to this user */
};

/* May the request change something? Reading is open to everybody who reaches the port.
 *   open   everybody, as the Go tool did it
 *   local  a client on this host whose socket belongs to root or to our own user; others with the token
 *   token  only with the token
 * and never another site's page in a browser. A browser that does not say which page asks (it may not, by plain HTTP)
 * changes nothing either, unless auth is open. `token` "" is never matched. When it is not granted, *err says why, for
 * the client. */
void access_judge(enum conf_auth auth, const char *token, const struct access_request *req, struct access_answer *out,
                  struct err *err);

#endif
