#include "world.h"

void world_timer_set(struct world *w, struct timer *t, int64_t after_ms)
{
    timers_set(&w->timers, t, w->ops->mono_ms(w) + MAX(after_ms, 0));
}

void world_timer_clear(struct world *w, struct timer *t)
{
    timers_clear(&w->timers, t);
}
