/* libcurl, loaded when it is first needed: it costs milliseconds and megabytes that
 * most runs of this program never have to pay. */
#ifndef FM_CURL_H
#define FM_CURL_H

#include "base.h"
#include "err.h"

#include <curl/curl.h>

/* The calls of libcurl, under their own names without "curl_". */
struct curl {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_easy_init) easy_init;
    CURLcode (*easy_setopt)(CURL *handle, CURLoption option, ...);
    __typeof__(&curl_easy_perform) easy_perform;
    CURLcode (*easy_getinfo)(CURL *handle, CURLINFO info, ...);
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_easy_escape) easy_escape;
    __typeof__(&curl_free) free;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
};

/* The loaded library, the same at every call; NULL with a message that names the package
 * to install. Never unloaded. */
const struct curl *curl_load(struct err *err);

#endif
