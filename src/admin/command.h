/* Commands and the requests that carry them out. One registry for all of them; HTTP, the
 * command line and help only read it. */
#ifndef FM_COMMAND_H
#define FM_COMMAND_H

#include "base.h"
#include "buf.h"
#include "monitor.h"
#include "token.h"

struct request;
struct admin;

/* What a command does with the services it is given. */
enum command_services {
    COMMAND_NO_SERVICE,   /* takes none */
    COMMAND_ANY_SERVICES, /* none means all */
    COMMAND_SERVICES,     /* at least one must be named, or "all" */
};

struct command_arg {
    const char *name, *help;
    const char *standard; /* what holds when it is not given, for help; NULL: nothing to tell */
};

struct command {
    const char *name, *help;
    enum command_services services;
    bool changes;                   /* something; the others only read */
    bool open;                      /* whoever reaches the port may use it */
    bool any_args;                  /* takes any argument, whether it is in args or not */
    const struct command_arg *args; /* ended by one without a name; beside service, format and timeout; may be NULL */
    /* Carries the request out: calls request_done now or later. */
    void (*run)(struct request *r);
    void *data; /* of whoever made the command */
};

/* Commands beside the builtin ones. Owned by whoever made it, who must keep it and all
 * it points at until `unused` was called. */
struct command_table {
    const struct command *const *commands;
    size_t count;
    /* No request and no admin holds it any more: it may be freed, also from inside the call. May be NULL. */
    void (*unused)(struct command_table *t);
    unsigned holders; /* kept by command.c */
};

/* The codes of the command line, which every answer carries. */
enum {
    EXIT_OK = 0,
    EXIT_SERVICE = 1, /* a service failed, or is not up */
    EXIT_USAGE = 2,   /* usage or configuration */
    EXIT_COMMAND = 3, /* the command itself failed */
    EXIT_UNREACHABLE = 4,
    EXIT_REFUSED = 5,
};

enum request_format { FORMAT_TEXT, FORMAT_TABLE, FORMAT_JSON };

/* What became of one service of a request. */
struct request_slot {
    struct service_wait wait;
    struct request *request;
    struct service *service; /* NULL once it is settled */
    char *name;
    bool ok;
    pid_t pid;
    char *why; /* NULL when ok */
};

#define REQUEST_ARGS 16

/* One call of a command, from asking to answer. */
struct request {
    struct admin *admin;
    const struct command *command;
    struct command_table *table; /* where it is from; NULL: builtin */
    enum request_format format;
    char *who;          /* who asked, for events: "the command line, 127.0.0.1" */
    char *service_text; /* as given; NULL: not given */
    struct {
        char *key, *value;
    } args[REQUEST_ARGS];
    size_t nargs;
    /* The first parameter that made no sense: told when it is run, as only then the format is known. */
    struct {
        int status, exit_code;
        const char *code;
        char *text; /* NULL: all made sense */
    } bad;
    int64_t timeout_ms;
    struct timer timer;

    struct request_slot *slots;
    size_t nslots, open; /* open: not settled yet */

    struct buf members; /* of the JSON answer of request_wait, besides "ok" and "services": each ended by a comma */

    /* the answer */
    int status; /* HTTP */
    int exit_code;
    struct buf body;
    bool done;
    void (*finished)(struct request *r, void *arg); /* the answer is there; called once, not from inside request_run */
    void *arg;
};

/* All that commands work on. */
struct admin {
    struct monitor *mon;
    /* Reads the configuration again; NULL with a message. For reload. */
    struct conf *(*read_conf)(void *arg, struct err *err);
    /* Listens as `next` says, beside or instead of now; false leaves all as it was. For reload. */
    bool (*relisten)(void *arg, const struct conf *next, struct err *err);
    void *arg;
    struct command_table *extra; /* set by command_set_extra */
    char token[TOKEN_SIZE];      /* "": there is none, nobody can show it */
    uint64_t requests;           /* how many were made */
};

/* The command of that name, or NULL; and the i-th in the order of help, NULL past the end. */
const struct command *command_find(const struct admin *admin, const char *name);
const struct command *command_at(const struct admin *admin, size_t i);

/* Names that no further command may have: those of builtin commands and of the command line's options. */
bool command_is_reserved(const char *name);

/* From now on these commands are known beside the builtin ones, in place of those of
 * before (NULL: none). Requests under way keep the table they were made with. */
void command_set_extra(struct admin *admin, struct command_table *table);

/* A request for a command by name, to be filled by request_set and run. Never NULL but
 * when memory runs out. `who` is copied. */
struct request *request_new(struct admin *admin, const char *who);

/* One parameter as it came: command, service, format, timeout or an argument of the
 * command. What makes no sense is remembered: it is what request_run will answer. */
void request_set(struct request *r, const char *key, const char *value);

/* The same for one that can't even be handed over as a text. */
void request_set_bad(struct request *r, const char *why);

/* Checks and starts it. When r->done is set on return the answer is there; else
 * `finished` will be called later. */
void request_run(struct request *r, void (*finished)(struct request *r, void *arg), void *arg);

/* Frees it, at any time; what it asked for goes on, only nobody waits any more. */
void request_free(struct request *r);

/* For commands: the value of an argument, or NULL. */
const char *request_arg(const struct request *r, const char *key);

/* For commands: the answer is in r->body. Text and tables as they are; JSON is an object. */
void request_done(struct request *r, int status, int exit_code);

/* For commands: the answer is an error. `code` is a word for programs, the text for people. */
void request_fail(struct request *r, int status, int exit_code, const char *code, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* For commands: waits until all services of the request have reached the goal, then
 * answers SUCCESS or FAIL. Text that is in the body already stays before it. */
void request_wait(struct request *r, enum service_goal goal);
/* For commands, before request_wait: this service has failed already. */
void request_slot_fail(struct request_slot *slot, const char *why);

#endif
