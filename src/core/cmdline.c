#include "cmdline.h"

#include "buf.h"
#include "environ.h"
#include "shlex.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SHELL "/bin/sh"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

/* As the first word these make a compound command (or a syntax error the shell shall report). */
static const char *const reserved_words[] = {
    "!", "{", "}", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while",
};

/* Of these, the ones a command may follow. */
static const char *const introducers[] = {"!", "{", "do", "elif", "else", "if", "then", "until", "while"};

/* What /bin/sh (dash) does itself. */
static const char *const builtins[] = {
    ".",     ":",     "[",      "alias", "bg",     "break",    "cd",      "chdir",   "command", "continue",
    "echo",  "eval",  "exec",   "exit",  "export", "false",    "fg",      "getopts", "hash",    "jobs",
    "kill",  "local", "printf", "pwd",   "read",   "readonly", "return",  "set",     "shift",   "test",
    "times", "trap",  "true",   "type",  "ulimit", "umask",    "unalias", "unset",   "wait",
};

/* A command line, judged. */
struct command {
    enum cmdline_way way;
    const char *text; /* from the first token to the last one: no blanks or comments around it */
    size_t len;
    size_t nwords;
    struct shlex_token name; /* the command's name; text is NULL when there is none to be looked at */
    bool sets_path;          /* PATH=… before the name */
};

/* State of the judgement. */
struct judge {
    struct command *cmd;
    bool syntax;   /* something a shell must see */
    bool past;     /* the name of the first command was seen, or can't come any more */
    bool target;   /* the next word belongs to a redirection */
    bool newline;  /* the line was ended: whatever follows is another command */
    bool was_name; /* the token before was the name */
};

static bool is_one_of(const char *const *list, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == len && memcmp(list[i], word, len) == 0)
            return true;
    return false;
}

static bool is_builtin(const char *word)
{
    return is_one_of(builtins, ARRAY_LEN(builtins), word, strlen(word));
}

static void judge_word(struct judge *j, const struct shlex_token *tok)
{
    struct command *cmd = j->cmd;
    bool first = tok->text == cmd->text;
    cmd->nwords++;
    j->syntax |= tok->quoted || tok->expands;
    if (j->target) {
        j->target = false;
        return;
    }
    if (j->past)
        return;
    if (shlex_assigned_name(tok)) {
        j->syntax = true;
        cmd->sets_path |= strncmp(tok->text, "PATH=", 5) == 0;
        return;
    }
    j->past = true;
    if (first && is_one_of(reserved_words, ARRAY_LEN(reserved_words), tok->text, tok->len)) {
        cmd->way = CMDLINE_SHELL_PARENT;
        return;
    }
    cmd->name = *tok;
    j->was_name = true;
}

static void judge_token(struct judge *j, const struct shlex_token *tok)
{
    struct command *cmd = j->cmd;
    bool after_name = j->was_name;
    j->was_name = false;
    if (!cmd->text)
        cmd->text = tok->text;
    cmd->len = (size_t)(tok->text + tok->len - cmd->text);
    if (j->newline) {
        cmd->way = CMDLINE_SHELL_PARENT;
        j->past = true;
    }
    if (tok->kind == SHLEX_WORD) {
        judge_word(j, tok);
    } else if (tok->kind == SHLEX_REDIRECT) {
        j->syntax = true;
        j->target = true;
    } else {
        cmd->way = CMDLINE_SHELL_PARENT;
        j->past = true;
        if (after_name && shlex_is(tok, "(")) /* a function is defined */
            cmd->name.text = NULL;
    }
}

static bool judge(const char *text, struct command *cmd, struct err *err)
{
    *cmd = (struct command){.way = CMDLINE_DIRECT};
    struct judge j = {.cmd = cmd};
    struct shlex lx = {.at = text};
    for (;;) {
        struct shlex_token tok;
        if (!shlex_next(&lx, &tok, err))
            return err_prefix(err, "the command line");
        if (tok.kind == SHLEX_END)
            break;
        if (tok.kind == SHLEX_NEWLINE) {
            j.newline = cmd->text != NULL;
            continue;
        }
        judge_token(&j, &tok);
        if (shlex_is_heredoc(&tok)) { /* what follows its line is data, with quotes of its own */
            cmd->way = CMDLINE_SHELL_PARENT;
            cmd->len = strlen(cmd->text);
            break;
        }
    }
    if (!cmd->text)
        return err_set(err, "the command line is empty");
    if (cmd->way == CMDLINE_DIRECT && (j.syntax || lx.skipped))
        cmd->way = CMDLINE_SHELL_EXEC;
    if (cmd->way != CMDLINE_SHELL_PARENT && !cmd->name.text)
        return err_set(err, "the command line names no command");
    return true;
}

