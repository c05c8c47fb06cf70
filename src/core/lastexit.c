#include "lastexit.h"

#include "clock.h"
#include "conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lastexit_fini(struct service_exit *x)
{
    free(x->reason);
    free(x->tail);
    *x = (struct service_exit){0};
}

static char *reason_of(const struct service_exit *x)
{
    char lasted[CLOCK_DURATION_SIZE], text[160];
    clock_duration(x->uptime_ms, lasted);
    if (!x->how.known)
        snprintf(text, sizeof text, "ended after %s (exit status unknown)", lasted);
    else if (x->how.signal)
        snprintf(text, sizeof text, "was killed by %s after %s%s", conf_signal_name(x->how.signal), lasted,
                 x->how.core ? " (core dumped)" : "");
    else
        snprintf(text, sizeof text, "exited with code %d after %s", x->how.code, lasted);
    return strdup(text);
}

void lastexit_ended(struct service_exit *x, const struct proc_exit *how, pid_t pid, int64_t uptime_ms, int64_t wall_ms,
                    bool requested)
{
    lastexit_fini(x);
    *x = (struct service_exit){.valid = true,
                               .started = true,
                               .how = *how,
                               .pid = pid,
                               .uptime_ms = uptime_ms,
                               .wall_ms = wall_ms,
                               .requested = requested};
    x->reason = reason_of(x);
}

void lastexit_unstarted(struct service_exit *x, const char *why, int64_t wall_ms)
{
    struct buf b = {0};
    buf_addf(&b, "could not be started: %s", why);
    lastexit_fini(x);
    *x = (struct service_exit){.valid = true,
                               .how = {.code = -1, .cpu_ms = -1, .max_rss_kib = -1},
                               .wall_ms = wall_ms,
                               .reason = buf_take(&b)};
}

void lastexit_say(struct buf *b, const struct service_exit *x)
{
    buf_adds(b, x->reason ? x->reason : "it ended");
    if (!x->tail)
        return;
    size_t len = strlen(x->tail), from = len - 1;
    while (from > 0 && x->tail[from - 1] != '\n')
        from--;
    buf_adds(b, ": ");
    buf_add(b, x->tail + from, len - 1 - from);
}
