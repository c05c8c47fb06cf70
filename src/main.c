/* fota_monitor: which of its modes is wanted, and the only exit. */
#include "buf.h"
#include "client.h"
#include "clog.h"
#include "command.h"
#include "daemon.h"
#include "home.h"
#include "load.h"
#include "lock.h"
#include "memory.h"
#include "mhd.h"
#include "options.h"
#include "proc.h"
#include "replay.h"
#include "simtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads configuration and scripts. Warnings go to stderr. */
static bool load(const struct confload_input *in, bool say_warnings, struct loaded *out, struct err *err)
{
    if (!load_all(in, command_is_reserved, out, err))
        return false;
    if (out->warnings && say_warnings)
        for (char *rest = out->warnings, *line; (line = strsep(&rest, "\n"));)
            if (*line)
                clog_warn("%s", line);
    return true;
}

static int complain(const struct err *err)
{
    fprintf(stderr, "Error: %s\n", err->text);
    return EXIT_USAGE;
}

static bool find_input(const struct options *o, char home[PATH_MAX], struct confload_input *in, struct err *err)
{
    *in = (struct confload_input){.home = home, .env = o->env, .overrides = o->conf};
    return home_find(o->home, home, err);
}

static int run_monitor(const struct options *o)
{
    char home[PATH_MAX];
    struct confload_input in;
    struct err err = {0};
    memory_begin();
    int r = proc_init();
    if (r)
        fprintf(stderr, "Error: %s\n", strerror(-r));
    if (r)
        return EXIT_COMMAND;
    if (!find_input(o, home, &in, &err))
        return complain(&err);
    mhd_load_begin(); /* while the configuration is read */
    struct loaded world;
    if (!load(&in, true, &world, &err))
        return complain(&err);
    int code = daemon_run(&world, &in);
    loaded_fini(&world);
    return code;
}

static int check(const struct options *o)
{
    char home[PATH_MAX];
    struct confload_input in;
    struct err err = {0};
    if (!find_input(o, home, &in, &err))
        return complain(&err);
    struct loaded world;
    struct buf listing = {0};
    in.listing = &listing;
    if (!load(&in, true, &world, &err)) {
        buf_fini(&listing);
        return complain(&err);
    }
    const struct conf *conf = world.conf;
    printf("%s: env %s is well: %zu service%s", conf->path, conf->env, conf->nsvrs, conf->nsvrs == 1 ? "" : "s");
    if (world.scripts)
        printf(", %zu script%s", world.scripts->nfiles, world.scripts->nfiles == 1 ? "" : "s");
    printf("\n%s", buf_str(&listing));
    buf_fini(&listing);
    loaded_fini(&world);
    return EXIT_OK;
}

static int test(const struct options *o)
{
    static const int codes[] = {
        [SIMTEST_PASSED] = EXIT_OK, [SIMTEST_FAILED] = EXIT_SERVICE, [SIMTEST_BROKEN] = EXIT_USAGE};
    char home[PATH_MAX];
    struct err err = {0};
    if (!home_find(o->home, home, &err))
        return complain(&err);
    clog_configure(0, 0); /* what is to be said stands beneath the cases that fail */
    const struct simtest_input in = {
        .home = home, .env = o->env, .reserved = command_is_reserved, .files = o->files, .nfiles = o->nfiles};
    return codes[simtest_run(&in)];
}

static int simulate(const struct options *o)
{
    static const int codes[] = {
        [REPLAY_SAME] = EXIT_OK, [REPLAY_DIFFERENT] = EXIT_SERVICE, [REPLAY_BROKEN] = EXIT_USAGE};
    char home[PATH_MAX];
    struct err err = {0};
    if (!home_find(o->home, home, &err))
        return complain(&err);
    clog_configure(0, 0);
    const char **journals = calloc(o->nfiles + 1, sizeof *journals);
    if (!journals)
        return EXIT_COMMAND;
    journals[0] = o->journal;
    for (size_t i = 0; i < o->nfiles; i++)
        journals[i + 1] = o->files[i];
    const struct replay_input in = {.home = home,
                                    .env = o->env,
                                    .overrides = o->conf,
                                    .reserved = command_is_reserved,
                                    .script = o->simulate,
                                    .journals = journals,
                                    .njournals = o->nfiles + 1};
    int code = codes[replay_run(&in, &err)];
    free(journals);
    return code == EXIT_USAGE ? complain(&err) : code;
}

