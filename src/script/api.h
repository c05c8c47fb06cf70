/* What Lua can ask of C: the functions of the raw table, on which lua/fm puts the
 * calls that people use. All of them check their arguments; wrong use raises an error,
 * failed work returns nil and a message. */
#ifndef FM_API_H
#define FM_API_H

#include "scripts.h"

#include <lua.h>

#include <lauxlib.h>

/* Pushes the raw table. */
void api_push(struct lua_State *L, struct scripts *s);

/* luaL_error for functions that scripts reach through the library: the place is the script's. */
int api_error(struct lua_State *L, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The parts of it. */
extern const luaL_Reg api_service_functions[], api_task_functions[], api_outside_functions[];

/* Pushes how a process ended, as a table: what policies see as `exit` and `svc.last_exit`.
 * nil when it has not ended yet. */
struct service_exit;
void api_push_exit(struct lua_State *L, const struct service_exit *x);

/* Pushes a box for one piece of the heap, empty at first. What is in it when Lua collects it
 * is freed: so that an error raised in between loses nothing. */
char **api_hold(struct lua_State *L);

/* Pushes the value of a JSON text, nil for NULL. */
void api_push_json(struct lua_State *L, const char *text);

#endif
