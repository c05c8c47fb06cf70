#include "launch.h"

#include "buf.h"
#include "ownenv.h"
#include "world.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

void launch_ids_free(struct launch_ids *ids)
{
    if (!ids)
        return;
    free(ids->groups);
    free(ids->user);
    free(ids->home);
    free(ids->shell);
    free(ids);
}

/* All groups of the user, as login would set them. */
static bool find_groups(struct launch_ids *ids, struct err *err)
{
    int n = 0;
    getgrouplist(ids->user, ids->gid, NULL, &n);
    ids->groups = calloc((size_t)n + 1, sizeof(gid_t));
    if (!ids->groups)
        return err_nomem(err);
    if (getgrouplist(ids->user, ids->gid, ids->groups, &n) < 0)
        return err_set(err, "user %s: its groups can't be read", ids->user);
    ids->ngroups = (size_t)n;
    return true;
}

static bool find_user(struct launch_ids *ids, const char *user, struct err *err)
{
    errno = 0;
    const struct passwd *pw = getpwnam(user);
    if (!pw)
        return err_set(err, "user %s: %s", user, errno ? strerror(errno) : "there is no such user");
    ids->uid = pw->pw_uid;
    ids->gid = pw->pw_gid;
    ids->user = strdup(pw->pw_name);
    ids->home = strdup(pw->pw_dir);
    ids->shell = strdup(pw->pw_shell);
    if (!ids->user || !ids->home || !ids->shell)
        return err_nomem(err);
    return true;
}

static bool ids_fill(struct launch_ids *ids, const struct conf_service *svc, struct err *err)
{
    *ids = (struct launch_ids){.uid = geteuid(), .gid = getegid()};
    if (svc->user && !find_user(ids, svc->user, err))
        return false;
    if (svc->group) {
        errno = 0;
        const struct group *gr = getgrnam(svc->group);
        if (!gr)
            return err_set(err, "group %s: %s", svc->group, errno ? strerror(errno) : "there is no such group");
        ids->gid = gr->gr_gid;
    }
    if (ids->user)
        return find_groups(ids, err);
    ids->groups = calloc(1, sizeof(gid_t));
    if (!ids->groups)
        return err_nomem(err);
    ids->groups[0] = ids->gid;
    ids->ngroups = 1;
    return true;
}

struct launch_ids *launch_ids_new(const struct conf_service *svc, struct err *err)
{
    if (!svc->user && !svc->group)
        return NULL;
    struct launch_ids *ids = calloc(1, sizeof *ids);
    if (!ids) {
        err_nomem(err);
        return NULL;
    }
    if (ids_fill(ids, svc, err))
        return ids;
    launch_ids_free(ids);
    return NULL;
}

char *launch_marker(const struct conf *conf, const char *name)
{
    struct buf b = {0};
    buf_addf(&b, "%s:%s/%s", conf->home, conf->env, name);
    return buf_take(&b);
}

/* Environment under construction. What is inherited is borrowed, what is added is ours. */
struct env_list {
    char **items;
    size_t count, cap;
    size_t borrowed, nborrowed; /* the range of items that are not ours to free */
    bool failed;
};

static size_t key_length(const char *item)
{
    const char *eq = strchr(item, '=');
    return eq ? (size_t)(eq - item) : strlen(item);
}

static bool env_reserve(struct env_list *l, size_t more)
{
    if (l->count + more + 1 > l->cap) {
        size_t cap = MAX(l->cap * 2, l->count + more + 1);
        char **items = realloc(l->items, cap * sizeof *items);
        l->failed = l->failed || !items;
        if (!items)
            return false;
        l->items = items;
        l->cap = cap;
    }
    return true;
}

/* Sets "K=V", which becomes ours, replacing an earlier K. NULL: memory ran out. */
static void env_take(struct env_list *l, char *item)
{
    if (!item || !env_reserve(l, 1)) {
        l->failed = true;
        free(item);
        return;
    }
    size_t key = key_length(item), i = 0;
    while (i < l->count && (strncmp(l->items[i], item, key) != 0 || l->items[i][key] != '='))
        i++;
    if (i < l->count && i >= l->borrowed && i < l->borrowed + l->nborrowed) {
        /* The last borrowed one takes its place, and ours comes where that was. */
        size_t last = l->borrowed + --l->nborrowed;
        l->items[i] = l->items[last];
        l->items[last] = item;
        return;
    }
    if (i < l->count)
        free(l->items[i]);
    else
        l->items[++l->count] = NULL;
    l->items[i] = item;
}

static void env_setf(struct env_list *l, const char *key, const char *value)
{
    char *item = NULL;
    if (asprintf(&item, "%s=%s", key, value) < 0)
        item = NULL;
    env_take(l, item);
}

static void env_set_all(struct env_list *l, char *const *items)
{
    for (; items && *items; items++)
        env_take(l, strdup(*items));
}

/* All of the monitor's own environment but what concerns the monitor alone. */
static void env_inherit(struct env_list *l)
{
    size_t n = 0;
    while (environ[n])
        n++;
    if (!env_reserve(l, n))
        return;
    l->borrowed = l->count;
    for (char **p = environ; *p; p++)
        if (!ownenv_has(*p))
            l->items[l->count++] = *p;
    l->nborrowed = l->count - l->borrowed;
    l->items[l->count] = NULL;
}

static void env_free(struct env_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (i < l->borrowed || i >= l->borrowed + l->nborrowed)
            free(l->items[i]);
    free(l->items);
}

