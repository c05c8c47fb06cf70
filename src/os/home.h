/* Where the program's files are. */
#ifndef FM_HOME_H
#define FM_HOME_H

#include "base.h"
#include "err.h"

#include <limits.h>

/* The home folder, which holds conf/ and lua/: `given` (the option) when not NULL, else
 * $FOTA_MONITOR_HOME, the executable's folder, its parent, /etc/fota_monitor; of the last
 * three the first that has conf/conf.json. Writes an absolute path without symbolic
 * links. false with a message that says where it looked. */
bool home_find(const char *given, char out[PATH_MAX], struct err *err);

#endif
