/* One supervised service: its state, its process, how it got there, who waits for it.
 * Performs what the machine table says, over a struct world. */
#ifndef FM_SERVICE_H
#define FM_SERVICE_H

#include "conf.h"
#include "event_ring.h"
#include "hush.h"
#include "lastexit.h"
#include "launch.h"
#include "machine.h"
#include "order.h"
#include "policy.h"
#include "remember_line.h"
#include "world.h"

struct monitor;

/* A started process is up when it is alive after this long. */
#define SERVICE_PROBE_MS 300
/* Why it is not to be had any more (monitor_wind_down). */
#define SERVICE_ENDING "the monitor is shutting down"

/* The process group of an adopted process: one it leads, or that of the process we started and whose heir it is. The
 * number may be somebody else's once the process is gone. So of what is found in it then only that counts as left
 * behind which carries the service's marker, or is of the same session and older than the moment when the process was
 * last there. pgrp 0: none. */
struct service_group {
    pid_t pgrp, session;
    int64_t seen_ms;
};

enum service_renew { RENEW_NOT, RENEW_GRACEFUL, RENEW_RESTART };

struct service;

enum service_goal { GOAL_UP, GOAL_DOWN };

/* Somebody who waits for a service to reach a goal. Owned by the waiter. */
struct service_wait {
    struct service_wait *next;
    enum service_goal goal;
    /* Called once, then the wait is off the list. `why` (valid during the call) says why
     * the goal was missed; NULL when it was reached. Must not command services. */
    void (*done)(struct service_wait *w, struct service *s, const char *why);
};

struct service {
    struct monitor *mon;
    const struct conf_service *conf; /* owned by the monitor's configuration */
    struct launch_ids *ids;          /* NULL: runs as the monitor's own user */

    enum machine_state state;
    enum machine_want want;
    struct proc proc;  /* pid 0: none */
    bool watched;      /* the end will be told; else the probe has to find out */
    bool adopted;      /* the process was found running */
    bool marked;       /* the process was seen to carry the marker */
    bool said_failing; /* the log says so: when that is over, it is said too */
    /* What comes before this is all the regular probe looks at. */
    struct world_watch watch;
    struct timer timer;  /* of the current state */
    int64_t start_ms;    /* when the process was started (mono) */
    uint64_t start_scan; /* looks at the process table that were begun before its start */
    int64_t log_start;   /* how long its log was then; 0: unknown */
    int64_t since_ms;    /* when the state was entered (mono) */
    int64_t since_wall_ms;
    int64_t delay_ms;     /* STATE_WAITING: how long */
    uint64_t state_seq;   /* number of the event that led into this state */
    uint64_t spawn_cause; /* for the start that is queued or waits for a survey */

    unsigned restarts; /* processes started after one that ended */
    unsigned failures; /* ends in a row that nobody asked for */

    uint32_t cmd_mark; /* of the command line its process was started (or found) with (conf_mark); 0: not known */

    struct service_group group;    /* of its adopted process, or the last such */
    bool graceful;                 /* a graceful restart is under way */
    bool unsure;                   /* something of it may be running that we don't hold: look before the next start */
    bool escapes;                  /* a process of it was seen that has left its group */
    bool seeking;                  /* a start (or what comes after `sweeping`) waits for such a look */
    bool sweeping;                 /* a stop waits until such looks find nothing left of its group */
    uint64_t seek_scan;            /* the first look that began after it was asked for */
    int sweeps;                    /* looks in a row that found something to clean up */
    bool queued;                   /* a start waits for its turn */
    bool fresh;                    /* not yet looked for at all */
    bool blocked;                  /* another one of this name was removed and is not gone yet */
    enum service_renew renew;      /* told to restart before it was looked for: what is found is restarted */
    bool held;                     /* told to stop while fresh: if it is found running it is stopped */
    struct conf_service *own_conf; /* set when it is gone from the configuration: then freed once it is down */
    struct service *next_queued;
    pid_t reported[2];  /* second copies the last audit saw: told once each */
    bool reported_rest; /* the same for what it left running */
    struct hush hush;   /* what the log has been told (complain) */

    struct remembered
        *was;   /* how the monitor before this one had it; NULL once it was looked for, or nothing is known */
    bool known; /* there is something to remember of it */
    bool touched, touched_exit; /* and that (and how it ended) is to be written down */
    struct service *next_touched;

    struct event_ring events;
    struct service_exit last_exit;
    struct service_wait *waits;
    struct order *orders; /* commands that wait for their turn */
};

/* A service that is down, ready to be commanded. NULL with a message that names it
 * (its user does not exist, no memory). Freed by service_fini and free. */
struct service *service_new(struct monitor *mon, const struct conf_service *conf, struct err *err);

/* Forgets everything; its process is let go of, not touched. Waits are told. */
void service_fini(struct service *s);

/* Commands, after order_settle. `cause` is the event of who asked. They set what is wanted and return at
 * once; add a wait to learn the outcome. Waits of an opposite command are told that
 * they were superseded. */
void service_start(struct service *s, uint64_t cause);
void service_stop(struct service *s, uint64_t cause);
void service_restart(struct service *s, uint64_t cause);
/* As service_restart, but by the service's own means: the signal of `graceful`, then it
 * is up when its successor is, or when the same process is still there after the
 * timeout. false with a message when it takes no such signal; then nothing happens. */
bool service_grestart(struct service *s, uint64_t cause, struct err *err);

/* Waits for the goal; done may be called before this returns. */
void service_wait_add(struct service *s, struct service_wait *w);
/* Takes a wait back; nothing happens if it is not on the list. */
void service_wait_remove(struct service *s, struct service_wait *w);
/* For service.c: tells all that wait for the goal that it was missed (NULL: reached); tells those whose goal is
 * reached. */
void service_wait_tell(struct service *s, enum service_goal goal, const char *why);
void service_wait_tell_met(struct service *s);

/* Sends any signal to the watched process. 0 or -errno. */
int service_signal(struct service *s, int sig, uint64_t cause);

/* Called by the monitor: */
/* Takes a found process over; one that is stopping has it stopped. 0, or -ESRCH (it is gone by now), or the -errno for
 * which it can't be held. */
int service_adopt(struct service *s, const struct procfs_entry *e, uint64_t cause);
void service_launch(struct service *s); /* the queued start, now; looked for and not found */
void service_gone(struct service *s);   /* looked for while it is stopping: there is nothing (more) */

/* For one that was removed: is there still something of it to be stopped, or to be looked for? */
bool service_is_leaving(const struct service *s);

/* For resume.c: the process it had then is gone; what follows from that. */
void service_lost(struct service *s, const struct remembered *was);

/* How long its process has been running, ms; 0 without one. */
int64_t service_uptime_ms(const struct service *s);

/* Failures in a row as of now: being up for long enough has cleared them. */
unsigned service_failures(const struct service *s);

/* Is it being stopped, and not even SIGKILL has ended it? */
bool service_hangs(const struct service *s);

/* Until the next try, ms, when waiting; else 0. */
int64_t service_next_try_ms(const struct service *s);

#endif
