/* Commands that scripts define, in the registry: between a request and its run in Lua. */
#ifndef FM_SCRIPTED_H
#define FM_SCRIPTED_H

#include "command.h"
#include "request.h"

struct scripts;

/* Has the admin port know the commands of these scripts instead of those of before (NULL:
 * none), and ask their fm.authorize. 0, or -ENOMEM: nothing has changed. */
int scripted_set(struct admin *admin, struct scripts *scripts);

/* What fm.authorize says of a request that is about to be run; false with the reason. */
bool scripted_authorize(struct request *r, struct err *err);

#endif
