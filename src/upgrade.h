/* The running monitor becomes the program that is on the disk now, by execve: same pid, its children stay its children,
 * what it listens on stays open, connections on which nothing is asked live on.
 *
 * The new program is tried first (-check-state): it must start, read the configuration, and understand the state. Then
 * what is being asked is answered; then the state is left in a file of memory whose number is in the environment, and
 * the descriptors it names stay open over the execve. */
#ifndef FM_UPGRADE_H
#define FM_UPGRADE_H

#include "confload.h"
#include "http.h"
#include "load.h"
#include "monitor.h"
#include "sdnotify.h"

#include <limits.h>

struct upgrade;

/* To be called at the very start: which program this is, and with what arguments. Borrowed. */
void upgrade_note_program(char **argv);

/* ---- the old program */

/* All borrowed. */
struct upgrade_parts {
    struct uv_loop_s *loop;
    struct monitor *mon;
    struct http *http;
    struct sdnotify *manager;
    const struct confload_input *in;
    int lock_fd;
};

/* NULL: no memory. */
struct upgrade *upgrade_new(const struct upgrade_parts *parts);
void upgrade_free(struct upgrade *u);

/* Begins; the request is answered if it fails, else by the new program. */
void upgrade_begin(struct upgrade *u, struct request *r);

/* To be called before the loop waits. Does not return when it is time to go. */
void upgrade_turn(struct upgrade *u);

/* ---- the new program */

struct upgrade_state {
    uint64_t version;
    char from[32];               /* the version of the old program */
    char rundir[PATH_MAX];       /* "": not told */
    int pid, lock_fd, answer_fd; /* answer_fd -1: nobody waits for an answer */
    bool json;
    uint64_t last_seq;        /* of the journal */
    uint64_t nofile;          /* the limit of descriptors for services (proc_init) */
    struct http_given *given; /* see http_take */
    size_t ngiven;
    struct buf services; /* see remember_take_over */
};

/* What the old program left; NULL: this one was started as usual. */
struct upgrade_state *upgrade_taken(void);
void upgrade_state_free(struct upgrade_state *s);

/* We are there: whoever asked for it is told. */
void upgrade_answer(struct upgrade_state *s, const struct monitor *m);

/* For -check-state FD: could this program go on from what is read from there, with the configuration that `load` reads?
 * Nothing is touched. false with a message. */
bool upgrade_check(int fd, bool (*load)(void *arg, struct loaded *out, struct err *err), void *arg, struct err *err);
/* What it says then. */
#define UPGRADE_WELL "this program can take over\n"

#endif
