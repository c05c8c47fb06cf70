#include "refusals.h"

#include <stdio.h>
#include <string.h>

#define MINUTE_MS 60000 /* how long one is remembered, and nothing said about it */
#define FIRST_MS 100    /* the first delay; each is twice the one before */
#define DOUBLINGS 16

const char *refusals_name(enum refusal why)
{
    static const char *const names[REFUSALS] = {
        [REFUSAL_NO_TOKEN] = "no_token", [REFUSAL_WRONG_TOKEN] = "wrong_token", [REFUSAL_CROSS_SITE] = "cross_site",
        [REFUSAL_HOST] = "foreign_host", [REFUSAL_SCRIPT] = "script",           [REFUSAL_TOO_MANY] = "too_many",
    };
    return names[why];
}

static bool is_over(const struct refusals_client *c, int64_t now_ms)
{
    return !c->held && now_ms - c->last_ms >= MINUTE_MS;
}

static struct refusals_client *find(const struct refusals *rf, const char *client)
{
    for (size_t i = 0; i < REFUSALS_CLIENTS; i++)
        if (rf->clients[i].name[0] && !strcmp(rf->clients[i].name, client))
            return (struct refusals_client *)&rf->clients[i];
    return NULL;
}

/* One for a new client: none that is still remembered has to go, or many clients could have each other's refusals
 * logged again and again. */
static struct refusals_client *take(struct refusals *rf, const char *client, int64_t now_ms)
{
    for (size_t i = 0; i < REFUSALS_CLIENTS; i++) {
        struct refusals_client *c = &rf->clients[i];
        if (c->name[0] && !is_over(c, now_ms))
            continue;
        *c = (struct refusals_client){.said_ms = now_ms - MINUTE_MS};
        snprintf(c->name, sizeof c->name, "%s", client);
        return c;
    }
    return &rf->others;
}

bool refusals_note(struct refusals *rf, const char *client, enum refusal why, int64_t now_ms, unsigned *skipped)
{
    struct refusals_client *c = find(rf, client);
    rf->counts[why]++;
    if (!c)
        c = take(rf, client, now_ms);
    if (is_over(c, now_ms))
        c->tries = c->guesses = 0;
    c->last_ms = now_ms;
    c->tries++;
    c->guesses += why == REFUSAL_WRONG_TOKEN;
    if (c->tries > 1 && now_ms - c->said_ms < MINUTE_MS) {
        c->skipped++;
        return false;
    }
    *skipped = c->skipped;
    c->skipped = 0;
    c->said_ms = now_ms;
    return true;
}

bool refusals_is_shut(const struct refusals *rf, const char *client, int64_t now_ms)
{
    const struct refusals_client *c = find(rf, client);
    return c && !is_over(c, now_ms) && c->guesses > REFUSALS_FREE &&
           (c->held >= REFUSALS_HELD_CLIENT || rf->held >= REFUSALS_HELD);
}

int64_t refusals_hold(struct refusals *rf, const char *client, int64_t longest_ms, struct refusals_client **held)
{
    struct refusals_client *c = find(rf, client);
    if (!c)
        c = &rf->others;
    if (c->tries <= REFUSALS_FREE || c->held >= REFUSALS_HELD_CLIENT || rf->held >= REFUSALS_HELD)
        return 0;
    int64_t ms = MIN(longest_ms, (int64_t)FIRST_MS << MIN(c->tries - REFUSALS_FREE - 1, DOUBLINGS));
    if (ms <= 0)
        return 0;
    c->held++;
    rf->held++;
    *held = c;
    return ms;
}

void refusals_release(struct refusals *rf, struct refusals_client *held)
{
    held->held--;
    rf->held--;
}
