#include "remember.h"

#include "clog.h"
#include "monitor.h"
#include "remember_late.h"
#include "resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024 * 1024)
#define SLACK_BYTES (256 * 1024) /* of appended lines, before the file is written anew */
#define GROWTH 4                 /* the same, in times of the whole */
#define RESERVE SLACK_BYTES      /* room set aside behind the end of the file: a full disk is no reason to forget */
#define RETRY_MS 1000
#define COMPLAINTS_MAX 5 /* about lines of one file */

int remember_init(struct remember *r, const char *rundir, const char *env)
{
    *r = (struct remember){.fd = -1, .anew = true};
    if (rundir && asprintf(&r->path, "%s/%s.state.jsonl", rundir, env) < 0) {
        r->path = NULL;
        return -ENOMEM;
    }
    return 0;
}

void remember_fini(struct remember *r)
{
    if (r->fd >= 0)
        close(r->fd);
    buf_fini(&r->text);
    free(r->path);
    *r = (struct remember){.fd = -1};
}

/* ---- what has changed */

void remember_touch(struct service *s)
{
    struct remember *r = &s->mon->remember;
    s->known = true;
    if (s->touched || !r->path)
        return;
    s->touched = true;
    s->next_touched = r->touched;
    r->touched = s;
}

void remember_event(struct service *s, enum event_kind kind)
{
    remember_touch(s);
    s->touched_exit = s->touched_exit || kind == EVENT_EXIT || kind == EVENT_SPAWN_FAIL;
}

static void untouch(struct service *s)
{
    struct service **p = &s->mon->remember.touched;
    while (*p && *p != s)
        p = &(*p)->next_touched;
    if (*p)
        *p = s->next_touched;
    s->touched = s->touched_exit = false;
}

void remember_drop(struct service *s, bool for_good)
{
    if (s->touched)
        untouch(s);
    if (for_good && s->mon->remember.path)
        remember_line_gone(&s->mon->remember.text, s->conf->name);
    free(s->was);
    s->was = NULL;
}

void remember_afresh(struct monitor *m)
{
    if (m->remember.path)
        remember_line_afresh(&m->remember.text);
}

bool remember_state(const struct service *s, struct remembered *out)
{
    const struct remembered *was = s->was;
    if (was && was->stands)
        *out = *was;
    if (was && was->stands)
        return true;
    if (!s->known || (s->fresh && s->state == STATE_DOWN && !s->held && !s->renew))
        return false;
    *out = (struct remembered){.state = s->held ? STATE_STOPPING : s->state,
                               .want = s->want,
                               .pid = s->proc.pid ? s->proc.pid
                                      : was       ? was->pid
                                                  : 0,
                               .start_ms = s->proc.pid ? s->start_ms
                                           : was       ? was->start_ms
                                                       : 0,
                               .since_ms = s->since_ms,
                               .since_wall_ms = s->since_wall_ms,
                               .delay_ms = s->delay_ms,
                               .log_start = s->log_start,
                               .seq = s->state_seq,
                               .restarts = s->restarts,
                               .failures = s->failures,
                               .cmd_mark = s->proc.pid ? s->cmd_mark
                                           : was       ? was->cmd_mark
                                                       : 0,
                               .adopted = s->adopted,
                               .graceful = s->graceful,
                               .removed = s->own_conf != NULL,
                               .pidfd = -1};
    return true;
}

/* ---- writing */

static void add_service(struct buf *b, const struct service *s, bool with_exit)
{
    struct remembered now;
    if (remember_state(s, &now))
        remember_line_add(b, s->conf->name, &now, false);
    if (with_exit && s->last_exit.valid)
        remember_line_exit(b, s->conf->name, &s->last_exit);
}

static int write_all(int fd, const struct buf *b)
{
    for (size_t done = 0; done < b->len;) {
        ssize_t n = write(fd, b->data + done, b->len - done);
        if (n <= 0 && errno != EINTR)
            return n < 0 ? -errno : -EIO;
        done += (size_t)MAX(n, 0);
    }
    return 0;
}

/* Those of one name in the order in which the last word is the one that counts. */
static void add_all(const struct monitor *m, struct buf *b)
{
    remember_line_head(b, m->world->boot);
    for (const struct service *s = m->removed; s; s = s->next_queued)
        add_service(b, s, true);
    for (size_t i = 0; i < m->nsvcs; i++)
        add_service(b, m->svcs[i], true);
}

/* On success the file is open and has all in it. */
static int put_in_place(struct remember *r, const char *beside, const struct buf *b)
{
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, b);
    if (!error && rename(beside, r->path))
        error = -errno;
    if (error) {
        unlink(beside);
        close(fd);
        return error;
    }
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    r->size = r->whole = (int64_t)b->len;
    fallocate(fd, FALLOC_FL_KEEP_SIZE, r->size, RESERVE); /* where that can't be had it goes without */
    return 0;
}

