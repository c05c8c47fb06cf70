/* A whole new world from the files: the configuration, and the scripts that shaped it. */
#ifndef FM_LOAD_H
#define FM_LOAD_H

#include "confload.h"
#include "scripts.h"

struct loaded {
    struct conf *conf;
    struct scripts *scripts; /* NULL: there are none */
    char *warnings;          /* a line each, NULL: none */
};

/* Reads conf.json and HOME/lua (in->scripts and in->policies are set here). `reserved` says
 * which names commands of scripts must not have. False with a message, and nothing
 * in *out. What is in it is the caller's; loaded_fini frees what he has not taken (set to NULL). */
bool load_all(const struct confload_input *in, bool (*reserved)(const char *name), struct loaded *out, struct err *err);
void loaded_fini(struct loaded *l);

#endif
