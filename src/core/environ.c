#include "environ.h"

#include "shlex.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* The options of `ulimit` by letter. Units are those of /bin/sh (dash): POSIX blocks for -c and -f, KiB for memory.
 * `dash` is the letter dash itself has for it, 0 for none: bash's letters are understood too. -p is left to the shell,
 * for it counts processes in dash and sizes pipes in bash. */
static const struct {
    int resource;
    uint64_t unit;
    char dash;
} ulimits[] = {
    ['R'] = {.resource = RLIMIT_RTTIME, .unit = 1},
    ['c'] = {.resource = RLIMIT_CORE, .unit = 512, .dash = 'c'},
    ['d'] = {.resource = RLIMIT_DATA, .unit = 1024, .dash = 'd'},
    ['e'] = {.resource = RLIMIT_NICE, .unit = 1},
    ['f'] = {.resource = RLIMIT_FSIZE, .unit = 512, .dash = 'f'},
    ['i'] = {.resource = RLIMIT_SIGPENDING, .unit = 1},
    ['l'] = {.resource = RLIMIT_MEMLOCK, .unit = 1024, .dash = 'l'},
    ['m'] = {.resource = RLIMIT_RSS, .unit = 1024, .dash = 'm'},
    ['n'] = {.resource = RLIMIT_NOFILE, .unit = 1, .dash = 'n'},
    ['q'] = {.resource = RLIMIT_MSGQUEUE, .unit = 1},
    ['r'] = {.resource = RLIMIT_RTPRIO, .unit = 1, .dash = 'r'},
    ['s'] = {.resource = RLIMIT_STACK, .unit = 1024, .dash = 's'},
    ['t'] = {.resource = RLIMIT_CPU, .unit = 1, .dash = 't'},
    ['u'] = {.resource = RLIMIT_NPROC, .unit = 1, .dash = 'p'},
    ['v'] = {.resource = RLIMIT_AS, .unit = 1024, .dash = 'v'},
    ['w'] = {.resource = RLIMIT_LOCKS, .unit = 1, .dash = 'w'},
    ['x'] = {.resource = RLIMIT_LOCKS, .unit = 1, .dash = 'w'},
};

struct statement {
    struct shlex_token *words;
    size_t n, cap;
};

/* How a statement can be had. */
enum form {
    FORM_SHELL,  /* only a shell knows */
    FORM_LIMIT,  /* ulimit -X N */
    FORM_EXPORT, /* export K=V … */
    FORM_ASSIGN, /* K=V …, where V may still need a shell */
};

static bool push_word(struct statement *st, const struct shlex_token *tok)
{
    if (st->n == st->cap) {
        size_t cap = st->cap ? st->cap * 2 : 16;
        struct shlex_token *words = realloc(st->words, cap * sizeof *words);
        if (!words)
            return false;
        st->words = words;
        st->cap = cap;
    }
    st->words[st->n++] = *tok;
    return true;
}

