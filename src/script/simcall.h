/* Commands of scripts that the case of a test runs, and what fm.authorize says of them. */
#ifndef FM_SIMCALL_H
#define FM_SIMCALL_H

#include "simcase.h"

#include <lauxlib.h>

/* For simop_push. */
extern const luaL_Reg simcall_functions[];

/* Forgets them; once the scripts are gone. */
void simcall_free_all(struct simcase *c);

#endif
