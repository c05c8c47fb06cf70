#include "curl.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

/* Looks one name up; POSIX lets dlsym's object pointer be read as a function pointer this way. */
static bool find(void *library, const char *name, void *slot)
{
    void *address = dlsym(library, name);
    memcpy(slot, &address, sizeof address);
    return address != NULL;
}

const struct curl *curl_load(struct err *err)
{
    static struct curl c;
    static bool loaded;
    if (loaded)
        return &c;
    void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool ok = lib && find(lib, "curl_global_init", &c.global_init) && find(lib, "curl_easy_init", &c.easy_init) &&
              find(lib, "curl_easy_setopt", &c.easy_setopt) && find(lib, "curl_easy_perform", &c.easy_perform) &&
              find(lib, "curl_easy_getinfo", &c.easy_getinfo) && find(lib, "curl_easy_cleanup", &c.easy_cleanup) &&
              find(lib, "curl_easy_strerror", &c.easy_strerror) && find(lib, "curl_easy_escape", &c.easy_escape) &&
              find(lib, "curl_free", &c.free) && find(lib, "curl_slist_append", &c.slist_append) &&
              find(lib, "curl_slist_free_all", &c.slist_free_all);
    if (!ok || c.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        const char *why = dlerror();
        err_set(err, "%s can't be loaded (package libcurl4): %s", LIBRARY, why ? why : "it is not usable");
        return NULL;
    }
    loaded = true;
    return &c;
}