/* The marker stands first, so that a look at /proc/PID/environ finds it at once. */
static bool make_env(const struct conf *conf, const struct conf_service *svc, const struct launch_ids *ids,
                     struct launch *out)
{
    struct env_list l = {0};
    char *marker = launch_marker(conf, svc->name);
    if (!marker)
        return false;
    env_setf(&l, WORLD_MARKER, marker);
    free(marker);
    env_inherit(&l);
    if (ids && ids->user) {
        env_setf(&l, "HOME", ids->home);
        env_setf(&l, "USER", ids->user);
        env_setf(&l, "LOGNAME", ids->user);
        env_setf(&l, "SHELL", ids->shell);
    }
    env_set_all(&l, out->cmd.env);
    env_set_all(&l, svc->env);
    if (l.failed) {
        env_free(&l);
        return false;
    }
    out->envp = l.items;
    out->env_borrowed = l.borrowed;
    out->env_nborrowed = l.nborrowed;
    return true;
}

static char *join(const char *dir, const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    struct buf b = {0};
    buf_addf(&b, "%s/%s", strcmp(dir, "/") ? dir : "", path);
    return buf_take(&b);
}

bool launch_cmdline(const struct conf *conf, const struct conf_service *svc, struct cmdline *out, struct err *err)
{
    struct cmdline_input in = {.cmd = svc->cmd,
                               .rootpath = conf->rootpath,
                               .path = getenv("PATH"),
                               .environs = {conf->environ, svc->environ},
                               .env = svc->env};
    return cmdline_resolve(&in, out, err);
}

static char *log_in(const char *dir, const struct conf_service *svc)
{
    return join(dir, svc->log ? svc->log : "fota_monitor.log");
}

static bool resolve(const struct conf *conf, const struct conf_service *svc, struct launch *out, struct err *err)
{
    if (!launch_cmdline(conf, svc, &out->cmd, err))
        return false;
    out->dir = svc->dir ? join(conf->rootpath, svc->dir) : strdup(out->cmd.dir);
    out->log_path = out->dir ? log_in(out->dir, svc) : NULL;
    return out->log_path || err_nomem(err);
}

static bool fill(const struct conf *conf, const struct conf_service *svc, const struct launch_ids *ids,
                 struct launch *out, struct err *err)
{
    if (!resolve(conf, svc, out, err))
        return false;
    out->limits = calloc(out->cmd.nlimits + 1, sizeof *out->limits);
    if (!out->limits || !make_env(conf, svc, ids, out))
        return err_nomem(err);
    for (size_t i = 0; i < out->cmd.nlimits; i++) {
        const struct cmdline_limit *l = &out->cmd.limits[i];
        out->limits[i] =
            (struct proc_limit){.resource = l->resource, .soft = l->soft, .hard = l->hard, .value = l->value};
    }
    out->spec = (struct proc_spec){.exe = out->cmd.argv[0],
                                   .argv = out->cmd.argv,
                                   .envp = out->envp,
                                   .dir = out->dir,
                                   .log_fd = -1,
                                   .limits = out->limits,
                                   .nlimits = out->cmd.nlimits,
                                   .umask = svc->umask};
    if (ids) {
        out->spec.set_ids = true;
        out->spec.uid = ids->uid;
        out->spec.gid = ids->gid;
        out->spec.groups = ids->groups;
        out->spec.ngroups = ids->ngroups;
    }
    return true;
}

bool launch_prepare(const struct conf *conf, const struct conf_service *svc, const struct launch_ids *ids,
                    struct launch *out, struct err *err)
{
    *out = (struct launch){0};
    if (fill(conf, svc, ids, out, err))
        return true;
    launch_fini(out);
    return false;
}

void launch_fini(struct launch *l)
{
    cmdline_fini(&l->cmd);
    struct env_list env = {.items = l->envp, .borrowed = l->env_borrowed, .nborrowed = l->env_nborrowed};
    while (l->envp && l->envp[env.count])
        env.count++;
    env_free(&env);
    free(l->limits);
    free(l->dir);
    free(l->log_path);
    *l = (struct launch){0};
}

void launch_fault_text(const struct launch *l, const struct proc_fault *fault, char *out, size_t size)
{
    if (fault->stage != PROC_STAGE_LOG) {
        proc_fault_text(&l->spec, fault, out, size);
        return;
    }
    /* Unless told otherwise the log is beside the executable: where the whole folder is missing, that is the news. */
    bool lost = fault->error == ENOENT && l->cmd.exe && access(l->cmd.exe, F_OK);
    snprintf(out, size, "%s %s: %s%s", lost ? "exec" : "open the log", lost ? l->cmd.exe : l->log_path,
             strerror(fault->error), fault->error == EPERM ? " (links of other users are not followed)" : "");
}

char *launch_log_path(const struct conf *conf, const struct conf_service *svc)
{
    struct launch l = {0};
    char *path = NULL;
    if (svc->log && svc->log[0] == '/')
        return strdup(svc->log);
    if (svc->dir) { /* then it does not depend on the command line */
        char *dir = join(conf->rootpath, svc->dir);
        path = dir ? log_in(dir, svc) : NULL;
        free(dir);
    } else if (resolve(conf, svc, &l, NULL)) {
        path = l.log_path;
        l.log_path = NULL;
    }
    launch_fini(&l);
    return path;
}

char *const *launch_visible_argv(const struct cmdline *cmd)
{
    if (cmd->way != CMDLINE_SHELL_EXEC)
        return cmd->argv;
    if (cmd->visible)
        return cmd->visible;
    /* {"/bin/sh", "-c", "… exec \"$@\"", "sh", exe, args…}: the shell becomes the command itself, unchanged */
    bool passed = cmd->argv[1] && cmd->argv[2] && cmd->argv[3];
    return passed ? cmd->argv + 4 : NULL;
}
