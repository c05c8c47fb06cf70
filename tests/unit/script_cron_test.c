/* Cron expressions: what is read, when the next time is, and that a slow walk from minute to minute agrees. */
#include "cron.h"

#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Zones with the rule they follow, for where there is no zone database. */
static const struct zone {
    const char *name, *rule;
    int year; /* whose changes are walked through */
} zones[] = {
    {"Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3", 2024},
    {"America/New_York", "EST5EDT,M3.2.0,M11.1.0", 2025},
    {"Australia/Lord_Howe", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 2024}, /* half an hour */
    {"America/Sao_Paulo", "<-03>3<-02>,M10.3.0/0,M2.3.0/0", 2017},         /* midnight is skipped and repeated */
    {"Asia/Shanghai", "CST-8", 2023},
    {"UTC", "UTC0", 2100}, /* no leap year */
};

static bool use_zone(const char *name, const char *rule)
{
    char path[128];
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    bool known = !access(path, R_OK);
    setenv("TZ", known || !rule ? name : rule, 1);
    tzset();
    return known;
}

static int teardown(void **state)
{
    (void)state;
    unsetenv("TZ");
    tzset();
    return 0;
}

static int64_t utc(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
    assert_true(end && !*end);
    return (int64_t)timegm(&tm) * 1000;
}

static void parse(struct cron *c, const char *text)
{
    struct err err = {0};
    if (!cron_parse(c, text, &err))
        fail_msg("%s: %s", text, err.text);
}

/* ---- what is read ---- */

static void sets_are_read(void **state)
{
    (void)state;
    struct cron c;
    parse(&c, "5,10-12,40-59/10 */8 1,15 jan-mar,DEC Mon-fri");
    assert_true(c.minutes == (1ULL << 5 | 7ULL << 10 | 1ULL << 40 | 1ULL << 50));
    assert_int_equal(c.hours, 1 | 1 << 8 | 1 << 16);
    assert_int_equal(c.days, 1 << 1 | 1 << 15);
    assert_int_equal(c.months, 7 << 1 | 1 << 12);
    assert_int_equal(c.weekdays, 0x1f << 1);
    assert_true(c.either_day);
    assert_false(c.fixed);
    parse(&c, "  0\t3   *  * \t * ");
    assert_int_equal(c.minutes, 1);
    assert_int_equal(c.hours, 8);
    assert_true(c.days == 0xfffffffe);
    assert_int_equal(c.months, 0x1ffe);
    assert_int_equal(c.weekdays, 0x7f);
    assert_false(c.either_day);
    assert_true(c.fixed);
}

static void sunday_has_three_names(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        unsigned days;
    } cases[] = {{"0", 1},          {"7", 1},          {"sun", 1},        {"SUN", 1},   {"0-7", 0x7f}, {"5-7", 0x61},
                 {"fri-sun", 0x61}, {"sun-sat", 0x7f}, {"sat-sun", 0x41}, {"*/7", 0x1}, {"*/2", 0x55}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[32];
        struct cron c;
        snprintf(text, sizeof text, "0 0 * * %s", cases[i].field);
        parse(&c, text);
        assert_int_equal(c.weekdays, cases[i].days);
    }
}

static void nicknames_stand_for_fields(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"},   {" @Weekly ", "0 0 * * 0"},
        {"@monthly", "0 0 1 * *"}, {"@YEARLY", "0 0 1 1 *"}, {"@annually\t", "0 0 1 1 *"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron a = {0}, b = {0};
        parse(&a, cases[i][0]);
        parse(&b, cases[i][1]);
        assert_true(a.minutes == b.minutes);
        assert_true(a.hours == b.hours && a.days == b.days && a.months == b.months && a.weekdays == b.weekdays);
        assert_true(a.either_day == b.either_day && a.fixed == b.fixed);
    }
}

