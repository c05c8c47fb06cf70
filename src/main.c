/* fota_monitor: which of its modes is wanted, and the only exit. */
#include "ask.h"
#include "buf.h"
#include "check.h"
#include "clog.h"
#include "command.h"
#include "complete.h"
#include "daemon.h"
#include "help.h"
#include "home.h"
#include "load.h"
#include "memory.h"
#include "mhd.h"
#include "options.h"
#include "proc.h"
#include "replay.h"
#include "simtest.h"
#include "upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    daemon_hold_signals(); /* before there are threads */
#ifdef FM_SANITIZED
    /* Here it stays: once in some thousand times the look for leaks, at the end, fails in itself after a library with
     * variables of each thread was let go of (gcc 12: "Tracer caught signal 11"). */
    mhd_load(NULL);
#endif
    struct loaded world;
    if (!load(&in, true, &world, &err))
        return complain(&err);
    bool hangs = false;
    int code = daemon_run(&world, &in, &hangs);
    if (hangs)
        _exit(code);
    loaded_fini(&world);
    return code;
}

static bool load_quietly(void *arg, struct loaded *out, struct err *err)
{
    return load(arg, false, out, err);
}

/* The monitor that runs asks before it becomes this program: the configuration must be good too. */
static int check_state(const struct options *o)
{
    char home[PATH_MAX];
    struct confload_input in;
    struct err err = {0};
    if (!find_input(o, home, &in, &err) || !upgrade_check(atoi(o->check_state), load_quietly, &in, &err))
        return complain(&err);
    fputs(UPGRADE_WELL, stdout);
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

int main(int argc, char **argv)
{
    struct options o;
    struct err err = {0};
    upgrade_note_program(argv);
    if (!options_parse(&o, argc, argv, &err)) {
        fprintf(stderr, "Error: %s\nfota_monitor -h tells more.\n", err.text);
        exit(EXIT_USAGE);
    }
    switch (o.mode) {
    case MODE_RUN:
        exit(run_monitor(&o));
    case MODE_COMMAND:
        exit(ask(&o));
    case MODE_CHECK:
        exit(check(&o));
    case MODE_CHECK_STATE:
        exit(check_state(&o));
    case MODE_CHECK_HTTP:
        exit(mhd_load(&err) ? EXIT_OK : complain(&err));
    case MODE_TEST:
        exit(test(&o));
    case MODE_SIMULATE:
        exit(simulate(&o));
    case MODE_VERSION:
        puts(options_want_json(&o) ? "{\"version\":\"" FM_VERSION "\"}" : "fota_monitor " FM_VERSION);
        exit(EXIT_OK);
    case MODE_HELP:
        exit(help(&o));
    case MODE_MAN:
        exit(help_manual());
    case MODE_COMPLETE:
        exit(complete(&o));
    }
    return EXIT_USAGE;
}
