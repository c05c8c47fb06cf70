/* From Lua tables to C structs, by tables of keys: types, ranges, defaults and
 * the messages about what does not fit.
 *
 * Everything here works on the value on the top of the Lua stack and leaves it
 * there; the path to it is kept for messages. Runs inside a protected call: "out of
 * memory" may pass through as a Lua error, so what is allocated is stored where the
 * owner of the struct frees it, at once. On failure (false, message set) the
 * stack and the path are left as they are: the whole walk is over. */
#ifndef FM_CONFCHECK_H
#define FM_CONFCHECK_H

#include "base.h"
#include "conf.h"
#include "confplace.h"
#include "err.h"
#include "jsonpath.h"

#define CONFCHECK_DEPTH 16

struct lua_State;

struct confcheck {
    struct lua_State *L;
    const struct confplace *place;
    struct err *err;
    struct conf *conf;     /* being filled; owned, as the buffers are, by who began the walk */
    char *const *policies; /* the names of policies that there are, NULL-terminated; NULL: any will do */
    struct buf warnings;   /* one line each */
    struct buf scratch;    /* for what is put together piece by piece */
    struct jsonpath_step steps[CONFCHECK_DEPTH];
    size_t nsteps;
};

/* How a value is read, and the C type of the field it goes to. */
enum confkey_type {
    CONFKEY_TEXT,    /* char *, on the heap */
    CONFKEY_INT,     /* int, min..max */
    CONFKEY_BOOL,    /* bool */
    CONFKEY_WORD,    /* int-sized enum: the index of the word */
    CONFKEY_SECONDS, /* int64_t, milliseconds; min..max are seconds */
    CONFKEY_SIGNAL,  /* int */
    CONFKEY_OBJECT,  /* a struct, with a table of its own */
    CONFKEY_JSON,    /* char *, an object as JSON text; NULL when it is empty */
    CONFKEY_OTHER,   /* whatever `read` makes of it */
};

struct confkey {
    const char *name;
    enum confkey_type type;
    size_t offset; /* of the field in its struct */
    int64_t min, max;
    int64_t number;             /* the default of INT, BOOL, WORD, SIGNAL, and SECONDS (as milliseconds) */
    const char *text;           /* the default of TEXT; NULL: none */
    bool required;              /* there is no default: it must be given */
    bool empty_ok;              /* TEXT: "" is allowed */
    const char *const *words;   /* WORD: NULL-terminated */
    const struct confkeys *sub; /* OBJECT */
    /* TEXT: judges the text just stored, and may replace or free it. `base` is the struct. */
    bool (*check)(struct confcheck *c, void *base, char **text);
    /* OTHER: reads the value on the top into the struct. */
    bool (*read)(struct confcheck *c, void *base);
};

struct confkeys {
    const struct confkey *keys;
    size_t n;
};

/* Into a value and out of it, for messages. The key must live until it is left. */
void confcheck_enter(struct confcheck *c, const char *key, size_t len);
void confcheck_enter_index(struct confcheck *c, size_t index);
void confcheck_leave(struct confcheck *c);

/* Sets the message, with the place and path of where the walk is. Returns false. */
bool confcheck_fail(struct confcheck *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "must be WHAT, got VALUE". Returns false. */
bool confcheck_expected(struct confcheck *c, const char *what);

/* Pushes the value of a key of the table on the top; no metamethods. */
void confcheck_get(struct confcheck *c, const char *key);

/* Whether the value is an object: a table without list elements. Message if not. */
bool confcheck_object(struct confcheck *c);

/* Reads an object by its table into the zeroed struct at base: defaults first, then every key that is there. An unknown
 * key fails, with the name of the nearest known one. */
bool confcheck_read(struct confcheck *c, const struct confkeys *keys, void *base);

/* The defaults alone. What has none stays as it is. */
bool confcheck_defaults(struct confcheck *c, const struct confkeys *keys, void *base);

/* A string into *out (what was there is freed); fails when it has a NUL inside. */
bool confcheck_text(struct confcheck *c, char **out);

/* The same; a string of blanks alone fails too. */
bool confcheck_filled(struct confcheck *c, char **out);

/* A text into *out; fails only when memory runs out. */
bool confcheck_store(struct confcheck *c, char **out, const char *text);

/* A whole number within min..max. */
bool confcheck_whole(struct confcheck *c, int64_t min, int64_t max, int64_t *out);

/* An object into *out as JSON text, NULL when it is empty. */
bool confcheck_json(struct confcheck *c, char **out);

#endif