static void mistakes_are_told_with_the_field(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "minute: the field is missing; there must be five: minute, hour, day of month, month, day of week"},
        {"0 3",
         "day of month: the field is missing; there must be five: minute, hour, day of month, month, day of week"},
        {"60 * * * *", "minute \"60\": 60 is not between 0 and 59"},
        {"* 24 * * *", "hour \"24\": 24 is not between 0 and 23"},
        {"* * 0 * *", "day of month \"0\": 0 is not between 1 and 31"},
        {"* * * 13 *", "month \"13\": 13 is not between 1 and 12"},
        {"* * * * 8", "day of week \"8\": 8 is not between 0 and 7"},
        {"99999999999999999999 * * * *",
         "minute \"99999999999999999999\": 99999999999999999999 is not between 0 and 59"},
        {"-1 * * * *", "minute \"-1\": a value is missing"},
        {"1,,2 * * * *", "minute \"1,,2\": a value is missing"},
        {"1, * * * *", "minute \"1,\": a value is missing"},
        {"1- * * * *", "minute \"1-\": a value is missing"},
        {"x * * * *", "minute \"x\": \"x\" is no number"},
        {"0 0 * foo *", "month \"foo\": \"foo\" is no number and no name"},
        {"0 0 * january *", "month \"january\": \"january\" is no number and no name"},
        {"0 0 * * jan", "day of week \"jan\": \"jan\" is no number and no name"},
        {"0 0 L * *", "day of month \"L\": \"L\" is no number"},
        {"0 22-6 * * *", "hour \"22-6\": the range runs backwards"},
        {"0 0 * dec-feb *", "month \"dec-feb\": the range runs backwards"},
        {"*/0 * * * *", "minute \"*/0\": the step: 0 is not between 1 and 60"},
        {"*/61 * * * *", "minute \"*/61\": the step: 61 is not between 1 and 60"},
        {"*/ * * * *", "minute \"*/\": the step is missing"},
        {"5/15 * * * *", "minute \"5/15\": a step needs a range, such as 5-59/15"},
        {"*5 * * * *", "minute \"*5\": \"5\" is not understood"},
        {"5x * * * *", "minute \"5x\": \"x\" is not understood"},
        {"1-2-3 * * * *", "minute \"1-2-3\": \"-3\" is not understood"},
        {"0 0 * * * root", "\"root\" follows the five fields"},
        {"@reboot", "\"@reboot\" is not known; there are @hourly @daily @midnight @weekly @monthly @yearly @annually"},
        {"@daily 5", "nothing may stand after @daily"},
        {"0 0 30 2 *", "\"0 0 30 2 *\" never comes: no such month has such a day"},
        {"0 0 31 4,6,9,11 *", "\"0 0 31 4,6,9,11 *\" never comes: no such month has such a day"},
        {"0 0 30-31 feb */2", "\"0 0 30-31 feb */2\" never comes: no such month has such a day"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron c;
        struct err err = {0};
        if (cron_parse(&c, cases[i][0], &err))
            fail_msg("\"%s\" was taken", cases[i][0]);
        assert_string_equal(err.text, cases[i][1]);
    }
}

static void long_text_is_no_trouble(void **state)
{
    (void)state;
    static char text[20000];
    struct cron c;
    struct err err = {0};
    memset(text, '1', sizeof text - 1);
    assert_false(cron_parse(&c, text, &err));
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "1,", 2);
    assert_false(cron_parse(&c, text, &err));
    memcpy(text + 16000, "1 * * * *", sizeof "1 * * * *");
    parse(&c, text);
    assert_int_equal(c.minutes, 2);
}

/* ---- known times ---- */

