/* The restart policies of scripts, asked through the core's hook. */
#ifndef FM_DECIDE_H
#define FM_DECIDE_H

#include "monitor.h"

struct lua_State;

/* monitor_hooks.decide; arg is a struct scripts. A policy that raises an error or takes too
 * long is logged, and the core's own answers: the decision's reason says so. */
bool decide_hook(void *arg, struct service *s, const struct service_exit *exit, struct decision *out);

/* Functions of the raw table: restart(after, reason), stop(reason), fail(reason). What a policy
 * returns: kind, after, reason, and where it was made. */
int decide_restart(struct lua_State *L);
int decide_stop(struct lua_State *L);
int decide_fail(struct lua_State *L);

#endif
