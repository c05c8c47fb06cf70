/* One monitor per env: a locked file that also tells where the running one is. */
#ifndef FM_LOCK_H
#define FM_LOCK_H

#include "base.h"
#include "err.h"

#include <sys/types.h>

#define LOCK_ADDRESS_SIZE 64

/* What a lock file says. */
struct lock_info {
    pid_t pid;
    char address[LOCK_ADDRESS_SIZE]; /* "127.0.0.1:29118"; "" when not written yet */
};

/* Takes the lock (flock, so it goes with the process however that ends). Returns the
 * descriptor, to be kept; -1 with a message that names the monitor that has it. Where that
 * monitor is dead, a process it was just starting has the lock for a moment more (proc_keep):
 * waits for it, LOCK_PATIENCE_MS at most. */
#define LOCK_PATIENCE_MS 5000
int lock_take(const char *path, struct err *err);

/* Gives it back, whoever else has the descriptor. */
void lock_release(int fd);

/* Writes who we are and where we listen into the file. 0 or -errno. */
int lock_write(int fd, const char *address);

/* What the file says; false when there is none or nobody holds its lock. */
bool lock_read(const char *path, struct lock_info *out);

#endif
