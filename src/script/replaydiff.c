#include "replaydiff.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>

#define SLACK_MS 10 /* of the real loop */

static const char *describe(enum decision_kind kind, int64_t delay_ms, char *out, size_t size)
{
    char wait[CLOCK_DURATION_SIZE];
    clock_duration(delay_ms, wait);
    if (kind == DECISION_RESTART && delay_ms > 0)
        snprintf(out, size, "restart in %s", wait);
    else
        snprintf(out, size, "%s",
                 kind == DECISION_STOP   ? "leave it down"
                 : kind == DECISION_FAIL ? "give up"
                                         : "restart at once");
    return out;
}

static void print_head(char mark, const char *service, int64_t wall_ms)
{
    char when[CLOCK_TEXT_SIZE];
    clock_text(wall_ms, when);
    printf("%c %s %s: ", mark, when, service);
}

static const char *end_of(const struct replay_event *e)
{
    return e->text[0] ? e->text : e->kind == EVENT_EXIT ? "ended" : "could not be started";
}

/* '=' the same, '~' close, '!' different */
static char judge(const struct replay_outcome *then, const struct decision *now)
{
    int64_t apart = llabs(then->delay_ms - now->delay_ms), longer = MAX(then->delay_ms, now->delay_ms);
    if (then->kind != now->kind || (apart > SLACK_MS && apart * 4 > longer))
        return '!';
    return apart <= SLACK_MS ? '=' : '~';
}

void replaydiff_add(struct replaydiff *d, const struct replay_event *e, struct decision *now)
{
    const struct replay_outcome *then = &e->decision->outcome;
    char then_text[64], now_text[64];
    char mark = judge(then, now);
    describe(then->kind, then->delay_ms, then_text, sizeof then_text);
    describe(now->kind, now->delay_ms, now_text, sizeof now_text);
    print_head(mark, e->service, e->wall_ms);
    printf("%s: %s", end_of(e), then_text);
    if (mark == '~')
        printf(", now: %s", now_text);
    printf("\n");
    if (mark == '!') {
        printf("    then: %s (%s)\n    now:  %s (%s)\n", then_text, e->decision->text, now_text, now->reason);
        d->different++;
        return;
    }
    d->same += mark == '=';
    d->close += mark == '~';
    now->delay_ms = then->delay_ms;
}

void replaydiff_add_missing(struct replaydiff *d, const struct replay_event *e, const char *why)
{
    char text[64];
    const struct replay_outcome *then = &e->decision->outcome;
    print_head('!', e->service, e->wall_ms);
    printf("%s: %s\n    now:  this would not have happened: %s\n", end_of(e),
           describe(then->kind, then->delay_ms, text, sizeof text), why);
    d->missing++;
}

void replaydiff_add_more(struct replaydiff *d, const char *service, int64_t wall_ms, const struct decision *now)
{
    char text[64];
    print_head('!', service, wall_ms);
    printf("could not be started\n    then: there was no such try\n    now:  %s (%s)\n",
           describe(now->kind, now->delay_ms, text, sizeof text), now->reason);
    d->more++;
}

bool replaydiff_end(const struct replaydiff *d)
{
    printf("%u the same, %u with a delay that differs a little (~), %u different; %u end%s would not have happened",
           d->same, d->close, d->different, d->missing, d->missing == 1 ? "" : "s");
    if (d->more)
        printf(", %u failed start%s would be new", d->more, d->more == 1 ? "" : "s");
    printf("\n");
    return d->different || d->missing || d->more;
}
