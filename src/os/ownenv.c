#include "ownenv.h"

#include "memory.h"

#include <string.h>

bool ownenv_has(const char *item)
{
    /* sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). */
    static const char *const prefixes[] = {"FOTA_MONITOR_", "NOTIFY_SOCKET=", "WATCHDOG_PID=",  "WATCHDOG_USEC=",
                                           "LISTEN_PID=",   "LISTEN_FDS=",    "LISTEN_FDNAMES="};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (!strncmp(item, prefixes[i], strlen(prefixes[i])))
            return true;
    return !strcmp(item, MEMORY_NO_THREAD_CACHE);
}
