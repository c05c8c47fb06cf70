/* The state machine: every cell is filled in, and together they keep what they promise. */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Calls fn for every cell of the table. */
static void each_cell(void (*fn)(enum machine_state s, enum machine_want w, enum machine_event e,
                                 struct machine_result r))
{
    for (int s = 0; s < MACHINE_STATES; s++)
        for (int w = 0; w < MACHINE_WANTS; w++)
            for (int e = 0; e < MACHINE_EVENTS; e++) {
                struct machine_result r =
                    machine_step((enum machine_state)s, (enum machine_want)w, (enum machine_event)e);
                fn((enum machine_state)s, (enum machine_want)w, (enum machine_event)e, r);
            }
}

/* Fails with the cell's name unless the condition holds. */
#define CELL_ASSERT(cond)                                                                                              \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            fail_msg("%s, want %s, %s -> %s, %s: not %s", machine_state_name(s), w == WANT_UP ? "up" : "down",         \
                     machine_event_name(e), machine_state_name(r.state), machine_action_name(r.action), #cond);        \
    } while (0)

#define CELL(name)                                                                                                     \
    static void name(enum machine_state s, enum machine_want w, enum machine_event e, struct machine_result r)

static bool has_process(enum machine_state s)
{
    return s == STATE_STARTING || s == STATE_UP || s == STATE_STOPPING;
}

static bool is_command(enum machine_event e)
{
    return e == EV_START || e == EV_STOP || e == EV_RESTART || e == EV_GRESTART;
}

CELL(is_set)
{
    if (r.action >= MACHINE_ACTIONS || r.state >= MACHINE_STATES)
        fail_msg("%s, want %d, %s is not filled in", machine_state_name(s), w, machine_event_name(e));
}

CELL(not_wanted_never_starts)
{
    if (w != WANT_DOWN)
        return;
    CELL_ASSERT(r.action != ACT_SPAWN && r.action != ACT_WAIT && r.action != ACT_DECIDE);
    CELL_ASSERT(r.state == s || (r.state != STATE_STARTING && r.state != STATE_WAITING));
}

CELL(one_process_at_a_time)
{
    if (s == STATE_STOPPING && r.action == ACT_SPAWN)
        CELL_ASSERT(e == EV_END && w == WANT_UP);
    if (s == STATE_UP && r.action == ACT_SPAWN)
        CELL_ASSERT(e == EV_RETRY_NOW); /* the answer after its end */
    if (s == STATE_STARTING && r.action == ACT_SPAWN)
        CELL_ASSERT(e == EV_RETRY_NOW);
    if (has_process(s) && r.action == ACT_TRACK)
        CELL_ASSERT(s == STATE_STARTING); /* before its own process was started */
}

CELL(actions_lead_where_they_belong)
{
    static const enum machine_state leads_to[MACHINE_ACTIONS] = {
        [ACT_SPAWN] = STATE_STARTING, [ACT_TRACK] = STATE_UP,    [ACT_TERM] = STATE_STOPPING,
        [ACT_KILL] = STATE_STOPPING,  [ACT_GRACEFUL] = STATE_UP, [ACT_WAIT] = STATE_WAITING,
    };
    if (r.action == ACT_NONE)
        return;
    if (r.action == ACT_DECIDE)
        CELL_ASSERT(r.state == s && e == EV_END && w == WANT_UP && has_process(s) && s != STATE_STOPPING);
    else
        CELL_ASSERT(r.state == leads_to[r.action]);
    if (r.action == ACT_KILL)
        CELL_ASSERT(s == STATE_STOPPING && e == EV_TIMEOUT);
    if (r.action == ACT_GRACEFUL)
        CELL_ASSERT(s == STATE_UP && e == EV_GRESTART);
    if (r.action == ACT_TERM)
        CELL_ASSERT((s == STATE_UP || s == STATE_STARTING) && is_command(e) && e != EV_START);
}

