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

/* For how long the oldest work off the loop has been under way; 0: none is. A thread that waits for a disk that does
 * not answer can't be ended, and neither can a process that has one. */
int64_t world_linux_busy_ms(struct world *w);

#endif
