/* An HTTP answer, taken apart as it comes in: with a length, in pieces (chunked), or until
 * the other side closes. Knows no sockets.
 *
 * libcurl could do this, but loading it costs three times what a whole command takes. */
#ifndef FM_ANSWER_H
#define FM_ANSWER_H

#include "base.h"

/* A piece of the body; 0, or -errno, which ends the reading. */
typedef int answer_body_fn(void *arg, const char *data, size_t len);

enum answer_state {
    /* a line is being read */
    ANSWER_STATUS,
    ANSWER_HEADER,
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK_END,
    ANSWER_TRAILER,
    /* bytes of the body are */
    ANSWER_COUNTED,
    ANSWER_CHUNK,
    ANSWER_UNTIL_CLOSED,
    ANSWER_DONE,
};

struct answer {
    answer_body_fn *body;
    void *arg;
    int status;     /* 0: not known yet; when the body begins it is */
    int exit_code;  /* as the monitor says before the body, or behind one that was sent in pieces; -1: it does not */
    char hint[256]; /* what to do about an error, as the monitor says; "": it does not */
    enum answer_state state;
    bool chunked, counted;
    uint64_t left; /* bytes of the body or of the chunk */
    char line[320];
    size_t line_len; /* may be more than there is room for: the rest of such a line is passed over */
};

void answer_init(struct answer *a, answer_body_fn *body, void *arg);

/* What has come in. 0, -EPROTO (this is no HTTP), or what the body function returned. */
int answer_feed(struct answer *a, const char *data, size_t len);

/* Nothing more comes. Was it all? */
bool answer_is_whole(const struct answer *a);

#endif
