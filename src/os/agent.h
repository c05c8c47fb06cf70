/* The name agent of this host, which knows where services of the network are. One
 * datagram each way, by UDP on 127.0.0.1: `SEQ,NAME` and `SEQ,IP:PORT`. */
#ifndef FM_AGENT_H
#define FM_AGENT_H

#include "base.h"
#include "host.h"

struct uv_loop_s;
struct agent;

#define AGENT_PORT 8328
#define AGENT_NAME_MAX 253
/* How long an answer may take, and how often it is asked. */
#define AGENT_TIMEOUT_MS 500
#define AGENT_TRIES 2

/* Called once, from the loop and never from inside agent_ask: the address, or NULL and
 * why there is none, as in "the name agent WHY". */
typedef void agent_done_fn(void *arg, const union host_address *found, socklen_t len, const char *why);

/* Asks the agent at a port for a name of up to AGENT_NAME_MAX bytes, without comma.
 * Answers to other questions and what makes no sense are passed over. Returns a handle
 * that is good until done is called; NULL: no memory. */
struct agent *agent_ask(struct uv_loop_s *loop, int port, const char *name, agent_done_fn *done, void *arg);

/* done will not be called. The loop has to run once more to let go of it. */
void agent_cancel(struct agent *a);

#endif
