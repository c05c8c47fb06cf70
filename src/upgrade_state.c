#include "upgrade_state.h"

#include "jsonline.h"
#include "remember_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE "FOTA_MONITOR_STATE"
#define NOFILE_MAX 100000000000000000 /* what is more has no limit, and is no number that we could read back */
#define BLOCK 65536
#define STATE_MAX (512 * 1024 * 1024)

/* A line that is no service's. */
struct line {
    struct upgrade_state head;
    struct http_given given;
    char listen[HOST_ADDRESS_SIZE];
    int peer;
};

#define AT(member) offsetof(struct line, member)

static const struct jsonline_field fields[] = {
    {.name = "upgrade", .type = JSONLINE_NUMBER, .offset = AT(head.version)},
    {.name = "from", .type = JSONLINE_TEXT, .offset = AT(head.from), .size = sizeof((struct upgrade_state *)0)->from},
    {.name = "pid", .type = JSONLINE_INT, .offset = AT(head.pid)},
    {.name = "rundir", .type = JSONLINE_TEXT, .offset = AT(head.rundir), .size = PATH_MAX},
    {.name = "lock", .type = JSONLINE_INT, .offset = AT(head.lock_fd)},
    {.name = "answer", .type = JSONLINE_INT, .offset = AT(head.answer_fd)},
    {.name = "json", .type = JSONLINE_BOOL, .offset = AT(head.json)},
    {.name = "seq", .type = JSONLINE_NUMBER, .offset = AT(head.last_seq)},
    {.name = "nofile", .type = JSONLINE_NUMBER, .offset = AT(head.nofile)},
    {.name = "listen", .type = JSONLINE_TEXT, .offset = AT(listen), .size = HOST_ADDRESS_SIZE},
    {.name = "port", .type = JSONLINE_INT, .offset = AT(given.port)},
    {.name = "fd", .type = JSONLINE_INT, .offset = AT(given.fd)},
    {.name = "peer", .type = JSONLINE_INT, .offset = AT(peer)},
};

void upgrade_state_add(struct buf *b, const struct upgrade_head *head, const struct http_given *given, size_t n)
{
    buf_addf(b, "{\"upgrade\":%d,\"from\":\"" FM_VERSION "\",\"pid\":%d,\"lock\":%d", UPGRADE_STATE_VERSION, getpid(),
             head->lock_fd);
    buf_adds(b, ",\"rundir\":");
    buf_add_json(b, head->rundir);
    if (head->answer_fd >= 0)
        buf_addf(b, ",\"answer\":%d,\"json\":%s", head->answer_fd, head->json ? "true" : "false");
    if (head->nofile <= NOFILE_MAX)
        buf_addf(b, ",\"nofile\":%" PRIu64, head->nofile);
    buf_addf(b, ",\"seq\":%" PRIu64 "}\n", head->last_seq);
    for (size_t i = 0; i < n; i++) {
        const struct http_given *g = &given[i];
        if (g->listens)
            buf_addf(b, "{\"listen\":\"%s\",\"port\":%d,\"fd\":%d}\n", g->address, g->port, g->fd);
        else
            buf_addf(b, "{\"peer\":%d}\n", g->fd);
    }
}

/* ---- reading */

static bool take_given(struct upgrade_state *s, const struct line *l)
{
    struct http_given *more = realloc(s->given, (s->ngiven + 1) * sizeof *more);
    if (!more)
        return false;
    s->given = more;
    struct http_given *g = &more[s->ngiven++];
    *g = l->given;
    g->listens = l->listen[0];
    if (!g->listens)
        g->fd = l->peer;
    memcpy(g->address, l->listen, sizeof g->address);
    return true;
}

static bool take_head(struct upgrade_state *s, const struct line *l, struct err *err)
{
    const struct upgrade_state *h = &l->head;
    if (s->version)
        return err_set(err, "the state has two first lines");
    if (h->version > UPGRADE_STATE_VERSION)
        return err_set(err, "the state has format %" PRIu64 "; this program (" FM_VERSION ") knows up to %d",
                       h->version, UPGRADE_STATE_VERSION);
    if (h->pid <= 0 || h->lock_fd < 0)
        return err_set(err, "the state's first line lacks something");
    *s = *h;
    return true;
}

