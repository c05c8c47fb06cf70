#include "cron.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#define MINUTE_S 60
#define HOUR_S 3600
/* No clock was ever changed by more than a day (islands that moved across the date line), and never twice in such a
 * span. So whether and when it is changed can be told from what it shows at both ends. */
#define SPAN_S (26 * HOUR_S)
/* 29 February falls on a given weekday at least every 40 years. */
#define SEARCH_MONTHS (12 * 48)
/* How many matches in a row may fall into minutes that the clock skips. */
#define SEARCH_MATCHES 100

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

enum { FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELDS };

static const struct field {
    const char *name;
    int low, high;
    const char *const *names; /* of low, low + 1 … */
    size_t nnames;
} fields[FIELDS] = {
    [FIELD_MINUTE] = {.name = "minute", .low = 0, .high = 59},
    [FIELD_HOUR] = {.name = "hour", .low = 0, .high = 23},
    [FIELD_DAY] = {.name = "day of month", .low = 1, .high = 31},
    [FIELD_MONTH] = {.name = "month", .low = 1, .high = 12, .names = month_names, .nnames = ARRAY_LEN(month_names)},
    [FIELD_WEEKDAY] =
        {.name = "day of week", .low = 0, .high = 7, .names = weekday_names, .nnames = ARRAY_LEN(weekday_names)},
};