static int write_anew(struct monitor *m, bool afresh)
{
    struct remember *r = &m->remember;
    struct buf all = {0}, beside = {0};
    add_all(m, &all);
    if (afresh)
        remember_line_afresh(&all);
    buf_addf(&beside, "%s.new", r->path);
    int error = all.failed || beside.failed ? -ENOMEM : put_in_place(r, beside.data, &all);
    buf_fini(&all);
    buf_fini(&beside);
    return error;
}

static int append(struct monitor *m)
{
    struct remember *r = &m->remember;
    struct stat st;
    for (const struct service *s = r->touched; s; s = s->next_touched)
        add_service(&r->text, s, s->touched_exit);
    if (fstat(r->fd, &st) || st.st_nlink == 0) /* somebody has removed it */
        return -ESTALE;
    if (r->text.failed)
        return -ENOMEM;
    ssize_t n = write(r->fd, r->text.data, r->text.len);
    if (n == (ssize_t)r->text.len) {
        r->size += n;
        return 0;
    }
    int error = n < 0 ? errno : ENOSPC;
    if (n > 0 && ftruncate(r->fd, r->size)) /* half a line is no use */
        error = errno;
    return -error;
}

static void clear(struct remember *r)
{
    while (r->touched) {
        struct service *s = r->touched;
        r->touched = s->next_touched;
        s->touched = s->touched_exit = false;
    }
    r->text.failed = false;
    buf_clear(&r->text);
}

static void complain(struct remember *r, int error)
{
    if (error && !r->complaining)
        clog_error("%s: %s; what is to be remembered of the services is written later", r->path, strerror(-error));
    else if (!error && r->complaining)
        clog_info("%s is written again", r->path);
    r->complaining = error != 0;
}

/* Appends what has changed, or writes all of it anew: because it must be, or because the file has grown. The latter can
 * wait where there is no room for a second file. */
static int write_down(struct monitor *m)
{
    struct remember *r = &m->remember;
    struct world *w = m->world;
    r->anew = r->anew || r->fd < 0;
    bool large = r->size > r->whole * GROWTH + SLACK_BYTES && w->ops->mono_ms(w) >= r->retry_ms;
    int error = r->anew || large ? write_anew(m, m->ending) : -EAGAIN;
    if (large && error)
        r->retry_ms = w->ops->mono_ms(w) + RETRY_MS;
    if (error && !r->anew) {
        r->anew = append(m) != 0;
        error = r->anew ? write_anew(m, m->ending) : 0;
    }
    return error;
}

void remember_flush(struct monitor *m)
{
    struct remember *r = &m->remember;
    struct world *w = m->world;
    bool changed = r->touched || r->text.len;
    if (!r->path || (!changed && !(r->anew && r->complaining)))
        return;
    if (r->complaining && w->ops->mono_ms(w) < r->retry_ms)
        return; /* who is touched stays so */
    int error = write_down(m);
    complain(r, error);
    if (error) {
        r->retry_ms = w->ops->mono_ms(w) + RETRY_MS;
        return;
    }
    r->anew = false;
    clear(r);
}

/* ---- reading */

struct loading {
    struct monitor *m;
    const char *path;
    size_t line, bad;
    uint64_t seq; /* the last event that is known of */
    bool of_use;  /* what the file says of wants and counts */
    bool afresh;  /* what is wanted was taken back */
    bool same;    /* it is from this boot: pids and times mean what they say */
};

static void bad_line(struct loading *l, const char *what)
{
    if (++l->bad <= COMPLAINTS_MAX)
        clog_warn("%s:%zu: %s", l->path, l->line, what);
}

static void take_head(struct loading *l, const struct remember_line *line)
{
    const char *boot = l->m->world->boot;
    if (line->version > REMEMBER_VERSION) {
        clog_warn("%s: written by a newer version (format %llu); what it remembers is not used", l->path,
                  (unsigned long long)line->version);
        return;
    }
    l->same = boot[0] && !strcmp(line->boot, boot);
    l->of_use = l->same; /* after a start of the host everything begins anew */
}

static void take_service(struct loading *l, struct service *s, const struct remembered *svc)
{
    if (!s->was)
        s->was = malloc(sizeof *s->was);
    if (!s->was)
        return;
    *s->was = *svc;
    l->seq = MAX(l->seq, svc->seq);
    s->was->stands = !l->afresh;
    s->known = true;
    if (!l->same)
        s->was->pid = 0;
}

