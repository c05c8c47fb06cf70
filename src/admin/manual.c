#include "manual.h"

#include "builtin.h"
#include "near.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28

/* ---- what stands together */

static bool controls(const struct command *c)
{
    return c->changes && command_takes_services(c);
}

static bool looks(const struct command *c)
{
    return !c->changes;
}

static bool concerns_monitor(const struct command *c)
{
    return c->changes && !command_takes_services(c);
}

static const struct section {
    const char *title, *note;
    enum option_group group;                /* its options, */
    bool (*holds)(const struct command *c); /* or its commands */
} sections[] = {
    {"Run", "in the foreground; fota_monitor.sh start puts it in the background", OPTION_RUN, NULL},
    {"Control services", "SERVICES: a name, a list a,b, or all", OPTION_HIDDEN, controls},
    {"Look", NULL, OPTION_HIDDEN, looks},
    {"The monitor itself", NULL, OPTION_HIDDEN, concerns_monitor},
    {"Scripts", NULL, OPTION_SCRIPTS, NULL},
    {"Connection", NULL, OPTION_CONNECTION, NULL},
    {"Answer", NULL, OPTION_ANSWER, NULL},
    {"About", NULL, OPTION_ABOUT, NULL},
};

static const struct {
    int code;
    const char *meaning;
} codes[] = {
    {EXIT_OK, "all well"},
    {EXIT_SERVICE, "a service failed, or is not up"},
    {EXIT_USAGE, "usage or configuration error"},
    {EXIT_COMMAND, "the command itself failed"},
    {EXIT_UNREACHABLE, "the monitor can't be reached"},
    {EXIT_REFUSED, "refused (not authorized)"},
};

const struct command *manual_command(const char *name)
{
    for (const struct command *c = builtin_commands; c->name; c++)
        if (!strcmp(c->name, name) && !options_has(name))
            return c;
    return NULL;
}

const char *manual_nearest(const char *name)
{
    size_t len = strlen(name);
    unsigned best = near_limit(len);
    const char *nearest = options_nearest(name, &best);
    for (const struct command *c = builtin_commands; c->name; c++) {
        unsigned d = near_distance(name, len, c->name, best);
        if (d <= best && d < len && (!nearest || d < best)) {
            nearest = c->name;
            best = d;
        }
    }
    return nearest;
}

/* ---- for a terminal */

void manual_usage(struct buf *b, const struct command *c)
{
    static const char *const behind[] = {[COMMAND_NO_SERVICE] = "",
                                         [COMMAND_ALL_SERVICES] = "",
                                         [COMMAND_ANY_SERVICES] = " [SERVICES]",
                                         [COMMAND_SERVICES] = " SERVICES"};
    buf_addf(b, "-%s%s", c->name, behind[c->services]);
}

static void option_usage(struct buf *b, const struct option *o)
{
    buf_addf(b, "-%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
}

void manual_line(struct buf *b, const char *usage, const char *help)
{
    buf_addf(b, "  %-*s%s%s\n", HELP_COLUMN - 2, usage, strlen(usage) > HELP_COLUMN - 3 ? " " : "", help);
}

/* Calls `add` for all that is in a section, with its usage. */
static void each_of(const struct section *s, struct buf *b, void (*option)(struct buf *, const char *, const void *),
                    void (*command)(struct buf *, const char *, const void *))
{
    struct buf usage = {0};
    for (const struct option *o = options_table; !s->holds && o->name; o++)
        if (o->group == s->group) {
            buf_clear(&usage);
            option_usage(&usage, o);
            option(b, buf_str(&usage), o);
        }
    for (const struct command *c = builtin_commands; s->holds && c->name; c++)
        if (s->holds(c) && !options_has(c->name)) {
            buf_clear(&usage);
            manual_usage(&usage, c);
            command(b, buf_str(&usage), c);
        }
    b->failed |= usage.failed;
    buf_fini(&usage);
}

static void add_option_line(struct buf *b, const char *usage, const void *option)
{
    manual_line(b, usage, ((const struct option *)option)->help);
}

static void add_command_line(struct buf *b, const char *usage, const void *command)
{
    manual_line(b, usage, ((const struct command *)command)->help);
}

void manual_help(struct buf *b)
{
    buf_adds(b, "fota_monitor supervises the services of one host.\n"
                "  fota_monitor -env test                     run those of env test\n"
                "  fota_monitor -env test -restart web        ask the running monitor\n");
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        const struct section *s = &sections[i];
        buf_addf(b, "\n%s%s%s%s\n", s->title, s->note ? " (" : "", s->note ? s->note : "", s->note ? ")" : "");
        each_of(s, b, add_option_line, add_command_line);
    }
    buf_adds(b, "\nAny other -NAME [SERVICES] [key=value ...] is a command that a script defines.\nExit codes:");
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        buf_addf(b, "%s %d %s", i ? i == 3 ? ",\n           " : "," : "", codes[i].code, codes[i].meaning);
    buf_adds(b, "\n");
}

