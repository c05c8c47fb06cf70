/* Calendar days of the local time zone, as numbers that can be counted with: for the names
 * of files that belong to a day. */
#ifndef FM_DAY_H
#define FM_DAY_H

#include "base.h"

/* Looks again which time zone the host is in: it may be changed while we run. */
void day_refresh_zone(void);

/* The local date of a wall clock value, in days since 1970-01-01. */
int64_t day_of(int64_t wall_ms);

/* When (wall clock) the local date will be another one than at now_ms: the next midnight, or the
 * moment at which a change of summer time takes its place. Not more than 48 h later. */
int64_t day_next_ms(int64_t now_ms);

/* The last millisecond of the day that began or ended around its own midnight. */
int64_t day_last_ms(int64_t day);

/* The date put into a strftime format. Returns its length, 0 when it does not fit. */
size_t day_name(int64_t day, const char *format, char *out, size_t size);

#endif
