/* The outside as it is: helper processes and HTTP on a libuv loop. */
#ifndef FM_OUTSIDE_UV_H
#define FM_OUTSIDE_UV_H

#include "outside.h"

struct uv_loop_s;

/* NULL when memory runs out. The caller frees it with outside_uv_free, before the loop is closed;
 * what is under way is cancelled. */
struct outside *outside_uv_new(struct uv_loop_s *loop);
void outside_uv_free(struct outside *o);

#endif
