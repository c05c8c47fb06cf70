/* All services of one env: applies a configuration, looks for what runs already,
 * probes, audits, starts in slices. The core's front to everything above it. */
#ifndef FM_MONITOR_H
#define FM_MONITOR_H

#include "conf.h"
#include "err.h"
#include "event_ring.h"
#include "remember.h"
#include "service.h"
#include "world.h"

#define MONITOR_PROBE_MS 300
#define MONITOR_AUDIT_MS 60000
/* So long after a start it is looked whether something has left the process group. */
#define MONITOR_SETTLE_MS 2000
/* A look at the process table that could not be had is tried again after this. */
#define MONITOR_RETRY_MS 1000
/* No longer than this are services commanded and started before the loop turns to other things. */
#define MONITOR_SLICE_MS 4

/* What scripts may decide. Every hook may be NULL. */
struct monitor_hooks {
    void *arg;
    /* After an end nobody asked for. false: the core's own policy decides. */
    bool (*decide)(void *arg, struct service *s, const struct service_exit *exit, struct decision *out);
};

/* Something that takes long, done in pieces between which the loop turns to other things. */
struct monitor_work {
    struct monitor_work *next;
    bool (*step)(struct monitor_work *w); /* does one small piece; false: it was the last (*w may be gone by then) */
};

/* An essential service has ended for good. */
struct monitor_loss {
    bool is;
    char service[256];
    int code;     /* as a shell has it: 128 + the number of the signal; 127: it could not be started; 1: not known */
    uint64_t seq; /* of the decision */
};

struct monitor {
    struct world *world;
    struct conf *conf; /* owned */
    char *marker_prefix;
    struct service **svcs; /* sorted by name, as conf->svrs */
    size_t nsvcs;
    struct service *removed;  /* services no more configured that are still to be stopped (linked by next_queued) */
    struct service **looked;  /* those that are looked for: not the blocked ones, but the removed; sorted by name */
    struct match_look *looks; /* how each of them looks, in the same order */
    size_t nlooks;
    bool indexed;  /* the two are as they should be */
    bool prepared; /* monitor_prepare was called */
    struct event_journal journal;
    uint64_t journal_lost;    /* so many of the journal's lost lines were told of */
    struct event_ring events; /* the monitor's own */
    struct consoles *consoles;
    struct remember remember;
    const char *upgraded_from; /* the version that handed over to us, before monitor_start; NULL: none */
    bool ending;               /* monitor_wind_down was called */
    struct monitor_loss loss;
    struct monitor_hooks hooks;
    uint64_t generation; /* counts every change of what a plain status shows */
    int64_t start_ms, start_wall_ms;

    struct timer probe, audit, slice, reap, settle, retry;
    struct service *queue_head, *queue_tail;    /* starts waiting for their turn */
    struct monitor_work *work_head, *work_tail; /* what is being done, a piece of each in turn */
    int64_t slice_start_ms;
    struct proc ended; /* what ended last: collected while nobody waits for a start, as it takes the kernel its time */
    bool surveying, survey_again, audit_due;
    bool surveyed;      /* services have been looked for once */
    int look_error;     /* why there is no look at the process table just now (-errno), as it was logged; 0: there is */
    uint64_t probes;    /* how many processes were probed */
    uint64_t scans;     /* how many looks at the process table were begun */
    uint64_t start_seq; /* the event of the monitor's own start: what autostarts come from */
};

/* Makes the monitor; nothing is started or looked for yet. Takes conf over (also when it
 * fails). The journal is RUNDIR/ENV.events.jsonl; without a rundir it is in memory alone. NULL with a message on
 * failure. */
struct monitor *monitor_new(struct world *world, struct conf *conf, struct err *err);

/* (Re)builds what follows from the set of services: looks, timer room. 0, or -ENOMEM: then
 * it is tried again before the next look. */
int monitor_index(struct monitor *m);

/* Has the logs looked at, off the loop: what must be known before anything is started. May be called some time before
 * monitor_start, for other things to be done meanwhile, but the loop must not turn in between. */
void monitor_prepare(struct monitor *m);

/* Looks for services that run already, takes them over, starts the others. */
void monitor_start(struct monitor *m);

/* Lets go of all services without touching their processes, closes the journal. */
void monitor_free(struct monitor *m);

/* The service of that name, or NULL. Owned by the monitor; gone after a reload. */
struct service *monitor_find(const struct monitor *m, const char *name);

/* Emits an event of a service (NULL: the monitor's own); sets the times. Returns its number. */
uint64_t monitor_emit(struct monitor *m, struct service *s, struct event *e);

/* The same for an event that is nothing but a text. */
uint64_t monitor_note(struct monitor *m, struct service *s, enum event_kind kind, uint64_t cause, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* Does it: at once as far as this turn's slice goes, the rest in later turns. Several take turns. */
void monitor_do(struct monitor *m, struct monitor_work *w);
/* Does all that is left of what is being done, however long it takes: the loop is about to end. */
void monitor_finish(struct monitor *m);

/* All services are about to be stopped, and the monitor with them: from now on none is started, and what was wanted is
 * not remembered, so that the next monitor begins with what is to be started by itself. */
void monitor_wind_down(struct monitor *m);

/* For service.c: this one has ended for good, by the decision of that number. */
void monitor_lose(struct monitor *m, const struct service *s, uint64_t seq);

/* For service.c: a start is wanted. Calls service_launch now or in a later slice. */
void monitor_queue_start(struct monitor *m, struct service *s);
void monitor_unqueue(struct monitor *m, struct service *s);
/* For service.c: look for the service in the process table; then follows service_adopt, service_launch or
 * service_gone. */
void monitor_seek(struct monitor *m, struct service *s);
/* Looks at the process table soon, for all services that are `fresh` or `seeking`. Where that fails for a reason that
 * goes by (no descriptors, no memory) it is tried again, and they wait on; where there is no such table they go ahead.
 */
void monitor_survey(struct monitor *m);
/* For service.c: a service was started. */
void monitor_started(struct monitor *m);
/* For service.c: a removed service is down now. */
void monitor_reap_removed(struct monitor *m);

/* Writes what the journal has gathered, and what is to be remembered; the owner of the loop calls it before the loop
 * waits. */
void monitor_flush(struct monitor *m);

#endif
