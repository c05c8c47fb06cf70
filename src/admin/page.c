#include "page.h"

#include "mhd.h"

#include <string.h>

#define INDEX "index.html"

/* Nothing but what comes from here runs in the page or is loaded by it, and no other page may frame it. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const char *type_of(const char *name)
{
    static const struct {
        const char *end, *type;
    } types[] = {{".html", "text/html; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"}};
    const char *end = strrchr(name, '.');
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (!strcmp(end, types[i].end))
            return types[i].type;
    return "application/octet-stream";
}

const struct embedded *page_find(const char *url, const char *accept)
{
    bool front = !strcmp(url, "/") && accept && strstr(accept, "text/html");
    for (const struct embedded *f = page_files; f->name; f++)
        if (!strcmp(front ? INDEX : url + 1, f->name))
            return f;
    return NULL;
}

struct MHD_Response *page_response(const struct embedded *file)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(file->len, (void *)(uintptr_t)file->text, MHD_RESPMEM_PERSISTENT);
    if (!r)
        return NULL;
    MHD_add_response_header(r, "Content-Type", type_of(file->name));
    MHD_add_response_header(r, "Content-Security-Policy", policy);
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Cache-Control", "no-store");
    return r;
}
