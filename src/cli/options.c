#include "options.h"

#include "near.h"

#include <limits.h>
#include <string.h>

#define VALUE(f) .field = offsetof(struct options, f)

const struct option options_table[] = {
    {.name = "env",
     .value = "NAME",
     .help = "the env of conf.json to run or to ask (prod)",
     .more = "An env is one object in conf.json: a set of services with an admin port of its own. One monitor runs for "
             "each.",
     .group = OPTION_RUN,
     .words = WORDS_ENV,
     VALUE(env)},
    {.name = "conf",
     .value = "'PATH=VALUE;...'",
     .help = "override values of conf.json, such as 'port=8080;clog.mode=1'",
     .more =
         "PATH is dotted: svrs.web.stop.timeout=30. A VALUE is JSON where it can be read as such, else a text; null "
         "takes the key away. It is stronger than conf.json and the scripts, and holds over reloads.",
     .group = OPTION_RUN,
     VALUE(conf)},
    {.name = "home",
     .value = "DIR",
     .help = "the folder that holds conf/ and lua/",
     .more =
         "Without it: $FOTA_MONITOR_HOME, else the first that has conf/conf.json of the program's folder, the folder "
         "above it, and /etc/fota_monitor.",
     .group = OPTION_RUN,
     .words = WORDS_FOLDER,
     VALUE(home)},
    {.name = "check",
     .help = "judge conf.json and the scripts, start nothing",
     .more = "Shows every value that holds and where it comes from. Also as -format json.",
     .group = OPTION_RUN,
     .mode = MODE_CHECK,
     .field = OPTION_FLAG},
    {.name = "test",
     .value = "FILE...",
     .help = "run tests of scripts (fm.test) in simulated time; no monitor is needed",
     .group = OPTION_SCRIPTS,
     .words = WORDS_FILE,
     .mode = MODE_TEST,
     .field = OPTION_FLAG},
    {.name = "simulate",
     .value = "SCRIPT",
     .help = "what SCRIPT would have made of what happened (with -journal)",
     .more = "Further journals may follow. Exit code 1: something would have gone differently.",
     .group = OPTION_SCRIPTS,
     .words = WORDS_FILE,
     .mode = MODE_SIMULATE,
     VALUE(simulate)},
    {.name = "journal",
     .value = "FILE",
     .help = "the events for -simulate, such as run/prod.events.jsonl",
     .group = OPTION_SCRIPTS,
     .words = WORDS_FILE,
     VALUE(journal)},
    {.name = "host",
     .value = "HOST:PORT",
     .help = "ask a monitor elsewhere; https://HOST:PORT where it has a certificate",
     .more = "Without it the monitor of -env on this host is asked: its lock file in run/ says where it listens.",
     .group = OPTION_CONNECTION,
     VALUE(host)},
    {.name = "token-file",
     .value = "FILE",
     .help = "the token to show to it (there it is run/ENV.token)",
     .more = "On the monitor's own host root and its user need none, unless conf.json says \"auth\": \"token\"; it is "
             "read by itself then.",
     .group = OPTION_CONNECTION,
     .words = WORDS_FILE,
     VALUE(token_file)},
    {.name = "ca",
     .value = "FILE",
     .help = "the certificates to trust by https (PEM)",
     .group = OPTION_CONNECTION,
     .words = WORDS_FILE,
     VALUE(ca)},
    {.name = "fingerprint",
     .value = "HASH",
     .help = "the public key to trust, whoever vouches for it: sha256//BASE64",
     .group = OPTION_CONNECTION,
     VALUE(fingerprint)},
    {.name = "timeout",
     .value = "SECONDS",
     .help = "how long to wait for the outcome (60, or what the services need)",
     .more = "What was asked for goes on when the time is over; the answer says so, with exit code 1.",
     .group = OPTION_CONNECTION,
     VALUE(timeout)},
    {.name = "format",
     .value = "text|table|json",
     .help = "of the answer",
     .more =
         "A table is aligned, and on a terminal coloured and no wider than that; not with NO_COLOR set or TERM=dumb.",
     .group = OPTION_ANSWER,
     .words = WORDS_FORMAT,
     VALUE(format)},
    {.name = "lines",
     .value = "N",
     .help = "of -log, -history, -events: how many of the last",
     .group = OPTION_ANSWER,
     VALUE(lines)},
    {.name = "follow",
     .help = "of -log, -events: and what comes after",
     .group = OPTION_ANSWER,
     VALUE(follow),
     .alone = true},
    {.name = "h",
     .value = "[NAME]",
     .help = "this help; -help NAME: all about one option or command",
     .group = OPTION_ABOUT,
     .words = WORDS_NAME,
     .mode = MODE_HELP,
     VALUE(topic)},
    {.name = "help", .group = OPTION_HIDDEN, .words = WORDS_NAME, .mode = MODE_HELP, VALUE(topic)},
    {.name = "man",
     .help = "print the manual page; read it by: fota_monitor -man | man -l -",
     .group = OPTION_ABOUT,
     .mode = MODE_MAN,
     .field = OPTION_FLAG},
    {.name = "version", .help = "print the version", .group = OPTION_ABOUT, .mode = MODE_VERSION, .field = OPTION_FLAG},
    {.name = "check-state", .group = OPTION_HIDDEN, .mode = MODE_CHECK_STATE, VALUE(check_state)},
    {.name = "check-http", .group = OPTION_HIDDEN, .mode = MODE_CHECK_HTTP, .field = OPTION_FLAG},
    {.name = "complete", .group = OPTION_HIDDEN, .mode = MODE_COMPLETE, .field = OPTION_FLAG},
    {.name = NULL},
};

