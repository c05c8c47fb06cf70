#include "ask.h"

#include "client.h"
#include "command.h"
#include "home.h"
#include "load.h"
#include "lock.h"
#include "manual.h"

#include <stdio.h>
#include <string.h>

#define QUIET_TIMEOUT "1" /* seconds, which a person at a terminal does not mind */

/* The monitor of an env. */
struct target {
    char address[256], token[PATH_MAX + 64];
    char cert[PATH_MAX]; /* what it shows by https; "": it does not */
    bool runs;           /* else whoever listens there is another */
};

/* The address in the lock file of a running monitor. */
static bool running_address(const char *rundir, const char *env, struct target *t)
{
    char path[PATH_MAX + 64];
    struct lock_info info;
    snprintf(path, sizeof path, "%s/%s.lock", rundir, env);
    t->runs = lock_read(path, &info);
    if (!t->runs || !info.address[0])
        return false;
    snprintf(t->address, sizeof t->address, "%s", info.address);
    return true;
}

static bool is_secure(const struct target *t)
{
    return !strncmp(t->address, "https://", 8);
}

/* Where the monitor of this env is: the running one says so in its lock file; where
 * there is none, conf.json tells where it would be. */
static bool find_target(const struct options *o, struct target *t, struct err *err)
{
    char home[PATH_MAX], rundir[PATH_MAX + 8];
    if (!home_find(o->home, home, err))
        return false;
    snprintf(rundir, sizeof rundir, "%s/run", home);
    snprintf(t->token, sizeof t->token, "%s/%s.token", rundir, o->env);
    t->cert[0] = 0;
    if (!o->conf && running_address(rundir, o->env, t) && !is_secure(t))
        return true;
    const struct confload_input in = {.home = home, .env = o->env, .overrides = o->conf};
    struct loaded world;
    if (!load_all(&in, command_is_reserved, &world, err))
        return false;
    const struct conf *conf = world.conf;
    snprintf(t->token, sizeof t->token, "%s/%s.token", conf->rundir, o->env);
    if (!running_address(conf->rundir, o->env, t)) {
        const char *host = strcmp(conf->bind[0], "inner") ? conf->bind[0] : "127.0.0.1";
        snprintf(t->address, sizeof t->address, strchr(host, ':') ? "%s[%s]:%d" : "%s%s:%d",
                 conf->tls.cert ? "https://" : "", host, conf->port);
    }
    if (conf->tls.cert)
        snprintf(t->cert, sizeof t->cert, "%s", conf->tls.cert);
    loaded_fini(&world);
    return true;
}

/* Who says whom to trust does not want to tell others his token. */
static bool is_as_secure_as_asked(const struct options *o, struct err *err)
{
    size_t len;
    const char *host = link_host(o->host, &len);
    return (!o->ca && !o->fingerprint) || !strncmp(o->host, "https://", 8) ||
           err_set(err, "-%s is for https alone: -host https://%.*s", o->ca ? "ca" : "fingerprint", (int)len, host);
}

static bool aim(const struct options *o, struct target *own, struct client_target *out, struct err *err)
{
    *out = (struct client_target){.address = o->host,
                                  .token_file = o->token_file,
                                  .token_must = o->token_file,
                                  .trust = {.ca_file = o->ca, .fingerprint = o->fingerprint}};
    if (o->host)
        return is_as_secure_as_asked(o, err);
    if (!find_target(o, own, err))
        return false;
    out->address = own->address;
    out->env = o->env;
    if (!o->token_file && own->runs) /* while it is down, any user of this host may listen on its port */
        out->token_file = own->token;
    if (!o->ca && !o->fingerprint && own->cert[0]) /* its own file is to be trusted, whatever name stands in it */
        out->trust = (struct link_trust){.ca_file = own->cert, .any_name = true};
    return true;
}

int ask(const struct options *o)
{
    struct target own;
    struct client_target target;
    struct err err = {0};
    const char *nearest = manual_command(o->command) ? NULL : manual_nearest(o->command);
    if (!aim(o, &own, &target, &err)) {
        fprintf(stderr, "Error: %s\n", err.text);
        if (nearest)
            fprintf(stderr, "-%s is no command of the core; did you mean -%s?\n", o->command, nearest);
        return EXIT_USAGE;
    }
    target.nearest = nearest;
    return client_run(o, &target);
}

bool ask_quietly(const struct options *o, const char *command, struct buf *out)
{
    struct options question = {.env = o->env, .command = command, .timeout = QUIET_TIMEOUT};
    struct target own;
    struct client_target target;
    if (!aim(o, &own, &target, NULL))
        return false;
    target.token_must = false;
    target.into = out;
    return client_run(&question, &target) <= EXIT_SERVICE && !out->failed;
}