static bool parse_number(const struct shlex_token *tok, uint64_t unit, uint64_t *value)
{
    if (shlex_is(tok, "unlimited")) {
        *value = RLIM_INFINITY;
        return true;
    }
    uint64_t n = 0;
    for (size_t i = 0; i < tok->len; i++) {
        unsigned digit = (unsigned char)tok->text[i] - (unsigned)'0';
        if (digit > 9 || n > (UINT64_MAX / unit - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *value = n * unit;
    return tok->len > 0;
}

/* ulimit [-S|-H] -X N */
static bool parse_limit(const struct statement *st, struct cmdline_limit *limit)
{
    if (st->n < 3 || st->n > 4 || !shlex_is(&st->words[0], "ulimit"))
        return false;
    const struct shlex_token *option = &st->words[st->n - 2];
    bool soft = st->n == 4 && shlex_is(&st->words[1], "-S");
    bool hard = st->n == 4 && shlex_is(&st->words[1], "-H");
    if ((st->n == 4 && !soft && !hard) || option->len != 2 || option->text[0] != '-')
        return false;
    unsigned char letter = (unsigned char)option->text[1];
    if (letter >= ARRAY_LEN(ulimits) || !ulimits[letter].unit)
        return false;
    *limit = (struct cmdline_limit){.resource = ulimits[letter].resource, .soft = !hard, .hard = !soft};
    return parse_number(&st->words[st->n - 1], ulimits[letter].unit, &limit->value);
}

static enum form find_form(const struct statement *st, struct cmdline_limit *limit)
{
    if (parse_limit(st, limit))
        return FORM_LIMIT;
    bool export = shlex_is(&st->words[0], "export");
    for (size_t i = export; i < st->n; i++)
        if (!shlex_assigned_name(&st->words[i]) || (export && st->words[i].expands))
            return FORM_SHELL;
    if (!export)
        return FORM_ASSIGN;
    return st->n > 1 ? FORM_EXPORT : FORM_SHELL;
}

/* Takes over pair ("K=V"), in the place of an older one with that name. */
static bool set_env(struct environ *e, char *pair)
{
    size_t name = strcspn(pair, "=") + 1;
    for (size_t i = 0; i < e->nenv; i++) {
        if (strncmp(e->env[i], pair, name) == 0) {
            free(e->env[i]);
            e->env[i] = pair;
            return true;
        }
    }
    char **env = realloc(e->env, (e->nenv + 2) * sizeof *env);
    if (!env) {
        free(pair);
        return false;
    }
    e->env = env;
    e->env[e->nenv++] = pair;
    e->env[e->nenv] = NULL;
    return true;
}

static bool add_limit(struct environ *e, const struct cmdline_limit *limit)
{
    struct cmdline_limit *limits = realloc(e->limits, (e->nlimits + 1) * sizeof *limits);
    if (!limits)
        return false;
    e->limits = limits;
    e->limits[e->nlimits++] = *limit;
    return true;
}

/* The native way. Notes where a shell is needed; false when out of memory. */
static bool apply(struct environ *e, const struct statement *st, enum form form, const struct cmdline_limit *limit)
{
    if (form == FORM_LIMIT)
        return add_limit(e, limit);
    if (form == FORM_SHELL) {
        e->shell = true;
        return true;
    }
    for (size_t i = form == FORM_EXPORT; i < st->n; i++) {
        if (st->words[i].expands) {
            e->shell = true;
            return true;
        }
        char *pair = shlex_unquote(&st->words[i]);
        if (!pair || !set_env(e, pair))
            return false;
    }
    return true;
}

/* The shell's way: the statement as written, but for what would mean less there than applied natively. */
static void write_text(struct environ *e, const struct statement *st, enum form form)
{
    const struct shlex_token *last = &st->words[st->n - 1];
    const char *text = st->words[0].text;
    if (form == FORM_LIMIT) {
        const struct shlex_token *option = &st->words[st->n - 2];
        char letter = ulimits[(unsigned char)option->text[1]].dash;
        buf_add(&e->text, text, (size_t)(option->text - text));
        buf_addf(&e->text, "-%c ", letter ? letter : option->text[1]);
        text = last->text;
    }
    buf_add(&e->text, text, (size_t)(last->text + last->len - text));
    if (form == FORM_ASSIGN) {
        buf_adds(&e->text, " && export");
        for (size_t i = 0; i < st->n; i++)
            buf_addf(&e->text, " %.*s", (int)shlex_assigned_name(&st->words[i]), st->words[i].text);
    }
    e->open_end = last->kind == SHLEX_CONTROL && shlex_is(last, "&");
}

/* What stands before a statement: separators, or nothing. */
static void add_between(struct environ *e, struct buf *between)
{
    e->text.failed |= between->failed;
    buf_adds(&e->text, buf_str(between));
    buf_clear(between);
}

static bool add_statement(struct environ *e, const struct statement *st, struct buf *between)
{
    struct cmdline_limit limit;
    enum form form = find_form(st, &limit);
    add_between(e, between);
    write_text(e, st, form);
    return apply(e, st, form, &limit) && !e->text.failed;
}

/* From a here-document on, the text is copied as it is. */
static void add_rest(struct environ *e, const char *rest, struct buf *between)
{
    add_between(e, between);
    buf_adds(&e->text, rest);
    e->shell = true;
    e->open_end = true;
}

static void add_separator(struct buf *between, const struct shlex_token *tok)
{
    if (tok->kind == SHLEX_AND)
        buf_addc(between, ' ');
    buf_add(between, tok->text, tok->len);
    if (tok->kind != SHLEX_NEWLINE)
        buf_addc(between, ' ');
}

/* Reads statements until the end of the text or an error. */
static bool add_statements(struct environ *e, struct shlex *lx, struct statement *st, struct buf *between,
                           struct err *err)
{
    bool any = false; /* separators before the first statement would stand after the previous source's */
    for (;;) {
        struct shlex_token tok;
        if (!shlex_next(lx, &tok, err))
            return err_prefix(err, "environ");
        if (tok.kind == SHLEX_WORD || tok.kind == SHLEX_REDIRECT || tok.kind == SHLEX_CONTROL) {
            if (!push_word(st, &tok))
                return err_nomem(err);
            if (!shlex_is_heredoc(&tok))
                continue;
            add_rest(e, st->words[0].text, between);
            return !e->text.failed || err_nomem(err);
        }
        if (st->n > 0) {
            if (!add_statement(e, st, between))
                return err_nomem(err);
            any = true;
            st->n = 0;
        }
        if (tok.kind == SHLEX_END)
            return true;
        if (any)
            add_separator(between, &tok);
    }
}

bool environ_add(struct environ *e, const char *source, struct err *err)
{
    if (!source)
        return true;
    struct shlex lx = {.at = source};
    struct statement st = {0};
    struct buf between = {0};
    if (e->text.len)
        buf_adds(&between, e->open_end ? "\n" : " && ");
    bool ok = add_statements(e, &lx, &st, &between, err);
    free(st.words);
    buf_fini(&between);
    return ok;
}

void environ_fini(struct environ *e)
{
    for (size_t i = 0; i < e->nenv; i++)
        free(e->env[i]);
    free(e->env);
    free(e->limits);
    buf_fini(&e->text);
    *e = (struct environ){0};
}
