#include "help.h"

#include "ask.h"
#include "buf.h"
#include "command.h"
#include "manual.h"

#include <stdio.h>
#include <string.h>

/* The commands of scripts are what the running monitor lists and the core does not know. */
static void add_script_commands(struct buf *b, const char *listed)
{
    bool any = false;
    for (const char *line = listed, *end; *line; line = end + (*end == '\n')) {
        end = strchrnul(line, '\n');
        struct buf name = {0}, help = {0};
        size_t len = strcspn(line, " \n");
        buf_addc(&name, '-');
        buf_add(&name, line, len);
        len += strspn(line + len, " ");
        buf_add(&help, line + len, (size_t)(end - line) - MIN(len, (size_t)(end - line)));
        if (*line != ' ' && !command_is_reserved(buf_str(&name) + 1)) {
            buf_adds(b, any ? "" : "\nCommands of the running monitor's scripts\n");
            manual_line(b, buf_str(&name), buf_str(&help));
            any = true;
        }
        buf_fini(&name);
        buf_fini(&help);
    }
}

/* What the running monitor's help says of one command; false when it does not know it. */
static bool add_script_command(struct buf *b, const char *listed, const char *name)
{
    size_t len = strlen(name);
    bool inside = false, found = false;
    for (const char *line = listed, *end; *line; line = end) {
        end = strchrnul(line, '\n');
        end += *end == '\n';
        if (*line != ' ')
            inside = !strncmp(line, name, len) && line[len] == ' ';
        if (inside)
            buf_add(b, found ? line : "-", found ? (size_t)(end - line) : 1);
        if (inside && !found)
            buf_add(b, line, (size_t)(end - line));
        found |= inside;
    }
    return found;
}

/* What the program itself knows, and what the scripts of the running monitor do, if there is one. */
int help(const struct options *o)
{
    const char *topic = o->topic ? o->topic : o->command;
    struct buf text = {0}, listed = {0};
    int code = EXIT_OK;
    if (!topic) {
        manual_help(&text);
        if (ask_quietly(o, "help", &listed))
            add_script_commands(&text, buf_str(&listed));
    } else if (!manual_about(&text, topic) &&
               !(ask_quietly(o, "help", &listed) && add_script_command(&text, buf_str(&listed), topic))) {
        const char *nearest = manual_nearest(topic);
        fprintf(stderr, "Error: \"%s\" is no option and no command that is known\n", topic);
        if (nearest)
            fprintf(stderr, "Did you mean %s?\n", nearest);
        else
            fprintf(stderr, "fota_monitor -h lists them.\n");
        code = EXIT_USAGE;
    }
    fputs(buf_str(&text), stdout);
    buf_fini(&text);
    buf_fini(&listed);
    return code;
}

int help_manual(void)
{
    struct buf text = {0};
    manual_page(&text);
    fputs(buf_str(&text), stdout);
    bool ok = !text.failed;
    buf_fini(&text);
    return ok ? EXIT_OK : EXIT_COMMAND;
}
