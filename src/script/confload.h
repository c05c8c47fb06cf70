/* conf.json and the overrides of -conf, to a typed and judged struct conf. */
#ifndef FM_CONFLOAD_H
#define FM_CONFLOAD_H

#include "conf.h"
#include "err.h"

struct buf;
struct lua_State;
struct scripts;

struct confload_input {
    const char *home;      /* absolute folder that holds conf/ and lua/ */
    const char *env;       /* "prod" … */
    const char *overrides; /* the text of -conf (confset.h says how it is written), or NULL */
    /* Fresh: they are loaded on the way, their overlays run, their policies may be named; L is their state. NULL: none.
     */
    struct scripts *scripts;
    char *const *policies; /* without scripts: the policies that may be named, NULL-terminated; NULL: any */
    const char *text;      /* instead of the file; NULL: read it */
    struct buf *listing;   /* gets every value of the env and where it came from, a line each; NULL: not wanted */
    bool listing_json;     /* as the elements of a JSON array */
};

/* What reading may take once scripts have had their hands on the tables: in one place a table, in a thousand the same
 * one, it is no longer bounded by the length of a file. */
#define CONFLOAD_READ_MS 2000
#define CONFLOAD_READ_MB(used_mb) (2 * (used_mb) + 64)

/* The defaults of `lua`. */
#define CONFLOAD_BUDGET_MS 50
#define CONFLOAD_MEMORY_MB 64

/* Reads HOME/conf/conf.json and returns the configuration of one env, or NULL
 * with a message that names file, line, column and dotted path. The caller frees
 * it with conf_free. L is the state of a vm; no Lua error escapes, its stack is left as it was.
 * On success *warnings (may be NULL) gets one line per thing that is odd but not
 * wrong, such as a service whose executable is missing; the caller frees it,
 * NULL when there is none. */
struct conf *confload(struct lua_State *L, const struct confload_input *in, char **warnings, struct err *err);

#endif
