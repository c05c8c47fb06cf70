/* The journal: its two files as they may be found, opened, read forwards and backwards, written on. Parts: the file,
 * the one put aside. */
#include "fuzz.h"

#include "event.h"
#include "event_line.h"
#include "event_reader.h"
#include "event_ring.h"

struct heard {
    uint64_t last;
    size_t lines;
};

static void on_line(void *arg, const char *line, size_t len)
{
    struct heard *h = arg;
    struct event e, again;
    char service[EVENT_SERVICE_SIZE], same[EVENT_SERVICE_SIZE];
    uint64_t seq = event_line_seq(line, len);
    MUST(seq > h->last && !memchr(line, '\n', len));
    h->last = seq;
    h->lines++;
    if (!event_line_parse(line, len, &e, service))
        return;
    struct buf b = {0};
    event_json(&b, service[0] ? service : NULL, &e);
    MUST(!b.failed && event_line_parse(b.data, b.len, &again, same));
    MUST(again.seq == e.seq && again.kind == e.kind && again.pid == e.pid);
    MUST(!fuzz_is_utf8(service) || !strcmp(service, same));
    buf_fini(&b);
    struct event_ring ring = {.max = EVENT_RING_LARGE};
    struct event kept;
    event_ring_add(&ring, &e);
    MUST(event_ring_find(&ring, e.seq, &kept));
    MUST(kept.kind == e.kind && kept.pid == e.pid && kept.code == e.code && kept.signal == e.signal &&
         kept.count == e.count && kept.duration_ms == e.duration_ms && kept.wall_ms == e.wall_ms &&
         kept.mono_ms == e.mono_ms && kept.cause == e.cause && !strcmp(kept.text, e.text));
    event_ring_fini(&ring);
}

static bool is_any(void *arg, const char *line, size_t len)
{
    (void)arg;
    return len > 0 && line;
}

static size_t read_on(struct event_reader *r, uint64_t last)
{
    struct heard h = {.last = last};
    int rounds = 0;
    while (event_reader_read(r, on_line, &h))
        MUST(++rounds < 1000);
    event_reader_close(r);
    return h.lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[96], aside[100];
    char *text = fuzz_part(&data, &size);
    struct event_journal j;
    struct event_reader r;
    snprintf(path, sizeof path, "%s/journal", fuzz_dir());
    snprintf(aside, sizeof aside, "%s.1", path);
    fuzz_write(path, text, strlen(text));
    unlink(aside);
    if (size)
        fuzz_write(aside, data, size);
    free(text);

    MUST(!event_journal_open(&j, path, 1 << 20));
    uint64_t before = j.last_seq;
    event_reader_open(&r, &j, 0);
    read_on(&r, 0);
    event_reader_open(&r, &j, before / 2);
    read_on(&r, before / 2);
    for (size_t want = 1; want < 100; want *= 7) {
        size_t left = want;
        int rounds = 0;
        event_reader_open_end(&r, &j);
        while (event_reader_back(&r, &left, is_any, NULL))
            MUST(++rounds < 1000);
        read_on(&r, 0);
    }

    struct event_ring ring = {0};
    struct event e = {.kind = EVENT_MONITOR, .wall_ms = 1, .mono_ms = 1};
    event_text(&e, "one more");
    MUST(before <= EVENT_SEQ_MAX && event_emit(&j, &ring, NULL, &e) == before + 1);
    MUST(!event_journal_flush(&j));
    event_reader_open(&r, &j, before);
    MUST(read_on(&r, before) == 1);
    event_ring_fini(&ring);
    event_journal_close(&j);
    unlink(path);
    unlink(aside);
    return 0;
}
