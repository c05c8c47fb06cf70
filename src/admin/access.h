/* Who may do what through the admin port. */
#ifndef FM_ACCESS_H
#define FM_ACCESS_H

#include "base.h"
#include "conf.h"
#include "err.h"

struct sockaddr;

/* What is known of a request before it is carried out. Strings may be NULL. */
struct access_request {
    const struct sockaddr *peer;
    const char *host;           /* Host header */
    const char *origin;         /* Origin header */
    const char *sec_fetch_site; /* Sec-Fetch-Site header */
};

/* May the request change something? false with a message for the client. Reading is
 * open to everybody who reaches the port.
 *   open   everybody, as the Go tool did it, but never another site's page in a browser
 *   local  only clients on this host */
bool access_may_change(enum conf_auth auth, const struct access_request *req, struct err *err);

#endif
