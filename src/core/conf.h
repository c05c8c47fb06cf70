/* The configuration as the core sees it: typed, complete (defaults filled in),
 * already judged. Made by the script floor (confload), which knows JSON and Lua. */
#ifndef FM_CONF_H
#define FM_CONF_H

#include "base.h"

#include <sys/types.h>

/* Who a signal goes to. */
enum conf_scope {
    CONF_SCOPE_GROUP,  /* the service's whole process group */
    CONF_SCOPE_PARENT, /* the watched process alone */
};

/* How the regular probe looks for processes that have ended. */
enum conf_probe {
    CONF_PROBE_SIGNAL, /* signal 0 to each */
    CONF_PROBE_PIDFD,  /* one poll on the pidfds of all */
};

enum conf_auth {
    CONF_AUTH_LOCAL, /* root or the monitor's own user, on this host; others show the token */
    CONF_AUTH_TOKEN, /* everybody shows the token */
    CONF_AUTH_OPEN,  /* no check */
};

/* Bits of clog.mode and clog.level. */
enum { CONF_CLOG_LOCAL = 1, CONF_CLOG_COLLECTOR = 2 };
enum { CONF_LEVEL_DEBUG = 1, CONF_LEVEL_WARN = 2, CONF_LEVEL_ERROR = 4, CONF_LEVEL_INFO = 8 };

struct conf_stop {
    int signal;
    int64_t timeout_ms; /* then SIGKILL */
    enum conf_scope scope;
};

struct conf_graceful {
    int signal;
    int64_t timeout_ms; /* how long the old process may take to go; the same one after that has reloaded in place */
};

/* One entry of `svrs`. Optional strings are NULL when not given. */
struct conf_service {
    char *name;
    char *cmd;           /* as written */
    char *dir;           /* NULL: the executable's folder */
    char *environ;       /* shell statements, after the global ones; NULL: none */
    char **env;          /* "KEY=value", NULL-terminated; NULL: none */
    char *user, *group;  /* as written; NULL: the monitor's own */
    int umask;           /* -1: the monitor's own */
    bool autostart;      /* true */
    bool essential;      /* false: when it ends for good, all end */
    char *policy;        /* name of the restart policy; NULL: the core's own */
    char *policy_params; /* its parameters as a JSON object; NULL: none */
    struct conf_stop stop;
    struct conf_graceful graceful;
    char *log;  /* path, `{name}` already replaced, absolute or relative to dir; NULL: fota_monitor.log in dir */
    char *vars; /* JSON object, for scripts; NULL: none */
};

struct conf_clog {
    char *name; /* "fota_monitor" */
    char *addr; /* NULL: none */
    int mode;   /* bits */
    int level;  /* bits */
};

struct conf_log {
    int keep_days;    /* 30 */
    int64_t max_size; /* bytes; 0: no limit */
    char *day;        /* strftime format, "%-d" */
};

/* Files of the admin port (PEM), absolute; both NULL: it speaks plain HTTP. */
struct conf_tls {
    char *cert, *key;
};

/* Of the admin port. */
struct conf_http {
    int idle_timeout;         /* 60: seconds a connection may be silent, in a request or not taking its answer */
    int backlog_kb;           /* 1024: KiB of a stream its client has not taken; beyond that it is cut off */
    int body_kb;              /* 1024: KiB of a request's body */
    int header_kb;            /* 32: KiB for a request's head and what is worked on of its answer */
    int max_connections;      /* 1024: on each address */
    int max_per_client;       /* 256: of one address; those of this host are not counted */
    int64_t refused_delay_ms; /* 2 s: for so long at most hears one nothing that is refused again and again */
};

struct conf_lua {
    int budget_ms; /* 50 */
    int memory_mb; /* 64 */
    bool autoreload;
};

struct conf {
    char *path; /* the file it was read from, for messages */
    char *home;
    char *env;    /* "prod" … */
    char *rundir; /* absolute; NULL: nothing is written (simulations) */
    int port;
    char **bind;    /* addresses or "inner", NULL-terminated */
    char *rootpath; /* absolute */
    char *environ;  /* "" when not given */
    struct conf_clog clog;
    struct conf_log log;
    enum conf_auth auth;
    enum conf_probe probe;
    struct conf_http http;
    struct conf_tls tls;
    struct conf_lua lua;
    char *vars;                /* JSON object or NULL */
    struct conf_service *svrs; /* sorted by name (byte order) */
    size_t nsvrs;
};

/* Frees the configuration and everything in it; NULL is allowed. */
void conf_free(struct conf *conf);

/* Frees what one service entry owns, not the struct itself. */
void conf_service_fini(struct conf_service *s);

/* The service of that name, or NULL. Owned by conf. */
const struct conf_service *conf_find(const struct conf *conf, const char *name);

/* Which keys of two service entries differ, as bits of enum conf_field. */
enum conf_field {
    CONF_FIELD_CMD = 1 << 0,
    CONF_FIELD_DIR = 1 << 1,
    CONF_FIELD_ENVIRON = 1 << 2,
    CONF_FIELD_ENV = 1 << 3,
    CONF_FIELD_USER = 1 << 4,
    CONF_FIELD_GROUP = 1 << 5,
    CONF_FIELD_UMASK = 1 << 6,
    CONF_FIELD_AUTOSTART = 1 << 7,
    CONF_FIELD_POLICY = 1 << 8,
    CONF_FIELD_STOP = 1 << 9,
    CONF_FIELD_GRACEFUL = 1 << 10,
    CONF_FIELD_LOG = 1 << 11,
    CONF_FIELD_ESSENTIAL = 1 << 12,
    CONF_FIELD_VARS = 1 << 13,
};

/* The fields a running process got at its start: a change of one needs a restart. */
#define CONF_FIELDS_RESTART                                                                                            \
    (CONF_FIELD_CMD | CONF_FIELD_DIR | CONF_FIELD_ENVIRON | CONF_FIELD_ENV | CONF_FIELD_USER | CONF_FIELD_GROUP |      \
     CONF_FIELD_UMASK | CONF_FIELD_LOG)

unsigned conf_service_diff(const struct conf_service *a, const struct conf_service *b);

/* The key of one field bit as it is written in conf.json. */
const char *conf_field_name(enum conf_field field);

/* A number that changes with the text; never 0. */
uint32_t conf_mark(const char *text);

/* Signal number of "TERM", "SIGTERM" or "15"; 0 when there is no such signal. */
int conf_signal_number(const char *name);

/* "SIGTERM" for 15; "signal 99" style names never occur: numbers without a name give "SIG<n>". The text is static. */
const char *conf_signal_name(int number);

#endif
