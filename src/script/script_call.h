/* Commands that scripts define (fm.command), and one run of such a command: from the
 * request to the answer, in pieces if it likes. */
#ifndef FM_SCRIPT_CALL_H
#define FM_SCRIPT_CALL_H

#include "scripts.h"

struct script_command_arg {
    char *name, *help;
};

enum script_services { SCRIPT_SERVICES_OPTIONAL, SCRIPT_SERVICES_REQUIRED, SCRIPT_SERVICES_NONE };

struct script_command {
    char *name, *help;
    enum script_services services;
    bool changes;
    struct script_command_arg *args; /* sorted by name */
    size_t nargs;
};

void script_command_fini(struct script_command *c);

/* How a command ended. */
enum script_outcome {
    SCRIPT_DONE,   /* it returned */
    SCRIPT_FAILED, /* it returned false, and why */
    SCRIPT_BAD,    /* an argument made no sense; it was not run */
    SCRIPT_ERROR,  /* it raised an error */
};

struct script_answer {
    enum script_outcome outcome;
    const char *text; /* DONE: the rest of the answer, maybe ""; else the message */
    size_t len;
    bool json; /* DONE: the text is JSON */
};

/* Who asked for a command, and how it is answered. */
struct script_call_ops {
    /* False: it is more than an answer may have. */
    bool (*write)(void *arg, const char *text, size_t len);
    /* The client has yet to take so much that writing waits, until script_call_drained. */
    bool (*full)(void *arg);
    /* Once, never from inside script_call_start; the call is gone then. */
    void (*done)(void *arg, const struct script_answer *answer);
};

struct script_ask {
    const char *command;
    const char *const *services; /* names */
    size_t nservices;
    const char *const *keys, *const *values; /* the arguments */
    size_t nargs;
    const char *who, *peer, *principal; /* for people; address; "local", "token", "anyone" */
    bool json;                          /* the format asked for */
};

/* Starts it. NULL with a message when it could not be started. */
struct script_call *script_call_start(struct scripts *s, const struct script_ask *ask,
                                      const struct script_call_ops *ops, void *arg, struct err *err);

/* Nobody waits for it any more: it stops at its next wait; ops are not called again. */
void script_call_cancel(struct script_call *c);

/* The client has taken what was written. */
void script_call_drained(struct script_call *c);

/* What fm.authorize says: may this be done? False with the reason. An error in the hook is a no. */
bool script_call_authorized(struct scripts *s, const struct script_ask *ask, struct err *err);

/* For scripts.c: forgets it; reads the commands from the state (protected). */
void script_call_free(struct script_call *c);
void script_call_collect(struct lua_State *L, struct scripts *s);

/* Functions of the raw table: write(call, text); finish(call, outcome, text, json);
 * reserved(name). */
int script_call_reserved(struct lua_State *L);
int script_call_write(struct lua_State *L);
int script_call_finish(struct lua_State *L);

#endif
