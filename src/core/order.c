#include "order.h"

#include "service.h"

void order_add(struct service *s, struct order *o)
{
    struct order **last = &s->orders;
    while (*last)
        last = &(*last)->next;
    *last = o;
    o->next = NULL;
    o->service = s;
}

void order_remove(struct order *o)
{
    if (!o->service)
        return;
    struct order **p = &o->service->orders;
    while (*p != o)
        p = &(*p)->next;
    *p = o->next;
    o->service = NULL;
}

static void run_all(struct service *s, struct service *told)
{
    for (struct order *o; (o = s->orders);) {
        order_remove(o);
        o->run(o, told);
    }
}

void order_settle(struct service *s)
{
    run_all(s, s);
}

void order_drop(struct service *s)
{
    run_all(s, NULL);
}
