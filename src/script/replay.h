/* `fota_monitor -simulate SCRIPT -journal FILE`: what was made of the ends in a journal, and
 * what other scripts would have made of them. */
#ifndef FM_REPLAY_H
#define FM_REPLAY_H

#include "base.h"
#include "err.h"

struct replay_input {
    const char *home, *env, *overrides; /* as for confload */
    bool (*reserved)(const char *name); /* see scripts_new */
    const char *script;                 /* to be tried: see stand_in of struct scripts */
    const char *const *journals;
    size_t njournals;
};

enum replay_result {
    REPLAY_SAME,
    REPLAY_DIFFERENT,
    REPLAY_BROKEN, /* a journal, the scripts or the configuration can't be read: *err says which */
};

/* Lets the services of the journal run in simulated time: what ended in the journal ends then, what was commanded is
 * commanded then, and the policies of HOME/lua with the script decide. Prints decision by decision on stdout; what is
 * wrong with lines of a journal, or in a callback, on stderr. */
enum replay_result replay_run(const struct replay_input *in, struct err *err);

#endif
