#include "access.h"

#include "sockowner.h"
#include "token.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Is that where we are? `origin` is "http://HOST", with a path behind it where that is allowed. */
static bool is_origin(const char *origin, const char *host, bool path)
{
    const char *sep = strstr(origin, "://");
    size_t n = host ? strlen(host) : 0;
    return sep && host && !strncasecmp(sep + 3, host, n) && (!sep[3 + n] || (path && sep[3 + n] == '/'));
}

/* A page of another site can make a browser send us requests; the browser then says so. */
static bool is_cross_site(const struct access_request *req)
{
    const char *site = req->sec_fetch_site;
    if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
        return true;
    if (req->origin)
        return !is_origin(req->origin, req->host, false);
    return !site && req->referer && !is_origin(req->referer, req->host, true);
}

/* By plain HTTP, but to localhost, a browser tells of an image or a link on another page no more than the page allows:
 * nothing, if that wants it so. */
static bool is_browser_of_unknown_page(const struct access_request *req)
{
    return req->user_agent && !strncmp(req->user_agent, "Mozilla/", 8) && !req->sec_fetch_site && !req->origin &&
           !req->referer;
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

static const char bearer[] = "Bearer ";

/* What it shows for the token; NULL: nothing. */
static const char *shown_token(const struct access_request *req)
{
    const char *given = req->authorization;
    if (req->password)
        return req->password;
    if (!given || strncasecmp(given, bearer, sizeof bearer - 1) != 0)
        return NULL;
    given += sizeof bearer - 1;
    return given + strspn(given, " ");
}

static void refuse(struct access_answer *out, enum access_verdict verdict, enum refusal why)
{
    out->verdict = verdict;
    out->why = why;
}

void access_judge(enum conf_auth auth, const char *token, const struct access_request *req, struct access_answer *out,
                  struct err *err)
{
    const char *given = shown_token(req);
    bool right = given && token_equal(token, given);
    *out = (struct access_answer){.verdict = ACCESS_GRANTED,
                                  .principal = right                    ? "token"
                                               : auth == CONF_AUTH_OPEN ? "anyone"
                                                                        : "local",
                                  .shown = given || req->authorization};
    out->owner_known = req->peer && req->local && sockowner_find(req->peer, req->local, &out->owner);
    bool own = out->owner_known && (out->owner == 0 || out->owner == geteuid());
    bool by_hand = right && !req->password; /* no browser shows that by itself */
    if (is_cross_site(req)) {
        err_set(err, "a page of another site may not change anything here");
        refuse(out, ACCESS_FORBIDDEN, REFUSAL_CROSS_SITE);
    } else if (req->changes && auth != CONF_AUTH_OPEN && !by_hand && is_browser_of_unknown_page(req)) {
        err_set(err, "the browser does not say which page asks for it; use https, localhost, or POST");
        refuse(out, ACCESS_FORBIDDEN, REFUSAL_CROSS_SITE);
    } else if (right || auth == CONF_AUTH_OPEN) {
        return;
    } else if (auth == CONF_AUTH_TOKEN || !own) {
        err_set(err, auth == CONF_AUTH_TOKEN
                         ? "the token is needed (auth: \"token\")"
                         : "only root and the monitor's own user on this host may do that without showing the token");
        refuse(out, ACCESS_TOKEN_WANTED, out->shown ? REFUSAL_WRONG_TOKEN : REFUSAL_NO_TOKEN);
    } else if (req->host && !is_own_host(req->host)) {
        err_set(err, "the host name \"%.64s\" is not one of this host; use its address or localhost", req->host);
        refuse(out, ACCESS_FORBIDDEN, REFUSAL_HOST);
    }
}
