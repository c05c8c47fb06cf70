/* conf.json and the overrides of -conf, to a typed and judged struct conf. */
#ifndef FM_CONFLOAD_H
#define FM_CONFLOAD_H

#include "conf.h"
#include "err.h"

struct lua_State;

struct confload_input {
    const char *home;      /* absolute folder that holds conf/ and lua/ */
    const char *env;       /* "prod" … */
    const char *overrides; /* the text of -conf (confset.h says how it is written), or NULL */
};

/* Reads HOME/conf/conf.json and returns the configuration of one env, or NULL
 * with a message that names file, line, column and dotted path. The caller frees
 * it with conf_free. L is the state of a vm; no Lua error escapes, its stack is left as it was.
 * On success *warnings (may be NULL) gets one line per thing that is odd but not
 * wrong, such as a service whose executable is missing; the caller frees it,
 * NULL when there is none. */
struct conf *confload(struct lua_State *L, const struct confload_input *in, char **warnings, struct err *err);

#endif