static void known_times(void **state)
{
    (void)state;
    /* All in UTC; the zone is that of the clock. */
    static const struct {
        const char *zone, *text, *after, *next;
    } cases[] = {
        {"UTC", "* * * * *", "2024-01-01 00:00:00", "2024-01-01 00:01:00"},
        {"UTC", "* * * * *", "2023-12-31 23:59:59", "2024-01-01 00:00:00"},
        {"UTC", "0 3 * * *", "2024-01-01 03:00:00", "2024-01-02 03:00:00"},
        {"UTC", "0 3 * * *", "2024-01-01 02:59:59", "2024-01-01 03:00:00"},
        {"UTC", "0 0 29 2 *", "2024-02-29 00:00:00", "2028-02-29 00:00:00"},
        {"UTC", "0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"},
        {"UTC", "0 0 29 2 */7", "2088-03-01 00:00:00", "2128-02-29 00:00:00"},
        {"UTC", "0 0 31 * *", "2024-03-31 12:00:00", "2024-05-31 00:00:00"},
        /* Both days restricted: one is enough. A field that begins with a star is not restricted: both must fit. */
        {"UTC", "0 0 13 * fri", "2024-09-13 00:00:00", "2024-09-20 00:00:00"},
        {"UTC", "0 0 13 * fri", "2024-10-11 00:00:00", "2024-10-13 00:00:00"},
        {"UTC", "0 0 */13 * fri", "2024-09-01 00:00:00", "2024-09-27 00:00:00"},
        {"UTC", "0 0 30 2 mon", "2024-02-01 00:00:00", "2024-02-05 00:00:00"},
        {"Asia/Shanghai", "@daily", "2024-01-01 00:00:00", "2024-01-01 16:00:00"},
        /* 02:00 becomes 03:00 at 01:00 UTC: a fixed job is made up for at once, the others see no such minute. */
        {"Europe/Berlin", "30 2 * * *", "2024-03-30 12:00:00", "2024-03-31 01:00:00"},
        {"Europe/Berlin", "30 2 * * *", "2024-03-31 01:00:00", "2024-04-01 00:30:00"},
        {"Europe/Berlin", "0,30 2,3 * * *", "2024-03-31 00:59:59", "2024-03-31 01:00:00"},
        {"Europe/Berlin", "0,30 2,3 * * *", "2024-03-31 01:00:00", "2024-03-31 01:30:00"},
        {"Europe/Berlin", "30 * * * *", "2024-03-31 00:30:00", "2024-03-31 01:30:00"},
        {"Europe/Berlin", "*/30 2 * * *", "2024-03-31 00:00:00", "2024-04-01 00:00:00"},
        {"Europe/Berlin", "0 */2 * * *", "2024-03-30 23:00:00", "2024-03-31 02:00:00"},
        /* 03:00 becomes 02:00 at 01:00 UTC: a fixed job runs at the first of the two, the others at both. */
        {"Europe/Berlin", "30 2 * * *", "2024-10-26 12:00:00", "2024-10-27 00:30:00"},
        {"Europe/Berlin", "30 2 * * *", "2024-10-27 00:30:00", "2024-10-28 01:30:00"},
        {"Europe/Berlin", "30 2 * * *", "2024-10-27 01:10:00", "2024-10-28 01:30:00"},
        {"Europe/Berlin", "0 3 * * *", "2024-10-27 01:10:00", "2024-10-27 02:00:00"},
        {"Europe/Berlin", "30 * * * *", "2024-10-27 00:30:00", "2024-10-27 01:30:00"},
        {"Europe/Berlin", "*/30 2 * * *", "2024-10-27 00:30:00", "2024-10-27 01:00:00"},
        {"Europe/Berlin", "*/30 2 * * *", "2024-10-27 01:30:00", "2024-10-28 01:00:00"},
        /* Half an hour only: 02:00 becomes 02:30, and 02:00 becomes 01:30. */
        {"Australia/Lord_Howe", "15 2 * * *", "2024-10-05 15:29:00", "2024-10-05 15:30:00"},
        {"Australia/Lord_Howe", "45 1 * * *", "2024-04-06 14:45:00", "2024-04-07 15:15:00"},
        {"Australia/Lord_Howe", "45 * * * *", "2024-04-06 14:45:00", "2024-04-06 15:15:00"},
        /* The day begins at 01:00, and ends twice. */
        {"America/Sao_Paulo", "@daily", "2017-10-14 12:00:00", "2017-10-15 03:00:00"},
        {"America/Sao_Paulo", "@daily", "2017-10-15 03:00:00", "2017-10-16 02:00:00"},
        {"America/Sao_Paulo", "30 23 * * *", "2018-02-18 01:30:00", "2018-02-19 02:30:00"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron c;
        for (size_t z = 0; z < ARRAY_LEN(zones); z++)
            if (!strcmp(zones[z].name, cases[i].zone))
                use_zone(zones[z].name, zones[z].rule);
        parse(&c, cases[i].text);
        int64_t next = cron_next(&c, utc(cases[i].after));
        if (next != utc(cases[i].next))
            fail_msg("%s, %s after %s: %" PRId64 " instead of %s", cases[i].zone, cases[i].text, cases[i].after,
                     next / 1000, cases[i].next);
    }
}

static void milliseconds_are_minded(void **state)
{
    (void)state;
    struct cron c;
    use_zone("UTC", "UTC0");
    parse(&c, "* * * * *");
    assert_int_equal(cron_next(&c, 119999), 120000);
    assert_int_equal(cron_next(&c, 120000), 180000);
    assert_int_equal(cron_next(&c, 120001), 180000);
    assert_int_equal(cron_next(&c, -1), 0);
}

static void three_hours_of_minutes_are_not_run_again(void **state)
{
    (void)state;
    struct cron c;
    setenv("TZ", "AAA0BBB-3,M3.5.0/2,M10.5.0/3", 1); /* 03:00 becomes 00:00 at 00:00 UTC */
    tzset();
    parse(&c, "0-59 0-23 * * *");
    assert_int_equal(cron_next(&c, utc("2024-10-26 23:58:00")), utc("2024-10-26 23:59:00"));
    assert_int_equal(cron_next(&c, utc("2024-10-26 23:59:00")), utc("2024-10-27 03:00:00"));
    assert_int_equal(cron_next(&c, utc("2024-10-27 00:05:00")), utc("2024-10-27 03:00:00"));
}

static void a_day_that_never_was_is_made_up_for(void **state)
{
    (void)state;
    struct cron c;
    if (!use_zone("Pacific/Apia", NULL))
        skip();
    /* 29 December 2011 was followed by the 31st. */
    parse(&c, "0 3 30 12 *");
    assert_int_equal(cron_next(&c, utc("2011-12-29 12:00:00")), utc("2011-12-30 10:00:00"));
    parse(&c, "0 */3 30 12 *");
    assert_int_equal(cron_next(&c, utc("2011-12-29 12:00:00")), utc("2012-12-29 10:00:00"));
    parse(&c, "0 3 * * *");
    assert_int_equal(cron_next(&c, utc("2011-12-29 13:00:00")), utc("2011-12-30 10:00:00"));
    assert_int_equal(cron_next(&c, utc("2011-12-30 10:00:00")), utc("2011-12-30 13:00:00"));
}

/* ---- against a slow walk ---- */

static uint32_t seed;

static int pick(int n)
{
    seed = seed * 1664525 + 1013904223;
    return (int)((uint64_t)seed * (uint32_t)n >> 32);
}

/* A field made up together with what it means, so that nothing is learnt from cron.c. */
struct made {
    bool set[64], star;
    char text[128];
};

static void add_part(struct made *m, int low, int high)
{
    char *end = m->text + strlen(m->text);
    size_t room = sizeof m->text - strlen(m->text);
    int from = low + pick(high - low + 1), to = from + pick(high - from + 1), step = 1 + pick(6);
    switch (pick(4)) {
    case 0:
        to = from;
        step = 1;
        snprintf(end, room, "%d", from);
        break;
    case 1:
        step = 1;
        snprintf(end, room, "%d-%d", from, to);
        break;
    case 2:
        snprintf(end, room, "%d-%d/%d", from, to, step);
        break;
    default:
        from = low;
        to = high;
        snprintf(end, room, "*/%d", step);
        m->star = m->star || end == m->text;
    }
    for (int v = from; v <= to; v += step)
        m->set[v] = true;
}

static void make_field(struct made *m, int low, int high, int stars)
{
    *m = (struct made){0};
    if (pick(100) < stars) {
        m->star = true;
        strcpy(m->text, "*");
        for (int v = low; v <= high; v++)
            m->set[v] = true;
        return;
    }
    int parts = 1 + pick(3);
    for (int i = 0; i < parts; i++) {
        if (i)
            strcat(m->text, ",");
        add_part(m, low, high);
    }
}

struct made_cron {
    struct made minute, hour, day, month, weekday;
    char text[700];
};

static void make_cron(struct made_cron *m)
{
    make_field(&m->minute, 0, 59, 15);
    make_field(&m->hour, 0, 23, 30);
    make_field(&m->day, 1, 31, 60);
    make_field(&m->month, 1, 12, 80);
    make_field(&m->weekday, 0, 6, 60);
    snprintf(m->text, sizeof m->text, "%s %s %s %s %s", m->minute.text, m->hour.text, m->day.text, m->month.text,
             m->weekday.text);
}

static bool fits(const struct made_cron *m, const struct tm *tm)
{
    bool day = m->day.set[tm->tm_mday], weekday = m->weekday.set[tm->tm_wday];
    return m->minute.set[tm->tm_min] && m->hour.set[tm->tm_hour] && m->month.set[tm->tm_mon + 1] &&
           (m->day.star || m->weekday.star ? day && weekday : day || weekday);
}

/* Some days, minute by minute. */
#define LEAD (3 * 1440) /* for what the clock showed before */
#define WALKED (8 * 1440)
static struct {
    int64_t start;
    struct tm tm[LEAD + WALKED];
    int64_t shown[LEAD + WALKED];
    bool due[LEAD + WALKED];
} walk;

static void walk_to(int64_t start)
{
    walk.start = start;
    for (int i = 0; i < LEAD + WALKED; i++) {
        time_t t = (time_t)(start + (int64_t)(i - LEAD) * 60);
        localtime_r(&t, &walk.tm[i]);
        struct tm as_utc = walk.tm[i];
        walk.shown[i] = timegm(&as_utc) / 60;
    }
}

static void mark_due(const struct made_cron *m)
{
    bool fixed = !m->minute.star && !m->hour.star;
    int64_t latest = walk.shown[0];
    for (int i = 1; i < LEAD + WALKED; i++) {
        walk.due[i] = !fixed && fits(m, &walk.tm[i]);
        for (; fixed && latest < walk.shown[i]; latest++) {
            struct tm tm;
            time_t t = (time_t)((latest + 1) * 60);
            gmtime_r(&t, &tm);
            walk.due[i] = walk.due[i] || fits(m, &tm);
        }
    }
}

/* The first time after `after` that the walk found; INT64_MAX: it has none. */
static int64_t slow_next(int64_t after)
{
    for (int64_t i = LEAD + (after - walk.start) / 60; i < LEAD + WALKED; i++)
        if (walk.due[i] && walk.start + (i - LEAD) * 60 > after)
            return walk.start + (i - LEAD) * 60;
    return INT64_MAX;
}

static void compare(const struct made_cron *m, const struct cron *c, int64_t after)
{
    int64_t slow = slow_next(after), fast = cron_next(c, after * 1000 + pick(1000)) / 1000;
    bool same = slow == INT64_MAX ? fast >= walk.start + WALKED * 60 : slow == fast;
    if (!same)
        fail_msg("TZ=%s \"%s\" after %" PRId64 ": %" PRId64 ", the walk found %" PRId64, getenv("TZ"), m->text, after,
                 fast, slow);
}

static void walk_through(int64_t middle, int expressions)
{
    walk_to(middle / 60 * 60 - WALKED / 2 * 60);
    for (int n = 0; n < expressions; n++) {
        struct made_cron m;
        struct cron c;
        make_cron(&m);
        if (!cron_parse(&c, m.text, NULL)) /* a 30 February: rare, and judged elsewhere */
            continue;
        mark_due(&m);
        /* Every minute around the middle, as that is where the clock is changed; single seconds elsewhere. */
        for (int64_t t = middle - 4 * 3600; t < middle + 4 * 3600; t += 60 * (1 + pick(20)))
            compare(&m, &c, t);
        for (int i = 0; i < 20; i++)
            compare(&m, &c, walk.start + pick(WALKED * 60));
    }
}

static void a_slow_walk_agrees(void **state)
{
    (void)state;
    seed = 20240229;
    for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
        use_zone(zones[z].name, zones[z].rule);
        struct tm first = {.tm_year = zones[z].year - 1900, .tm_mday = 1};
        int64_t start = timegm(&first);
        struct tm tm;
        long offset = LONG_MIN;
        int changes = 0;
        for (int64_t t = start; t < start + 366 * 86400; t += 1800) {
            time_t s = (time_t)t;
            localtime_r(&s, &tm);
            if (offset != LONG_MIN && tm.tm_gmtoff != offset) {
                walk_through(t, 150);
                changes++;
            }
            offset = tm.tm_gmtoff;
        }
        assert_int_equal(changes, strchr(zones[z].rule, ',') ? 2 : 0);
        walk_through(start, 60);              /* the turn of the year */
        walk_through(start + 59 * 86400, 60); /* the end of February */
    }
}