/* The value of name in a list of "K=V", or NULL. */
static const char *list_value(char *const *list, const char *name)
{
    size_t len = strlen(name);
    for (; list && *list; list++)
        if (strncmp(*list, name, len) == 0 && (*list)[len] == '=')
            return *list + len + 1;
    return NULL;
}

static bool is_file(const char *path, bool executable)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (!executable || (st.st_mode & 0111));
}

/* dir/word without empty and "." components; ".." stays, for what is before it may be a link. NULL: out of memory. */
static char *join(const char *dir, size_t dir_len, const char *word)
{
    struct buf raw = {0}, b = {0};
    buf_add(&raw, dir, dir_len);
    buf_addc(&raw, '/');
    buf_adds(&raw, word);
    for (const char *p = buf_str(&raw); *p;) {
        size_t len = strcspn(p, "/");
        if (len > 0 && !(len == 1 && *p == '.')) {
            buf_addc(&b, '/');
            buf_add(&b, p, len);
        }
        p += len + (p[len] == '/');
    }
    if (!b.len)
        buf_addc(&b, '/');
    b.failed |= raw.failed;
    buf_fini(&raw);
    return buf_take(&b);
}

/* Sets *out to the file of that name in one of the folders of path; NULL when none has it. False: out of memory. */
static bool search(const char *path, const char *word, char **out)
{
    *out = NULL;
    while (*path) {
        size_t len = strcspn(path, ":");
        if (*path == '/') { /* a relative folder would depend on where the monitor was started */
            char *file = join(path, len, word);
            if (!file)
                return false;
            if (is_file(file, true)) {
                *out = file;
                return true;
            }
            free(file);
        }
        path += len + (path[len] == ':');
    }
    return true;
}

/* Where the executable is. exe stays NULL when the shell must find it. */
struct target {
    char *exe;
    bool from_path; /* it was found in PATH */
    bool builtin;   /* only a shell can do it */
};

/* PATH as the command would see it. */
static const char *effective_path(const struct cmdline_input *in, const struct environ *e)
{
    const char *path = list_value(in->env, "PATH");
    if (!path && !e->shell)
        path = list_value(e->env, "PATH");
    if (!path)
        path = in->path;
    return path ? path : DEFAULT_PATH;
}

/* A name for PATH, a builtin, or nothing there is: then t->exe stays as it is, for the exec's error to name it. */
static bool find_name(const struct cmdline_input *in, const struct environ *e, const struct command *cmd,
                      const char *word, struct target *t)
{
    bool shell = cmd->way != CMDLINE_DIRECT;
    char *found = NULL;
    if (!(shell && is_builtin(word)) && !search(effective_path(in, e), word, &found))
        return false;
    t->builtin = !found && is_builtin(word);
    t->from_path = found;
    /* A shell that may change PATH first looks the name up itself. */
    bool unsure = cmd->sets_path || (e->shell && !list_value(in->env, "PATH"));
    bool leave = t->builtin || unsure || (!found && cmd->way == CMDLINE_SHELL_PARENT);
    if (!found && !leave)
        return true;
    if (leave) {
        free(found);
        found = NULL;
    }
    free(t->exe);
    t->exe = found;
    return true;
}

static bool find_target(const struct cmdline_input *in, const struct environ *e, const struct command *cmd,
                        struct target *t, struct err *err)
{
    *t = (struct target){0};
    if (!cmd->name.text || cmd->name.expands)
        return true;
    char *word = shlex_unquote(&cmd->name);
    if (!word)
        return err_nomem(err);
    if (!*word) {
        free(word);
        return err_set(err, "the command line names no command");
    }
    t->exe = *word == '/' ? strdup(word) : join(in->rootpath, strlen(in->rootpath), word);
    bool ok = t->exe != NULL;
    bool parent = cmd->way == CMDLINE_SHELL_PARENT;
    bool path = strchr(word, '/') != NULL; /* alone it means that file, whether it is there or not */
    /* Among other commands `test` means the builtin; alone, a service of that name. */
    if (ok && (!path || parent) && (!is_file(t->exe, false) || (parent && is_builtin(word)))) {
        if (!path) {
            ok = find_name(in, e, cmd, word, t);
        } else if (parent) {
            free(t->exe);
            t->exe = NULL;
        }
    }
    free(word);
    return ok || err_nomem(err);
}

static bool is_shell_name(const char *pair)
{
    struct shlex_token tok = {.kind = SHLEX_WORD, .text = pair, .len = strlen(pair)};
    return shlex_assigned_name(&tok) > 0;
}

