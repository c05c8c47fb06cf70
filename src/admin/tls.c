#include "tls.h"

#include "clog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((off_t)1024 * 1024)

void tls_fini(struct tls *t)
{
    if (t->key)
        explicit_bzero(t->key, strlen(t->key));
    free(t->cert);
    free(t->key);
    *t = (struct tls){0};
}

/* A text that has `mark` in it. */
static char *read_pem(const char *path, const char *mark, bool secret, struct err *err)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = fd < 0 || fstat(fd, &st) ? errno : 0;
    bool fits = !error && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX;
    char *text = fits ? malloc((size_t)st.st_size + 1) : NULL;
    ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
    if (fd >= 0)
        close(fd);
    if (n >= 0)
        text[n] = 0;
    if (n >= 0 && strstr(text, mark)) {
        if (secret && st.st_mode & 077)
            clog_warn("tls.key %s: others may read it (chmod 600)", path);
        return text;
    }
    err_set(err, "tls: %s: %s", path, error ? strerror(error) : "it is no PEM file of that kind");
    free(text);
    return NULL;
}

bool tls_read(struct tls *out, const struct conf *conf, struct err *err)
{
    *out = (struct tls){0};
    if (!conf->tls.cert)
        return true;
    out->cert = read_pem(conf->tls.cert, "-----BEGIN CERTIFICATE-----", false, err);
    out->key = out->cert ? read_pem(conf->tls.key, "PRIVATE KEY-----", true, err) : NULL;
    if (out->key)
        return true;
    tls_fini(out);
    return false;
}

bool tls_copy(struct tls *out, const struct tls *from)
{
    *out = (struct tls){.cert = from->cert ? strdup(from->cert) : NULL, .key = from->key ? strdup(from->key) : NULL};
    if ((!from->cert || out->cert) && (!from->key || out->key))
        return true;
    tls_fini(out);
    return false;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

bool tls_is_same(const struct tls *a, const struct tls *b)
{
    return is_same_text(a->cert, b->cert) && is_same_text(a->key, b->key);
}
