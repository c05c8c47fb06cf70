#include "resolve.h"

#include "dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolve {
    struct uv_loop_s *loop;
    struct agent *agent; /* being asked */
    struct dns *dns;     /* being asked */
    bool asked_agent;
    char agent_why[256];
    int dns_port;
    char host[AGENT_NAME_MAX + 1];
    resolve_done_fn *done;
    void *arg;
};

/* A host name, and no mistyped address: its last part is not all digits. */
static bool is_name(const char *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    bool digits = false;
    for (;;) {
        size_t n = strspn(s, letters);
        if (n == 0 || n > 63)
            return false;
        digits = strspn(s, "0123456789") == n;
        s += n;
        if (*s == '.')
            s++;
        if (!*s)
            return !digits;
        if (s[-1] != '.')
            return false;
    }
}

bool resolve_parse(const char *text, struct resolve_target *out)
{
    *out = (struct resolve_target){0};
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *colon = strrchr(end ? end : text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    out->port = colon ? host_port(colon + 1) : 0;
    if ((colon && !out->port) || len == 0 || len >= sizeof out->host)
        return false;
    bool brackets = end != NULL;
    if (brackets && (end != text + len - 1))
        return false;
    memcpy(out->host, text + brackets, len - 2 * brackets);
    out->literal_len = host_parse(out->host, out->port, &out->literal);
    if (out->literal_len)
        return brackets == (out->literal.any.sa_family == AF_INET6);
    return !brackets && is_name(out->host);
}

static void finish(struct resolve *r, struct resolve_result *result)
{
    result->asked_agent = r->asked_agent;
    result->agent = r->agent_why[0] ? r->agent_why : NULL;
    r->done(r->arg, result);
    free(r);
}

static void on_dns(void *arg, const union host_address *found, socklen_t len, const char *why)
{
    struct resolve_result result = {.found = found, .len = len, .why = why};
    finish(arg, &result);
}

static bool ask_dns(struct resolve *r, int *error)
{
    r->dns = dns_ask(r->loop, r->host, r->dns_port, on_dns, r, error);
    return r->dns != NULL;
}

static void on_agent(void *arg, const union host_address *found, socklen_t len, const char *why)
{
    struct resolve *r = arg;
    struct resolve_result result = {.found = found, .len = len};
    int error;
    r->agent = NULL;
    if (!found)
        snprintf(r->agent_why, sizeof r->agent_why, "%s", why);
    if (!found && ask_dns(r, &error))
        return;
    if (!found)
        result.why = strerror(-error);
    finish(r, &result);
}

struct resolve *resolve_start(struct uv_loop_s *loop, const struct resolve_target *target,
                              const struct resolve_ports *ports, resolve_done_fn *done, void *arg)
{
    struct resolve *r = calloc(1, sizeof *r);
    int error;
    if (!r)
        return NULL;
    *r = (struct resolve){.loop = loop, .done = done, .arg = arg, .asked_agent = !target->port};
    r->dns_port = target->port ? target->port : ports->dns;
    memcpy(r->host, target->host, sizeof r->host);
    if (r->asked_agent)
        r->agent = agent_ask(loop, ports->agent, r->host, on_agent, r);
    if (!r->agent && !ask_dns(r, &error)) {
        free(r);
        return NULL;
    }
    return r;
}

void resolve_cancel(struct resolve *r)
{
    if (r->agent)
        agent_cancel(r->agent);
    if (r->dns)
        dns_cancel(r->dns);
    free(r);
}
