#include "link.h"

#include "buf.h"
#include "clock.h"
#include "curl.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 5000
#define PLAIN "http://"
#define SECURE "https://"
#define PIN "sha256//"

static bool begins_with(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

const char *link_host(const char *address, size_t *len)
{
    static const char *const schemes[] = {PLAIN, SECURE};
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (begins_with(address, schemes[i]))
            address += strlen(schemes[i]);
    *len = strcspn(address, "/");
    return address;
}

/* Waits for events on fd until a moment (-1: for ever). 0, or -ETIMEDOUT. */
static int wait_for(int fd, short events, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int64_t left = until_ms < 0 ? -1 : MAX(until_ms - clock_mono_ms(), 0);
        int r = poll(&p, 1, (int)MIN(left, 3600 * 1000));
        if (r > 0 || (r < 0 && errno != EINTR))
            return r > 0 ? 0 : -errno;
        if (left == 0)
            return -ETIMEDOUT;
    }
}

/* By when it must be connected. */
static int64_t connect_until(int64_t until_ms)
{
    int64_t usual = clock_mono_ms() + CONNECT_TIMEOUT_MS;
    return until_ms < 0 ? usual : MIN(usual, until_ms);
}

/* ---- plain */

/* A connected socket, or -errno. */
static int connect_to(const struct addrinfo *a, int64_t until_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen))
        error = errno;
    if (error == EINPROGRESS) {
        error = -wait_for(fd, POLLOUT, connect_until(until_ms));
        if (!error && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
            error = errno;
    }
    if (error)
        close(fd);
    return error ? -error : fd;
}

/* Cuts "HOST:PORT" or "[ADDRESS]:PORT" in two; false when it is neither. */
static bool split(char *text, char **host, char **port)
{
    *port = strrchr(text, ':');
    if (!*port || *port == text || !(*port)[1])
        return false;
    *(*port)++ = 0;
    size_t len = strlen(text);
    bool brackets = text[0] == '[' && text[len - 1] == ']';
    if (brackets)
        text[len - 1] = 0;
    *host = text + brackets;
    return brackets || !strchr(text, ':');
}

static bool open_plain(struct link *l, char *text, int64_t until_ms, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    char *host, *port;
    if (!split(text, &host, &port))
        return err_set(err, "HOST:PORT is expected");
    int r = getaddrinfo(host, port, &hints, &found);
    if (!r && strtol(port, NULL, 10) > UINT16_MAX)
        r = EAI_SERVICE;
    if (r)
        err_set(err, "%s", gai_strerror(r));
    for (const struct addrinfo *a = r ? NULL : found; a && l->fd < 0; a = a->ai_next) {
        l->fd = connect_to(a, until_ms);
        if (l->fd < 0)
            err_set(err, "%s", strerror(-l->fd));
    }
    if (found)
        freeaddrinfo(found);
    return l->fd >= 0;
}

/* ---- by TLS */

static void set_trust(const struct link *l, const struct link_trust *t, struct buf *pin)
{
    const struct curl *c = l->curl;
    bool pinned = t->fingerprint && !t->ca_file;
    c->easy_setopt(l->easy, CURLOPT_SSL_VERIFYPEER, pinned ? 0L : 1L);
    c->easy_setopt(l->easy, CURLOPT_SSL_VERIFYHOST, pinned || t->any_name ? 0L : 2L);
    if (t->ca_file) {
        c->easy_setopt(l->easy, CURLOPT_CAINFO, t->ca_file);
        c->easy_setopt(l->easy, CURLOPT_CAPATH, NULL);
    }
    if (!t->fingerprint)
        return;
    buf_addf(pin, "%s%s", begins_with(t->fingerprint, PIN) ? "" : PIN, t->fingerprint);
    c->easy_setopt(l->easy, CURLOPT_PINNEDPUBLICKEY, buf_str(pin));
}

static bool fail_secure(const struct link *l, CURLcode r, const char *why, struct err *err)
{
    bool trust = r == CURLE_PEER_FAILED_VERIFICATION || r == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
    return err_set(err, "%s%s", why[0] ? why : l->curl->easy_strerror(r),
                   trust ? "; -ca FILE or -fingerprint sha256//BASE64 says whom to trust" : "");
}

