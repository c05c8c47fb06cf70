/* A small HTTP server in threads of its own, that answers as its paths say, and names that take long to look up. */
#ifndef OS_FETCH_FIXTURE_H
#define OS_FETCH_FIXTURE_H

#include "base.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    int fd, port;
    pthread_t thread;
    atomic_int served, busy;
    atomic_bool over; /* lets go of whoever waits */
} server;

/* ---- names ---- */

static atomic_int lookups; /* of slow names, under way */

/* Stands before the real one, libcurl included: a name that ends in ".slow" is looked up until the server is over. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    void *address = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &address, sizeof real);
    size_t len = name ? strlen(name) : 0;
    if (len < 5 || strcmp(name + len - 5, ".slow") != 0)
        return real(name, service, hints, out);
    lookups++;
    for (int i = 0; i < 20000 && !server.over; i++)
        poll(NULL, 0, 1);
    lookups--;
    return EAI_AGAIN;
}

/* ---- answers ---- */

static inline void put(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static inline void answer(int fd, const char *status, const char *headers, const char *body, size_t len)
{
    char head[4096];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status,
                     len, headers);
    put(fd, head, (size_t)n);
    put(fd, body, len);
}

/* Writes the same over and over until nobody listens. */
static inline void put_for_ever(int fd, const char *data)
{
    char seen;
    while (!server.over && recv(fd, &seen, 1, MSG_DONTWAIT | MSG_PEEK) < 0 &&
           send(fd, data, strlen(data), MSG_NOSIGNAL) > 0)
        ;
}

static inline void hang(int fd)
{
    char seen;
    while (!server.over && recv(fd, &seen, 1, MSG_DONTWAIT) != 0)
        poll(NULL, 0, 1);
}

static inline void redirect(int fd, const char *to)
{
    char header[2048];
    snprintf(header, sizeof header, "Location: %s\r\nX-Step: redirect\r\n", to);
    answer(fd, "302 Found", header, "moved", 5);
}

static inline void answer_path(int fd, const char *path, const char *request, size_t len)
{
    char to[64];
    long n;
    if (!strcmp(path, "/hello"))
        answer(fd, "200 OK", "X-Kind: greeting\r\nX-Empty:\r\n", "hel\0lo", 6);
    else if (!strcmp(path, "/echo"))
        answer(fd, "200 OK", "", request, len);
    else if (sscanf(path, "/status/%ld", &n) == 1) {
        snprintf(to, sizeof to, "%ld As asked", n);
        answer(fd, to, "", "so be it", 8);
    } else if (sscanf(path, "/redirect/%ld", &n) == 1) {
        snprintf(to, sizeof to, n > 1 ? "/redirect/%ld" : "/echo", n - 1);
        redirect(fd, to);
    } else if (!strncmp(path, "/to?", 4))
        redirect(fd, path + 4);
    else if (sscanf(path, "/big/%ld", &n) == 1) {
        char *body = calloc(1, (size_t)n);
        answer(fd, "200 OK", "", body, (size_t)n);
        free(body);
    } else if (!strcmp(path, "/endless")) {
        put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 47);
        put_for_ever(fd, "10\r\n0123456789abcdef\r\n");
    } else if (!strcmp(path, "/headers")) {
        put(fd, "HTTP/1.1 200 OK\r\n", 17);
        put_for_ever(fd, "X-More: 0123456789abcdef\r\n");
    } else if (!strcmp(path, "/slow"))
        hang(fd);
    else if (!strncmp(path, "http://", 7)) /* asked as a proxy */
        answer(fd, "200 OK", "X-Kind: proxy\r\n", path, strlen(path));
    else
        shutdown(fd, SHUT_RDWR); /* no answer at all */
}

/* ---- the server ---- */

static inline size_t body_length(const char *request)
{
    const char *field = strcasestr(request, "\r\nContent-Length:");
    return field ? strtoul(field + 17, NULL, 10) : 0;
}

static inline void *serve_one(void *arg)
{
    static const size_t room = 4 << 20;
    int fd = (int)(intptr_t)arg;
    char *request = calloc(1, room), path[1024] = "";
    size_t len = 0, head = 0;
    while (len + 1 < room) {
        ssize_t n = recv(fd, request + len, room - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        char *end = strstr(request, "\r\n\r\n");
        head = end ? (size_t)(end - request) + 4 : 0;
        if (head && len >= head + body_length(request))
            break;
    }
    server.served++;
    if (head && sscanf(request, "%*s %1023s", path) == 1)
        answer_path(fd, path, request, len);
    close(fd);
    free(request);
    server.busy--;
    return NULL;
}

static inline void *serve(void *arg)
{
    (void)arg;
    int fd;
    while ((fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        pthread_t thread;
        server.busy++;
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd))
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static inline int server_start(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    server.over = false;
    server.served = 0;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.fd < 0 || bind(server.fd, (struct sockaddr *)&a, sizeof a) || listen(server.fd, 100) ||
        getsockname(server.fd, (struct sockaddr *)&a, &len))
        return -1;
    server.port = ntohs(a.sin_port);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static inline int server_stop(void)
{
    server.over = true;
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    for (int i = 0; i < 20000 && (server.busy || lookups); i++)
        poll(NULL, 0, 1);
    return server.busy || lookups ? -1 : 0;
}

#endif
