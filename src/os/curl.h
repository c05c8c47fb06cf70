/* libcurl, loaded when it is first needed: it costs milliseconds and megabytes that
 * most runs of this program never have to pay. */
#ifndef FM_CURL_H
#define FM_CURL_H

#include "base.h"
#include "err.h"

#include <curl/curl.h>

/* The calls of libcurl, under their own names without "curl_"; each has its row in curl.c. */
struct curl {
    __typeof__(&curl_global_init) global_init;
    __typeof__(&curl_version_info) version_info;
    __typeof__(&curl_free) free;
    __typeof__(&curl_slist_append) slist_append;
    __typeof__(&curl_slist_free_all) slist_free_all;
    __typeof__(&curl_easy_init) easy_init;
    CURLcode (*easy_setopt)(CURL *handle, CURLoption option, ...);
    __typeof__(&curl_easy_perform) easy_perform;
    CURLcode (*easy_getinfo)(CURL *handle, CURLINFO info, ...);
    __typeof__(&curl_easy_send) easy_send;
    __typeof__(&curl_easy_recv) easy_recv;
    __typeof__(&curl_easy_cleanup) easy_cleanup;
    __typeof__(&curl_easy_strerror) easy_strerror;
    __typeof__(&curl_easy_escape) easy_escape;
    __typeof__(&curl_multi_init) multi_init;
    CURLMcode (*multi_setopt)(CURLM *handle, CURLMoption option, ...);
    __typeof__(&curl_multi_add_handle) multi_add_handle;
    __typeof__(&curl_multi_remove_handle) multi_remove_handle;
    __typeof__(&curl_multi_socket_action) multi_socket_action;
    __typeof__(&curl_multi_assign) multi_assign;
    __typeof__(&curl_multi_info_read) multi_info_read;
    __typeof__(&curl_multi_cleanup) multi_cleanup;
};

/* The loaded library, the same at every call; NULL with a message that names the package
 * to install. Never unloaded. */
const struct curl *curl_load(struct err *err);

#endif
