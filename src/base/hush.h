/* Says once what goes on and on.
 *
 * A trouble that lasts, or comes again and again, is worth a line when it begins and when
 * its cause changes; then only a reminder now and then, at growing intervals. Who writes
 * such lines keeps a struct hush beside what they are about and asks it first. */
#ifndef FM_HUSH_H
#define FM_HUSH_H

#include "base.h"

/* So many causes are told apart at a time. */
#define HUSH_CAUSES 6

/* A zeroed struct has said nothing yet. */
struct hush {
    struct hush_said {
        int64_t due_ms;   /* not said again before this */
        uint32_t hash;    /* of the cause; 0: free */
        uint16_t step;    /* which interval is running */
        uint16_t skipped; /* times since it was last said; no more than it can hold */
    } said[HUSH_CAUSES];
};

#define HUSH_MORE_SIZE 64

/* Is a line about this trouble to be written now? `cause` is what makes two of them the
 * same: it holds no pid, time or count. When it is, `more` becomes what to end the line
 * with: "", or how many were kept back since.
 *
 * The same cause is said again after 1, 5, 15 and then every 60 minutes, if it is still
 * there then. One that was not there for as long as its last interval is new. More than
 * HUSH_CAUSES at a time are not told apart: they wait until one of the others is due. */
bool hush_says(struct hush *h, const char *cause, int64_t now_ms, char more[HUSH_MORE_SIZE]);

/* Whatever comes next is new: somebody has done something about it. */
void hush_forget(struct hush *h);

#endif