static const struct {
    const char *name, *text;
} nicknames[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

#define BLANKS " \t"

/* Reads a run of digits; false when it is not between low and high. */
static bool read_number(const char **p, int low, int high, int *out, struct err *err)
{
    const char *s = *p;
    size_t len = strspn(s, "0123456789");
    int n = 0;
    for (size_t i = 0; i < len && n <= high; i++)
        n = n * 10 + (s[i] - '0');
    if (n < low || n > high)
        return err_set(err, "%.*s is not between %d and %d", (int)MIN(len, 20), s, low, high);
    *p = s + len;
    *out = n;
    return true;
}

static bool read_value(const struct field *f, const char **p, int *out, struct err *err)
{
    const char *s = *p;
    if (*s >= '0' && *s <= '9')
        return read_number(p, f->low, f->high, out, err);
    size_t len = strcspn(s, BLANKS ",-/");
    for (size_t i = 0; i < f->nnames; i++)
        if (len == strlen(f->names[i]) && !strncasecmp(s, f->names[i], len)) {
            *p = s + len;
            *out = f->low + (int)i;
            return true;
        }
    if (len == 0)
        return err_set(err, "a value is missing");
    return err_set(err, "\"%.*s\" is no number%s", (int)MIN(len, 20), s, f->nnames ? " and no name" : "");
}

/* One part of a list: *, a value, a range, each range perhaps with a step. */
static bool read_part(const struct field *f, const char **p, uint64_t *set, struct err *err)
{
    int from = f->low, to = f->high, step = 1;
    bool single = false;
    if (**p == '*') {
        (*p)++;
    } else {
        if (!read_value(f, p, &from, err))
            return false;
        to = from;
        single = **p != '-';
        if (!single) {
            (*p)++;
            if (!read_value(f, p, &to, err))
                return false;
            if (f == &fields[FIELD_WEEKDAY] && to == 0 && from > 0)
                to = 7;
        }
        if (to < from)
            return err_set(err, "the range runs backwards");
    }
    if (**p == '/') {
        (*p)++;
        if (single)
            return err_set(err, "a step needs a range, such as %d-%d/%.*s", from, f->high,
                           (int)strspn(*p, "0123456789"), *p);
        if (**p < '0' || **p > '9')
            return err_set(err, "the step is missing");
        if (!read_number(p, 1, f->high - f->low + 1, &step, err))
            return err_prefix(err, "the step");
    }
    for (int v = from; v <= to; v += step)
        *set |= 1ULL << v;
    return true;
}

/* Reads the field at *p up to the blank after it. */
static bool read_field(const struct field *f, const char **p, uint64_t *set, struct err *err)
{
    const char *start = *p;
    size_t len = strcspn(start, BLANKS);
    *set = 0;
    if (len == 0)
        return err_set(err,
                       "%s: the field is missing; there must be five: minute, hour, day of month, month, day of week",
                       f->name);
    for (;;) {
        if (!read_part(f, p, set, err))
            break;
        if (*p == start + len)
            return true;
        if (**p != ',') {
            err_set(err, "\"%.*s\" is not understood", (int)MIN((size_t)(start + len - *p), 20), *p);
            break;
        }
        (*p)++;
    }
    return err_prefix(err, "%s \"%.*s\"", f->name, (int)MIN(len, 200), start);
}

static bool expand_nickname(const char **text, struct err *err)
{
    size_t len = strcspn(*text, BLANKS);
    for (size_t i = 0; i < ARRAY_LEN(nicknames); i++)
        if (len == strlen(nicknames[i].name) && !strncasecmp(*text, nicknames[i].name, len)) {
            if ((*text)[len + strspn(*text + len, BLANKS)])
                return err_set(err, "nothing may stand after %s", nicknames[i].name);
            *text = nicknames[i].text;
            return true;
        }
    return err_set(err, "\"%.*s\" is not known; there are @hourly @daily @midnight @weekly @monthly @yearly @annually",
                   (int)MIN(len, 40), *text);
}

/* The days of the month that begins on first_wday and has len days. */
static uint32_t days_of_month(const struct cron *c, int first_wday, int len)
{
    uint64_t weeks = c->weekdays * (1ULL | 1ULL << 7 | 1ULL << 14 | 1ULL << 21 | 1ULL << 28 | 1ULL << 35);
    uint64_t by_week = weeks >> first_wday << 1;
    uint64_t days = c->either_day ? c->days | by_week : c->days & by_week;
    return (uint32_t)(days & ((2ULL << len) - 2));
}

/* The first minute of the day from `from` on, or -1. */
static int minute_of_day(const struct cron *c, int from)
{
    int hour = from / 60;
    uint64_t minutes = c->minutes >> (from % 60) << (from % 60);
    if ((c->hours >> hour & 1) && minutes)
        return hour * 60 + __builtin_ctzll(minutes);
    uint32_t hours = (uint32_t)((uint64_t)c->hours >> (hour + 1) << (hour + 1));
    return hours ? __builtin_ctz(hours) * 60 + __builtin_ctzll(c->minutes) : -1;
}

/* What the clock shows is counted here as if it were UTC, in minutes since 1970. The first such minute from `shown` on
 * that is meant, or -1. */
static int64_t match_from(const struct cron *c, int64_t shown)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm;
    time_t s = (time_t)(shown * MINUTE_S);
    if (!gmtime_r(&s, &tm))
        return -1;
    int day = tm.tm_mday, minute = tm.tm_hour * 60 + tm.tm_min;
    for (int n = 0; n < SEARCH_MONTHS; n++, day = 1, minute = 0) {
        int month = (tm.tm_mon + n) % 12;
        if (!(c->months >> (month + 1) & 1))
            continue;
        struct tm first = {.tm_year = tm.tm_year + (tm.tm_mon + n) / 12, .tm_mon = month, .tm_mday = 1};
        time_t start = timegm(&first);
        int year = first.tm_year + 1900;
        bool leap = month == 1 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        uint32_t days = days_of_month(c, first.tm_wday, lengths[month] + leap) >> day << day;
        for (; days; days &= days - 1) {
            int d = __builtin_ctz(days), m = minute_of_day(c, d == day ? minute : 0);
            if (m >= 0)
                return start / MINUTE_S + (int64_t)(d - 1) * 1440 + m;
        }
    }
    return -1;
}

