/* Who waits for a service to reach a goal. */
#include "monitor.h"

void service_wait_remove(struct service *s, struct service_wait *w)
{
    for (struct service_wait **p = &s->waits; *p; p = &(*p)->next)
        if (*p == w) {
            *p = w->next;
            return;
        }
}

void service_wait_tell(struct service *s, enum service_goal goal, const char *why)
{
    for (struct service_wait **p = &s->waits; *p;) {
        struct service_wait *w = *p;
        if (w->goal != goal) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        w->next = NULL;
        w->done(w, s, why);
    }
}

static bool goal_met(const struct service *s, enum service_goal goal)
{
    if (goal == GOAL_UP)
        return s->state == STATE_UP && !s->graceful;
    return (s->state == STATE_DOWN && !s->held) || (s->state == STATE_FAILED && s->want == WANT_DOWN);
}

void service_wait_tell_met(struct service *s)
{
    for (enum service_goal goal = GOAL_UP; goal <= GOAL_DOWN; goal++)
        if (goal_met(s, goal))
            service_wait_tell(s, goal, NULL);
}

void service_wait_add(struct service *s, struct service_wait *w)
{
    if (goal_met(s, w->goal)) {
        w->done(w, s, NULL);
        return;
    }
    if (w->goal == GOAL_UP && s->mon->ending) {
        w->done(w, s, SERVICE_ENDING);
        return;
    }
    w->next = s->waits;
    s->waits = w;
}
