/* One case of a test file (fm.test): its world, what happened in it, and the coroutine it
 * runs in. What a case asks of the simulation (simop) suspends it and is done from outside of
 * Lua, where time may pass. */
#ifndef FM_SIMCASE_H
#define FM_SIMCASE_H

#include "buf.h"
#include "simworld.h"

#include <stdio.h>

struct lua_State;
struct simcall;
struct simcase;

/* A line that scripts have logged, or an error that a callback has raised. */
struct simcase_line {
    int64_t at_ms;
    int level; /* enum clog_level */
    char *text;
    bool raised, seen; /* seen: the case has asked for it */
};

struct simcase_event {
    const char *service; /* behind the event; NULL: the monitor's own */
    struct event *event;
};

/* What the case waits for. Texts and lists stay where they are while it waits: on its stack. */
struct simcase_ask {
    void (*perform)(struct simcase *c); /* NULL: it does not wait */
    const char *name, *what, *text;
    int64_t ms;
    struct proc_exit how;
    struct simcall *call;
    struct {
        const char **names, **keys, **values;
        size_t nnames, nargs;
        bool json;
        const char *peer, *principal;
    } command;
    /* the answer */
    bool done;      /* what it asked for has come about */
    struct err err; /* a mistake of the case: raised there */
    struct err why; /* not done: why not */
};

struct simcase {
    struct simworld w;
    const char *file;
    struct lua_State *co;
    int64_t start_ms;
    struct simcase_ask ask;
    struct simcase_line *lines;
    size_t nlines;
    struct event_listener listener;
    struct simcase_event *events;
    size_t nevents;
    struct simcall *calls;
    uint64_t last_call;
    char **texts; /* of behaviours: they outlive the world */
    size_t ntexts;
    char *zone; /* TZ as it was, when the case has changed it */
    bool zone_changed, zone_set;
};

/* Makes a world, runs the scripts of home and then the file in it. False with a message. */
bool simcase_open(struct simcase *c, const struct simworld_input *in, const char *file, struct err *err);

/* How many cases the file has; -1 with a message on failure. */
int simcase_count(struct simcase *c, struct err *err);

/* The name of case i (from 1); the caller frees it. NULL when memory ran out. */
char *simcase_name(struct simcase *c, int i);

/* Runs case i, once. False with why it failed. */
bool simcase_run(struct simcase *c, int i, struct err *err);

/* Prints what was logged and what happened to the services, indented. */
void simcase_print(const struct simcase *c, FILE *out);

void simcase_close(struct simcase *c);

/* For simop: keeps a copy as long as the case; NULL when memory ran out. */
const char *simcase_keep(struct simcase *c, const char *text);

/* For simop: one more line, as if a callback had raised it. */
void simcase_complain(struct simcase *c, const char *text);

#endif
