/* Inside of consoles: what its parts share. consoles.c knows which logs there are and what time it is,
 * consoles_look.c looks at them and settles what is to move, consoles_move.c moves it and tells of what went wrong,
 * consoles_prune.c removes old days. */
#ifndef FM_CONSOLES_PARTS_H
#define FM_CONSOLES_PARTS_H

#include "console_look.h"
#include "consoles.h"
#include "consoles_memory.h"
#include "hush.h"
#include "monitor.h"

struct looking;
struct rotation;

/* What is to move. */
struct consoles_due {
    int64_t day, cut;
    int64_t at_ms; /* when that was settled (wall clock) */
    bool part;
};

struct console {
    const char *path; /* one of struct consoles' */
    bool fresh;       /* not looked at yet */
    bool alias;       /* the same file as a log before it: that one is rotated */
    bool hangs;       /* its file system does not answer: not looked at, not rotated */
    dev_t dev;
    ino_t inode;
    int64_t start;              /* where its lines begin in the file */
    int64_t size;               /* when last looked at */
    int64_t since_ms;           /* they are younger than this; 0: not known */
    struct consoles_due due[2]; /* the second one came while the first was waiting */
    unsigned ndue;
    struct rotation *rotation; /* under way */
    int64_t retry_ms;          /* not before this (mono) */
    unsigned tries;            /* that failed, in a row */
    int trouble;               /* what is wrong, as it was told (-errno); 0: nothing */
};

struct consoles {
    struct monitor *m;
    struct console *items; /* sorted by path */
    size_t count;
    char **paths; /* of each service of the monitor, in its order; NULL: it has none */
    size_t npaths;
    struct timer tick;
    void (*looked)(struct monitor *m); /* to be called still */
    int64_t day;                       /* the date as last seen */
    bool left;                         /* it has changed: the lines of left_day are to be settled */
    int64_t left_day;
    int64_t full_ms;                /* when all was looked at last (mono) */
    struct looking *looking, *hung; /* under way; one that does not come to its end */
    bool look_again;
    bool hurry;                 /* a log grows so fast that its size is looked at again soon */
    struct rotation *rotations; /* under way */
    unsigned running;
    size_t next;   /* whose turn it is to be rotated */
    bool old_days; /* there may be some to be removed, when no start waits */
    bool pruning, prune_again;
    struct consoles_memory memory; /* of the monitor before this one */
    char *memory_file;             /* NULL: a simulation, without logs */
    bool changed;                  /* the file is to be written again */
    bool warned;                   /* of a file system that can't take away the front of a file */
    struct hush hush;
    struct consoles_counts counts;
};

int64_t consoles_now_ms(const struct consoles *l);
int64_t consoles_wall_ms(const struct consoles *l);

/* The log of that path, or NULL. */
struct console *consoles_find(const struct consoles *l, const char *path);

/* The paths of the other logs in the same folder (`path` NULL: of all logs), NULL-terminated, in one block, which the
 * caller frees; NULL when memory ran out. */
char **consoles_others(const struct consoles *l, const char *path);

/* Does it off the loop; false when that can't be. */
bool consoles_work(struct consoles *l, struct world_work *k);

/* Writes what the next monitor is to know. */
void consoles_save(struct consoles *l);

/* When to look next. */
void consoles_set_tick(struct consoles *l);

/* consoles_look.c: */

#define CONSOLES_HANG_MS 5000 /* a look that stays at one log for so long hangs */

/* Looks at all logs soon; `full`: not only at their sizes. */
void consoles_look(struct consoles *l, bool full);
/* Does the one under way hang? */
void consoles_look_check(struct consoles *l);
/* Whoever waits for the first one waits no longer. */
void consoles_tell_looked(struct consoles *l);

/* consoles_prune.c: */

/* Removes the files of days that are too long ago, off the loop. */
void consoles_prune(struct consoles *l);

/* consoles_move.c: */

/* One more thing to move; begun by consoles_move_start. */
void consoles_move_add(struct console *g, const struct consoles_due *due);
/* Begins what is due. */
void consoles_move_start(struct consoles *l);
/* Breaks off what is under way: the owner goes. */
void consoles_move_stop(struct consoles *l);

/* Is a process there that writes to it? */
bool consoles_is_used(const struct consoles *l, const struct console *g);

/* Something is wrong with a log (-errno): an event of its services, once, and a line now and then. 0: it is well. */
void consoles_trouble(struct consoles *l, struct console *g, int error, const char *text);

#endif
