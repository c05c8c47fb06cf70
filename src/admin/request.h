/* The requests that carry commands out: one call of a command, from asking to answer. */
#ifndef FM_REQUEST_H
#define FM_REQUEST_H

#include "base.h"
#include "buf.h"
#include "command.h"
#include "refusals.h"

enum request_format {
    FORMAT_TEXT,
    FORMAT_TABLE,
    FORMAT_JSON,
    FORMAT_SSE,     /* of the path /events alone: Server-Sent Events */
    FORMAT_METRICS, /* of the path /metrics alone: text as Prometheus reads it */
    FORMATS,
};

/* What became of one service of a request. */
struct request_slot {
    struct service_wait wait;
    struct order order; /* its command, or only the wait, while others before it have not been given yet */
    struct request *request;
    struct service *service; /* valid inside command.run, and while it is waited for; else NULL */
    char *name;
    bool settled; /* what became of it is known */
    bool ok;
    pid_t pid;
    char *why; /* NULL when ok */
};

#define REQUEST_ARGS 16
#define PROGRESS_MARK "\036"

/* One call of a command.
 *
 * An answer is either whole (the command fills `body` and calls request_done) or comes in
 * pieces (request_write, then request_done): a stream. The status of a stream is 200, as it
 * is sent before the outcome is known; its exit code follows at the end. */
struct request {
    struct admin *admin;
    const struct command *command;
    struct command_table *table; /* where it is from; NULL: builtin */
    enum request_format format;
    char *who;                         /* who asked, for events: "the command line, 127.0.0.1" */
    char client[REFUSALS_CLIENT_SIZE]; /* as whom it is counted if it is refused */
    char peer[48];                     /* the address it came from; "": from inside */
    const char *principal; /* as what it was let through: "local", "token", "anyone"; static, NULL: not judged */
    char *service_text;    /* as given; NULL: not given */
    struct {
        char *key, *value;
    } args[REQUEST_ARGS];
    size_t nargs;
    /* The first parameter that made no sense: told when it is run, as only then the format is known. */
    struct {
        int status, exit_code;
        const char *code;
        char *text; /* NULL: all made sense */
    } bad;
    int64_t timeout_ms; /* 0: none was given */
    struct timer timer;
    int64_t limit_ms; /* what the timer was set to */

    struct request_slot *slots;
    size_t nslots, open; /* open: not settled yet */
    enum service_goal goal;

    /* request_each: */
    bool (*each)(struct service *s, uint64_t cause, struct err *err);
    struct monitor_work work;
    size_t next;   /* slot to be commanded */
    bool working;  /* there are more of them */
    bool orphaned; /* it was freed meanwhile: gone when that is done */

    /* What the answer of request_wait begins with: as text, lines; as JSON, members besides "ok" and "services", each
     * ended by a comma. */
    struct buf members;

    /* Asked for by "_progress=1": the answer of request_wait comes as a stream then, which begins with lines
     * PROGRESS_MARK "412/1000", as many of its services as are settled. */
    bool progress;
    size_t settled;  /* slots that are */
    size_t told_len; /* bytes of the last such line, at the end of the body, if they were not taken yet */

    /* the command's own */
    void *data;
    /* Nobody waits for the answer any more (the client hung up, the time is over, the monitor
     * ends): called at most once, never after request_done. From inside, the command may still
     * answer (request_write, request_done, request_fail); the request is gone after the call. */
    void (*cancel)(struct request *r);
    /* The client has taken all of a stream that was written so far; called each time. */
    void (*drained)(struct request *r);
    bool timed_out; /* why it is cancelled */

    /* the answer */
    int status; /* HTTP */
    int exit_code;
    char *hint;      /* what to do about an error, a line for people; NULL: nothing */
    struct buf body; /* of a stream: what was not taken yet */
    bool streamed;   /* request_write was called */
    bool open_line;  /* the stream so far ends within a line */
    bool cut;        /* a stream its client does not read: what is written now is for nobody */
    bool done;
    bool refused;                               /* its client may not do that */
    void (*news)(struct request *r, void *arg); /* see request_run */
    void *arg;
};

/* A request for a command by name, to be filled by request_set and run. Never NULL but
 * when memory runs out. `who` is copied. */
struct request *request_new(struct admin *admin, const char *who);

/* One parameter as it came: command, service, format, timeout or an argument of the
 * command. What makes no sense is remembered: it is what request_run will answer. */
void request_set(struct request *r, const char *key, const char *value);

/* The same for one that can't even be handed over as a text. */
void request_set_bad(struct request *r, const char *why);

/* Checks and starts it. On return look at r->done (the answer is there) and r->streamed (it has
 * begun). `news` is called later, whenever one of them changes or there is more of a stream. */
void request_run(struct request *r, void (*news)(struct request *r, void *arg), void *arg);

/* Takes what there is of a stream, at most max bytes; returns how many. For whoever sends it. */
size_t request_take(struct request *r, char *out, size_t max);

/* Ends it with this error, whatever it was doing. Does nothing when it is done. */
void request_abort(struct request *r, int status, int exit_code, const char *code, const char *text);

/* Frees it, at any time; what it asked for goes on (unless its command has a `cancel`), only
 * nobody waits any more. */
void request_free(struct request *r);

/* For commands: the value of an argument, or NULL. */
const char *request_arg(const struct request *r, const char *key);

/* For commands: the number an argument is; when it is not given *out stays as it is. false: it is
 * none within min..max, and that was answered. */
bool request_number(struct request *r, const char *key, uint64_t min, uint64_t max, uint64_t *out);

/* For commands: the answer is in r->body. Text and tables as they are; JSON is an object. Ends a
 * stream; its status stays 200. */
void request_done(struct request *r, int status, int exit_code);

/* For commands: hands a piece of the answer on now (what is in r->body goes before it); an empty
 * one lets the client know that there will be more. A client
 * that lets more than conf's http.backlog_kb lie is cut off: the request is over soon. */
void request_write(struct request *r, const void *data, size_t len);

/* For commands: how many bytes the client has not taken yet. To wait for `drained` when there
 * are many costs the client time and nobody memory. */
size_t request_backlog(const struct request *r);

/* For commands: it may take for ever, unless the client gave a timeout. */
void request_endless(struct request *r);

/* For commands: the answer is an error. `code` is a word for programs, the text for people. Of a
 * stream it is the last line. */
void request_fail(struct request *r, int status, int exit_code, const char *code, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* For commands: gives this command to all services of the request, in slices, so that others are
 * answered meanwhile, then does as request_wait. Goes on also when nobody waits any more. What
 * `each` refuses (false with a message) has failed. */
void request_each(struct request *r, bool (*each)(struct service *s, uint64_t cause, struct err *err),
                  enum service_goal goal);

/* For commands: waits until all services of the request have reached the goal, then
 * answers SUCCESS or FAIL. Text that is in the body already stays before it. */
void request_wait(struct request *r, enum service_goal goal);

/* Has the error that follows come with this advice. Only what looks well on one line is kept of it. */
void request_hint(struct request *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* For request.c: */
/* The services asked for as slots; false: the request was answered with an error. */
bool request_slots_find(struct request *r);
/* Lets go of the services; what is known of them stays. */
void request_slots_drop(struct request *r);
/* Answers while services are waited for: those have failed for this reason. */
void request_slots_expire(struct request *r, const char *why);
/* Takes all slots away. Commands may do that too. */
void request_slots_free(struct request *r);

#endif
