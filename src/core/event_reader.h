/* Reading the journal's lines in their order: those of the file put aside, those of the file,
 * those not written yet. A few at a time, so that it may be done on the loop, while more are
 * written and the file is put aside. */
#ifndef FM_EVENT_READER_H
#define FM_EVENT_READER_H

#include "event_line.h"

#include <sys/types.h>

struct event_reader {
    const struct event_journal *journal;
    uint64_t last; /* number of the last line read; lines up to it are passed over */
    int fd;        /* -1: no file is open */
    int64_t offset;
    int64_t limit; /* looking back: what is before this was not looked at yet */
    bool aside;    /* looking back: fd is the file put aside */
};

/* A line that was read; without its newline. */
typedef void event_reader_fn(void *arg, const char *line, size_t len);

/* Is this line to be counted? */
typedef bool event_reader_match_fn(void *arg, const char *line, size_t len);

/* Begins behind the event of that number. The journal is borrowed. */
void event_reader_open(struct event_reader *r, const struct event_journal *j, uint64_t since);
void event_reader_close(struct event_reader *r);

/* Reads on, up to some 64 KiB. false: everything was read, up to the last event there is. Lines
 * that nobody can have any more (the file put aside was replaced meanwhile, a full disk) are
 * missing: their numbers are. */
bool event_reader_read(struct event_reader *r, event_reader_fn *fn, void *arg);

/* Instead of event_reader_open: looks back for where the last *count lines that match begin, in
 * steps of the same size. To be called until it returns false, with *count (what is still to be
 * found) kept between; then event_reader_read goes on from there. */
void event_reader_open_end(struct event_reader *r, const struct event_journal *j);
bool event_reader_back(struct event_reader *r, size_t *count, event_reader_match_fn *match, void *arg);

#endif
