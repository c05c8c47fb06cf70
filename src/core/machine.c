#include "machine.h"

#include <string.h>

/* A cell; `set` tells a cell that was filled in from one that was forgotten, which
 * machine_step treats as "stay as you are" and a test refuses. */
struct cell {
    enum machine_state state;
    enum machine_action action;
    bool set;
};

#define TO(next, act)                                                                                                  \
    {                                                                                                                  \
        STATE_##next, ACT_##act, true                                                                                  \
    }
#define BOTH(next, act)                                                                                                \
    {                                                                                                                  \
        [WANT_DOWN] = TO(next, act), [WANT_UP] = TO(next, act)                                                         \
    }
#define SPLIT(down_next, down_act, up_next, up_act)                                                                    \
    {                                                                                                                  \
        [WANT_DOWN] = TO(down_next, down_act), [WANT_UP] = TO(up_next, up_act)                                         \
    }

static const struct cell table[MACHINE_STATES][MACHINE_EVENTS][MACHINE_WANTS] =
    {
        [STATE_DOWN] =
            {
                [EV_START] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_STOP] = BOTH(DOWN, NONE),
                [EV_RESTART] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_GRESTART] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_ADOPT] = BOTH(UP, TRACK),
                [EV_PROBE] = BOTH(DOWN, NONE),
                [EV_END] = BOTH(DOWN, NONE),
                [EV_TIMEOUT] = BOTH(DOWN, NONE),
                [EV_RETRY_NOW] = BOTH(DOWN, NONE),
                [EV_RETRY_LATER] = BOTH(DOWN, NONE),
                [EV_GIVE_UP] = BOTH(DOWN, NONE),
                [EV_FINISH] = BOTH(DOWN, NONE),
            },
        [STATE_WAITING] =
            {
                [EV_START] = SPLIT(DOWN, NONE, STARTING, SPAWN), /* a person is more patient than a timer: try now */
                [EV_STOP] = BOTH(DOWN, NONE),
                [EV_RESTART] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_GRESTART] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_ADOPT] = BOTH(UP, TRACK),
                [EV_PROBE] = BOTH(WAITING, NONE),
                [EV_END] = BOTH(WAITING, NONE),
                [EV_TIMEOUT] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_RETRY_NOW] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_RETRY_LATER] = SPLIT(DOWN, NONE, WAITING, WAIT),
                [EV_GIVE_UP] = BOTH(FAILED, NONE),
                [EV_FINISH] = BOTH(DOWN, NONE),
            },
        [STATE_STARTING] =
            {
                [EV_START] = BOTH(STARTING, NONE),
                [EV_STOP] = BOTH(STOPPING, TERM),
                [EV_RESTART] = BOTH(STOPPING, TERM),
                [EV_GRESTART] = BOTH(STOPPING, TERM), /* not up yet: nothing to be graceful about */
                [EV_ADOPT] = BOTH(UP, TRACK),         /* instead of the process that was about to be started */
                [EV_PROBE] = BOTH(UP, NONE),
                [EV_END] = SPLIT(DOWN, NONE, STARTING, DECIDE),
                [EV_TIMEOUT] = BOTH(STARTING, NONE),
                [EV_RETRY_NOW] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_RETRY_LATER] = SPLIT(DOWN, NONE, WAITING, WAIT),
                [EV_GIVE_UP] = BOTH(FAILED, NONE),
                [EV_FINISH] = BOTH(DOWN, NONE),
            },
        [STATE_UP] =
            {
                [EV_START] = BOTH(UP, NONE),
                [EV_STOP] = BOTH(STOPPING, TERM),
                [EV_RESTART] = BOTH(STOPPING, TERM),
                [EV_GRESTART] = BOTH(UP, GRACEFUL),
                [EV_ADOPT] = BOTH(UP, NONE),
                [EV_PROBE] = BOTH(UP, NONE),
                [EV_END] = SPLIT(DOWN, NONE, UP, DECIDE),
                [EV_TIMEOUT] = BOTH(UP, NONE),
                [EV_RETRY_NOW] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_RETRY_LATER] = SPLIT(DOWN, NONE, WAITING, WAIT),
                [EV_GIVE_UP] = BOTH(FAILED, NONE),
                [EV_FINISH] = BOTH(DOWN, NONE),
            },
        [STATE_STOPPING] =
            {
                [EV_START] = BOTH(STOPPING, NONE), /* starts when the old one is gone, as up is wanted now */
                [EV_STOP] = BOTH(STOPPING, NONE),
                [EV_RESTART] = BOTH(STOPPING, NONE),
                [EV_GRESTART] = BOTH(STOPPING, NONE),
                [EV_ADOPT] = BOTH(STOPPING, NONE),
                [EV_PROBE] = BOTH(STOPPING, NONE),
                [EV_END] = SPLIT(DOWN, NONE, STARTING, SPAWN),
                [EV_TIMEOUT] = BOTH(STOPPING, KILL),
                [EV_RETRY_NOW] = BOTH(STOPPING, NONE),
                [EV_RETRY_LATER] = BOTH(STOPPING, NONE),
                [EV_GIVE_UP] = BOTH(STOPPING, NONE),
                [EV_FINISH] = BOTH(STOPPING, NONE),
            },
        [STATE_FAILED] =
            {
                [EV_START] = SPLIT(FAILED, NONE, STARTING, SPAWN),
                [EV_STOP] = BOTH(DOWN, NONE),
                [EV_RESTART] = SPLIT(FAILED, NONE, STARTING, SPAWN),
                [EV_GRESTART] = SPLIT(FAILED, NONE, STARTING, SPAWN),
                [EV_ADOPT] = BOTH(UP, TRACK),
                [EV_PROBE] = BOTH(FAILED, NONE),
                [EV_END] = BOTH(FAILED, NONE),
                [EV_TIMEOUT] = BOTH(FAILED, NONE),
                [EV_RETRY_NOW] = BOTH(FAILED, NONE),
                [EV_RETRY_LATER] = BOTH(FAILED, NONE),
                [EV_GIVE_UP] = BOTH(FAILED, NONE),
                [EV_FINISH] = BOTH(FAILED, NONE),
            },
};

