#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static bool make(char out[TOKEN_SIZE])
{
    unsigned char bits[(TOKEN_SIZE - 1) / 2];
    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return false;
    for (size_t i = 0; i < sizeof bits; i++)
        snprintf(out + 2 * i, 3, "%02x", bits[i]);
    return true;
}

/* Written beside and renamed, so that a full disk or a kill leaves no half of one. */
static bool create(const char *path, char out[TOKEN_SIZE], struct err *err)
{
    char beside[4096], line[TOKEN_SIZE + 1];
    snprintf(beside, sizeof beside, "%s.new", path);
    unlink(beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && make(out);
    int n = snprintf(line, sizeof line, "%s\n", out);
    if (ok)
        errno = ENOSPC; /* of a write that takes only a part */
    ok = ok && write(fd, line, (size_t)n) == n && !fsync(fd) && !rename(beside, path);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (ok)
        return true;
    unlink(beside);
    out[0] = 0;
    return err_set(err, "%s: %s", path, strerror(error));
}

static bool check(const char *path, int fd, const char *text, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_set(err, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
        return err_set(err, "%s: others may read or write it; remove it, and a new one is made", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(err, "%s: it belongs to somebody else; remove it, and a new one is made", path);
    if (strspn(text, "0123456789abcdef") != TOKEN_SIZE - 1)
        return err_set(err, "%s: it holds no token; remove it, and a new one is made", path);
    return true;
}

bool token_ensure(const char *path, char out[TOKEN_SIZE], struct err *err)
{
    char text[TOKEN_SIZE + 8] = "";
    out[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return create(path, out, err);
    if (fd < 0)
        return err_set(err, "%s: %s", path, strerror(errno));
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\r\n")] = 0;
    bool ok = check(path, fd, text, err);
    close(fd);
    if (ok)
        memcpy(out, text, TOKEN_SIZE);
    return ok;
}

bool token_equal(const char *token, const char *given)
{
    size_t n = strlen(token), m = strlen(given);
    unsigned char differs = (unsigned char)(n != m || n == 0);
    for (size_t i = 0; i < m; i++)
        differs |= (unsigned char)(given[i] ^ (n ? token[i % n] : 0));
    return !differs;
}