/* What the shell does before the command: environ, then the env map, for it to win. */
static void add_environ(struct buf *b, const struct cmdline_input *in, const struct environ *e)
{
    if (!e->shell)
        return;
    buf_addf(b, e->open_end ? "{ %s\n} && " : "%s && ", buf_str(&e->text));
    size_t n = 0;
    for (char *const *pair = in->env; pair && *pair; pair++) {
        if (!is_shell_name(*pair))
            continue;
        buf_adds(b, n++ ? " " : "export ");
        size_t name = strcspn(*pair, "=") + 1;
        buf_add(b, *pair, name);
        buf_add_shell(b, *pair + name);
    }
    if (n)
        buf_adds(b, " && ");
}

/* Sets *out to where a later command of a script is, if the shell would not find it from dir but rootpath has it.
 * False: out of memory. */
static bool find_later(const struct cmdline_input *in, const char *dir, const struct shlex_token *tok, char **out)
{
    *out = NULL;
    if (tok->expands || *tok->text == '/' || !memchr(tok->text, '/', tok->len))
        return true;
    char *word = shlex_unquote(tok);
    char *here = word ? join(dir, strlen(dir), word) : NULL;
    char *there = here ? join(in->rootpath, strlen(in->rootpath), word) : NULL;
    bool ok = there;
    if (ok && !is_file(here, false) && is_file(there, false)) {
        *out = there;
        there = NULL;
    }
    free(word);
    free(here);
    free(there);
    return ok;
}

/* Adds the text from p to end, which follows the first command's name. `web/a && web/b`: b starts at rootpath as a
 * does, though the shell stands in a's folder. After a `cd` paths are the shell's business. */
static bool add_later(struct buf *b, const struct cmdline_input *in, const char *dir, const char *p, const char *end)
{
    struct shlex lx = {.at = p};
    struct shlex_token tok;
    bool command = false, target = false;
    while (shlex_next(&lx, &tok, NULL) && tok.kind != SHLEX_END && !shlex_is_heredoc(&tok)) {
        if (tok.kind != SHLEX_WORD) {
            target = tok.kind == SHLEX_REDIRECT;
            command |= !target;
            continue;
        }
        bool skip = target || !command || shlex_assigned_name(&tok);
        target = false;
        if (skip || is_one_of(introducers, ARRAY_LEN(introducers), tok.text, tok.len))
            continue;
        command = false;
        if (shlex_is(&tok, "cd") || shlex_is(&tok, "chdir"))
            break;
        char *file;
        if (!find_later(in, dir, &tok, &file))
            return false;
        if (file) {
            buf_add(b, p, (size_t)(tok.text - p));
            buf_add_shell(b, file);
            free(file);
            p = tok.text + tok.len;
        }
    }
    buf_add(b, p, (size_t)(end - p));
    return true;
}

/* The command with its name replaced by where the executable is, and `exec` before it where that makes sense. */
static bool add_command(struct buf *b, const struct cmdline_input *in, const struct command *cmd,
                        const struct target *t, const char *dir)
{
    const char *p = cmd->name.text ? cmd->name.text : cmd->text, *end = cmd->text + cmd->len;
    buf_add(b, cmd->text, (size_t)(p - cmd->text));
    if (cmd->way == CMDLINE_SHELL_EXEC && !t->builtin)
        buf_adds(b, "exec ");
    if (t->exe) {
        buf_add_shell(b, t->exe);
        p += cmd->name.len;
        if (cmd->way == CMDLINE_SHELL_PARENT && !t->from_path)
            return add_later(b, in, dir, p, end);
    }
    buf_add(b, p, (size_t)(end - p));
    return true;
}

/* argv for a shell that runs script; takes it over. `more` further places are left free. */
static char **shell_argv(struct buf *script, size_t more)
{
    const char *words[] = {SHELL, "-c"};
    char **argv = calloc(4 + more, sizeof *argv);
    if (!argv) {
        buf_fini(script);
        return NULL;
    }
    bool ok = true;
    for (size_t i = 0; i < 2; i++)
        ok = (argv[i] = strdup(words[i])) && ok;
    ok = (argv[2] = buf_take(script)) && ok;
    if (ok)
        return argv;
    for (size_t i = 0; i < 3; i++)
        free(argv[i]);
    free(argv);
    return NULL;
}

/* Appends the words of a direct command; the first one as found. */
static bool add_words(char **argv, const struct command *cmd, const struct target *t)
{
    const char *p = cmd->text, *end = cmd->text + cmd->len;
    for (size_t i = 0; i < cmd->nwords; i++) {
        p += strspn(p, " \t");
        size_t len = MIN(strcspn(p, " \t"), (size_t)(end - p));
        argv[i] = i == 0 && t->exe ? strdup(t->exe) : strndup(p, len);
        if (!argv[i])
            return false;
        p += len;
    }
    return true;
}

