/* From what a person writes to a network address: "10.0.0.1:5" as it is, "host:5" by DNS,
 * and a name without port, such as "clog.srv.ns", by the name agent, which knows the port
 * too, else by DNS with a port that is agreed on. */
#ifndef FM_RESOLVE_H
#define FM_RESOLVE_H

#include "agent.h"
#include "base.h"
#include "host.h"

struct uv_loop_s;
struct resolve;

struct resolve_target {
    char host[AGENT_NAME_MAX + 1];
    int port;                   /* 0: none was written */
    union host_address literal; /* when it needs no looking up; without a port its port is 0 */
    socklen_t literal_len;      /* else 0 */
};

/* Judges and takes apart HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. false: it is none. */
bool resolve_parse(const char *text, struct resolve_target *out);

/* Which ports to use. */
struct resolve_ports {
    int agent; /* the name agent's own */
    int dns;   /* of the service itself, when the agent does not tell */
};

struct resolve_result {
    const union host_address *found; /* NULL: it could not be looked up */
    socklen_t len;
    const char *why;   /* it could not, by DNS */
    bool asked_agent;  /* it was a name without a port */
    const char *agent; /* what was wrong, as in "the name agent …"; NULL: nothing */
};

typedef void resolve_done_fn(void *arg, const struct resolve_result *r);

/* Looks it up; done is called once from the loop, never from inside. Nothing waits.
 * Returns a handle that is good until then; NULL: no memory or thread for it. Not for literals. */
struct resolve *resolve_start(struct uv_loop_s *loop, const struct resolve_target *target,
                              const struct resolve_ports *ports, resolve_done_fn *done, void *arg);

/* done will not be called. The loop has to run once more to let go of it. */
void resolve_cancel(struct resolve *r);

#endif
