/* The command line, as Go's flag package reads one: -name value, -name=value, --name. */
#ifndef FM_OPTIONS_H
#define FM_OPTIONS_H

#include "base.h"
#include "err.h"

enum options_mode {
    MODE_RUN,      /* be the monitor */
    MODE_COMMAND,  /* ask the running one */
    MODE_CHECK,    /* judge the configuration */
    MODE_TEST,     /* run tests of scripts */
    MODE_SIMULATE, /* replay a journal */
    MODE_HELP,
    MODE_VERSION,
};

#define OPTIONS_ARGS 16

/* Strings point into argv; NULL: not given. */
struct options {
    enum options_mode mode;
    const char *env; /* "prod" when not given */
    const char *conf;
    const char *home;
    const char *host;
    const char *token_file;
    const char *ca, *fingerprint; /* of whom to trust by https */
    const char *format;
    const char *timeout;
    const char *lines;
    const char *follow;
    const char *command;            /* MODE_COMMAND: "status" … */
    const char *service;            /* its value; NULL: none */
    const char *args[OPTIONS_ARGS]; /* key=value */
    size_t nargs;
    const char *simulate; /* MODE_SIMULATE: the script to be tried */
    const char *journal;
    const char *const *files; /* MODE_TEST: the tests; MODE_SIMULATE: further journals */
    size_t nfiles;
};

/* Reads argv (whose order it may change); false with a message about what is wrong. */
bool options_parse(struct options *out, int argc, char **argv, struct err *err);

/* Is -NAME one of the options, and so no command? */
bool options_has(const char *name);

/* The text of -h. Static. */
const char *options_help(void);

#endif
