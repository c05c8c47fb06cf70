/* `fota_monitor -test FILES`: runs the cases of test files (fm.test) in simulated time. */
#ifndef FM_SIMTEST_H
#define FM_SIMTEST_H

#include "base.h"

struct simtest_input {
    const char *home, *env;
    bool (*reserved)(const char *name); /* see scripts_new */
    const char *const *files;
    size_t nfiles;
};

/* What came of it. */
enum simtest_result {
    SIMTEST_PASSED,
    SIMTEST_FAILED, /* a case */
    SIMTEST_BROKEN, /* a file could not be loaded, or has no cases */
};

/* Runs all cases of all files, each in a world of its own. One line for each on stdout, what is to be said about
 * failures beneath, then how many passed and failed. */
enum simtest_result simtest_run(const struct simtest_input *in);

#endif
