/* The `environ` statements of the configuration: what of them can be applied
 * without a shell, and else the text a shell has to run. */
#ifndef FM_ENVIRON_H
#define FM_ENVIRON_H

#include "base.h"
#include "buf.h"
#include "cmdline.h"
#include "err.h"

/* A zeroed struct has no statements. */
struct environ {
    bool shell; /* some statement needs a shell: then `text` counts, else the lists */
    char **env; /* "K=V", NULL-terminated, each K once; NULL when none */
    size_t nenv;
    struct cmdline_limit *limits;
    size_t nlimits;
    struct buf text; /* all statements, for a shell; no separator or comment at its end */
    bool open_end;   /* text ends in a way that nothing can follow on its last line: "&" or a here-document */
};

/* Adds the statements of one source after those already there. NULL and "" are
 * allowed. An assignment is exported in either way, except behind a here-document. False with a message
 * (unfinished quote, out of memory); the struct must be freed then too. */
bool environ_add(struct environ *e, const char *source, struct err *err);

/* Frees what it owns; the struct is zeroed. */
void environ_fini(struct environ *e);

#endif
