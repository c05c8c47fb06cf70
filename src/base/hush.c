#include "hush.h"

#include <stdio.h>

static const int64_t pauses_ms[] = {60 * 1000, 5 * 60 * 1000, 15 * 60 * 1000, 60 * 60 * 1000};

/* FNV-1a; never 0. */
static uint32_t hash_of(const char *text)
{
    uint32_t h = 2166136261U;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619U;
    return h ? h : 1;
}

/* The place of the cause, or the one that can be taken for it: free, else the one due first. */
static struct hush_said *place_for(struct hush *h, uint32_t hash)
{
    struct hush_said *best = &h->said[0];
    for (size_t i = 0; i < HUSH_CAUSES; i++) {
        struct hush_said *s = &h->said[i];
        if (s->hash == hash)
            return s;
        if (best->hash && (!s->hash || s->due_ms < best->due_ms))
            best = s;
    }
    return best;
}

bool hush_says(struct hush *h, const char *cause, int64_t now_ms, char more[HUSH_MORE_SIZE])
{
    uint32_t hash = hash_of(cause);
    struct hush_said *s = place_for(h, hash);
    more[0] = 0;
    if (s->hash && now_ms < s->due_ms) {
        if (s->skipped < UINT16_MAX)
            s->skipped++;
        return false;
    }
    bool goes_on = s->hash && now_ms - s->due_ms < pauses_ms[s->step];
    if (goes_on && s->skipped)
        snprintf(more, HUSH_MORE_SIZE, " (and %d more that were not logged)", s->skipped);
    s->step = goes_on && s->step + 1U < ARRAY_LEN(pauses_ms) ? (uint16_t)(s->step + 1) : goes_on ? s->step : 0;
    s->hash = hash;
    s->due_ms = now_ms + pauses_ms[s->step];
    s->skipped = 0;
    return true;
}

void hush_forget(struct hush *h)
{
    *h = (struct hush){0};
}
