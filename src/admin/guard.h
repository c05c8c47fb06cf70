/* Stands between a request of HTTP and its command: finds out who asks, admits or refuses. */
#ifndef FM_GUARD_H
#define FM_GUARD_H

#include "refusals.h"
#include "request.h"

struct MHD_Connection;
struct sockaddr;

/* May this request, of a connection with these ends (NULL: not known), have its command carried out? Who asks is then
 * known to the request. false: it was refused, and that is its answer. */
bool guard_admits(struct request *r, struct MHD_Connection *connection, const struct sockaddr *peer,
                  const struct sockaddr *local);

/* Refuses it: counted, logged, answered. */
void guard_refuse(struct request *r, enum refusal why, const char *text);

#endif
