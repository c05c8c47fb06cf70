/* The monitor's own log. One line each on stderr:
 *   2026-11-22 14:02:11.123 [ERROR] text
 * Control characters are escaped, so that nothing from outside can forge a line. */
#ifndef FM_CLOG_H
#define FM_CLOG_H

#include "base.h"

/* The values are the bits of clog.level in conf.json. */
enum clog_level { CLOG_DEBUG = 1, CLOG_WARN = 2, CLOG_ERROR = 4, CLOG_INFO = 8 };

/* Which levels are written (bits), and whether at all. Before the first call errors,
 * warnings and information go to stderr, so that nothing said while starting is lost. */
void clog_configure(bool local, int level);

void clog_write(enum clog_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define clog_debug(...) clog_write(CLOG_DEBUG, __VA_ARGS__)
#define clog_warn(...) clog_write(CLOG_WARN, __VA_ARGS__)
#define clog_error(...) clog_write(CLOG_ERROR, __VA_ARGS__)
#define clog_info(...) clog_write(CLOG_INFO, __VA_ARGS__)

#endif
