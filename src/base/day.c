#include "day.h"

#include <time.h>

#define DAY_MS 86400000

void day_refresh_zone(void)
{
    tzset();
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t day_of(int64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
    struct tm tm;
    return localtime_r(&s, &tm) ? from_civil((int64_t)tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) : 0;
}

int64_t day_next_ms(int64_t now_ms)
{
    int64_t today = day_of(now_ms), same = now_ms, other = now_ms + 2 * (int64_t)DAY_MS;
    while (other - same > 1) {
        int64_t middle = same + (other - same) / 2;
        if (day_of(middle) == today)
            same = middle;
        else
            other = middle;
    }
    return other;
}

/* The date as strftime wants it, at noon, which every zone has. */
static void to_tm(int64_t day, struct tm *tm)
{
    time_t s = (time_t)(day * (DAY_MS / 1000) + DAY_MS / 2000);
    gmtime_r(&s, tm);
    tm->tm_isdst = -1;
}

int64_t day_last_ms(int64_t day)
{
    struct tm tm;
    to_tm(day, &tm);
    return day_next_ms((int64_t)mktime(&tm) * 1000) - 1;
}

size_t day_name(int64_t day, const char *format, char *out, size_t size)
{
    struct tm tm;
    to_tm(day, &tm);
    mktime(&tm); /* the zone, for %Z; noon stays noon */
    return strftime(out, size, format, &tm);
}
