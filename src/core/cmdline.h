/* From a command line as written in conf.json to what is executed.
 *
 * Three ways:
 *   direct       no shell syntax: split at blanks, executed without a shell
 *   shell exec   quotes, variables, redirections, comments, leading assignments: sh -c 'ENVIRON && exec CMD'
 *   shell parent control operators: sh -c 'ENVIRON && { CMD }', the shell stays as the watched parent
 *
 * ENVIRON is there only when the environ statements need a shell; else they come
 * back as `env` and `limits`, to be applied before the exec. A direct command
 * under such an ENVIRON becomes a shell exec with its words as "$@".
 *
 * A relative path as a command's name starts at rootpath. In the shell parent form
 * that holds for the later commands too, unless dir has a file of that name.
 *
 * Pure text work: the only thing looked at outside is whether a file exists. */
#ifndef FM_CMDLINE_H
#define FM_CMDLINE_H

#include "base.h"
#include "err.h"

enum cmdline_way {
    CMDLINE_DIRECT,
    CMDLINE_SHELL_EXEC,
    CMDLINE_SHELL_PARENT,
};

/* One `ulimit [-S|-H] -X N` of an environ that is applied natively. The value is
 * as for setrlimit: already multiplied by the unit of the option, RLIM_INFINITY for
 * "unlimited". To be applied in order. */
struct cmdline_limit {
    int resource;    /* RLIMIT_… */
    bool soft, hard; /* which of the two is set; both when neither -S nor -H was given */
    uint64_t value;
};

/* What to execute. One allocation per array and string, all owned by the struct. */
struct cmdline {
    enum cmdline_way way;
    char **argv;    /* NULL-terminated; argv[0] is what is executed, always an absolute path */
    char **visible; /* a script whose shell becomes the command: the arguments it shows then; NULL when they are not
                       known, or in the other ways */
    char *exe;      /* the absolute path of the service's own executable; NULL when only the shell knows: a builtin, a
                       variable as first word, a name for PATH where the shell may change PATH, a control operator
                       form whose first word is no file */
    char *dir;  /* default working folder: the executable's folder; rootpath when exe is NULL or was found in PATH */
    char **env; /* "K=V" set natively by environ, each K once, NULL-terminated, NULL when none. The caller applies
                   these first and the service's env map after them: the map wins */
    struct cmdline_limit *limits;
    size_t nlimits;
};

/* Everything that decides the outcome. Borrowed for the call. */
struct cmdline_input {
    const char *cmd;
    const char *rootpath;    /* absolute */
    const char *path;        /* PATH to search words without a slash in, unless env or environ set one; NULL:
                                "/usr/local/bin:/usr/bin:/bin" */
    const char *environs[2]; /* global and per-service statements, either may be NULL or "" */
    char *const *env; /* the service's env map as "K=V", NULL-terminated or NULL: where environ needs a shell these are
                         exported again after it, so that the map wins. Names no shell can hold are left out */
};

/* Fills *out; on failure (empty command line, unfinished quote, out of memory)
 * returns false with a message that does not name the service; *out is then empty. */
bool cmdline_resolve(const struct cmdline_input *in, struct cmdline *out, struct err *err);

/* Frees what it owns and zeroes the struct. */
void cmdline_fini(struct cmdline *c);

#endif
