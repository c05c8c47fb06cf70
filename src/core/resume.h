/* A service goes on where the monitor before this one had it (struct service, `was`). */
#ifndef FM_RESUME_H
#define FM_RESUME_H

#include "service.h"

/* What was just read takes effect, as far as it can before a look at the process table. */
void resume_prepare(struct service *s);

/* The process is still held by the descriptor that was handed over: all is as it was, at once. */
void resume_hold(struct service *s);

/* Its process of then, if it is still there; NULL: it is gone, or there was none. */
const struct procfs_entry *resume_find(const struct service *s, const struct procfs_table *table);

/* There was no process to find again: is this, which carries its marker, something it had left behind by then? */
bool resume_is_rest(const struct service *s, const struct procfs_entry *e);

/* Was a graceful restart under way? */
bool resume_was_graceful(const struct service *s);

/* Not looked for yet: should it run? */
bool resume_wants(const struct service *s);

/* Told to stop, by whomever: the process group it had then, of which nothing may be left; 0: none. */
pid_t resume_group(const struct service *s);

/* It was looked for in vain, after a command had changed what is wanted of it: tells that its process of then ended. */
void resume_tell_end(struct service *s);

/* It was found and taken over; what it knows of the process is so again. */
void resume_found(struct service *s);

/* It was looked for in vain: what should be done is done. false: there is nothing remembered that would tell. */
bool resume_missed(struct service *s);

/* It was looked for: what was remembered has served its purpose. */
void resume_over(struct service *s);

#endif
