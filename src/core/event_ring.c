#include "event_ring.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 64

/* One event: head, [more], then as numbers of variable length the differences of seq, wall_ms and mono_ms to the event
 * before, and of the rest what the two say is there. */
enum { HEAD_KIND = 31, HEAD_CAUSE = 32, HEAD_PID = 64, HEAD_MORE = 128 };
enum { MORE_NO_CODE = 1, MORE_CODE = 2, MORE_SIGNAL = 4, MORE_DURATION = 8, MORE_COUNT = 16, MORE_TEXT = 32 };
_Static_assert(EVENT_KINDS <= HEAD_KIND + 1, "a kind has five bits");

#define NUMBER_SIZE 10
#define PACKED_MAX (2 + 10 * NUMBER_SIZE + EVENT_TEXT_SIZE)
_Static_assert(PACKED_MAX <= EVENT_RING_SMALL, "the longest event fits into the smallest ring");

static unsigned char *put(unsigned char *p, uint64_t n)
{
    for (; n >= 128; n >>= 7)
        *p++ = (unsigned char)(n | 128);
    *p++ = (unsigned char)n;
    return p;
}

static const unsigned char *get(const unsigned char *p, uint64_t *n)
{
    unsigned shift = 0;
    *n = 0;
    do
        *n |= (uint64_t)(*p & 127) << shift;
    while (shift += 7, *p++ & 128);
    return p;
}

/* Small numbers of either sign stay small. */
static unsigned char *put_signed(unsigned char *p, int64_t n)
{
    return put(p, ((uint64_t)n << 1) ^ (n < 0 ? UINT64_MAX : 0));
}

static const unsigned char *get_signed(const unsigned char *p, int64_t *n)
{
    uint64_t u;
    p = get(p, &u);
    *n = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
    return p;
}

