/* Which files a generation of scripts was made of, so that a reload can tell what has changed. */
#ifndef FM_SCRIPTFILES_H
#define FM_SCRIPTFILES_H

#include "buf.h"

struct scriptfiles {
    struct scriptfile {
        char *name;    /* "lua/x.lua" */
        uint32_t mark; /* conf_mark of its text */
    } * items;         /* sorted by name */
    size_t count;
    bool full; /* all is loaded: what is required later is not noted */
};

/* Notes a file that was read; one of that name is replaced. false: no memory, nothing is noted. */
bool scriptfiles_add(struct scriptfiles *f, const char *name, const char *text);
void scriptfiles_fini(struct scriptfiles *f);

/* Adds a line for a person for each difference: "added: lua/x.lua", "removed: …", "changed: …". NULL: there were none.
 */
void scriptfiles_changes(struct buf *b, const struct scriptfiles *old, const struct scriptfiles *next);

#endif
