#include "home.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_HOME "/etc/fota_monitor"

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* A home somebody named: it only has to be there; what it lacks is told when it is read. */
static bool take_named(const char *what, const char *path, char out[PATH_MAX], struct err *err)
{
    if (!realpath(path, out))
        return err_set(err, "%s: %s: %s", what, path, strerror(errno));
    return is_folder(out) || err_set(err, "%s: %s is no folder", what, path);
}

static bool has_conf(const char *path, char out[PATH_MAX])
{
    char conf[PATH_MAX + 16];
    if (!realpath(path, out))
        return false;
    snprintf(conf, sizeof conf, "%s/conf/conf.json", out);
    return !access(conf, F_OK);
}

bool home_find(const char *given, char out[PATH_MAX], struct err *err)
{
    char exe[PATH_MAX], parent[PATH_MAX + 4];
    const char *named = getenv("FOTA_MONITOR_HOME");
    if (given)
        return take_named("-home", given, out, err);
    if (named && named[0])
        return take_named("FOTA_MONITOR_HOME", named, out, err);
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    char *slash = strrchr(exe, '/');
    if (slash)
        *slash = 0;
    snprintf(parent, sizeof parent, "%s/..", exe);
    if ((slash && (has_conf(exe, out) || has_conf(parent, out))) || has_conf(SYSTEM_HOME, out))
        return true;
    return err_set(err,
                   "no home folder with conf/conf.json found in %s, its parent or " SYSTEM_HOME
                   "; name one with -home DIR or FOTA_MONITOR_HOME",
                   exe);
}