/* Wrapping: what a journal says can be any number. */
static int64_t apart(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

static int64_t beyond(int64_t a, int64_t by)
{
    return (int64_t)((uint64_t)a + (uint64_t)by);
}

static unsigned char head_of(const struct event *e, unsigned char more)
{
    return (unsigned char)((unsigned)e->kind | (e->cause ? HEAD_CAUSE : 0) | (e->pid ? HEAD_PID : 0) |
                           (more ? HEAD_MORE : 0));
}

static unsigned char more_of(const struct event *e)
{
    return (unsigned char)((e->code == -1 ? MORE_NO_CODE
                            : e->code     ? MORE_CODE
                                          : 0) |
                           (e->signal ? MORE_SIGNAL : 0) | (e->duration_ms ? MORE_DURATION : 0) |
                           (e->count ? MORE_COUNT : 0) | (e->text[0] ? MORE_TEXT : 0));
}

static size_t pack(unsigned char out[PACKED_MAX], const struct event *e, const struct event_stamp *before)
{
    unsigned char more = more_of(e), *p = out;
    *p++ = head_of(e, more);
    if (more)
        *p++ = more;
    p = put_signed(p, apart(e->seq, before->seq));
    p = put_signed(p, apart((uint64_t)e->wall_ms, (uint64_t)before->wall_ms));
    p = put_signed(p, apart((uint64_t)e->mono_ms, (uint64_t)before->mono_ms));
    if (e->cause)
        p = put_signed(p, apart(e->seq, e->cause));
    if (e->pid)
        p = put_signed(p, e->pid);
    if (more & MORE_CODE)
        p = put_signed(p, e->code);
    if (more & MORE_SIGNAL)
        p = put_signed(p, e->signal);
    if (more & MORE_DURATION)
        p = put_signed(p, e->duration_ms);
    if (more & MORE_COUNT)
        p = put(p, e->count);
    if (more & MORE_TEXT) {
        size_t len = strlen(e->text);
        p = put(p, len);
        memcpy(p, e->text, len);
        p += len;
    }
    return (size_t)(p - out);
}

/* Of the optional ones, those that are there; each is 0 else. */
static const unsigned char *unpack_rest(const unsigned char *p, unsigned char head, unsigned char more, struct event *e)
{
    int64_t cause = 0, pid = 0, code = more & MORE_NO_CODE ? -1 : 0, sig = 0;
    uint64_t count = 0, len = 0;
    if (head & HEAD_CAUSE)
        p = get_signed(p, &cause);
    if (head & HEAD_PID)
        p = get_signed(p, &pid);
    if (more & MORE_CODE)
        p = get_signed(p, &code);
    if (more & MORE_SIGNAL)
        p = get_signed(p, &sig);
    if (more & MORE_DURATION)
        p = get_signed(p, &e->duration_ms);
    if (more & MORE_COUNT)
        p = get(p, &count);
    if (more & MORE_TEXT)
        p = get(p, &len);
    e->cause = head & HEAD_CAUSE ? e->seq - (uint64_t)cause : 0;
    e->pid = (pid_t)pid;
    e->code = (int)code;
    e->signal = (int)sig;
    e->count = (unsigned)count;
    memcpy(e->text, p, len);
    e->text[len] = 0;
    return p + len;
}

/* Reads one event; returns where the next one begins. */
static const unsigned char *unpack(const unsigned char *p, const struct event_stamp *before, struct event *e)
{
    int64_t seq, wall, mono;
    unsigned char head = *p++, more = head & HEAD_MORE ? *p++ : 0;
    p = get_signed(p, &seq);
    p = get_signed(p, &wall);
    p = get_signed(p, &mono);
    e->kind = (enum event_kind)(head & HEAD_KIND);
    e->seq = before->seq + (uint64_t)seq;
    e->wall_ms = beyond(before->wall_ms, wall);
    e->mono_ms = beyond(before->mono_ms, mono);
    e->duration_ms = 0;
    return unpack_rest(p, head, more, e);
}

static struct event_stamp stamp_of(const struct event *e)
{
    return (struct event_stamp){.seq = e->seq, .wall_ms = e->wall_ms, .mono_ms = e->mono_ms};
}

void event_ring_fini(struct event_ring *r)
{
    free(r->data);
    *r = (struct event_ring){.max = r->max};
}

bool event_ring_next(const struct event_ring *r, struct event_walk *w)
{
    if (w->at >= r->used)
        return false;
    struct event_stamp before = w->at ? stamp_of(&w->event) : r->before;
    w->at = (size_t)(unpack(r->data + w->at, &before, &w->event) - r->data);
    return true;
}

uint64_t event_ring_first(const struct event_ring *r)
{
    struct event_walk w = {0};
    return event_ring_next(r, &w) ? w.event.seq : 0;
}

bool event_ring_find(const struct event_ring *r, uint64_t seq, struct event *out)
{
    struct event_walk w = {0};
    while (seq && event_ring_next(r, &w)) {
        if (w.event.seq != seq)
            continue;
        *out = w.event;
        return true;
    }
    return false;
}

static void drop_oldest(struct event_ring *r)
{
    struct event_walk w = {0};
    if (!event_ring_next(r, &w))
        return;
    r->used = (uint16_t)(r->used - w.at);
    memmove(r->data, r->data + w.at, r->used);
    r->count--;
    r->before = stamp_of(&w.event);
}

/* Makes room for one more, by growing while that is allowed, else at the expense of the oldest. */
static bool make_room(struct event_ring *r, size_t size)
{
    if (r->count == EVENT_RING_MAX)
        drop_oldest(r);
    size_t max = r->max ? r->max : EVENT_RING_SMALL, wanted = r->used + size;
    if (wanted > r->cap && r->cap < max) {
        size_t cap = MAX(r->cap, CAP_FIRST);
        while (cap < wanted && cap < max)
            cap *= 2;
        unsigned char *data = realloc(r->data, MIN(cap, max));
        if (data) {
            r->data = data;
            r->cap = (uint16_t)MIN(cap, max);
        }
    }
    while (r->used + size > r->cap && r->count)
        drop_oldest(r);
    return r->used + size <= r->cap;
}

void event_ring_add(struct event_ring *r, const struct event *e)
{
    unsigned char packed[PACKED_MAX];
    if (!r->count)
        r->before = r->last = (struct event_stamp){0};
    size_t size = pack(packed, e, &r->last);
    if (!make_room(r, size))
        return;
    memcpy(r->data + r->used, packed, size);
    r->used = (uint16_t)(r->used + size);
    r->count++;
    r->last = stamp_of(e);
}
