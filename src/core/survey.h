/* Judging one look at the process table: take over what runs already, clean up what a
 * service left behind, start what is wanted and nowhere to be found, report the odd. */
#ifndef FM_SURVEY_H
#define FM_SURVEY_H

#include "monitor.h"

/* Acts on the table for every service that is fresh or seeks, and kills what is left of an earlier instance of those
 * that were started without such a look; with `audit` it also reports second copies, rests and lost processes of all
 * the others. 0, or the -errno (no memory, no descriptors) for which some could not be settled and wait for another
 * look. */
int survey_judge(struct monitor *m, const struct procfs_table *table, bool audit);

/* What a scan need not look at closely: the processes of services that were seen with
 * their marker before. For the caller to free; NULL: no memory. */
struct procfs_known *survey_known(const struct monitor *m, size_t *count);

/* There is no such table: the starts that waited for it go ahead, unseen. */
void survey_skip(struct monitor *m);

#endif
