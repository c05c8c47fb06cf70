/* lua.autoreload: a changed script, or conf.json, is read by itself. */
#ifndef FM_AUTORELOAD_H
#define FM_AUTORELOAD_H

#include "command.h"

struct autoreload;
struct uv_loop_s;

/* Watches HOME/lua, its modules' folders not, and HOME/conf for as long as the admin's
 * configuration says so (autoreload_follow). NULL when memory runs out. Closed before the loop. */
struct autoreload *autoreload_new(struct uv_loop_s *loop, struct admin *admin);
void autoreload_free(struct autoreload *a);

/* The configuration may have changed: begins or ends watching as it says. */
void autoreload_follow(struct autoreload *a);

#endif
