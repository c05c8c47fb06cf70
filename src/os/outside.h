/* What scripts ask of the world beside services: helper processes and HTTP. The real one
 * is outside_uv; simulations bring their own. */
#ifndef FM_OUTSIDE_H
#define FM_OUTSIDE_H

#include "base.h"
#include "err.h"

struct exec_result;
struct exec_spec;
struct fetch_result;
struct fetch_spec;
struct outside;

struct outside_ops {
    /* Starts it; done is called later, never from inside. The handle is for cancel only and
     * invalid once done was called. NULL with a message when it can't be started at all. */
    void *(*exec)(struct outside *o, const struct exec_spec *spec, void (*done)(void *arg, const struct exec_result *r),
                  void *arg, struct err *err);
    void (*exec_cancel)(struct outside *o, void *handle);
    void *(*fetch)(struct outside *o, const struct fetch_spec *spec,
                   void (*done)(void *arg, const struct fetch_result *r), void *arg, struct err *err);
    void (*fetch_cancel)(struct outside *o, void *handle);
};

struct outside {
    const struct outside_ops *ops;
};

#endif
