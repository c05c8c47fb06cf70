/* Commands to services that wait for their turn: a command to thousands of services is
 * given in slices (monitor_do), and whatever else is commanded meanwhile must come after
 * what was asked for before it, service by service. */
#ifndef FM_ORDER_H
#define FM_ORDER_H

#include "base.h"

struct service;

/* Embedded by who gives the command. */
struct order {
    struct order *next;      /* of the same service */
    struct service *service; /* NULL: it is not waiting (any more) */
    /* It is its turn: calls service_start and the like. It is off the list by then and may be
     * freed. s NULL: the service is gone. */
    void (*run)(struct order *o, struct service *s);
};

/* Puts it behind those that wait for the service already. Somebody must call order_settle later. */
void order_add(struct service *s, struct order *o);

/* Takes it back; nothing happens if it is not waiting. */
void order_remove(struct order *o);

/* Carries out what waits for the service, in order. To be called before a command is given
 * to it in any other way. */
void order_settle(struct service *s);

/* The service goes: tells those that wait. */
void order_drop(struct service *s);

#endif
