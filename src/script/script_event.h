/* Events on their way to the handlers of scripts (fm.on), and tasks that wait for a
 * service to reach a state. Both listen to the journal; nothing of Lua runs until the
 * runner's turn. */
#ifndef FM_SCRIPT_EVENT_H
#define FM_SCRIPT_EVENT_H

#include "scripts.h"

/* Listens; lets go and forgets what has not been delivered. */
void script_event_start(struct scripts *s);
void script_event_stop(struct scripts *s);

/* Pushes an event as scripts see it. service NULL: the monitor's own. */
void script_event_push(struct lua_State *L, const char *service, const struct event *e);

/* Functions of the raw table: subscribe(kind), wait_state(name, state, timeout). */
int script_event_subscribe(struct lua_State *L);
int script_event_wait_state(struct lua_State *L);

#endif
