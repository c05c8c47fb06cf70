#include "guard.h"

#include "access.h"
#include "clog.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    int status;
    const char *code;
} answers[REFUSALS] = {
    [REFUSAL_NO_TOKEN] = {401, "unauthorized"}, [REFUSAL_WRONG_TOKEN] = {401, "unauthorized"},
    [REFUSAL_CROSS_SITE] = {403, "refused"},    [REFUSAL_HOST] = {403, "refused"},
    [REFUSAL_SCRIPT] = {403, "refused"},        [REFUSAL_TOO_MANY] = {429, "too_many"},
};

void guard_refuse(struct request *r, enum refusal why, const char *text)
{
    struct refusals *rf = r->admin->refusals;
    struct world *w = r->admin->mon->world;
    unsigned skipped = 0;
    r->refused = true;
    if (!rf || refusals_note(rf, r->client, why, w->ops->mono_ms(w), &skipped)) {
        char more[64] = "";
        if (skipped)
            snprintf(more, sizeof more, " (and %u more since it was last said)", skipped);
        clog_warn("%s refused to %s: %s%s", r->command->name, r->who, text, more);
    }
    request_fail(r, answers[why].status, EXIT_REFUSED, answers[why].code, "%s", text);
}

/* Who is slowed down together: a user of this host, else an address, and of IPv6 the network that one host has. */
static void name_client(struct request *r, const struct access_answer *a, const struct sockaddr *peer)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)peer;
    if (a->owner_known) {
        snprintf(r->client, sizeof r->client, "uid %u", a->owner);
    } else if (peer && peer->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        uint64_t network;
        memcpy(&network, &v6->sin6_addr, sizeof network);
        snprintf(r->client, sizeof r->client, "net %016" PRIx64, network);
    } else {
        snprintf(r->client, sizeof r->client, "%s", r->peer);
    }
}

/* "the command line from 127.0.0.1 (root)": by its own right, "(token)", "(open)" where nothing is asked for. */
static void name_who(struct request *r, const struct access_answer *a)
{
    char owner[32] = "";
    const char *by = "";
    char *who;
    if (a->owner_known && a->owner == 0)
        snprintf(owner, sizeof owner, "root");
    else if (a->owner_known)
        snprintf(owner, sizeof owner, "uid %u", a->owner);
    if (a->verdict == ACCESS_GRANTED && strcmp(a->principal, "local") != 0)
        by = strcmp(a->principal, "token") != 0 ? "open" : "token";
    if ((!owner[0] && !by[0]) || asprintf(&who, "%s (%s%s%s)", r->who, owner, owner[0] && by[0] ? ", " : "", by) < 0)
        return;
    free(r->who);
    r->who = who;
}

bool guard_admits(struct request *r, struct MHD_Connection *k, const struct sockaddr *peer,
                  const struct sockaddr *local)
{
    const struct admin *admin = r->admin;
    struct world *w = admin->mon->world;
    char *password = NULL, *user = MHD_basic_auth_get_username_password(k, &password);
    struct access_request who = {.peer = peer,
                                 .local = local,
                                 .host = MHD_lookup_connection_value(k, MHD_HEADER_KIND, "Host"),
                                 .origin = MHD_lookup_connection_value(k, MHD_HEADER_KIND, "Origin"),
                                 .sec_fetch_site = MHD_lookup_connection_value(k, MHD_HEADER_KIND, "Sec-Fetch-Site"),
                                 .referer = MHD_lookup_connection_value(k, MHD_HEADER_KIND, "Referer"),
                                 .user_agent = MHD_lookup_connection_value(k, MHD_HEADER_KIND, "User-Agent"),
                                 .changes = r->command->changes,
                                 .authorization = MHD_lookup_connection_value(k, MHD_HEADER_KIND, "Authorization"),
                                 .password = password};
    struct access_answer a;
    struct err err = {0};
    access_judge(admin->mon->conf->auth, admin->token, &who, &a, &err);
    MHD_free(user);
    MHD_free(password);
    name_client(r, &a, peer);
    if (a.shown && admin->refusals && refusals_is_shut(admin->refusals, r->client, w->ops->mono_ms(w))) {
        a.verdict = ACCESS_FORBIDDEN;
        a.why = REFUSAL_TOO_MANY;
        err_set(&err, "too many wrong tokens from there; try again in some seconds");
    }
    name_who(r, &a);
    r->principal = a.principal;
    if (a.verdict != ACCESS_GRANTED)
        guard_refuse(r, a.why, err.text);
    return a.verdict == ACCESS_GRANTED;
}