/* A direct command: its words, behind a shell when the environ needs one. */
static bool compose_words(const struct cmdline_input *in, const struct environ *e, const struct command *cmd,
                          const struct target *t, struct cmdline *out)
{
    if (!e->shell) {
        out->argv = calloc(cmd->nwords + 1, sizeof *out->argv);
        return out->argv && add_words(out->argv, cmd, t);
    }
    struct buf script = {0};
    add_environ(&script, in, e);
    buf_adds(&script, "exec \"$@\"");
    out->way = CMDLINE_SHELL_EXEC;
    out->argv = shell_argv(&script, cmd->nwords + 1);
    return out->argv && (out->argv[3] = strdup("sh")) && add_words(out->argv + 4, cmd, t);
}

static void free_list(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

/* The arguments the process will show once the shell has become it: its words without quotes and redirections. Left
 * out when the shell expands one of them. */
static bool add_visible(const struct command *cmd, const struct target *t, struct cmdline *out)
{
    struct shlex lx = {.at = cmd->name.text};
    struct shlex_token tok;
    bool target = false;
    char **argv = calloc(cmd->nwords + 1, sizeof *argv);
    for (size_t n = 0; argv && shlex_next(&lx, &tok, NULL) && tok.kind != SHLEX_END;) {
        bool skip = target || tok.kind != SHLEX_WORD;
        target = tok.kind == SHLEX_REDIRECT;
        if (skip)
            continue;
        if (tok.expands || !(argv[n] = n ? shlex_unquote(&tok) : strdup(t->exe))) {
            free_list(argv);
            return tok.expands;
        }
        n++;
    }
    out->visible = argv;
    return argv;
}

static bool compose_script(const struct cmdline_input *in, const struct environ *e, const struct command *cmd,
                           const struct target *t, struct cmdline *out)
{
    struct buf script = {0};
    /* In braces, so that all of `a; b` depends on the environ; closed on a line of its own, for the command may end
     * with a comment, a `&` or a here-document. */
    bool braces = e->shell && cmd->way == CMDLINE_SHELL_PARENT;
    add_environ(&script, in, e);
    if (braces)
        buf_adds(&script, "{ ");
    if (!add_command(&script, in, cmd, t, out->dir))
        script.failed = true;
    if (braces)
        buf_adds(&script, "\n}");
    out->argv = shell_argv(&script, 0);
    return out->argv && (cmd->way != CMDLINE_SHELL_EXEC || !t->exe || add_visible(cmd, t, out));
}

static char *default_dir(const struct cmdline_input *in, const struct target *t)
{
    if (!t->exe || t->from_path)
        return strdup(in->rootpath);
    size_t len = (size_t)(strrchr(t->exe, '/') - t->exe);
    return strndup(t->exe, len ? len : 1);
}

static bool resolve(const struct cmdline_input *in, struct environ *e, struct cmdline *out, struct err *err)
{
    struct command cmd;
    struct target t;
    for (size_t i = 0; i < ARRAY_LEN(in->environs); i++)
        if (!environ_add(e, in->environs[i], err))
            return false;
    if (!judge(in->cmd, &cmd, err))
        return false;
    if (!find_target(in, e, &cmd, &t, err)) {
        free(t.exe);
        return false;
    }
    if (cmd.way == CMDLINE_DIRECT && t.builtin)
        cmd.way = CMDLINE_SHELL_EXEC;
    out->way = cmd.way;
    out->exe = t.exe;
    out->dir = default_dir(in, &t);
    if (!out->dir || !(cmd.way == CMDLINE_DIRECT ? compose_words : compose_script)(in, e, &cmd, &t, out))
        return err_nomem(err);
    if (!e->shell) { /* handed over */
        out->env = e->env;
        out->limits = e->limits;
        out->nlimits = e->nlimits;
        e->env = NULL;
        e->limits = NULL;
        e->nenv = e->nlimits = 0;
    }
    return true;
}

bool cmdline_resolve(const struct cmdline_input *in, struct cmdline *out, struct err *err)
{
    *out = (struct cmdline){0};
    struct environ e = {0};
    bool ok = resolve(in, &e, out, err);
    environ_fini(&e);
    if (!ok)
        cmdline_fini(out);
    return ok;
}

void cmdline_fini(struct cmdline *c)
{
    free_list(c->argv);
    free_list(c->visible);
    free_list(c->env);
    free(c->exe);
    free(c->dir);
    free(c->limits);
    *c = (struct cmdline){0};
}
