/* From the configuration of a service to everything a start needs: executable,
 * arguments, environment, limits, user, folder, log file. */
#ifndef FM_LAUNCH_H
#define FM_LAUNCH_H

#include "cmdline.h"
#include "conf.h"
#include "err.h"
#include "proc.h"

/* Who a service runs as, looked up once (the look-up may ask a directory server). */
struct launch_ids {
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t ngroups;
    char *user, *home, *shell; /* NULL when only a group was given */
};

/* Looks up user and group of a service. Returns NULL with *err untouched when it has
 * neither, NULL with a message when one does not exist. The caller frees it. */
struct launch_ids *launch_ids_new(const struct conf_service *svc, struct err *err);
void launch_ids_free(struct launch_ids *ids);

/* A prepared start. `spec` borrows from the rest; log_fd is for whoever opens the log. */
struct launch {
    struct proc_spec spec;
    struct cmdline cmd;
    struct proc_limit *limits;
    char **envp;                        /* the first of them is the marker */
    size_t env_borrowed, env_nborrowed; /* the range of envp that is the monitor's own environment */
    char *dir, *log_path;
};

/* Prepares a start of svc; false with a message that does not name the service.
 * Frees nothing it was given; *out is to be freed by launch_fini on success. */
bool launch_prepare(const struct conf *conf, const struct conf_service *svc, const struct launch_ids *ids,
                    struct launch *out, struct err *err);
void launch_fini(struct launch *l);

/* A sentence for a start of it that failed, such as "exec /srv/x/x: No such file or directory". */
void launch_fault_text(const struct launch *l, const struct proc_fault *fault, char *out, size_t size);

/* The command line of svc alone, without looking anything else up. The caller frees
 * it with cmdline_fini. */
bool launch_cmdline(const struct conf *conf, const struct conf_service *svc, struct cmdline *out, struct err *err);

/* The path of the console log, for who only wants that; NULL when memory ran out or
 * the command line is broken. The caller frees it. */
char *launch_log_path(const struct conf *conf, const struct conf_service *svc);

/* The value of the marker variable, "HOME:ENV/NAME", or up to the name when that is
 * "". The caller frees it; NULL when memory ran out. */
char *launch_marker(const struct conf *conf, const char *name);

/* The arguments the running process will show in /proc/PID/cmdline, or NULL when they
 * can't be told beforehand (the shell expands something). Borrowed from cmd. */
char *const *launch_visible_argv(const struct cmdline *cmd);

#endif
