#include "command.h"

#include "builtin.h"
#include "options.h"

#include <string.h>

const struct command *command_at(const struct admin *admin, size_t i)
{
    for (size_t k = 0; builtin_commands[k].name; k++)
        if (i-- == 0)
            return &builtin_commands[k];
    return admin->extra && i < admin->extra->count ? admin->extra->commands[i] : NULL;
}

static const struct command *find_builtin(const char *name)
{
    for (size_t i = 0; builtin_commands[i].name; i++)
        if (!strcmp(builtin_commands[i].name, name))
            return &builtin_commands[i];
    return NULL;
}

static const struct command *find_extra(const struct command_table *t, const char *name)
{
    for (size_t i = 0; t && i < t->count; i++)
        if (!strcmp(t->commands[i]->name, name))
            return t->commands[i];
    return NULL;
}

const struct command *command_find(const struct admin *admin, const char *name, struct command_table **table)
{
    const struct command *c = find_builtin(name);
    if (table)
        *table = c ? NULL : admin->extra;
    return c ? c : find_extra(admin->extra, name);
}

bool command_is_reserved(const char *name)
{
    return find_builtin(name) || options_has(name);
}

struct command_table *command_hold(struct command_table *t)
{
    if (t)
        t->holders++;
    return t;
}

void command_let_go(struct command_table *t)
{
    if (t && --t->holders == 0 && t->unused)
        t->unused(t);
}

void command_set_extra(struct admin *admin, struct command_table *table)
{
    struct command_table *before = admin->extra;
    admin->extra = command_hold(table);
    command_let_go(before);
}
