#include "shlex.h"

#include <stdlib.h>
#include <string.h>

/* Deeper than anyone writes by hand, far from the end of the stack. */
#define MAX_DEPTH 100

/* Longer ones first, where one begins with another. */
static const struct {
    const char *text;
    enum shlex_kind kind;
} operators[] = {
    {.text = "\n", .kind = SHLEX_NEWLINE},  {.text = ";;", .kind = SHLEX_SEMICOLON},
    {.text = ";", .kind = SHLEX_SEMICOLON}, {.text = "&&", .kind = SHLEX_AND},
    {.text = "&", .kind = SHLEX_CONTROL},   {.text = "||", .kind = SHLEX_CONTROL},
    {.text = "|", .kind = SHLEX_CONTROL},   {.text = "(", .kind = SHLEX_CONTROL},
    {.text = ")", .kind = SHLEX_CONTROL},   {.text = "<<-", .kind = SHLEX_REDIRECT},
    {.text = "<<", .kind = SHLEX_REDIRECT}, {.text = "<&", .kind = SHLEX_REDIRECT},
    {.text = "<>", .kind = SHLEX_REDIRECT}, {.text = "<", .kind = SHLEX_REDIRECT},
    {.text = ">>", .kind = SHLEX_REDIRECT}, {.text = ">&", .kind = SHLEX_REDIRECT},
    {.text = ">|", .kind = SHLEX_REDIRECT}, {.text = ">", .kind = SHLEX_REDIRECT},
};

/* Reads the operator at p, if there is one; returns its length. */
static size_t scan_operator(const char *p, enum shlex_kind *kind)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        size_t len = strlen(operators[i].text);
        if (strncmp(p, operators[i].text, len) == 0) {
            *kind = operators[i].kind;
            return len;
        }
    }
    return 0;
}

static const char *skip_piece(const char *p, bool in_dquote, int depth);

/* The end of what was opened before p and is closed by `end`; NULL where it isn't. */
static const char *skip_until(const char *p, char end, bool in_dquote, int depth)
{
    if (depth > MAX_DEPTH)
        return NULL;
    while (p && *p) {
        if (*p == end)
            return p + 1;
        if (*p == '\'' && in_dquote)
            p++; /* an ordinary character there */
        else if (*p == '(' && end == ')')
            p = skip_until(p + 1, ')', false, depth + 1);
        else if (*p == '#' && end == ')' && strchr(" \t\n(;&|", p[-1]))
            p += strcspn(p, "\n"); /* quotes in a comment are not quotes */
        else
            p = skip_piece(p, in_dquote, depth);
    }
    return NULL;
}

static const char *skip_backquoted(const char *p)
{
    for (; *p && *p != '`'; p++)
        if (*p == '\\' && *++p == 0)
            return NULL;
    return *p ? p + 1 : NULL;
}

/* The end of one piece of a word: a quoted part, a substitution or a plain character. NULL when it is not closed. */
static const char *skip_piece(const char *p, bool in_dquote, int depth)
{
    switch (*p) {
    case '\'':
        p = strchr(p + 1, '\'');
        return p ? p + 1 : NULL;
    case '\\':
        return p[1] ? p + 2 : NULL;
    case '"':
        return skip_until(p + 1, '"', true, depth + 1);
    case '`':
        return skip_backquoted(p + 1);
    case '$':
        if (p[1] == '(')
            return skip_until(p + 2, ')', false, depth + 1);
        if (p[1] == '{')
            return skip_until(p + 2, '}', in_dquote, depth + 1);
        return p + 1;
    default:
        return p + 1;
    }
}

/* Does the shell replace something in the piece from p to end of a word? */
static bool piece_expands(const char *p, const char *end)
{
    if (*p != '"')
        return strchr("$`*?[", *p);
    for (; p < end; p++) {
        if (*p == '$' || *p == '`')
            return true;
        if (*p == '\\')
            p++;
    }
    return false;
}

