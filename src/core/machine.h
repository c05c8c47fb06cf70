/* The life of one service as a pure table: what is, what is wanted, what happens ->
 * what is next and what to do about it. No clock, descriptor, memory or log in it;
 * service.c performs the actions. */
#ifndef FM_MACHINE_H
#define FM_MACHINE_H

#include "base.h"

/* What is. The names are those users see. */
enum machine_state {
    STATE_DOWN,     /* no process, none wanted */
    STATE_WAITING,  /* no process; the next try is scheduled */
    STATE_STARTING, /* a process was started (or is just being), its first probe is still to come */
    STATE_UP,       /* alive at its first probe, or adopted */
    STATE_STOPPING, /* told to end, not gone yet */
    STATE_FAILED,   /* no process; given up, needs a person */
    MACHINE_STATES,
};

/* What is wanted. A restart is a stop with up wanted. */
enum machine_want { WANT_DOWN, WANT_UP, MACHINE_WANTS };

enum machine_event {
    /* asked for; `want` is already what the command wants */
    EV_START,
    EV_STOP,
    EV_RESTART,
    EV_GRESTART,
    /* the process */
    EV_ADOPT,   /* one was found running */
    EV_PROBE,   /* alive at the first probe */
    EV_END,     /* it ended, or could not be started at all */
    EV_TIMEOUT, /* the time given to this state is over */
    /* the policy's answer to an end nobody asked for */
    EV_RETRY_NOW,
    EV_RETRY_LATER,
    EV_GIVE_UP,
    EV_FINISH,
    MACHINE_EVENTS,
};

enum machine_action {
    ACT_NONE,
    ACT_SPAWN,    /* start a process */
    ACT_TRACK,    /* hold on to the process that was found */
    ACT_TERM,     /* send the stop signal, give it time */
    ACT_KILL,     /* SIGKILL */
    ACT_GRACEFUL, /* send the signal of a graceful restart, give it time */
    ACT_DECIDE,   /* ask the policy what to do after this end */
    ACT_WAIT,     /* schedule the next try */
    MACHINE_ACTIONS,
};

struct machine_result {
    enum machine_state state;
    enum machine_action action;
};

/* The next state and what to do. Every combination is defined. */
struct machine_result machine_step(enum machine_state state, enum machine_want want, enum machine_event event);

/* "up", "down" …; static. */
const char *machine_state_name(enum machine_state state);

/* The state of that name, or MACHINE_STATES when there is none. */
enum machine_state machine_state_named(const char *name);

/* Names for tests and logs; static. */
const char *machine_event_name(enum machine_event event);
const char *machine_action_name(enum machine_action action);

#endif
