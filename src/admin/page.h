/* The dashboard: what a browser gets that asks for the port's address (the files in page/). */
#ifndef FM_PAGE_H
#define FM_PAGE_H

#include "embed.h"

#include <microhttpd.h>

/* Put into the program when it is built; ended by a NULL name. */
extern const struct embedded page_files[];

/* The file of this path: of "/" for a client that takes HTML (`accept` is the request's header, or NULL), or one that
 * the page consists of. NULL: that is none. */
const struct embedded *page_find(const char *url, const char *accept);

/* The answer, to be destroyed by the caller. NULL: no memory. */
struct MHD_Response *page_response(const struct embedded *file);

#endif
