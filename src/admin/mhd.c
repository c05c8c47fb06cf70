#include "mhd.h"

#include <dlfcn.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#define LIBRARY "libmicrohttpd.so.12"

/* X(returned type, name without MHD_, parameters, arguments). microhttpd.h declares them all: a row that says anything
 * else does not compile. */
#define PASSED_ON(X)                                                                                                   \
    X(enum MHD_Result, add_connection,                                                                                 \
      (struct MHD_Daemon * daemon, MHD_socket fd, const struct sockaddr *addr, socklen_t size),                        \
      (daemon, fd, addr, size))                                                                                        \
    X(enum MHD_Result, add_response_header, (struct MHD_Response * response, const char *name, const char *value),     \
      (response, name, value))                                                                                         \
    X(enum MHD_Result, add_response_footer, (struct MHD_Response * response, const char *name, const char *value),     \
      (response, name, value))                                                                                         \
    X(char *, basic_auth_get_username_password, (struct MHD_Connection * connection, char **password),                 \
      (connection, password))                                                                                          \
    X(struct MHD_PostProcessor *, create_post_processor,                                                               \
      (struct MHD_Connection * connection, size_t size, MHD_PostDataIterator fn, void *arg),                           \
      (connection, size, fn, arg))                                                                                     \
    X(struct MHD_Response *, create_response_from_buffer, (size_t size, void *data, enum MHD_ResponseMemoryMode mode), \
      (size, data, mode))                                                                                              \
    X(struct MHD_Response *, create_response_from_callback,                                                            \
      (uint64_t size, size_t block, MHD_ContentReaderCallback fn, void *arg, MHD_ContentReaderFreeCallback done),      \
      (size, block, fn, arg, done))                                                                                    \
    X(enum MHD_Result, destroy_post_processor, (struct MHD_PostProcessor * post), (post))                              \
    X(void, destroy_response, (struct MHD_Response * response), (response))                                            \
    X(void, free, (void *memory), (memory))                                                                            \
    X(int, get_connection_values_n,                                                                                    \
      (struct MHD_Connection * connection, enum MHD_ValueKind kind, MHD_KeyValueIteratorN fn, void *arg),              \
      (connection, kind, fn, arg))                                                                                     \
    X(enum MHD_Result, get_timeout, (struct MHD_Daemon * daemon, MHD_UNSIGNED_LONG_LONG * ms), (daemon, ms))           \
    X(const char *, lookup_connection_value,                                                                           \
      (struct MHD_Connection * connection, enum MHD_ValueKind kind, const char *key), (connection, kind, key))         \
    X(enum MHD_Result, post_process, (struct MHD_PostProcessor * post, const char *data, size_t size),                 \
      (post, data, size))                                                                                              \
    X(enum MHD_Result, queue_response,                                                                                 \
      (struct MHD_Connection * connection, unsigned status, struct MHD_Response *response),                            \
      (connection, status, response))                                                                                  \
    X(void, resume_connection, (struct MHD_Connection * connection), (connection))                                     \
    X(enum MHD_Result, run, (struct MHD_Daemon * daemon), (daemon))                                                    \
    X(void, stop_daemon, (struct MHD_Daemon * daemon), (daemon))                                                       \
    X(void, suspend_connection, (struct MHD_Connection * connection), (connection))

/* Those with "..." take apart what they are given: see the end of this file. */
#define WITH_MORE(X)                                                                                                   \
    X(get_connection_info)                                                                                             \
    X(get_daemon_info)                                                                                                 \
    X(set_connection_option)                                                                                           \
    X(start_daemon_va)

static struct {
#define X(type, name, parameters, arguments) __typeof__(&MHD_##name) name;
    PASSED_ON(X)
#undef X
#define X(name) __typeof__(&MHD_##name) name;
    WITH_MORE(X)
#undef X
} api;

static const struct {
    const char *name;
    void *slot;
} functions[] = {
#define X(type, name, parameters, arguments) {"MHD_" #name, &api.name},
    PASSED_ON(X)
#undef X
#define X(name) {"MHD_" #name, &api.name},
        WITH_MORE(X)
#undef X
};

/* ---- loading */

static void *open_library(struct err *err)
{
    /* Lazily: most of what it is linked with is for TLS, which is hardly ever asked for. */
    void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    const char *why = library ? NULL : dlerror();
    for (size_t i = 0; library && i < ARRAY_LEN(functions); i++) {
        void *address = dlsym(library, functions[i].name);
        memcpy(functions[i].slot, &address, sizeof address);
        if (!address)
            why = dlerror();
    }
    if (!why)
        return library;
    err_set(err, "%s can't be loaded (package libmicrohttpd12): %s", LIBRARY, why);
    if (library)
        dlclose(library);
    return NULL;
}

static struct {
    pthread_t thread;
    void (*done)(void *arg);
    void *arg;
    bool begun; /* the thread is to be joined */
    void *library;
    struct err err;
} load;

static void *load_thread(void *arg)
{
    load.library = open_library(&load.err);
    load.done(load.arg);
    return arg;
}

bool mhd_load_begin(void (*done)(void *arg), void *arg)
{
    load.done = done;
    load.arg = arg;
    load.begun = !pthread_create(&load.thread, NULL, load_thread, NULL);
    return load.begun;
}

bool mhd_load(struct err *err)
{
    if (load.begun)
        pthread_join(load.thread, NULL);
    else if (!load.library)
        load.library = open_library(&load.err);
    load.begun = false;
    if (!load.library && err)
        *err = load.err;
    return load.library != NULL;
}

bool mhd_is_loaded(void)
{
    return !load.begun && load.library;
}

void mhd_unload(void)
{
    if (!load.library)
        return;
#ifndef FM_SANITIZED /* see main.c */
    dlclose(load.library);
#endif
    load.library = NULL;
    memset(&api, 0, sizeof api); /* whoever calls it all the same is seen at once */
}

/* ---- the functions */

#define X(type, name, parameters, arguments)                                                                           \
    type MHD_##name parameters                                                                                         \
    {                                                                                                                  \
        return api.name arguments;                                                                                     \
    }
PASSED_ON(X)
#undef X

/* No kind of information takes a further argument. */
const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *connection,
                                                        enum MHD_ConnectionInfoType what, ...)
{
    return api.get_connection_info(connection, what);
}

const union MHD_DaemonInfo *MHD_get_daemon_info(struct MHD_Daemon *daemon, enum MHD_DaemonInfoType what, ...)
{
    return api.get_daemon_info(daemon, what);
}

/* The one option there is, the timeout, is an unsigned int. */
enum MHD_Result MHD_set_connection_option(struct MHD_Connection *connection, enum MHD_CONNECTION_OPTION option, ...)
{
    va_list ap;
    va_start(ap, option);
    unsigned value = va_arg(ap, unsigned);
    va_end(ap);
    return api.set_connection_option(connection, option, value);
}

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept, void *accept_arg,
                                    MHD_AccessHandlerCallback fn, void *arg, ...)
{
    va_list ap;
    va_start(ap, arg);
    struct MHD_Daemon *daemon = api.start_daemon_va(flags, port, accept, accept_arg, fn, arg, ap);
    va_end(ap);
    return daemon;
}