/* The address in the lock file of a running monitor. */
static bool running_address(const char *rundir, const char *env, char *out, size_t size)
{
    char path[PATH_MAX + 64];
    struct lock_info info;
    snprintf(path, sizeof path, "%s/%s.lock", rundir, env);
    if (!lock_read(path, &info) || !info.address[0])
        return false;
    snprintf(out, size, "%s", info.address);
    return true;
}

/* The monitor of this env. */
struct target {
    char address[256], token[PATH_MAX + 64];
    char cert[PATH_MAX]; /* what it shows by https; "": it does not */
};

static bool is_secure(const struct target *t)
{
    return !strncmp(t->address, "https://", 8);
}

/* Where the monitor of this env is: the running one says so in its lock file; where
 * there is none, conf.json tells where it would be. */
static bool find_target(const struct options *o, struct target *t, struct err *err)
{
    char home[PATH_MAX], rundir[PATH_MAX + 8];
    struct confload_input in;
    if (!find_input(o, home, &in, err))
        return false;
    snprintf(rundir, sizeof rundir, "%s/run", home);
    snprintf(t->token, sizeof t->token, "%s/%s.token", rundir, o->env);
    t->cert[0] = 0;
    if (!o->conf && running_address(rundir, o->env, t->address, sizeof t->address) && !is_secure(t))
        return true;
    struct loaded world;
    if (!load(&in, false, &world, err))
        return false;
    const struct conf *conf = world.conf;
    snprintf(t->token, sizeof t->token, "%s/%s.token", conf->rundir, o->env);
    if (!running_address(conf->rundir, o->env, t->address, sizeof t->address)) {
        const char *host = strcmp(conf->bind[0], "inner") ? conf->bind[0] : "127.0.0.1";
        snprintf(t->address, sizeof t->address, strchr(host, ':') ? "%s[%s]:%d" : "%s%s:%d",
                 conf->tls.cert ? "https://" : "", host, conf->port);
    }
    if (conf->tls.cert)
        snprintf(t->cert, sizeof t->cert, "%s", conf->tls.cert);
    loaded_fini(&world);
    return true;
}

static int ask(const struct options *o, bool quiet)
{
    struct target own;
    struct err err = {0};
    struct client_target target = {.address = o->host,
                                   .token_file = o->token_file,
                                   .token_must = o->token_file,
                                   .trust = {.ca_file = o->ca, .fingerprint = o->fingerprint},
                                   .quiet = quiet};
    if (!o->host) {
        if (!find_target(o, &own, &err))
            return quiet ? EXIT_USAGE : complain(&err);
        target.address = own.address;
        if (!o->token_file)
            target.token_file = own.token;
        if (!o->ca && !o->fingerprint && own.cert[0]) /* its own file is to be trusted, whatever name stands in it */
            target.trust = (struct link_trust){.ca_file = own.cert, .any_name = true};
    }
    return client_run(o, &target);
}

/* What the program itself knows, then what the running monitor does, if there is one. */
static int help(const struct options *o)
{
    struct options q = *o;
    struct target own;
    fputs(options_help(), stdout);
    q.command = "help";
    if (!o->host && !find_target(o, &own, NULL))
        return EXIT_OK;
    printf("\nCommands of the running monitor:\n");
    fflush(stdout);
    if (ask(&q, true))
        printf("(it does not answer)\n");
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct options o;
    struct err err = {0};
    if (!options_parse(&o, argc, argv, &err)) {
        fprintf(stderr, "Error: %s\nfota_monitor -h tells more.\n", err.text);
        exit(EXIT_USAGE);
    }
    switch (o.mode) {
    case MODE_RUN:
        exit(run_monitor(&o));
    case MODE_COMMAND:
        exit(ask(&o, false));
    case MODE_CHECK:
        exit(check(&o));
    case MODE_TEST:
        exit(test(&o));
    case MODE_SIMULATE:
        exit(simulate(&o));
    case MODE_VERSION:
        puts("fota_monitor " FM_VERSION);
        exit(EXIT_OK);
    case MODE_HELP:
        exit(help(&o));
    }
    return EXIT_USAGE;
}
