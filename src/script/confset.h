/* The text of -conf: values that override what conf.json says.
 *
 * Items stand between `;`, each is dotted.path=value:
 *   port=8080; clog.mode=1; svrs.web.stop={"signal":"INT","timeout":3}
 * Path: parts between dots, below the chosen env. A part with a dot or another
 * odd character in it is written as a JSON string: svrs."a.b".cmd=bin/x
 * Value: JSON where it can be read as JSON (null takes the key out), the plain
 * text otherwise. Blanks around path and value do not count. A `;` inside
 * quotes, or inside the brackets of a value that begins with one, is part of the
 * value. Empty items are skipped. */
#ifndef FM_CONFSET_H
#define FM_CONFSET_H

#include "base.h"
#include "err.h"
#include "jsonpath.h"

#define CONFSET_DEPTH 32

struct lua_State;

struct confset_item {
    const char *text; /* the whole item, for messages */
    size_t text_len;
    struct jsonpath_step steps[CONFSET_DEPTH];
    size_t nsteps;
    const char *value;
    size_t value_len;
};

/* A zeroed struct is an empty one. */
struct confset {
    struct confset_item *items;
    size_t n;
    char *names; /* where the keys of the steps are kept */
};

/* Takes a text apart; it must outlive the set. False (the message names the
 * item) when an item cannot be read; the set is then still to be freed. */
bool confset_parse(struct confset *set, const char *text, struct err *err);
void confset_fini(struct confset *set);

/* Puts the values, first to last, into the env table at that stack index; missing objects on the way are made. A
 * service or policy given as a string becomes the object it stands for when something is set inside it. `decoder` is
 * the index of confjson_open's function. Runs inside a protected call. */
bool confset_apply(const struct confset *set, struct lua_State *L, int table, int decoder, struct err *err);

/* "-conf: PATH: MESSAGE (from ITEM)". Returns false. */
bool confset_fail(const struct confset_item *item, const struct jsonpath_step *steps, size_t nsteps, struct err *err,
                  const char *message);

#endif
