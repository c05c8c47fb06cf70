#include "options.h"

#include <string.h>

/* What an option does. Those without a row are commands that the running monitor may
 * know: the core's and the scripts'. */
struct option_row {
    const char *name;
    size_t field;           /* offset of its const char * in struct options; FLAG: it has none */
    enum options_mode mode; /* that it asks for; MODE_RUN: none */
    bool alone;             /* takes no value, which is "1" then, unless one is tied to it by "=" */
};

#define FLAG ((size_t)-1)
#define VALUE(n, f)                                                                                                    \
    {                                                                                                                  \
        .name = n, .field = offsetof(struct options, f)                                                                \
    }
#define MODE(n, m)                                                                                                     \
    {                                                                                                                  \
        .name = n, .field = FLAG, .mode = m                                                                            \
    }

static const struct option_row rows[] = {
    VALUE("env", env),
    VALUE("conf", conf),
    VALUE("home", home),
    VALUE("host", host),
    VALUE("token-file", token_file),
    VALUE("ca", ca),
    VALUE("fingerprint", fingerprint),
    VALUE("format", format),
    VALUE("timeout", timeout),
    VALUE("lines", lines),
    {.name = "follow", .field = offsetof(struct options, follow), .alone = true},
    VALUE("journal", journal),
    {.name = "simulate", .field = offsetof(struct options, simulate), .mode = MODE_SIMULATE},
    MODE("check", MODE_CHECK),
    MODE("test", MODE_TEST),
    MODE("h", MODE_HELP),
    MODE("help", MODE_HELP),
    MODE("version", MODE_VERSION),
};

static const struct option_row *find_row(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strlen(rows[i].name) == len && !strncmp(rows[i].name, name, len))
            return &rows[i];
    return NULL;
}

bool options_has(const char *name)
{
    return find_row(name, strlen(name)) != NULL;
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

/* -NAME [SERVICES]: the value is what comes next, unless that is an option or key=value. */
static int set_command(struct options *o, const char *name, const char *eq, const char *next, struct err *err)
{
    if (o->command) {
        err_set(err, "-%s and -%s: one command at a time", o->command, name);
        return -1;
    }
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

/* One option; how many further words it took, or -1. */
static int take(struct options *o, char *word, const char *next, struct err *err)
{
    char *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    if (len == 0) {
        err_set(err, "\"%s\" is no option", word);
        return -1;
    }
    const struct option_row *row = find_row(name, len);
    if (!row) {
        if (eq)
            *eq = 0; /* the name becomes a string of its own */
        return set_command(o, name, eq, next, err);
    }
    if (row->mode != MODE_RUN && (o->mode == MODE_RUN || row->mode == MODE_HELP))
        o->mode = row->mode;
    if (row->field == FLAG)
        return 0;
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
    if (out->nargs && out->mode != MODE_COMMAND)
        return err_set(err, "\"%s\": arguments go with a command, such as -reload dry-run=1", out->args[0]);
    if (out->mode == MODE_TEST && !out->nfiles)
        return err_set(err, "-test: the files with the tests come behind it");
    if (out->mode != MODE_HELP && !out->simulate != !out->journal)
        return err_set(err, "-simulate SCRIPT and -journal FILE go together");
    if (!out->env[0] || strpbrk(out->env, "/ \t\n"))
        return err_set(err, "-env: \"%s\" can't be the name of an env", out->env);
    return true;
}

const char *options_help(void)
{
    return "fota_monitor supervises the services of one host.\n"
           "\n"
           "Run the monitor, in the foreground (fota_monitor.sh start puts it in the background):\n"
           "  fota_monitor -env test                    the services of env \"test\" in conf/conf.json (default: "
           "prod)\n"
           "  fota_monitor -env dev -conf='port=8080;clog.mode=1'\n"
           "                                            the same with values of conf.json overridden\n"
           "  fota_monitor -env test -check             judge conf.json and the scripts, start nothing\n"
           "  fota_monitor -test FILES                  run tests of scripts (fm.test), in simulated time\n"
           "  fota_monitor -env test -simulate new.lua -journal run/test.events.jsonl\n"
           "                                            what new.lua would have made of what happened\n"
           "\n"
           "Ask the running monitor (SERVICES: a name, a list a,b, or all):\n"
           "  -status [SERVICES]       which are up, and which are not\n"
           "  -start SERVICES          start, and wait until they are up\n"
           "  -stop SERVICES           stop, and wait until they are down\n"
           "  -restart SERVICES        stop and start, and wait\n"
           "  -grestart SERVICES       restart by their own means (graceful.signal)\n"
           "  -history SERVICES        what happened to them, newest last (-lines N)\n"
           "  -events [SERVICES]       what happens to all, also before the monitor was started (-lines N, -follow)\n"
           "  -log SERVICES            the end of their console logs, and what comes after it (-lines N, -follow)\n"
           "  -metrics                 figures about the monitor and its services, as Prometheus reads them\n"
           "  -why SERVICES            why they are in the state they are in\n"
           "  -reload [dry-run=1]      apply changed scripts and conf.json, or only show what would change\n"
           "  -NAME [SERVICES] [key=value ...]\n"
           "                           any other command the monitor knows\n"
           "\n"
           "Options:\n"
           "  -env NAME                the env (default: prod)\n"
           "  -conf 'PATH=VALUE;...'   override values of conf.json, by dotted path\n"
           "  -home DIR                the folder that holds conf/ and lua/\n"
           "  -host HOST:PORT          a monitor elsewhere; https://HOST:PORT when it has a certificate\n"
           "  -ca FILE                 certificates to trust then (PEM)\n"
           "  -fingerprint sha256//... the public key to trust, whoever vouches for it\n"
           "  -token-file FILE         the token to show to it\n"
           "  -format text|table|json  of the answer\n"
           "  -timeout SECONDS         how long to wait for it\n"
           "  -h, -version\n"
           "\n"
           "Exit codes: 0 all well, 1 a service failed or is not up, 2 usage or configuration,\n"
           "3 the command itself failed, 4 the monitor can't be reached, 5 refused.\n";
}
