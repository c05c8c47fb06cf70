/* Cron expressions: which minutes of the local calendar are meant, and when the next one is. */
#ifndef FM_CRON_H
#define FM_CRON_H

#include "base.h"
#include "err.h"

/* What cron_parse read. Plain data, no ownership. Bit n of a set stands for the number n. */
struct cron {
    uint64_t minutes;  /* 0-59 */
    uint32_t hours;    /* 0-23 */
    uint32_t days;     /* 1-31 */
    uint32_t months;   /* 1-12 */
    uint32_t weekdays; /* 0-6, 0 is Sunday */
    bool either_day;   /* day of month and day of week are both restricted: one of them is enough */
    bool fixed;        /* runs at times of the clock; otherwise by minutes that really pass */
};

/* Reads "minute hour day-of-month month day-of-week", or one of @hourly @daily @midnight @weekly @monthly @yearly
 * @annually. A field is a list of *, numbers, names (jan-dec, sun-sat), ranges, and ranges with a step (0-30/10); 7 is
 * Sunday too, also at the end of a range (fri-sun).
 *
 * As in crontab(5) of Vixie's cron: when both day fields are restricted, a day that fits either of them is meant; a
 * field that begins with "*", a step included, is not restricted, and then a day must fit both.
 *
 * False with a message that names the field, also for an expression that never comes (30 February). */
bool cron_parse(struct cron *c, const char *text, struct err *err);

/* The first time after `after_wall_ms` that is meant, in milliseconds since 1970; local time is that of the process
 * (TZ). -1: there is none (only where every such minute is skipped by the clock for decades).
 *
 * When the clock is changed, the rule is that of cron(8) by Vixie and ISC, without its limit of three hours:
 * - Jobs whose minute or hour field begins with "*" go by minutes that really pass. What the clock skips does not
 *   happen, what it repeats happens again.
 * - All others run at times of the clock. What it skips is made up for at once when it has jumped (once, however many
 *   times were skipped); what it repeats is not run again. */
int64_t cron_next(const struct cron *c, int64_t after_wall_ms);

#endif
