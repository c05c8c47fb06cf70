/* The registry of commands. HTTP, the command line and help only read it. */
#ifndef FM_COMMAND_H
#define FM_COMMAND_H

#include "base.h"
#include "err.h"
#include "monitor.h"
#include "token.h"

struct loaded;
struct request;
struct scripts;
struct admin;
struct events;
struct facts;
struct metrics_lag;
struct metrics_source;
struct refusals;

/* What a command does with the services it is given. */
enum command_services {
    COMMAND_NO_SERVICE,   /* takes none */
    COMMAND_ALL_SERVICES, /* the same, and it is for all of them */
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
    /* Carries the request out: calls request_done or request_fail, now or later. */
    void (*run)(struct request *r);
    void *data; /* of whoever made the command */
};

static inline bool command_takes_services(const struct command *c)
{
    return c->services != COMMAND_NO_SERVICE && c->services != COMMAND_ALL_SERVICES;
}

/* Commands beside the builtin ones. Owned by whoever made it, who must keep it and all
 * it points at until `unused` was called. */
struct command_table {
    const struct command *const *commands;
    size_t count;
    /* No request and no admin holds it any more: it may be freed, also from inside the call. May be NULL. */
    void (*unused)(struct command_table *t);
    unsigned holders;
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

/* All that commands work on. */
struct admin {
    struct monitor *mon;
    /* Reads configuration and scripts again; false with a message. For reload. */
    bool (*read)(void *arg, struct loaded *out, struct err *err);
    /* The policies of these scripts decide from now on (NULL: none); for reload, before the configuration is applied.
     */
    void (*attach)(void *arg, struct scripts *scripts);
    /* These are the scripts from now on, in all things; those of before are done with. For reload. */
    void (*swap)(void *arg, struct scripts *scripts);
    /* Listens as `next` says, beside or instead of now; false leaves all as it was. For reload. */
    bool (*relisten)(void *arg, const struct conf *next, struct err *err);
    /* A reload has been applied: what the core does not know of follows `conf` too. */
    void (*applied)(void *arg, const struct conf *conf);
    /* This process becomes the program that is on the disk now; answers the request, or has it answered by that. */
    void (*upgrade)(void *arg, struct request *r);
    /* All services are stopped, then the monitor ends; answers nothing. */
    void (*shutdown)(void *arg, const struct request *r);
    void *arg;
    struct command_table *extra;    /* set by command_set_extra */
    struct scripts *scripts;        /* set by scripted_set; NULL: there are none */
    char token[TOKEN_SIZE];         /* "": there is none, nobody can show it */
    uint64_t requests;              /* how many were made */
    struct uv_loop_s *loop;         /* what watches files; NULL: nothing does */
    struct metrics_lag *lag;        /* NULL: it is not measured */
    struct metrics_source *sources; /* of further metrics; metrics_add_source */
    struct refusals *refusals;      /* who was refused lately; kept by http.c, NULL: nobody comes over HTTP */
    struct facts *facts;            /* kept by facts.c */
    struct events *events;          /* who follows them; kept by events.c, NULL while nobody does */
};

/* The command of that name, or NULL; *table (may be NULL) is set to where it is from, NULL: builtin.
 * And the i-th in the order of help, NULL past the end. */
const struct command *command_find(const struct admin *admin, const char *name, struct command_table **table);
const struct command *command_at(const struct admin *admin, size_t i);

/* Names that no further command may have: those of builtin commands and of the command line's options. */
bool command_is_reserved(const char *name);

/* From now on these commands are known beside the builtin ones, in place of those of
 * before (NULL: none). Requests under way keep the table they were made with. */
void command_set_extra(struct admin *admin, struct command_table *table);

/* For request.c: a request is made with a command of that table (NULL: a builtin one), or is over. */
struct command_table *command_hold(struct command_table *table);
void command_let_go(struct command_table *table);

#endif
