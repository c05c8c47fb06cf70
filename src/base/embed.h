/* A file that was put into the program when it was built (fm_embed in CMakeLists.txt). */
#ifndef FM_EMBED_H
#define FM_EMBED_H

#include "base.h"

struct embedded {
    const char *name; /* of the file, behind the prefix it was given */
    const char *text; /* ended by a NUL */
    size_t len;
};

#endif
