#include "console_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel has it */
#define FOLDER (O_PATH | O_DIRECTORY | O_CLOEXEC)

static bool is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* One link on the way. */
struct link {
    uid_t owner;
    bool trusted;
    bool magic; /* of /proc: where it leads to is no path */
    char target[PATH_MAX];
};

/* Reads the link `name` in folder `at`; 0 or -errno. It is held meanwhile, so that nobody changes it under our eyes. */
static int read_link(int at, const char *name, struct link *l)
{
    struct stat st;
    struct statfs fs = {0};
    *l = (struct link){.owner = (uid_t)-1};
    int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = -1;
    int error = 0;
    if (fstat(fd, &st) || fstatfs(fd, &fs))
        error = errno;
    else if (!S_ISLNK(st.st_mode))
        error = EPERM; /* it was another thing a moment ago */
    else if ((n = readlinkat(fd, "", l->target, sizeof l->target - 1)) <= 0)
        error = n ? errno : ENOENT;
    close(fd);
    if (error)
        return -error;
    l->target[n] = 0;
    l->owner = st.st_uid;
    l->magic = fs.f_type == PROC_SUPER_MAGIC;
    /* With a second name it may be in a folder of somebody whose link it is not. */
    l->trusted = is_trusted(st.st_uid) && st.st_nlink == 1;
    return 0;
}

static int walk(int at, const char *path, int *links);

/* Follows a link to a folder, on the way. */
static int follow(int at, const char *name, int *links)
{
    struct link l;
    struct stat st;
    int r = ++*links > LINKS_MAX ? -ELOOP : read_link(at, name, &l);
    if (r)
        return r;
    int fd = l.magic && l.trusted ? openat(at, name, FOLDER) : walk(at, l.target, links);
    if (fd < 0)
        return l.magic && l.trusted ? -errno : fd;
    if (l.trusted || (!fstat(fd, &st) && st.st_uid == l.owner))
        return fd;
    close(fd);
    return -EPERM;
}

/* One part of the way: the folder `name` in `at`. */
static int enter(int at, const char *name, int *links)
{
    struct stat st;
    int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &st) ? errno : 0;
    if (!error && S_ISDIR(st.st_mode))
        return fd;
    close(fd);
    if (error)
        return -error;
    return S_ISLNK(st.st_mode) ? follow(at, name, links) : -ENOTDIR;
}

/* The folder at that path, as seen from folder `at`; a descriptor of its own. */
static int walk(int at, const char *path, int *links)
{
    char name[NAME_MAX + 1];
    int fd = path[0] == '/' ? open("/", FOLDER) : openat(at, ".", FOLDER);
    if (fd < 0)
        return -errno;
    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        size_t n = strcspn(path, "/");
        if (n > NAME_MAX) {
            close(fd);
            return -ENAMETOOLONG;
        }
        memcpy(name, path, n);
        name[n] = 0;
        path += n;
        int next = enter(fd, name, links);
        close(fd);
        if (next < 0)
            return next;
        fd = next;
    }
    return fd;
}

/* Takes the last part off the path: *base is it, the rest (its folder) stays in `path`. */
static int split(char *path, char base[NAME_MAX + 1])
{
    char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
    size_t n = strlen(last);
    if (n > NAME_MAX)
        return -ENAMETOOLONG;
    if (n == 0 || !strcmp(last, ".") || !strcmp(last, ".."))
        return -EISDIR;
    memcpy(base, last, n + 1);
    *last = 0;
    return 0;
}

/* A file with more than one name, in a folder that somebody else may write to, may be any file of the host. */
static bool is_planted(int folder, int fd)
{
    struct stat dir, st;
    if (fstat(fd, &st) || fstat(folder, &dir) || !S_ISREG(st.st_mode) || st.st_nlink <= 1)
        return false;
    return is_trusted(dir.st_uid) ? dir.st_mode & 022 : st.st_uid != dir.st_uid;
}

/* Opens `name` in `folder`. -ELOOP: it is a link that is to be followed, *l is it. */
static int open_last(int folder, const char *name, int flags, struct link *l)
{
    int fd = openat(folder, name, flags | O_NOFOLLOW, 0644);
    if (fd >= 0 && is_planted(folder, fd)) {
        close(fd);
        return -EPERM;
    }
    if (fd >= 0 || errno != ELOOP)
        return fd < 0 ? -errno : fd;
    int r = read_link(folder, name, l);
    if (r)
        return r;
    if (!l->trusted)
        return -EPERM;
    fd = l->magic ? openat(folder, name, flags, 0644) : -1;
    return fd >= 0 ? fd : l->magic ? -errno : -ELOOP;
}

static int open_slowly(const char *path, int flags)
{
    struct link l;
    char base[NAME_MAX + 1];
    int links = 0, at = AT_FDCWD;
    if (snprintf(l.target, sizeof l.target, "%s", path) >= (int)sizeof l.target)
        return -ENAMETOOLONG;
    for (;;) {
        int r = split(l.target, base), folder = r ? r : walk(at, l.target, &links);
        if (at >= 0)
            close(at);
        if (folder < 0)
            return folder;
        r = open_last(folder, base, flags, &l);
        if (r != -ELOOP || ++links > LINKS_MAX) {
            close(folder);
            return r;
        }
        at = folder;
    }
}

/* All of it by the kernel, where no link is on the way. */
static int open_straight(const char *path, int flags)
{
    const struct open_how how = {
        .flags = (unsigned)flags, .mode = flags & O_CREAT ? 0644 : 0, .resolve = RESOLVE_NO_SYMLINKS};
    long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

/* A link is on the way, or the call is not to be had (an old kernel; a sandbox may say EPERM). */
static bool is_slow(int error)
{
    return error == -ELOOP || error == -ENOSYS || error == -EPERM;
}

int console_path_open(const char *path, int flags)
{
    struct stat st;
    int fd = open_straight(path, flags | O_CLOEXEC);
    if (fd >= 0 && !fstat(fd, &st) && (st.st_nlink <= 1 || !S_ISREG(st.st_mode)))
        return fd;
    if (fd >= 0)
        close(fd);
    return fd >= 0 || is_slow(fd) ? open_slowly(path, flags | O_CLOEXEC) : fd;
}

int console_path_folder(const char *path, int flags)
{
    int links = 0, fd = open_straight(path, flags | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || !is_slow(fd))
        return fd;
    int folder = walk(AT_FDCWD, path, &links);
    if (folder < 0 || (flags & O_PATH))
        return folder;
    fd = openat(folder, ".", flags | O_DIRECTORY | O_CLOEXEC);
    int error = errno;
    close(folder);
    return fd < 0 ? -error : fd;
}