CELL(states_are_entered_by_their_door)
{
    if (r.state == s)
        return;
    if (r.state == STATE_STARTING)
        CELL_ASSERT(r.action == ACT_SPAWN);
    if (r.state == STATE_WAITING)
        CELL_ASSERT(r.action == ACT_WAIT && e == EV_RETRY_LATER);
    if (r.state == STATE_UP)
        CELL_ASSERT((e == EV_PROBE && s == STATE_STARTING && r.action == ACT_NONE) ||
                    (e == EV_ADOPT && r.action == ACT_TRACK));
    if (r.state == STATE_STOPPING)
        CELL_ASSERT(r.action == ACT_TERM);
    if (r.state == STATE_FAILED)
        CELL_ASSERT(e == EV_GIVE_UP && r.action == ACT_NONE);
    if (r.state == STATE_DOWN)
        CELL_ASSERT(r.action == ACT_NONE);
}

CELL(a_process_is_never_forgotten)
{
    /* A state without a process is reached only when it has ended (the policy's answers come after that). */
    if (has_process(s) && !has_process(r.state))
        CELL_ASSERT(e == EV_END || e == EV_RETRY_LATER || e == EV_GIVE_UP || e == EV_FINISH ||
                    (e == EV_RETRY_NOW && w == WANT_DOWN));
    if (s == STATE_STOPPING && r.state != STATE_STOPPING)
        CELL_ASSERT(e == EV_END);
}

CELL(failed_needs_a_person)
{
    if (s != STATE_FAILED || r.state == STATE_FAILED)
        return;
    CELL_ASSERT(is_command(e) || e == EV_ADOPT);
    if (e == EV_STOP)
        CELL_ASSERT(r.state == STATE_DOWN);
}

CELL(commands_get_their_way)
{
    if (e == EV_STOP && w == WANT_DOWN)
        CELL_ASSERT(r.state == STATE_DOWN || r.state == STATE_STOPPING);
    if ((e == EV_START || e == EV_RESTART || e == EV_GRESTART) && w == WANT_UP) {
        CELL_ASSERT(has_process(r.state));
        CELL_ASSERT(has_process(s) || r.action == ACT_SPAWN);
    }
    if (e == EV_START && has_process(s))
        CELL_ASSERT(r.state == s && r.action == ACT_NONE); /* it runs, or will */
    if (e == EV_END && w == WANT_DOWN && has_process(s))
        CELL_ASSERT(r.state == STATE_DOWN);
}

static void every_cell_is_filled_in(void **state)
{
    (void)state;
    each_cell(is_set);
}

static void every_cell_keeps_the_promises(void **state)
{
    (void)state;
    each_cell(not_wanted_never_starts);
    each_cell(one_process_at_a_time);
    each_cell(actions_lead_where_they_belong);
    each_cell(states_are_entered_by_their_door);
    each_cell(a_process_is_never_forgotten);
    each_cell(failed_needs_a_person);
    each_cell(commands_get_their_way);
}

