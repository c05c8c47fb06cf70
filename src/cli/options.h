/* The command line, as Go's flag package reads one: -name value, -name=value, --name. */
#ifndef FM_OPTIONS_H
#define FM_OPTIONS_H

#include "base.h"
#include "err.h"

enum options_mode {
    MODE_RUN,         /* be the monitor */
    MODE_COMMAND,     /* ask the running one */
    MODE_CHECK,       /* judge the configuration */
    MODE_TEST,        /* run tests of scripts */
    MODE_SIMULATE,    /* replay a journal */
    MODE_CHECK_STATE, /* could this program go on from a state? */
    MODE_CHECK_HTTP,  /* can the HTTP server be loaded? */
    MODE_HELP,
    MODE_VERSION,
    MODE_MAN,      /* print the manual page */
    MODE_COMPLETE, /* what may stand at the end of the words that follow, for shells */
};

/* What stands together in -h and in the man page. */
enum option_group {
    OPTION_HIDDEN, /* for programs alone */
    OPTION_RUN,
    OPTION_SCRIPTS,
    OPTION_CONNECTION,
    OPTION_ANSWER,
    OPTION_ABOUT,
};

/* What completion offers for its value. */
enum option_words { WORDS_NONE, WORDS_FILE, WORDS_FOLDER, WORDS_ENV, WORDS_FORMAT, WORDS_NAME };

/* One option. What is none is a command that the running monitor may know: the core's and the scripts'. */
struct option {
    const char *name;
    const char *value; /* what stands behind it, for people; NULL: nothing does */
    const char *help;  /* one line; NULL when hidden */
    const char *more;  /* further sentences, for the man page and -help NAME; NULL: none */
    enum option_group group;
    enum option_words words;
    enum options_mode mode; /* that it asks for; MODE_RUN: none */
    size_t field;           /* offset of its const char * in struct options; OPTION_FLAG: it has none */
    bool alone;             /* takes no value, which is "1" then, unless one is tied to it by "=" */
};

#define OPTION_FLAG ((size_t)-1)

/* All of them, ended by one without a name. */
extern const struct option options_table[];

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
    const char *topic;              /* MODE_HELP: what to tell of; NULL: everything in short */
    const char *command;            /* MODE_COMMAND: "status" … */
    const char *service;            /* its value; NULL: none */
    const char *args[OPTIONS_ARGS]; /* key=value */
    size_t nargs;
    const char *check_state; /* MODE_CHECK_STATE: the descriptor to read from */
    const char *simulate;    /* MODE_SIMULATE: the script to be tried */
    const char *journal;
    const char *const *files; /* MODE_TEST: the tests; MODE_SIMULATE: further journals; MODE_COMPLETE: the words */
    size_t nfiles;
};

/* Reads argv (whose order it may change); false with a message about what is wrong, and what is right up to
 * there in *out. */
bool options_parse(struct options *out, int argc, char **argv, struct err *err);

/* Is the answer wanted as JSON? */
bool options_want_json(const struct options *o);

/* Is -NAME one of the options, and so no command? */
bool options_has(const char *name);

/* The option of that name (which need not end with a NUL), or NULL. */
const struct option *options_find(const char *name, size_t len);

/* The option that a mistyped name was probably meant to be, or NULL; at most *distance letters away (which is set to
 * how many it is). */
const char *options_nearest(const char *name, unsigned *distance);

#endif
