/* The clocks of the machine, in milliseconds. */
#ifndef FM_CLOCK_H
#define FM_CLOCK_H

#include "base.h"

/* Milliseconds since boot, sleep included (CLOCK_BOOTTIME, the clock that
 * process start times in /proc count in). For every other interval than those of
 * clock_coarse_ms. Never goes back. */
int64_t clock_mono_ms(void);

/* Milliseconds since boot without sleep, up to a tick of the kernel (10 ms) behind (CLOCK_MONOTONIC_COARSE). A tenth of
 * the cost of the others; for what is noted with every request, for limits of tenths of a second and more. Not to be
 * mixed with clock_mono_ms. */
int64_t clock_coarse_ms(void);

/* Milliseconds since 1970 (CLOCK_REALTIME). Only for what a person reads and
 * for file names: it may jump. */
int64_t clock_wall_ms(void);

#define CLOCK_TEXT_SIZE 24
/* Local time of a wall clock value as "2026-11-22 14:02:11.123". */
void clock_text(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]);

#define CLOCK_DURATION_SIZE 32
/* A length of time for a person: "5 ms", "0.2 s", "14 s", "3 min 5 s", "2 h 10 min", "5 d 3 h". */
void clock_duration(int64_t ms, char out[CLOCK_DURATION_SIZE]);

#endif
