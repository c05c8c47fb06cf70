/* A changed configuration: what it means, and making it so without touching what it
 * does not concern. */
#ifndef FM_RECONF_H
#define FM_RECONF_H

#include "buf.h"
#include "conf.h"
#include "monitor.h"

enum reconf_kind { RECONF_ADDED, RECONF_REMOVED, RECONF_CHANGED };

/* One service that is concerned. Names are borrowed from the configurations compared. */
struct reconf_item {
    enum reconf_kind kind;
    const char *name;
    unsigned fields;                           /* of enum conf_field, when changed */
    bool restart;                              /* it is wanted up and must be restarted for it */
    bool stop;                                 /* it goes, and has a process or is about to have one */
    const struct conf_service *before, *after; /* NULL: there is none */
};

/* Values of the env itself that changed. */
enum reconf_setting {
    RECONF_LISTEN = 1 << 0, /* port, bind */
    RECONF_ROOTPATH = 1 << 1,
    RECONF_ENVIRON = 1 << 2,
    RECONF_CLOG = 1 << 3,
    RECONF_LOG = 1 << 4,
    RECONF_AUTH = 1 << 5,
    RECONF_LUA = 1 << 6,
    RECONF_VARS = 1 << 7,
    RECONF_HTTP = 1 << 8,
    RECONF_TLS = 1 << 9,
    RECONF_RUNDIR = 1 << 10, /* takes effect when the monitor is started again */
    RECONF_PROBE = 1 << 11,
};

struct reconf {
    struct reconf_item *items; /* added, removed and changed ones, sorted by name */
    size_t nitems;
    unsigned settings;
    size_t same; /* services that are not concerned */
    const struct conf *before, *after;
};

/* What would change. Free it with reconf_fini, before `next` and the monitor's own
 * configuration go. 0 or -ENOMEM. */
int reconf_plan(const struct monitor *m, const struct conf *next, struct reconf *out);
void reconf_fini(struct reconf *r);

/* Adds the plan in short: lines "added: NAME", "removed: NAME", "changed: NAME: cmd, env (restart)",
 * "changed: port or bind"; nothing when nothing has changed. */
void reconf_print(struct buf *b, const struct reconf *r);

/* Adds the plan for a person who has to judge it: what becomes of which service, what was and what will be. And, as
 * a line, how many of them there are. */
void reconf_explain(struct buf *b, const struct reconf *r);
void reconf_count(struct buf *b, const struct reconf *r);

/* Adds it as members of a JSON object. */
void reconf_json(struct buf *b, const struct reconf *r);

/* Makes it so: takes `next` over, starts what was added (if autostart), stops what was
 * removed, restarts what must be. All or nothing: false with a message leaves everything
 * as it was, and `next` with the caller. `plan` is invalid afterwards, but for being
 * freed. `cause` is the event of who asked. */
bool reconf_apply(struct monitor *m, struct conf *next, struct reconf *plan, uint64_t cause, struct err *err);

#endif
