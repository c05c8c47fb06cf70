/* What the case of a test may ask of the simulation: functions for lua/fm/sim.lua. Each returns
 * true; false and why it has not come about; or nil and a mistake of the case, which is to be
 * raised there. */
#ifndef FM_SIMOP_H
#define FM_SIMOP_H

#include "simcase.h"

#include <lua.h>

/* Pushes the table of them. */
void simop_push(lua_State *L, struct simcase *c);

/* For such functions: whose it is. */
struct simcase *simop_case(lua_State *L);

/* A fresh ask. Raises when it is not the case itself that calls. */
struct simcase_ask *simop_ask(lua_State *L);

/* Suspends the case; `perform` is called outside of Lua, then `answered` goes on, such as simop_answer. */
int simop_suspend(lua_State *L, void (*perform)(struct simcase *c), lua_KFunction answered);
int simop_answer(lua_State *L, int status, lua_KContext context);

/* For `perform`: the service of that name, or NULL with a mistake. */
struct service *simop_service(struct simcase *c);

/* The argument, in seconds, as milliseconds. */
int64_t simop_ms(lua_State *L, int index);

#endif
