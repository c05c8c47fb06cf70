/* What the processes in the case of a test do: end, hang, write, behave. */
#ifndef FM_SIMBEHAVE_H
#define FM_SIMBEHAVE_H

#include <lua.h>

#include <lauxlib.h>

/* For simop_push. */
extern const luaL_Reg simbehave_functions[];

#endif
