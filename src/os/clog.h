/* The monitor's own log: lines on stderr, for the collector, or for both.
 *   2026-11-22 14:02:11.123 [ERROR] text
 * Control characters and what is no UTF-8 are escaped (\x0a), so that nothing from
 * outside can forge a line or command a terminal. */
#ifndef FM_CLOG_H
#define FM_CLOG_H

#include "base.h"

/* The values are the bits of clog.mode and clog.level in conf.json. */
enum clog_mode { CLOG_LOCAL = 1, CLOG_COLLECTOR = 2 };
enum clog_level { CLOG_DEBUG = 1, CLOG_WARN = 2, CLOG_ERROR = 4, CLOG_INFO = 8 };

/* Where lines go and which of them (bits). Before the first call errors, warnings and
 * information go to stderr, so that nothing said while starting is lost. */
void clog_configure(int mode, int level);

/* Who takes the lines for the collector: escaped, without a newline, valid UTF-8. */
struct clog_sink {
    void (*write)(struct clog_sink *sink, enum clog_level level, const char *text, size_t len);
};

/* NULL: there is none (any more); what was for it goes to stderr. Borrowed. */
void clog_attach(struct clog_sink *sink);

/* Is anything of that level written at all? */
bool clog_is_on(enum clog_level level);

/* Writes one line. Never waits: where stderr does not take it at once it is lost. Texts
 * past 4 KB are written whole to files and to the collector (up to 1 MB), others get the
 * beginning. */
void clog_write(enum clog_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same on stderr alone, in every mode but 0: what is wrong with the collector is said there. */
void clog_local(enum clog_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define clog_debug(...) clog_write(CLOG_DEBUG, __VA_ARGS__)
#define clog_warn(...) clog_write(CLOG_WARN, __VA_ARGS__)
#define clog_error(...) clog_write(CLOG_ERROR, __VA_ARGS__)
#define clog_info(...) clog_write(CLOG_INFO, __VA_ARGS__)

#endif
