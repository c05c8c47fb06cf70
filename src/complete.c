#include "complete.h"

#include "ask.h"
#include "buf.h"
#include "command.h"
#include "home.h"
#include "jsontext.h"
#include "manual.h"
#include "textfile.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONF_MAX ((size_t)4 << 20)

struct completion {
    struct options before; /* what stands before the word */
    const char *word;
    size_t fixed;    /* so much of the word stays in front of what is offered: "a," of "a,b" */
    struct buf list; /* what fits */
};

static bool begins_with(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Offers a word, if it goes on from what is typed. */
static void offer(struct completion *c, const char *prefix, const char *word, const char *suffix, const char *about)
{
    struct buf whole = {0};
    buf_addf(&whole, "%.*s%s%s%s", (int)c->fixed, c->word, prefix, word, suffix);
    if (begins_with(buf_str(&whole), c->word) && !strpbrk(buf_str(&whole), "\t\n"))
        buf_addf(&c->list, "%s\t%s\n", buf_str(&whole), about ? about : "");
    buf_fini(&whole);
}

/* Calls `each` for every line, which ends without its newline. */
static void each_line(struct completion *c, struct buf *text, void (*each)(struct completion *c, char *line, void *arg),
                      void *arg)
{
    for (char *rest = text->data, *line; rest && (line = strsep(&rest, "\n"));)
        each(c, line, arg);
}

/* ---- what the running monitor knows */

static void offer_service(struct completion *c, char *line, void *arg)
{
    const char **state = arg;
    if (begins_with(line, "*****STATUS ")) {
        *state = strstr(line, " OK ") ? "up" : "not up";
        return;
    }
    char *pid = strstr(line, " PID:");
    if (pid)
        *pid = 0;
    if (*line)
        offer(c, "", line, "", *state);
}

/* The last of a list. */
static void offer_services(struct completion *c)
{
    struct buf text = {0};
    const char *state = "";
    const char *comma = strrchr(c->word + c->fixed, ',');
    if (comma)
        c->fixed = (size_t)(comma + 1 - c->word);
    else
        offer(c, "", "all", "", "every service");
    if (ask_quietly(&c->before, "status", &text))
        each_line(c, &text, offer_service, &state);
    buf_fini(&text);
}

/* "drain      help", and its arguments below: "             grace=help". */
static void offer_command(struct completion *c, char *line, void *arg)
{
    const char *prefix = arg;
    size_t len = strcspn(line, " ");
    if (!len)
        return;
    const char *help = line + len + strspn(line + len, " ");
    line[len] = 0;
    if (!command_is_reserved(line))
        offer(c, prefix, line, "", help);
}

struct args_of {
    const char *command;
    bool inside;
};

static void offer_argument(struct completion *c, char *line, void *arg)
{
    struct args_of *a = arg;
    char *eq = strchr(line, '=');
    if (line[0] != ' ') {
        line[strcspn(line, " ")] = 0;
        a->inside = !strcmp(line, a->command);
    } else if (a->inside && eq) {
        *eq = 0;
        offer(c, "", line + strspn(line, " "), "=", eq + 1);
    }
}

static void offer_arguments(struct completion *c)
{
    const struct command *command = manual_command(c->before.command);
    struct args_of of = {.command = c->before.command};
    struct buf text = {0};
    for (const struct command_arg *a = command ? command->args : NULL; a && a->name; a++)
        offer(c, "", a->name, "=", a->help);
    if (!command && ask_quietly(&c->before, "help", &text))
        each_line(c, &text, offer_argument, &of);
    buf_fini(&text);
}

static void offer_names(struct completion *c, const char *prefix)
{
    struct buf text = {0};
    for (const struct option *o = options_table; o->name; o++)
        if (o->group != OPTION_HIDDEN)
            offer(c, prefix, o->name, "", o->help);
    if (c->before.command) /* one at a time */
        return;
    size_t i = 0;
    for (const struct command *b; (b = command_at(&(struct admin){0}, i)); i++)
        if (manual_command(b->name))
            offer(c, prefix, b->name, "", b->help);
    if (ask_quietly(&c->before, "help", &text))
        each_line(c, &text, offer_command, (void *)prefix);
    buf_fini(&text);
}

/* ---- what conf.json knows */

/* The keys of the outermost object: names of envs. */
static void offer_keys(struct completion *c, const char *text, size_t len)
{
    int depth = 0;
    for (size_t i = 0; i < len; i++) {
        depth += text[i] == '{' || text[i] == '[' ? 1 : text[i] == '}' || text[i] == ']' ? -1 : 0;
        if (text[i] != '"')
            continue;
        size_t begin = ++i;
        while (i < len && text[i] != '"')
            i += text[i] == '\\' ? 2 : 1;
        size_t next = i + 1;
        while (next < len && isspace((unsigned char)text[next]))
            next++;
        if (depth != 1 || next >= len || text[next] != ':')
            continue;
        struct buf name = {0};
        jsonpath_unescape(text + begin, i - begin, &name);
        offer(c, "", buf_str(&name), "", "");
        buf_fini(&name);
    }
}

static void offer_envs(struct completion *c)
{
    char home[PATH_MAX], path[PATH_MAX + 32];
    struct buf text = {0};
    size_t bad;
    if (!home_find(c->before.home, home, NULL))
        return;
    snprintf(path, sizeof path, "%s/conf/conf.json", home);
    if (textfile_read(path, "conf.json", CONF_MAX, &text, NULL) && jsontext_blank(text.data, text.len, &bad))
        offer_keys(c, text.data, text.len);
    buf_fini(&text);
}

/* ---- which of it */

/* The value of an option; the kind of what is offered. */
static const char *offer_value(struct completion *c, const struct option *o)
{
    static const char *const formats[] = {"text", "table", "json"};
    switch (o->words) {
    case WORDS_FILE:
        return "files";
    case WORDS_FOLDER:
        return "folders";
    case WORDS_ENV:
        offer_envs(c);
        break;
    case WORDS_NAME:
        offer_names(c, "");
        break;
    case WORDS_FORMAT:
        for (size_t i = 0; i < ARRAY_LEN(formats); i++)
            offer(c, "", formats[i], "", "");
        break;
    case WORDS_NONE:
        break;
    }
    return "words";
}

/* The name of "-name", "--name=value"; its length in *len, 0: it is no such word. */
static const char *name_in(const char *word, size_t *len)
{
    const char *name = word + (word[0] == '-') + (word[0] == '-' && word[1] == '-');
    *len = word[0] == '-' ? strcspn(name, "=") : 0;
    return name;
}

/* The word begins with a dash: an option, a command, or either with its value behind "=". */
static const char *complete_name(struct completion *c)
{
    size_t len;
    const char *name = name_in(c->word, &len);
    if (name[len] != '=' || !len) {
        offer_names(c, c->word[0] == '-' && c->word[1] == '-' ? "--" : "-");
        return "words";
    }
    const struct option *o = options_find(name, len);
    c->fixed = (size_t)(name + len + 1 - c->word);
    if (o)
        return offer_value(c, o);
    offer_services(c);
    return "words";
}

static bool takes_services(const char *command)
{
    const struct command *c = manual_command(command);
    return !c || command_takes_services(c);
}

static const char *complete_word(struct completion *c, const char *previous)
{
    size_t len = 0;
    const char *name = previous ? name_in(previous, &len) : NULL;
    const struct option *o = len ? options_find(name, len) : NULL;
    bool open = len && name[len] != '='; /* its value may stand here */
    if (open && o && (o->value || o->words))
        return offer_value(c, o);
    if (c->word[0] == '-')
        return complete_name(c);
    if (c->before.mode == MODE_TEST || c->before.mode == MODE_SIMULATE)
        return "files";
    if (open && !o && takes_services(name))
        offer_services(c);
    if (c->before.command)
        offer_arguments(c);
    else
        offer_names(c, "-");
    return "words";
}

/* Reads what stands before the word, which cuts at "=": `previous` is a copy. */
static const char *complete_after(struct completion *c, const char *const *before, size_t n, char *previous)
{
    char **words = calloc(n + 2, sizeof *words);
    if (!words)
        return "words";
    words[0] = "";
    memcpy(words + 1, before, n * sizeof *words);
    options_parse(&c->before, (int)n + 1, words, NULL);
    free(words);
    return complete_word(c, previous);
}

int complete(const struct options *o)
{
    if (!o->nfiles)
        return EXIT_USAGE;
    size_t n = o->nfiles - 1;
    struct completion c = {.word = o->files[n]};
    char *previous = strdup(n ? o->files[n - 1] : "");
    const char *kind = complete_after(&c, o->files, n, previous && previous[0] ? previous : NULL);
    printf("%s\n%s", kind, buf_str(&c.list));
    buf_fini(&c.list);
    free(previous);
    return EXIT_OK;
}