static bool open_secure(struct link *l, const char *address, const struct link_trust *t, int64_t until_ms,
                        struct err *err)
{
    char why[CURL_ERROR_SIZE] = "";
    struct buf pin = {0};
    curl_socket_t fd = -1;
    l->curl = curl_load(err);
    l->easy = l->curl ? l->curl->easy_init() : NULL;
    if (!l->easy)
        return l->curl ? err_nomem(err) : false;
    const struct curl *c = l->curl;
    c->easy_setopt(l->easy, CURLOPT_URL, address);
    c->easy_setopt(l->easy, CURLOPT_CONNECT_ONLY, 1L);
    c->easy_setopt(l->easy, CURLOPT_PROXY, "");
    c->easy_setopt(l->easy, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(l->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    c->easy_setopt(l->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    c->easy_setopt(l->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MAX(connect_until(until_ms) - clock_mono_ms(), 1));
    c->easy_setopt(l->easy, CURLOPT_ERRORBUFFER, why);
    set_trust(l, t, &pin);
    CURLcode r = c->easy_perform(l->easy);
    buf_fini(&pin);
    if (r == CURLE_OK)
        r = c->easy_getinfo(l->easy, CURLINFO_ACTIVESOCKET, &fd);
    c->easy_setopt(l->easy, CURLOPT_ERRORBUFFER, NULL);
    l->fd = fd;
    return r == CURLE_OK || fail_secure(l, r, why, err);
}

/* ---- both */

bool link_open(struct link *l, const char *address, const struct link_trust *trust, int64_t until_ms, struct err *err)
{
    size_t len;
    const char *host = link_host(address, &len);
    *l = (struct link){.fd = -1};
    bool ok = false;
    if (begins_with(address, SECURE)) {
        ok = open_secure(l, address, trust, until_ms, err);
    } else {
        char *text = strndup(host, len);
        ok = text ? open_plain(l, text, until_ms, err) : err_nomem(err);
        free(text);
    }
    if (!ok)
        link_close(l);
    return ok;
}

void link_close(struct link *l)
{
    if (l->easy)
        l->curl->easy_cleanup(l->easy);
    else if (l->fd >= 0)
        close(l->fd);
    *l = (struct link){.fd = -1};
}

static ssize_t send_some(const struct link *l, const char *data, size_t len)
{
    size_t n = 0;
    if (!l->easy) {
        ssize_t r = send(l->fd, data, len, MSG_NOSIGNAL);
        return r < 0 ? -errno : r;
    }
    CURLcode r = l->curl->easy_send(l->easy, data, len, &n);
    return r == CURLE_OK ? (ssize_t)n : r == CURLE_AGAIN ? -EAGAIN : -EPIPE;
}

/* One that answers before it has read everything and closes may be worth reading all the same. */
int link_send(struct link *l, const char *data, size_t len, int64_t until_ms)
{
    while (len > 0) {
        ssize_t n = send_some(l, data, len);
        if (n < 0 && n != -EAGAIN && n != -EINTR)
            return n == -EPIPE || n == -ECONNRESET ? 0 : (int)n;
        int r = n == -EAGAIN ? wait_for(l->fd, POLLOUT, until_ms) : 0;
        if (r)
            return r;
        data += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return 0;
}

static ssize_t receive_some(const struct link *l, char *data, size_t max)
{
    size_t n = 0;
    if (!l->easy) {
        ssize_t r = recv(l->fd, data, max, 0);
        return r < 0 ? -errno : r;
    }
    CURLcode r = l->curl->easy_recv(l->easy, data, max, &n);
    return r == CURLE_OK ? (ssize_t)n : r == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
}

ssize_t link_receive(struct link *l, char *data, size_t max, int64_t until_ms)
{
    for (;;) { /* what TLS has taken from the socket already would not be waited for: so first look, then wait */
        ssize_t n = receive_some(l, data, max);
        if (n != -EAGAIN && n != -EINTR)
            return n;
        int r = wait_for(l->fd, POLLIN, until_ms);
        if (r)
            return r;
    }
}