struct machine_result machine_step(enum machine_state state, enum machine_want want, enum machine_event event)
{
    const struct cell *c = &table[state][event][want];
    if (!c->set)
        return (struct machine_result){state, MACHINE_ACTIONS};
    return (struct machine_result){c->state, c->action};
}

static const char *const state_names[MACHINE_STATES] = {
    [STATE_DOWN] = "down", [STATE_WAITING] = "waiting",   [STATE_STARTING] = "starting",
    [STATE_UP] = "up",     [STATE_STOPPING] = "stopping", [STATE_FAILED] = "failed",
};

const char *machine_state_name(enum machine_state state)
{
    return state_names[state];
}

enum machine_state machine_state_named(const char *name)
{
    for (int i = 0; i < MACHINE_STATES; i++)
        if (!strcmp(name, state_names[i]))
            return (enum machine_state)i;
    return MACHINE_STATES;
}

const char *machine_event_name(enum machine_event event)
{
    static const char *const names[MACHINE_EVENTS] = {
        [EV_START] = "start",
        [EV_STOP] = "stop",
        [EV_RESTART] = "restart",
        [EV_GRESTART] = "grestart",
        [EV_ADOPT] = "adopt",
        [EV_PROBE] = "probe",
        [EV_END] = "end",
        [EV_TIMEOUT] = "timeout",
        [EV_RETRY_NOW] = "retry now",
        [EV_GIVE_UP] = "give up",
        [EV_RETRY_LATER] = "retry later",
        [EV_FINISH] = "finish",
    };
    return names[event];
}

const char *machine_action_name(enum machine_action action)
{
    static const char *const names[MACHINE_ACTIONS] = {
        [ACT_NONE] = "none",         [ACT_SPAWN] = "spawn",   [ACT_TRACK] = "track", [ACT_TERM] = "term",
        [ACT_GRACEFUL] = "graceful", [ACT_DECIDE] = "decide", [ACT_WAIT] = "wait",   [ACT_KILL] = "kill",
    };
    return names[action];
}