const struct option *options_find(const char *name, size_t len)
{
    for (const struct option *o = options_table; o->name; o++)
        if (strlen(o->name) == len && !strncmp(o->name, name, len))
            return o;
    return NULL;
}

bool options_want_json(const struct options *o)
{
    return o->format && !strcmp(o->format, "json");
}

bool options_has(const char *name)
{
    return options_find(name, strlen(name)) != NULL;
}

const char *options_nearest(const char *name, unsigned *distance)
{
    const char *nearest = NULL;
    for (const struct option *o = options_table; o->name; o++) {
        unsigned d = o->group == OPTION_HIDDEN ? UINT_MAX : near_distance(name, strlen(name), o->name, *distance);
        if (d <= *distance && d < strlen(name) && (!nearest || d < *distance)) {
            nearest = o->name;
            *distance = d;
        }
    }
    return nearest;
}

/* Files gather at the beginning of argv, where all has been read already. */
static void add_file(struct options *o, char **argv, char *file)
{
    argv[1 + o->nfiles++] = file;
    o->files = (const char *const *)argv + 1;
}

static bool add_arg(struct options *o, const char *arg, struct err *err)
{
    if (!strchr(arg, '='))
        return err_set(err, "\"%s\" stands where an option (-name) or an argument (key=value) is expected", arg);
    if (o->nargs == OPTIONS_ARGS)
        return err_set(err, "more than %d arguments", OPTIONS_ARGS);
    o->args[o->nargs++] = arg;
    return true;
}

/* A mistyped option looks like a command. */
static void fail_second(const char *first, const char *second, struct err *err)
{
    unsigned a = near_limit(strlen(first)), b = near_limit(strlen(second));
    const char *near_first = options_nearest(first, &a), *near_second = options_nearest(second, &b);
    bool is_first = near_first && (!near_second || a < b);
    if (near_first || near_second)
        err_set(err, "-%s and -%s: one command at a time; did you mean -%s by -%s?", first, second,
                is_first ? near_first : near_second, is_first ? first : second);
    else
        err_set(err, "-%s and -%s: one command at a time", first, second);
}

/* -NAME [SERVICES]: the value is what comes next, unless that is an option or key=value. */
static int set_command(struct options *o, const char *name, const char *eq, const char *next, struct err *err)
{
    if (o->command) {
        fail_second(o->command, name, err);
        return -1;
    }
    if (o->mode != MODE_HELP)
        o->mode = MODE_COMMAND;
    o->command = name;
    if (eq) {
        o->service = eq + 1;
        return 0;
    }
    if (!next || next[0] == '-' || strchr(next, '='))
        return 0;
    o->service = next;
    return 1;
}

/* -help [NAME]. */
static int take_topic(struct options *o, const char *eq, const char *next)
{
    const char *topic = eq ? eq + 1 : next;
    if (!topic || strchr(topic, '=') || (!eq && topic[0] == '-'))
        return 0;
    o->topic = topic + strspn(topic, "-");
    return eq ? 0 : 1;
}

/* One option; how many further words it took, or -1. */
static int take(struct options *o, char *word, const char *next, struct err *err)
{
    char *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    if (len == 0) {
        err_set(err, "\"%s\" is no option", word);
        return -1;
    }
    const struct option *row = options_find(name, len);
    if (!row) {
        if (eq)
            *eq = 0; /* the name becomes a string of its own */
        return set_command(o, name, eq, next, err);
    }
    if (row->mode != MODE_RUN && (o->mode == MODE_RUN || row->mode == MODE_HELP))
        o->mode = row->mode;
    if (row->field == OPTION_FLAG)
        return 0;
    if (row->mode == MODE_HELP)
        return take_topic(o, eq, next);
    const char *value = eq ? eq + 1 : row->alone ? "1" : next;
    if (!value) {
        err_set(err, "-%s needs a value", row->name);
        return -1;
    }
    memcpy((char *)o + row->field, &value, sizeof value);
    return eq || row->alone ? 0 : 1;
}

bool options_parse(struct options *out, int argc, char **argv, struct err *err)
{
    *out = (struct options){.env = "prod"};
    for (int i = 1; i < argc; i++) {
        if (out->mode == MODE_COMPLETE) {
            add_file(out, argv, argv[i]);
            continue;
        }
        if (argv[i][0] != '-' || !argv[i][1]) {
            if (out->mode == MODE_TEST || out->mode == MODE_SIMULATE)
                add_file(out, argv, argv[i]);
            else if (!add_arg(out, argv[i], err))
                return false;
            continue;
        }
        int took = take(out, argv[i], i + 1 < argc ? argv[i + 1] : NULL, err);
        if (took < 0)
            return false;
        i += took;
    }
    if (out->mode == MODE_HELP || out->mode == MODE_COMPLETE)
        return true;
    if (out->nargs && out->mode != MODE_COMMAND)
        return err_set(err, "\"%s\": arguments go with a command, such as -reload dry-run=1", out->args[0]);
    if (out->mode == MODE_TEST && !out->nfiles)
        return err_set(err, "-test: the files with the tests come behind it");
    if (!out->simulate != !out->journal)
        return err_set(err, "-simulate SCRIPT and -journal FILE go together");
    if (!out->env[0] || strpbrk(out->env, "/ \t\n"))
        return err_set(err, "-env: \"%s\" can't be the name of an env", out->env);
    return true;
}
