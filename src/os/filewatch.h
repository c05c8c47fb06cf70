/* Tells that a file may have changed: it was written to, cut, moved, made or replaced. By inotify,
 * on the file (a link's target) and on its folder. */
#ifndef FM_FILEWATCH_H
#define FM_FILEWATCH_H

#include "base.h"

struct uv_loop_s;
struct filewatch;

/* Watches nothing yet. `changed` is called from the loop. NULL: no memory. */
struct filewatch *filewatch_new(struct uv_loop_s *loop, const char *path, void (*changed)(void *arg), void *arg);

/* Its handles are gone after one more turn of the loop. NULL is allowed. */
void filewatch_free(struct filewatch *w);

/* From now on the next change is told, once: a file that is written to all the time costs no more
 * than who asks. What happened before is not told, so look at the file after this. false: it
 * can't be watched (no folder, no inotify left). */
bool filewatch_arm(struct filewatch *w);
void filewatch_disarm(struct filewatch *w);

#endif
