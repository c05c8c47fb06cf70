/* What happened, and why: numbered events, each with the number of what led to it.
 *
 * Every event goes three ways: into its owner's ring in memory (event_ring, for
 * -why and -history), as a JSON line into the journal, and to those who listen. */
#ifndef FM_EVENT_H
#define FM_EVENT_H

#include "base.h"
#include "buf.h"

#include <sys/types.h>

enum event_kind {
    /* a service's state changed to … */
    EVENT_DOWN,
    EVENT_WAITING,
    EVENT_STARTING,
    EVENT_UP,
    EVENT_STOPPING,
    EVENT_FAILED,
    /* facts and decisions */
    EVENT_EXIT,       /* a process ended; code, signal, duration_ms */
    EVENT_SPAWN_FAIL, /* it could not be started; text says where */
    EVENT_DECISION,   /* what the policy said; text */
    EVENT_COMMAND,    /* somebody asked for something; text: what and who */
    EVENT_CONFIG,     /* the configuration changed; text */
    EVENT_ADOPT,      /* a running process was taken over */
    EVENT_SIGNAL,     /* a signal was sent; signal */
    EVENT_CLEANUP,    /* something left behind was killed; pid */
    EVENT_AUDIT,      /* the audit found something; text */
    EVENT_LOG,        /* something about its console log; text */
    EVENT_MONITOR,    /* the monitor itself; text */
    EVENT_KINDS,
};

/* No journal comes that far. A higher number is no event's: those after it could not be read back. */
#define EVENT_SEQ_MAX UINT64_C(1000000000000000)

#define EVENT_TEXT_SIZE 400 /* room for a path and, behind it, what is wrong with it */

struct event {
    uint64_t seq;   /* from 1; given by event_emit */
    uint64_t cause; /* seq of what led to it; 0: nothing before it */
    int64_t wall_ms, mono_ms;
    enum event_kind kind;
    pid_t pid;                  /* 0: none */
    int code;                   /* EVENT_EXIT: exit code, -1: a signal or unknown */
    int signal;                 /* 0: none */
    int64_t duration_ms;        /* EVENT_EXIT: how long it ran; EVENT_WAITING: until the next try */
    unsigned count;             /* EVENT_EXIT: failures in a row, this one included; 0: it was asked for */
    char text[EVENT_TEXT_SIZE]; /* cut at a character's end; the journal's line is cut alike */
};

/* Writes text into the event, cut to what fits at a UTF-8 character's end. */
void event_text(struct event *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "exit", "up" …; static. EVENT_KINDS when there is no kind of that name. */
const char *event_kind_name(enum event_kind kind);
enum event_kind event_kind_named(const char *name);

/* Adds the event as one JSON object, without newline. `service` NULL: the monitor's. */
void event_json(struct buf *b, const char *service, const struct event *e);

/* Embedded in who wants to hear of every event as it is emitted. */
struct event_listener {
    struct event_listener *next;
    /* service NULL: the monitor's own. Both are the callee's only during the call. It may
     * listen, unlisten (itself and others) and emit: what is emitted from inside is told
     * after this event has been told to all, so that everybody hears them in their order. */
    void (*event)(struct event_listener *l, const char *service, const struct event *e);
};

struct event_untold;
struct event_ring;

/* The file of JSON lines. Lines are gathered and written by event_journal_flush, which
 * the owner calls before it waits; so a burst of events costs one write. When the file
 * passes max_size it is renamed to FILE.1 (replacing the one there) and begun anew. Some
 * room behind its end is set aside, so that the story of how a disk became full is on it.
 * When it can't be written, lines are kept up to a limit and tried again. */
struct event_journal {
    char *path;
    int fd; /* -1: not open */
    int64_t size, max_size;
    int64_t reserved; /* so many bytes of the disk are its own already */
    struct buf pending;
    uint64_t last_seq;
    uint64_t lost;    /* lines given up because the file could not be written */
    bool complaining; /* the failure was already reported */
    bool torn;        /* the file ends within a line, whose rest is pending */
    struct event_listener *listeners;
    struct event_listener *next_told; /* who hears the event being told after the one that hears it now */
    bool telling;
    struct event_untold *untold, **untold_end; /* emitted meanwhile */
};

/* Opens (creates, 0600) the journal for appending; numbers go on from its last line.
 * An unfinished last line, left by a crash, is ended first. 0, or -errno: then the
 * journal still works, in memory alone, and flush tries again. */
int event_journal_open(struct event_journal *j, const char *path, int64_t max_size);
void event_journal_close(struct event_journal *j);

/* 0, or -errno the first time writing fails (0 again while it goes on failing). */
int event_journal_flush(struct event_journal *j);

/* From the next event on l hears of them, until event_unlisten (which does nothing to one
 * that is not listening). The listener is borrowed. */
void event_listen(struct event_journal *j, struct event_listener *l);
void event_unlisten(struct event_journal *j, struct event_listener *l);

/* Numbers the event, puts it into the ring and the journal, tells the listeners (an
 * event emitted by one of them is not told when there is no memory to keep it for that).
 * wall_ms and mono_ms are the caller's to set. Returns its number. */
uint64_t event_emit(struct event_journal *j, struct event_ring *ring, const char *service, struct event *e);

#endif