/* What users were told, cell by cell. */
static void tells_the_story(void **state)
{
    (void)state;
    static const struct {
        enum machine_state state;
        enum machine_want want;
        enum machine_event event;
        enum machine_state next;
        enum machine_action action;
    } story[] = {
        /* started, alive at its first probe, so it is up */
        {STATE_DOWN, WANT_UP, EV_START, STATE_STARTING, ACT_SPAWN},
        {STATE_STARTING, WANT_UP, EV_PROBE, STATE_UP, ACT_NONE},
        {STATE_UP, WANT_UP, EV_START, STATE_UP, ACT_NONE},
        /* it ends by itself: the policy is asked; at once, or later */
        {STATE_UP, WANT_UP, EV_END, STATE_UP, ACT_DECIDE},
        {STATE_UP, WANT_UP, EV_RETRY_NOW, STATE_STARTING, ACT_SPAWN},
        {STATE_UP, WANT_UP, EV_RETRY_LATER, STATE_WAITING, ACT_WAIT},
        {STATE_WAITING, WANT_UP, EV_TIMEOUT, STATE_STARTING, ACT_SPAWN},
        {STATE_WAITING, WANT_UP, EV_START, STATE_STARTING, ACT_SPAWN},
        {STATE_WAITING, WANT_DOWN, EV_STOP, STATE_DOWN, ACT_NONE},
        /* it dies before its first probe: it has failed to start, and the policy is asked as well */
        {STATE_STARTING, WANT_UP, EV_END, STATE_STARTING, ACT_DECIDE},
        {STATE_STARTING, WANT_UP, EV_RETRY_NOW, STATE_STARTING, ACT_SPAWN},
        {STATE_STARTING, WANT_UP, EV_RETRY_LATER, STATE_WAITING, ACT_WAIT},
        /* the policy leaves it down, or gives up */
        {STATE_UP, WANT_DOWN, EV_FINISH, STATE_DOWN, ACT_NONE},
        {STATE_UP, WANT_UP, EV_GIVE_UP, STATE_FAILED, ACT_NONE},
        {STATE_STARTING, WANT_UP, EV_GIVE_UP, STATE_FAILED, ACT_NONE},
        {STATE_FAILED, WANT_UP, EV_START, STATE_STARTING, ACT_SPAWN},
        {STATE_FAILED, WANT_DOWN, EV_STOP, STATE_DOWN, ACT_NONE},
        /* stop: the signal, then SIGKILL */
        {STATE_UP, WANT_DOWN, EV_STOP, STATE_STOPPING, ACT_TERM},
        {STATE_STARTING, WANT_DOWN, EV_STOP, STATE_STOPPING, ACT_TERM},
        {STATE_STOPPING, WANT_DOWN, EV_TIMEOUT, STATE_STOPPING, ACT_KILL},
        {STATE_STOPPING, WANT_DOWN, EV_END, STATE_DOWN, ACT_NONE},
        /* restart: a stop with up wanted */
        {STATE_UP, WANT_UP, EV_RESTART, STATE_STOPPING, ACT_TERM},
        {STATE_STOPPING, WANT_UP, EV_END, STATE_STARTING, ACT_SPAWN},
        {STATE_STOPPING, WANT_UP, EV_START, STATE_STOPPING, ACT_NONE},
        /* graceful restart */
        {STATE_UP, WANT_UP, EV_GRESTART, STATE_UP, ACT_GRACEFUL},
        {STATE_DOWN, WANT_UP, EV_GRESTART, STATE_STARTING, ACT_SPAWN},
        /* it was running already */
        {STATE_DOWN, WANT_UP, EV_ADOPT, STATE_UP, ACT_TRACK},
        {STATE_STARTING, WANT_UP, EV_ADOPT, STATE_UP, ACT_TRACK},
        {STATE_FAILED, WANT_UP, EV_ADOPT, STATE_UP, ACT_TRACK},
        {STATE_STOPPING, WANT_DOWN, EV_ADOPT, STATE_STOPPING, ACT_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(story); i++) {
        struct machine_result r = machine_step(story[i].state, story[i].want, story[i].event);
        if (r.state != story[i].next || r.action != story[i].action)
            fail_msg("%s, want %d, %s: %s, %s", machine_state_name(story[i].state), story[i].want,
                     machine_event_name(story[i].event), machine_state_name(r.state), machine_action_name(r.action));
    }
}

/* However events may follow each other, every state can be left again and reaches both ends. */
static void no_dead_ends(void **state)
{
    (void)state;
    for (int from = 0; from < MACHINE_STATES; from++)
        for (int want = 0; want < MACHINE_WANTS; want++) {
            enum machine_state s = (enum machine_state)from;
            s = machine_step(s, (enum machine_want)want, want == WANT_UP ? EV_START : EV_STOP).state;
            if (s == STATE_STOPPING)
                s = machine_step(s, (enum machine_want)want, EV_END).state;
            if (s == STATE_STARTING)
                s = machine_step(s, (enum machine_want)want, EV_PROBE).state;
            assert_int_equal(s, want == WANT_UP ? STATE_UP : STATE_DOWN);
        }
}

static void names(void **state)
{
    (void)state;
    static const char *const seen[MACHINE_STATES] = {"down", "waiting", "starting", "up", "stopping", "failed"};
    for (int i = 0; i < MACHINE_STATES; i++) {
        assert_string_equal(machine_state_name((enum machine_state)i), seen[i]);
        assert_int_equal(machine_state_named(seen[i]), i);
    }
    assert_int_equal(machine_state_named("upp"), MACHINE_STATES);
    assert_int_equal(machine_state_named(""), MACHINE_STATES);
    for (int i = 0; i < MACHINE_EVENTS; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(machine_event_name((enum machine_event)i),
                                    machine_event_name((enum machine_event)k));
    for (int i = 0; i < MACHINE_ACTIONS; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(machine_action_name((enum machine_action)i),
                                    machine_action_name((enum machine_action)k));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_is_filled_in),
        cmocka_unit_test(every_cell_keeps_the_promises),
        cmocka_unit_test(tells_the_story),
        cmocka_unit_test(no_dead_ends),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
