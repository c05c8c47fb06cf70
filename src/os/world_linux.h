/* The real world: processes of this host, on a libuv loop. */
#ifndef FM_WORLD_LINUX_H
#define FM_WORLD_LINUX_H

#include "world.h"

struct uv_loop_s;

/* Makes the world on that loop; NULL with *error = -errno. One per program. The
 * caller frees it with world_linux_free, before the loop is closed. */
struct world *world_linux_new(struct uv_loop_s *loop, int *error);

/* Closes its handles (run the loop once more for them to go) and frees it. */
void world_linux_free(struct world *w);

#endif
