#include "rundir.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool rundir_ensure(const char *path, struct err *err)
{
    struct stat st;
    if ((mkdir(path, 0700) && errno != EEXIST) || stat(path, &st))
        return err_set(err, "rundir %s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(err, "rundir %s: %s", path, strerror(ENOTDIR));
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022))
        return err_set(err, "rundir %s: others may write there; it must be the monitor's own (chmod 700)", path);
    return true;
}

/* The folder above, and all above that. What is in a sticky folder nobody but its owner may replace. */
static bool is_above_safe(char *path, struct buf *who)
{
    struct stat st;
    for (char *slash; (slash = strrchr(path, '/'));) {
        slash[slash == path] = 0;
        if (!lstat(path, &st) && st.st_uid != 0 && st.st_uid != geteuid()) {
            buf_addf(who, "%s belongs to user %u, who could put another run folder in the place of ours", path,
                     st.st_uid);
            return false;
        }
        if (!stat(path, &st) && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
            buf_addf(who, "everybody may write to %s, and so put another run folder in the place of ours", path);
            return false;
        }
        if (slash == path)
            break;
    }
    return true;
}

bool rundir_is_replaceable(const char *path, struct buf *who)
{
    char named[PATH_MAX], real[PATH_MAX];
    if (strlen(path) >= sizeof named || !realpath(path, real))
        return false;
    memcpy(named, path, strlen(path) + 1);
    return !is_above_safe(named, who) || !is_above_safe(real, who);
}
