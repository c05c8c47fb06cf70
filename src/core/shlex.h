/* Reads a text as a POSIX shell would split it: words and operators. Just
 * enough to tell what needs a shell and where a word begins and ends; nothing
 * is expanded. Bytes above 127 are ordinary characters of a word. */
#ifndef FM_SHLEX_H
#define FM_SHLEX_H

#include "base.h"
#include "err.h"

enum shlex_kind {
    SHLEX_END,
    SHLEX_WORD,
    SHLEX_REDIRECT, /* "2>&", "<", ">>" …; the word after it is its target */
    SHLEX_NEWLINE,
    SHLEX_SEMICOLON, /* ";" or ";;" */
    SHLEX_AND,       /* "&&" */
    SHLEX_CONTROL,   /* any other control operator: & | || ( ) */
};

struct shlex_token {
    enum shlex_kind kind;
    const char *text; /* where it stands in the source, quotes included */
    size_t len;
    bool quoted;  /* a word with ' " or \ in it */
    bool expands; /* a word with $ or ` in it, a glob or a leading ~: only a shell knows what becomes of it */
};

/* Set `at` to the text to read; zero the rest. The text must outlive the tokens. */
struct shlex {
    const char *at;
    const char *start; /* where the text begins, for messages */
    bool skipped;      /* a comment or an escaped newline was skipped */
};

/* Reads the next token; SHLEX_END again and again at the end. Blanks, comments
 * and escaped newlines are skipped. False with a message when a quote or a
 * substitution is not closed, or the text ends with a backslash. */
bool shlex_next(struct shlex *lx, struct shlex_token *tok, struct err *err);

/* Is the token, as it stands in the source, this text? */
bool shlex_is(const struct shlex_token *tok, const char *text);

/* Does it open a here-document ("<<")? What follows its line is no longer shell syntax. */
bool shlex_is_heredoc(const struct shlex_token *tok);

/* Length of the name in a word like NAME=value; 0 when the word is no assignment. */
size_t shlex_assigned_name(const struct shlex_token *tok);

/* What the shell makes of a word that does not expand: the text without its
 * quotes. The caller frees it; NULL when out of memory. */
char *shlex_unquote(const struct shlex_token *tok);

#endif