/* Breaks a text into lines. */
static void add_wrapped(struct buf *b, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > 92) {
            buf_adds(b, "\n");
            column = 0;
        }
        buf_addf(b, "%s%.*s", column ? " " : "  ", (int)word, text);
        column += word + (column ? 1 : 2);
        text += word;
        text += *text == ' ';
    }
    buf_addc(b, '\n');
}

static void add_arg_line(struct buf *b, const struct command_arg *a)
{
    struct buf usage = {0};
    buf_addf(&usage, "%s=...", a->name);
    buf_addf(b, "    %-*s%s", HELP_COLUMN - 4, buf_str(&usage), a->help ? a->help : "");
    if (a->standard)
        buf_addf(b, " (%s)", a->standard);
    buf_addc(b, '\n');
    buf_fini(&usage);
}

bool manual_about(struct buf *b, const char *name)
{
    const struct option *o =
        options_find(strcmp(name, "help") != 0 ? name : "h", strcmp(name, "help") ? strlen(name) : 1);
    const struct command *c = manual_command(name);
    if (o && o->help) {
        option_usage(b, o);
        buf_adds(b, "\n");
        add_wrapped(b, o->help);
        if (o->more)
            add_wrapped(b, o->more);
    } else if (c) {
        manual_usage(b, c);
        buf_adds(b, c->args ? " [key=value ...]\n" : "\n");
        add_wrapped(b, c->help);
        for (const struct command_arg *a = c->args; a && a->name; a++)
            add_arg_line(b, a);
    }
    return c || (o && o->help);
}

/* ---- for man */

/* What roff would take for its own is made harmless; words stay together that must. */
static void add_roff(struct buf *b, const char *text)
{
    buf_adds(b, *text == '.' || *text == '\'' ? "\\&" : "");
    for (const char *p = text; *p; p++)
        switch (*p) {
        case '-':
            buf_adds(b, "\\-");
            break;
        case '\\':
            buf_adds(b, "\\e");
            break;
        case '\'':
            buf_adds(b, "\\(aq");
            break;
        case '"':
            buf_adds(b, "\\(dq");
            break;
        default:
            buf_addc(b, *p);
        }
}

/* The first word is in bold. */
static void add_roff_entry(struct buf *b, const char *usage, const char *help, const char *more)
{
    size_t bold = strcspn(usage, " ");
    buf_adds(b, ".TP\n\\fB");
    for (size_t i = 0; i < bold; i++)
        add_roff(b, (const char[]){usage[i], 0});
    buf_adds(b, "\\fR");
    add_roff(b, usage + bold);
    buf_addc(b, '\n');
    add_roff(b, help);
    buf_adds(b, ".\n");
    if (more) {
        add_roff(b, more);
        buf_addc(b, '\n');
    }
}

static void add_roff_option(struct buf *b, const char *usage, const void *option)
{
    const struct option *o = option;
    add_roff_entry(b, usage, o->help, o->more);
}