bool cron_parse(struct cron *c, const char *text, struct err *err)
{
    uint64_t set[FIELDS];
    bool star[FIELDS];
    text += strspn(text, BLANKS);
    if (*text == '@' && !expand_nickname(&text, err))
        return false;
    const char *p = text;
    for (int i = 0; i < FIELDS; i++) {
        star[i] = *p == '*';
        if (!read_field(&fields[i], &p, &set[i], err))
            return false;
        p += strspn(p, BLANKS);
    }
    if (*p)
        return err_set(err, "\"%.40s\" follows the five fields", p);
    *c = (struct cron){.minutes = set[FIELD_MINUTE],
                       .hours = (uint32_t)set[FIELD_HOUR],
                       .days = (uint32_t)set[FIELD_DAY],
                       .months = (uint32_t)set[FIELD_MONTH],
                       .weekdays = (uint32_t)((set[FIELD_WEEKDAY] | set[FIELD_WEEKDAY] >> 7) & 0x7f),
                       .either_day = !star[FIELD_DAY] && !star[FIELD_WEEKDAY],
                       .fixed = !star[FIELD_MINUTE] && !star[FIELD_HOUR]};
    if (match_from(c, 0) < 0)
        return err_set(err, "\"%.100s\" never comes: no such month has such a day", text);
    return true;
}

/* Seconds that the local clock is ahead of UTC. */
static int64_t offset(int64_t t)
{
    struct tm tm;
    time_t s = (time_t)t;
    return localtime_r(&s, &tm) ? tm.tm_gmtoff : 0;
}

static int64_t shown_with(int64_t t, int64_t off)
{
    int64_t s = t + off;
    return s / MINUTE_S - (s % MINUTE_S < 0);
}

/* When the clock is changed, which happens once after `before` and not later than `after`. */
static int64_t change_between(int64_t before, int64_t after)
{
    int64_t off = offset(before);
    while (after - before > 1) {
        int64_t mid = before + (after - before) / 2;
        if (offset(mid) == off)
            before = mid;
        else
            after = mid;
    }
    return after;
}

/* The first time at which the clock shows this minute or, if it is skipped, a later one. */
static int64_t first_showing(int64_t shown)
{
    int64_t s = shown * MINUTE_S, before = s - SPAN_S, after = s + SPAN_S;
    int64_t off_before = offset(before), off_after = offset(after);
    if (off_before == off_after)
        return s - off_before;
    int64_t change = change_between(before, after);
    return s - off_before < change ? s - off_before : MAX(s - off_after, change);
}

/* Minutes that the clock has shown already, at this pass or an earlier one, are over. */
static int64_t next_fixed(const struct cron *c, int64_t after)
{
    int64_t off = offset(after), off_before = offset(after - SPAN_S);
    int64_t latest = shown_with(after, off);
    if (off_before > off)
        latest = MAX(latest, shown_with(change_between(after - SPAN_S, after) - 1, off_before));
    for (int n = 0; n < SEARCH_MATCHES; n++) {
        latest = match_from(c, latest + 1);
        int64_t t = latest < 0 ? -1 : first_showing(latest);
        if (t < 0 || t > after)
            return t;
    }
    return -1;
}

/* Goes from one change of the clock to the next one where there are any, in one step otherwise. */
static int64_t next_passing(const struct cron *c, int64_t after)
{
    int64_t off = offset(after), t = (shown_with(after, off) + 1) * MINUTE_S - off;
    for (int n = 0; n < SEARCH_MATCHES; n++) {
        off = offset(t);
        int64_t match = match_from(c, shown_with(t + MINUTE_S - 1, off));
        if (match < 0)
            return -1;
        int64_t at = match * MINUTE_S - off;
        if (offset(t + SPAN_S) != off) {
            int64_t change = change_between(t, t + SPAN_S);
            if (at < change)
                return at;
            t = change;
            continue;
        }
        if (at <= t + SPAN_S)
            return at;
        t = first_showing(match);
        if (shown_with(t, offset(t)) == match)
            return t;
    }
    return -1;
}

int64_t cron_next(const struct cron *c, int64_t after_wall_ms)
{
    int64_t after = after_wall_ms / 1000 - (after_wall_ms % 1000 < 0);
    int64_t t = c->fixed ? next_fixed(c, after) : next_passing(c, after);
    return t < 0 ? -1 : t * 1000;
}