static void years_of_days_agree(void **state)
{
    (void)state;
    seed = 4711;
    /* Days far apart: one time a day, looked for day by day. */
    use_zone("UTC", "UTC0");
    for (int n = 0; n < 2000; n++) {
        struct made_cron m;
        struct cron c;
        make_field(&m.minute, 0, 0, 0);
        make_field(&m.hour, 0, 0, 0);
        make_field(&m.day, 1, 31, 20);
        make_field(&m.month, 1, 12, 20);
        make_field(&m.weekday, 0, 6, 50);
        snprintf(m.text, sizeof m.text, "0 0 %s %s %s", m.day.text, m.month.text, m.weekday.text);
        m.minute.set[0] = m.hour.set[0] = true;
        int64_t after = (int64_t)pick(50000) * 86400, slow = after;
        struct tm tm;
        bool known = cron_parse(&c, m.text, NULL);
        do {
            slow += 86400;
            time_t s = (time_t)slow;
            gmtime_r(&s, &tm);
        } while (!fits(&m, &tm) && slow < after + 45LL * 366 * 86400);
        assert_int_equal(known, fits(&m, &tm));
        if (known)
            assert_int_equal(cron_next(&c, after * 1000), slow * 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_read),
        cmocka_unit_test(sunday_has_three_names),
        cmocka_unit_test(nicknames_stand_for_fields),
        cmocka_unit_test(mistakes_are_told_with_the_field),
        cmocka_unit_test(long_text_is_no_trouble),
        cmocka_unit_test_teardown(known_times, teardown),
        cmocka_unit_test_teardown(milliseconds_are_minded, teardown),
        cmocka_unit_test_teardown(three_hours_of_minutes_are_not_run_again, teardown),
        cmocka_unit_test_teardown(a_day_that_never_was_is_made_up_for, teardown),
        cmocka_unit_test_teardown(a_slow_walk_agrees, teardown),
        cmocka_unit_test_teardown(years_of_days_agree, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