static void add_roff_command(struct buf *b, const char *usage, const void *command)
{
    const struct command *c = command;
    add_roff_entry(b, usage, c->help, NULL);
    for (const struct command_arg *a = c->args; a && a->name; a++) {
        buf_adds(b, ".br\n\\fB");
        add_roff(b, a->name);
        buf_adds(b, "=\\fR\\ \\ ");
        add_roff(b, a->help ? a->help : "");
        if (a->standard) {
            buf_adds(b, " (");
            add_roff(b, a->standard);
            buf_addc(b, ')');
        }
        buf_addc(b, '\n');
    }
}

static const char page_head[] =
    ".\\\" Made by fota_monitor -man.\n"
    ".TH FOTA_MONITOR 1 \"\" \"fota_monitor " FM_VERSION "\" \"User Commands\"\n"
    ".SH NAME\n"
    "fota_monitor \\- supervise the services of one host\n"
    ".SH SYNOPSIS\n"
    ".nf\n"
    "\\fBfota_monitor\\fR [\\fB\\-env\\fR NAME] [\\fB\\-conf\\fR PATH=VALUE;...] [\\fB\\-home\\fR DIR]\n"
    "\\fBfota_monitor\\fR [\\fB\\-env\\fR NAME] \\fB\\-\\fRCOMMAND [SERVICES] [KEY=VALUE ...]\n"
    "\\fBfota_monitor\\fR [\\fB\\-env\\fR NAME] \\fB\\-check\\fR\n"
    ".fi\n"
    ".SH DESCRIPTION\n"
    "Without a command it runs the monitor of one env in the foreground: it starts the services that conf.json\n"
    "names, notices at once when one ends, starts it again, and tells why it ended. They outlive the monitor.\n"
    ".PP\n"
    "With a command it asks the running monitor and prints the answer. SERVICES is a name, a list a,b, or all.\n"
    "Any name that stands neither here nor among the commands below is a command that a Lua script defines;\n"
    "\\fB\\-h\\fR lists those of the running monitor too.\n"
    ".PP\n"
    "Options are written \\fB\\-name\\fR value, \\fB\\-name=\\fRvalue, or with two dashes.\n";

static const char page_tail[] = ".SH FILES\n"
                                ".TP\n"
                                "conf/conf.json\n"
                                "the configuration, in the home folder\n"
                                ".TP\n"
                                "lua/*.lua\n"
                                "the scripts\n"
                                ".TP\n"
                                "run/ENV.lock, run/ENV.token, run/ENV.events.jsonl\n"
                                "where the monitor of an env listens, its token, and what happened\n"
                                ".TP\n"
                                "fota_monitor.log\n"
                                "in a service\\(aqs folder: its console\n"
                                ".SH ENVIRONMENT\n"
                                ".TP\n"
                                "FOTA_MONITOR_HOME\n"
                                "the home folder, where \\fB\\-home\\fR is not given\n"
                                ".TP\n"
                                "NO_COLOR, TERM=dumb\n"
                                "a table on a terminal has no colours\n"
                                ".SH EXAMPLES\n"
                                ".nf\n"
                                "fota_monitor \\-env test \\-status all \\-format table\n"
                                "fota_monitor \\-env test \\-restart web,api\n"
                                "fota_monitor \\-env test \\-why web\n"
                                "fota_monitor \\-env test \\-log web \\-follow\n"
                                "fota_monitor \\-env test \\-reload dry\\-run=1\n"
                                ".fi\n";

void manual_page(struct buf *b)
{
    buf_adds(b, page_head);
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        buf_adds(b, i ? "" : ".SH OPTIONS AND COMMANDS\n");
        buf_addf(b, ".SS %s\n", sections[i].title);
        each_of(&sections[i], b, add_roff_option, add_roff_command);
    }
    buf_adds(b, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        buf_addf(b, ".TP\n%d\n", codes[i].code);
        add_roff(b, codes[i].meaning);
        buf_addc(b, '\n');
    }
    buf_adds(b, page_tail);
}
