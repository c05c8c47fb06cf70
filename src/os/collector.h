/* The clog collector: the monitor's own log, sent by UDP, a datagram each line:
 *   NAME,logerr,LOCALIP,,text          (logdbg, logwar, logerr, loginfo)
 * A text past 65,000 bytes goes in several, each with the head.
 *
 * Nothing here waits. The address is looked up beside the loop and kept; it is looked up
 * again every refresh_ms, sooner when that failed or nobody takes the lines. Lines said
 * before it is known are kept, up to COLLECTOR_KEEP_BYTES. What is lost is counted, and
 * told when lines get through again. What is wrong is said once, on stderr. */
#ifndef FM_COLLECTOR_H
#define FM_COLLECTOR_H

#include "base.h"
#include "clog.h"
#include "resolve.h"

struct uv_loop_s;
struct collector;

#define COLLECTOR_PORT 28702 /* where an address without port is not the name agent's */
#define COLLECTOR_TEXT_MAX 65000
#define COLLECTOR_KEEP_BYTES 65536
#define COLLECTOR_NAME_MAX 255

struct collector_setup {
    const char *name; /* the first field: up to COLLECTOR_NAME_MAX bytes, no comma */
    const char *addr; /* as resolve_parse takes it */
    struct resolve_ports ports;
    int64_t refresh_ms; /* the address is looked up again after this */
    int64_t retry_ms;   /* … after a failure, then after twice as long, up to refresh_ms */
    int64_t quiet_ms;   /* so long without an error: it takes lines again */
};

/* What the monitor uses. */
#define COLLECTOR_SETUP                                                                                                \
    .ports = {.agent = AGENT_PORT, .dns = COLLECTOR_PORT}, .refresh_ms = 60000, .retry_ms = 1000, .quiet_ms = 5000

/* Makes one that sends nowhere yet. NULL: no memory. */
struct collector *collector_new(struct uv_loop_s *loop);

/* Sends as the setup says from now on (copied); NULL: to nobody. false: the address is none. */
bool collector_configure(struct collector *c, const struct collector_setup *setup);

/* For clog_attach. */
struct clog_sink *collector_sink(struct collector *c);

/* Says what never got through. The loop has to run once more to let go of it. */
void collector_free(struct collector *c);

#endif