static bool is_service(const char *line, size_t len)
{
    static const char *const heads[] = {"{\"service\":", "{\"exit_of\":"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        if (len > strlen(heads[i]) && !strncmp(line, heads[i], strlen(heads[i])))
            return true;
    return false;
}

static bool take_service(struct upgrade_state *s, const char *line, size_t len, struct err *err)
{
    struct remember_line parsed;
    remember_line_parse(line, len, &parsed);
    lastexit_fini(&parsed.exit);
    if (parsed.kind == REMEMBER_BROKEN)
        return err_set(err, "the state has a line of a service that can't be read: %.*s", (int)MIN(len, 200), line);
    buf_add(&s->services, line, len + 1);
    return true;
}

static bool take_line(struct upgrade_state *s, const char *line, size_t len, struct err *err)
{
    if (s->version && is_service(line, len))
        return take_service(s, line, len, err);
    struct line l = {.head = {.lock_fd = -1, .answer_fd = -1}, .given.fd = -1, .peer = -1};
    if (!jsonline_read(line, len, fields, ARRAY_LEN(fields), &l))
        return err_set(err, "the state has a line that can't be read: %.*s", (int)MIN(len, 200), line);
    if (l.head.version)
        return take_head(s, &l, err);
    if (!s->version)
        return err_set(err, "the state does not begin as it must");
    if (l.peer < 0 && l.given.fd < 0) /* something that an older program can't know of */
        return true;
    return take_given(s, &l) || err_nomem(err);
}

static bool read_all(int fd, struct buf *b, struct err *err)
{
    char block[BLOCK];
    for (ssize_t n; (n = read(fd, block, sizeof block)) != 0 && b->len < STATE_MAX;) {
        if (n < 0 && errno != EINTR)
            return err_set(err, "the state can't be read: %s", strerror(errno));
        buf_add(b, block, (size_t)MAX(n, 0));
    }
    return b->failed ? err_nomem(err) : true;
}

struct upgrade_state *upgrade_state_read(int fd, struct err *err)
{
    struct buf text = {0};
    struct upgrade_state *s = calloc(1, sizeof *s);
    if (!s) {
        err_nomem(err);
        return NULL;
    }
    bool ok = read_all(fd, &text, err);
    const char *p = buf_str(&text), *end = p + text.len, *eol;
    for (; ok && (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1)
        ok = take_line(s, p, (size_t)(eol - p), err);
    if (ok && (p != end || !s->version || s->services.failed))
        ok = err_set(err, "the state is not whole");
    buf_fini(&text);
    if (ok)
        return s;
    upgrade_state_free(s);
    return NULL;
}

void upgrade_state_free(struct upgrade_state *s)
{
    if (!s)
        return;
    free(s->given);
    buf_fini(&s->services);
    free(s);
}

void upgrade_state_close_on_exec(const struct upgrade_state *s)
{
    fcntl(s->lock_fd, F_SETFD, FD_CLOEXEC);
    if (s->answer_fd >= 0)
        fcntl(s->answer_fd, F_SETFD, FD_CLOEXEC);
    for (size_t i = 0; i < s->ngiven; i++)
        if (s->given[i].fd >= 0)
            fcntl(s->given[i].fd, F_SETFD, FD_CLOEXEC);
}

void upgrade_state_variable(int fd, char out[UPGRADE_STATE_VARIABLE_SIZE])
{
    snprintf(out, UPGRADE_STATE_VARIABLE_SIZE, "%s=%d", VARIABLE, fd);
}

int upgrade_state_announced(void)
{
    const char *text = getenv(VARIABLE);
    char link[64], what[64];
    int fd = text && *text >= '0' && *text <= '9' ? atoi(text) : -1;
    unsetenv(VARIABLE);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, what, sizeof what - 1); /* where there is no /proc, what it holds must tell */
    what[MAX(n, 0)] = 0;
    return fd > STDERR_FILENO && (n < 0 || !strncmp(what, "/memfd:fota_monitor", 19)) ? fd : -1;
}