static bool unfinished(const struct shlex *lx, const char *p, struct err *err)
{
    if (*p == '\\')
        return err_set(err, "ends with a backslash");
    size_t place = 1;
    for (const char *s = lx->start; s < p; s++)
        place += ((unsigned char)*s & 0xc0) != 0x80; /* characters, not bytes */
    return err_set(err, "the %.*s at character %zu is not closed", *p == '$' ? 2 : 1, p, place);
}

/* A ~ after = or : in an assignment stands for a home folder too. */
static bool assigns_home(const struct shlex_token *tok)
{
    if (!shlex_assigned_name(tok))
        return false;
    for (size_t i = 1; i < tok->len; i++)
        if (tok->text[i] == '~' && strchr("=:", tok->text[i - 1]))
            return true;
    return false;
}

static bool scan_word(struct shlex *lx, struct shlex_token *tok, struct err *err)
{
    const char *p = tok->text;
    tok->kind = SHLEX_WORD;
    tok->expands = *p == '~';
    while (*p && !strchr(" \t\n;&|()<>", *p)) {
        const char *end = skip_piece(p, false, 0);
        if (!end)
            return unfinished(lx, p, err);
        tok->quoted |= strchr("'\"\\", *p) != NULL;
        tok->expands |= piece_expands(p, end);
        p = end;
    }
    tok->len = (size_t)(p - tok->text);
    tok->expands |= assigns_home(tok);
    return true;
}

/* Where the next token begins. */
static const char *skip_between(struct shlex *lx)
{
    const char *p = lx->at;
    for (;;) {
        p += strspn(p, " \t");
        if (p[0] == '\\' && p[1] == '\n')
            p += 2;
        else if (*p == '#')
            p += strcspn(p, "\n");
        else
            return p;
        lx->skipped = true;
    }
}

bool shlex_next(struct shlex *lx, struct shlex_token *tok, struct err *err)
{
    if (!lx->start)
        lx->start = lx->at;
    const char *p = skip_between(lx);
    *tok = (struct shlex_token){.kind = SHLEX_END, .text = p};
    size_t digits = strspn(p, "0123456789"); /* of a redirection like 2> */
    enum shlex_kind kind = SHLEX_END;
    size_t len = scan_operator(p + digits, &kind);
    if (len && (digits == 0 || kind == SHLEX_REDIRECT)) {
        tok->kind = kind;
        tok->len = digits + len;
    } else if (*p && !scan_word(lx, tok, err)) {
        return false;
    }
    lx->at = p + tok->len;
    return true;
}

bool shlex_is(const struct shlex_token *tok, const char *text)
{
    return strlen(text) == tok->len && memcmp(tok->text, text, tok->len) == 0;
}

bool shlex_is_heredoc(const struct shlex_token *tok)
{
    const char *p = memchr(tok->text, '<', tok->len);
    return tok->kind == SHLEX_REDIRECT && p && p[1] == '<';
}

size_t shlex_assigned_name(const struct shlex_token *tok)
{
    const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    size_t len = strspn(tok->text, letters);
    if (tok->kind != SHLEX_WORD || len >= tok->len || tok->text[len] != '=' || strchr("0123456789", tok->text[0]))
        return 0;
    return len;
}

char *shlex_unquote(const struct shlex_token *tok)
{
    char *out = malloc(tok->len + 1);
    if (!out)
        return NULL;
    size_t n = 0;
    char quote = 0;
    for (size_t i = 0; i < tok->len; i++) {
        char c = tok->text[i];
        if (c == quote) {
            quote = 0;
        } else if (!quote && (c == '\'' || c == '"')) {
            quote = c;
        } else if (c == '\\' && quote != '\'' && (!quote || strchr("$`\"\\\n", tok->text[i + 1]))) {
            if (tok->text[++i] != '\n')
                out[n++] = tok->text[i];
        } else {
            out[n++] = c;
        }
    }
    out[n] = 0;
    return out;
}