/* From here to the end of the file. */
static void forget_wants(struct loading *l)
{
    struct monitor *m = l->m;
    l->afresh = true;
    for (size_t i = 0; i < m->nsvcs; i++)
        if (m->svcs[i]->was)
            m->svcs[i]->was->stands = false;
}

static void take_line(struct loading *l, struct remember_line *line)
{
    struct service *s = line->kind == REMEMBER_BROKEN ? NULL : monitor_find(l->m, line->name);
    if (line->kind == REMEMBER_BROKEN)
        bad_line(l, "can't be read, and is passed over");
    else if (line->kind == REMEMBER_HEAD)
        take_head(l, line);
    else if (line->kind == REMEMBER_AFRESH && l->of_use)
        forget_wants(l);
    else if (s && l->of_use && line->kind == REMEMBER_SERVICE)
        take_service(l, s, &line->svc);
    else if (line->kind == REMEMBER_SERVICE && line->svc.pidfd >= 0)
        close(line->svc.pidfd);
    if (s && l->of_use && (line->kind == REMEMBER_EXIT || line->kind == REMEMBER_GONE)) {
        lastexit_fini(&s->last_exit);
        s->last_exit = line->exit;
        line->exit = (struct service_exit){0};
    }
    if (s && line->kind == REMEMBER_GONE) {
        free(s->was);
        s->was = NULL;
    }
    lastexit_fini(&line->exit);
}

static void take_text(struct loading *l, const char *text, size_t len)
{
    struct remember_line line;
    const char *p = text, *end = text + len;
    for (const char *eol; p < end && (eol = memchr(p, '\n', (size_t)(end - p))); p = eol + 1) {
        l->line++;
        remember_line_parse(p, (size_t)(eol - p), &line);
        if (l->line == 1 && line.kind != REMEMBER_HEAD && !l->of_use)
            l->of_use = true; /* of which boot it is can't be told: what was wanted counts, pids don't */
        take_line(l, &line);
    }
    l->line++;
    if (p < end)
        bad_line(l, "ends within a line, which is passed over");
    if (l->bad > COMPLAINTS_MAX)
        clog_warn("%s: %zu more lines like that", l->path, l->bad - COMPLAINTS_MAX);
}

/* ---- to the next program */

static void add_held(struct buf *b, const struct service *s)
{
    struct remembered now;
    if (remember_state(s, &now)) {
        if (s->proc.pid) {
            now.pidfd = s->proc.pidfd;
            now.child = s->proc.child;
            now.leader = s->proc.leader;
            now.start_ticks = s->proc.start_ticks;
            now.escapes = s->escapes;
            now.pgrp = s->group.pgrp;
            now.session = s->group.session;
            now.seen_ms = s->group.seen_ms;
        }
        remember_line_add(b, s->conf->name, &now, true);
    }
    if (s->last_exit.valid)
        remember_line_exit(b, s->conf->name, &s->last_exit);
}

void remember_hand_over(const struct monitor *m, struct buf *out)
{
    for (const struct service *s = m->removed; s; s = s->next_queued)
        add_held(out, s);
    for (size_t i = 0; i < m->nsvcs; i++)
        add_held(out, m->svcs[i]);
}

void remember_take_over(struct monitor *m, const char *text, size_t len)
{
    struct loading l = {.m = m, .path = "the state of the former program", .of_use = true, .same = true};
    take_text(&l, text, len);
    for (size_t i = 0; i < m->nsvcs; i++)
        resume_prepare(m->svcs[i]);
    for (size_t i = 0; i < m->nsvcs; i++)
        if (m->svcs[i]->was && m->svcs[i]->was->pidfd >= 0)
            resume_hold(m->svcs[i]);
}

static char *read_file(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int error = fd < 0 ? errno : 0;
    bool usual = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX;
    char *text = usual ? malloc((size_t)st.st_size + 1) : NULL;
    *len = 0;
    for (ssize_t n = 1; text && n > 0 && *len < (size_t)st.st_size; *len += (size_t)MAX(n, 0))
        n = read(fd, text + *len, (size_t)st.st_size - *len);
    if (fd >= 0)
        close(fd);
    if (!text && error != ENOENT)
        clog_warn("%s: can't be read: %s", path, error ? strerror(error) : "no such file as we would write");
    return text;
}

void remember_load(struct monitor *m)
{
    struct loading l = {.m = m, .path = m->remember.path};
    size_t len;
    char *text = l.path ? read_file(l.path, &len) : NULL;
    if (!text)
        return;
    take_text(&l, text, len);
    free(text);
    if (l.same && !l.afresh)
        remember_late(m, l.seq);
    for (size_t i = 0; i < m->nsvcs; i++)
        resume_prepare(m->svcs[i]);
}
