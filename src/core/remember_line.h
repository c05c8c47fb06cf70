/* What is remembered of a service over the monitor's own end, as lines of JSON:
 *
 *   {"version":1,"boot":"…"}                 the first line: what the others mean, and when they are of use
 *   {"service":"web","state":"up","pid":…}   how it stands; replaces what was said of it before
 *   {"exit_of":"web","reason":"…"}           how its last process ended
 *   {"gone":"web"}                           it is configured no more
 *   {"afresh":true}                          what was wanted until here is wanted no more: the monitor stops all
 */
#ifndef FM_REMEMBER_LINE_H
#define FM_REMEMBER_LINE_H

#include "buf.h"
#include "lastexit.h"
#include "machine.h"
#include "world.h"

#define REMEMBER_VERSION 1

/* How a service stood. Times are those of struct service. */
struct remembered {
    enum machine_state state;
    enum machine_want want;
    pid_t pid;        /* 0: there was no process */
    int64_t start_ms; /* when it was there: a process of that number that is not younger is the same one */
    int64_t since_ms, since_wall_ms, delay_ms, log_start;
    uint64_t seq; /* the event that had led to it */
    uint64_t restarts, failures, cmd_mark;
    bool adopted, graceful;
    bool removed; /* from the configuration: it was being stopped for that */
    /* Handed on to the monitor's next program (remember_line_add with `held`), which is the same process: */
    int pidfd; /* -1: not held */
    bool child, leader, escapes;
    uint64_t start_ticks;
    int pgrp, session; /* struct service_group */
    int64_t seen_ms;
    /* Not in a line: */
    bool stands; /* nobody has asked for anything since */
};

enum remember_kind {
    REMEMBER_BROKEN, /* can't be read */
    REMEMBER_HEAD,
    REMEMBER_SERVICE,
    REMEMBER_EXIT,
    REMEMBER_GONE,
    REMEMBER_AFRESH,
};

struct remember_line {
    enum remember_kind kind;
    char name[256]; /* of the service */
    uint64_t version;
    char boot[WORLD_BOOT_SIZE];
    struct remembered svc;    /* REMEMBER_SERVICE */
    struct service_exit exit; /* REMEMBER_EXIT: the caller's to take or to free (lastexit_fini) */
};

void remember_line_head(struct buf *b, const char *boot);
/* `held`: with what only the same process has a use for. */
void remember_line_add(struct buf *b, const char *name, const struct remembered *r, bool held);
void remember_line_exit(struct buf *b, const char *name, const struct service_exit *x);
void remember_line_gone(struct buf *b, const char *name);
void remember_line_afresh(struct buf *b);

/* Reads a line (without its newline). Keys it does not know are passed over. */
void remember_line_parse(const char *line, size_t len, struct remember_line *out);

#endif
