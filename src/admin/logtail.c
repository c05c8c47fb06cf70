#include "logtail.h"

#include "filewatch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)64 * 1024)
#define GATHER_MS 10        /* after a change: more of it may come */
#define ROTATION_MS 5       /* how long its front takes to be taken away */
#define LOOK_MS 250         /* between two looks at one that can't be watched */
#define LOOK_ANYWAY_MS 5000 /* at one that is: on some file systems changes are not told */

static void later(struct logtail *t, int64_t ms)
{
    struct world *w = t->request->admin->mon->world;
    if (timers_set(&w->timers, &t->timer, w->ops->mono_ms(w) + ms))
        request_abort(t->request, 500, EXIT_COMMAND, "no_memory", "out of memory");
}

static void on_changed(void *arg)
{
    struct logtail *t = arg;
    t->armed = false;
    later(t, GATHER_MS);
}

void logtail_read(struct logtail *t)
{
    int r = console_follow_read(&t->follow, &t->source, BLOCK, &t->text);
    t->error = r < 0 ? r : 0;
    t->got = r > 0 ? (size_t)r : 0;
}

void logtail_fail(struct logtail *t)
{
    char why[PATH_MAX + 128];
    snprintf(why, sizeof why, "log of %s, %s: %s", t->name, t->path ? t->path : "?",
             t->error == -ENODATA ? "it is no file" : strerror(-t->error));
    request_abort(t->request, 500, EXIT_SERVICE, "log", why);
}

/* Nothing new. The first time it is watched, and looked at again: it may have changed just before. */
static void wait(struct logtail *t)
{
    if (t->armed) {
        later(t, LOOK_ANYWAY_MS);
        return;
    }
    t->armed = t->watch && filewatch_arm(t->watch);
    later(t, t->armed ? 1 : LOOK_MS);
}

void logtail_was_read(struct logtail *t)
{
    if (t->error == -EAGAIN) {
        later(t, ROTATION_MS);
    } else if (t->error) {
        logtail_fail(t);
    } else if (!t->got) {
        wait(t);
    } else {
        if (t->armed)
            filewatch_disarm(t->watch);
        t->armed = false;
        t->news(t);
    }
}

static void on_timer(struct timer *timer)
{
    struct logtail *t = CONTAINER_OF(timer, struct logtail, timer);
    if (request_backlog(t->request)) {
        t->waiting = true;
    } else if (console_follow_is_behind(&t->follow)) {
        t->behind = true;
        t->news(t);
    } else {
        logtail_read(t);
        logtail_was_read(t);
    }
}

void logtail_start(struct logtail *t)
{
    struct uv_loop_s *loop = t->request->admin->loop;
    t->timer.fire = on_timer;
    if (loop)
        t->watch = filewatch_new(loop, t->path, on_changed, t);
    later(t, 1);
}

void logtail_go_on(struct logtail *t)
{
    t->waiting = false;
    later(t, 1);
}

void logtail_fini(struct logtail *t)
{
    if (t->request)
        world_timer_clear(t->request->admin->mon->world, &t->timer);
    filewatch_free(t->watch);
    console_follow_close(&t->follow);
    buf_fini(&t->text);
    free(t->name);
    free(t->path);
}
