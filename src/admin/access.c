#include "access.h"

#include "sockowner.h"
#include "token.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A page of another site can make a browser send us requests; the browser then says so. */
static bool is_cross_site(const struct access_request *req)
{
    const char *site = req->sec_fetch_site;
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return true;
    if (!req->origin)
        return false;
    const char *sep = strstr(req->origin, "://");
    return !sep || !req->host || strcasecmp(sep + 3, req->host) != 0;
}

/* A name that an attacker's DNS points at us (rebinding) is a name; addresses, localhost and our own are ours. */
static bool is_own_host(const char *host)
{
    char name[HOST_NAME_MAX + 1];
    struct in6_addr any;
    size_t n = strlen(host);
    const char *end = strrchr(host, ':');
    if (end && !strchr(end, ']'))
        n = (size_t)(end - host);
    if (host[0] == '[' && n >= 2 && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n >= sizeof name)
        return false;
    memcpy(name, host, n);
    name[n] = 0;
    char own[HOST_NAME_MAX + 1] = "";
    if (gethostname(own, sizeof own - 1) == 0 && own[0] && !strcasecmp(name, own))
        return true;
    return !strcasecmp(name, "localhost") || inet_pton(AF_INET, name, &any) == 1 ||
           inet_pton(AF_INET6, name, &any) == 1;
}

static bool shows_token(const char *token, const struct access_request *req)
{
    static const char scheme[] = "Bearer ";
    const char *given = req->authorization;
    if (req->password)
        return token_equal(token, req->password);
    if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0)
        return false;
    given += sizeof scheme - 1;
    return token_equal(token, given + strspn(given, " "));
}

static bool is_own_socket(const struct access_request *req)
{
    uid_t uid;
    return req->peer && req->local && sockowner_find(req->peer, req->local, &uid) && (uid == 0 || uid == geteuid());
}

enum access_verdict access_judge(enum conf_auth auth, const char *token, const struct access_request *req,
                                 const char **principal, struct err *err)
{
    bool shown = shows_token(token, req);
    *principal = shown ? "token" : auth == CONF_AUTH_OPEN ? "anyone" : "local";
    if (is_cross_site(req)) {
        err_set(err, "a page of another site may not change anything here");
        return ACCESS_FORBIDDEN;
    }
    if (auth == CONF_AUTH_OPEN || shown)
        return ACCESS_GRANTED;
    if (auth == CONF_AUTH_TOKEN || !is_own_socket(req)) {
        err_set(err, auth == CONF_AUTH_TOKEN
                         ? "the token is needed (auth: \"token\")"
                         : "only root and the monitor's own user on this host may do that without showing the token");
        return ACCESS_TOKEN_WANTED;
    }
    if (req->host && !is_own_host(req->host)) {
        err_set(err, "the host name \"%.64s\" is not one of this host; use its address or localhost", req->host);
        return ACCESS_FORBIDDEN;
    }
    return ACCESS_GRANTED;
}
