#include "curl.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

#define CALL(member)                                                                                                   \
    {                                                                                                                  \
        "curl_" #member, offsetof(struct curl, member)                                                                 \
    }
static const struct {
    const char *name;
    size_t slot;
} calls[] = {
    CALL(global_init),         CALL(version_info),     CALL(free),
    CALL(slist_append),        CALL(slist_free_all),   CALL(easy_init),
    CALL(easy_setopt),         CALL(easy_perform),     CALL(easy_getinfo),
    CALL(easy_send),           CALL(easy_recv),        CALL(easy_cleanup),
    CALL(easy_strerror),       CALL(easy_escape),      CALL(multi_init),
    CALL(multi_setopt),        CALL(multi_add_handle), CALL(multi_remove_handle),
    CALL(multi_socket_action), CALL(multi_assign),     CALL(multi_info_read),
    CALL(multi_cleanup),
};

/* Fills in the table; POSIX lets dlsym's object pointer be read as a function pointer this way. */
static bool find_calls(void *library, struct curl *c)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        void *address = dlsym(library, calls[i].name);
        if (!address)
            return false;
        memcpy((char *)c + calls[i].slot, &address, sizeof address);
    }
    return true;
}

const struct curl *curl_load(struct err *err)
{
    static struct curl c;
    static bool loaded;
    if (loaded)
        return &c;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library || !find_calls(library, &c) || c.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        const char *why = dlerror();
        err_set(err, "%s can't be loaded (package libcurl4): %s", LIBRARY, why ? why : "it is not usable");
        return NULL;
    }
    loaded = true;
    return &c;
}
