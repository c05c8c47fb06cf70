/* What one program of the monitor leaves to the next, as text: a line of itself, one for each descriptor that stays
 * open, then those of the services (remember_line.h). */
#ifndef FM_UPGRADE_STATE_H
#define FM_UPGRADE_STATE_H

#include "upgrade.h"

/* The version of the format. The one before is read too. */
#define UPGRADE_STATE_VERSION 1

struct upgrade_head {
    const char *rundir;
    int lock_fd, answer_fd;
    bool json;
    uint64_t last_seq, nofile;
};

void upgrade_state_add(struct buf *b, const struct upgrade_head *head, const struct http_given *given, size_t n);

/* Reads all there is. NULL with a message: this program can't go on from there. */
struct upgrade_state *upgrade_state_read(int fd, struct err *err);

/* The descriptors in it are not for what we start. */
void upgrade_state_close_on_exec(const struct upgrade_state *s);

#define UPGRADE_STATE_VARIABLE_SIZE 32
/* Where the state is, for the environment of the next program of this process: "NAME=VALUE". */
void upgrade_state_variable(int fd, char out[UPGRADE_STATE_VARIABLE_SIZE]);
/* The same for us, once; -1: nowhere. */
int upgrade_state_announced(void);

#endif
