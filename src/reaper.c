#include "reaper.h"

#include "clog.h"
#include "exec.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <uv.h>

#define GATHER_MS 50 /* ends that come together are looked at together */
#define AGAIN_MS 300 /* one of ours stands before the others: it is collected by then */

struct reaper {
    uv_signal_t child;
    uv_timer_t timer;
    int handles;
    const struct monitor *mon;
};

static bool is_its(const struct service *s, pid_t pid)
{
    return s->proc.child && s->proc.pid == pid;
}

static bool is_ours(const struct monitor *m, pid_t pid)
{
    for (size_t i = 0; i < m->nsvcs; i++)
        if (is_its(m->svcs[i], pid))
            return true;
    for (const struct service *s = m->removed; s; s = s->next_queued)
        if (is_its(s, pid))
            return true;
    return m->ended.pid == pid || exec_has(pid);
}

/* One after the other: there is no way to look past the first. */
static void on_timer(uv_timer_t *timer)
{
    struct reaper *r = timer->data;
    siginfo_t info = {0};
    while (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid) {
        if (is_ours(r->mon, info.si_pid)) {
            uv_timer_start(timer, on_timer, AGAIN_MS, 0);
            return;
        }
        clog_debug("process %d, which was left to us, has ended", info.si_pid);
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
        info.si_pid = 0;
    }
}

static void on_child(uv_signal_t *handle, int signum)
{
    (void)signum;
    struct reaper *r = handle->data;
    if (!uv_is_active((uv_handle_t *)&r->timer))
        uv_timer_start(&r->timer, on_timer, GATHER_MS, 0);
}

struct reaper *reaper_new(struct uv_loop_s *loop, const struct monitor *m)
{
    struct reaper *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->mon = m;
    r->handles = 2;
    uv_signal_init(loop, &r->child);
    uv_timer_init(loop, &r->timer);
    r->child.data = r->timer.data = r;
    uv_signal_start(&r->child, on_child, SIGCHLD);
    uv_timer_start(&r->timer, on_timer, 0, 0); /* some may have ended before */
    return r;
}

static void on_closed(uv_handle_t *handle)
{
    struct reaper *r = handle->data;
    if (--r->handles == 0)
        free(r);
}

void reaper_free(struct reaper *r)
{
    if (!r)
        return;
    uv_close((uv_handle_t *)&r->child, on_closed);
    uv_close((uv_handle_t *)&r->timer, on_closed);
}
