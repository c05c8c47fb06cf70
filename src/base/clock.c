#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

int64_t clock_coarse_ms(void)
{
    return read_ms(CLOCK_MONOTONIC_COARSE);
}

int64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

void clock_text(int64_t wall_ms, char out[CLOCK_TEXT_SIZE])
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    localtime_r(&s, &tm);
    size_t n = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out + n, CLOCK_TEXT_SIZE - n, ".%03d", (int)(wall_ms % 1000));
}

void clock_duration(int64_t ms, char out[CLOCK_DURATION_SIZE])
{
    if (ms < 0)
        ms = 0;
    int64_t s = ms / 1000;
    if (ms < 100)
        snprintf(out, CLOCK_DURATION_SIZE, "%" PRId64 " ms", ms);
    else if (ms < 10000)
        snprintf(out, CLOCK_DURATION_SIZE, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    else if (s < 60)
        snprintf(out, CLOCK_DURATION_SIZE, "%" PRId64 " s", s);
    else if (s < 3600)
        snprintf(out, CLOCK_DURATION_SIZE, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, CLOCK_DURATION_SIZE, "%" PRId64 " h %" PRId64 " min", s / 3600, s % 3600 / 60);
    else
        snprintf(out, CLOCK_DURATION_SIZE, "%" PRId64 " d %" PRId64 " h", s / 86400, s % 86400 / 3600);
}
