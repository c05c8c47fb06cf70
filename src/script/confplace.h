/* Where a value of the configuration came from, for messages. */
#ifndef FM_CONFPLACE_H
#define FM_CONFPLACE_H

#include "base.h"
#include "confset.h"
#include "confsource.h"
#include "err.h"
#include "jsonpath.h"

/* The sources of the final table. Borrowed. */
struct confplace {
    const char *file;                /* as messages name it */
    const char *original;            /* its text */
    const char *text;                /* the same with the comments blanked out */
    size_t len;                      /* of either */
    const struct confset *set;       /* applied after it, and after the scripts */
    const struct confsource *source; /* what scripts have set */
};

/* "PLACE: PATH: message" for the value at the steps, of which the first is the
 * env: -conf when an item of it set that value (or made what it is missing
 * from), else the script and line of the overlay that did, else line and column of its key in the file, or of the
 * nearest one around it that is there. One pass over the text. Returns false. */
bool confplace_fail(const struct confplace *p, const struct jsonpath_step *steps, size_t nsteps, struct err *err,
                    const char *message);

/* The same for an offset in the file; the path is that of what is open at offset `end`. */
bool confplace_fail_offset(const struct confplace *p, size_t offset, size_t end, struct err *err, const char *message);

/* Where a value that is there is from: "-conf", "lua/site.lua:3", or the name of the file. Borrowed. */
const char *confplace_name(const struct confplace *p, const struct jsonpath_step *steps, size_t nsteps);

#endif
