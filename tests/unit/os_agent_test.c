/* The name agent's client against an agent that answers as it likes. */
#include "agent.h"
#include "udp_fixture.h"

#include <inttypes.h>

static int server;

static struct {
    bool done;
    char found[HOST_PAIR_SIZE], why[256];
} answer;

static void on_answer(void *arg, const union host_address *found, socklen_t len, const char *why)
{
    assert_ptr_equal(arg, &answer);
    assert_false(answer.done);
    answer.done = true;
    if (found)
        host_text(found, answer.found);
    else
        snprintf(answer.why, sizeof answer.why, "%s", why);
    assert_true(found ? len > 0 : why[0] != 0);
}

static bool is_done(void *arg)
{
    (void)arg;
    return answer.done;
}

static int setup(void **state)
{
    (void)state;
    memset(&answer, 0, sizeof answer);
    loop_begin();
    server = udp_open(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(server);
    loop_end();
    return 0;
}

/* Asks, and returns the request once it is there. */
static struct datagram *ask(uint32_t *seq)
{
    static struct datagram request;
    char name[256];
    assert_non_null(agent_ask(&loop, udp_port(server), "clog.srv.ns", on_answer, &answer));
    assert_false(answer.done);
    request = *udp_next(server);
    assert_int_equal(sscanf(request.text, "%" SCNu32 ",%255s", seq, name), 2);
    assert_string_equal(name, "clog.srv.ns");
    return &request;
}

static void the_answer_is_the_address(void **state)
{
    (void)state;
    uint32_t seq;
    struct datagram *d = ask(&seq);
    udp_reply(d, "%" PRIu32 ",10.1.2.3:4567", seq);
    loop_until(is_done, NULL);
    assert_string_equal(answer.found, "10.1.2.3:4567");
    assert_true(udp_is_quiet(server));
}

static void an_end_of_line_does_no_harm(void **state)
{
    (void)state;
    uint32_t seq;
    struct datagram *d = ask(&seq);
    udp_reply(d, "%" PRIu32 ",10.1.2.3:4567\r\n%c", seq, 0);
    loop_until(is_done, NULL);
    assert_string_equal(answer.found, "10.1.2.3:4567");
}

static void answers_to_other_questions_are_passed_over(void **state)
{
    (void)state;
    uint32_t seq;
    struct datagram *d = ask(&seq);
    udp_reply(d, "%" PRIu32 ",10.9.9.9:9", seq + 1);
    udp_reply(d, "%" PRIu32 ",10.9.9.9:9", seq - 1);
    udp_reply(d, "0%" PRIu32 "0,10.9.9.9:9", seq);
    udp_reply(d, "-%" PRIu32 ",10.9.9.9:9", seq);
    udp_reply(d, ",10.9.9.9:9");
    udp_reply(d, "10.9.9.9:9");
    udp_reply(d, "%s", "");
    udp_reply(d, "%" PRIu32, seq);
    udp_reply(d, "99999999999999999999999999,10.9.9.9:9");
    udp_reply(d, "%" PRIu32 ",%0600d", seq, 1); /* longer than any answer */
    int other = udp_open(0);                    /* not the agent */
    char forged[64];
    int n = snprintf(forged, sizeof forged, "%" PRIu32 ",10.9.9.9:9", seq);
    sendto(other, forged, (size_t)n, 0, &d->from.any, sizeof d->from.v4);
    close(other);
    udp_reply(d, "%" PRIu32 ",10.1.2.3:4567", seq);
    loop_until(is_done, NULL);
    assert_string_equal(answer.found, "10.1.2.3:4567");
}

static void an_answer_without_an_address_ends_it_at_once(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "none",
                                      "10.1.2.3",
                                      "10.1.2.3:0",
                                      "10.1.2.3:99999",
                                      "host:5",
                                      "10.1.2.3:5,x",
                                      "10.1.2.3.4:5",
                                      "::1:5",
                                      "10.1.2.3:",
                                      "10.1.2.3:5x",
                                      " 10.1.2.3:4567"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint32_t seq;
        char expected[128];
        memset(&answer, 0, sizeof answer);
        struct datagram *d = ask(&seq);
        uint64_t began = uv_hrtime();
        udp_reply(d, "%" PRIu32 ",%s", seq, bad[i]);
        loop_until(is_done, NULL);
        assert_true(uv_hrtime() - began < AGENT_TIMEOUT_MS * 1000000ULL);
        snprintf(expected, sizeof expected, "answers \"%s\" for clog.srv.ns", bad[i]);
        assert_string_equal(answer.why, expected);
    }
}

static void a_silent_agent_is_asked_again_then_given_up(void **state)
{
    (void)state;
    uint32_t seq;
    char first[64];
    struct datagram *d = ask(&seq);
    snprintf(first, sizeof first, "%.60s", d->text);
    assert_string_equal(udp_next(server)->text, first); /* the same question: an answer to either will do */
    loop_until(is_done, NULL);
    assert_string_equal(answer.why, "does not answer");
    assert_true(udp_is_quiet(server));
}

static void a_late_answer_will_do_while_it_is_waited_for(void **state)
{
    (void)state;
    uint32_t seq;
    struct datagram *d = ask(&seq);
    udp_next(server);
    udp_reply(d, "%" PRIu32 ",10.1.2.3:4567", seq);
    loop_until(is_done, NULL);
    assert_string_equal(answer.found, "10.1.2.3:4567");
}

static void an_answer_that_is_too_late_is_not_taken_for_the_next(void **state)
{
    (void)state;
    uint32_t old, seq;
    ask(&old);
    udp_next(server);
    loop_until(is_done, NULL);
    memset(&answer, 0, sizeof answer);
    struct datagram *d = ask(&seq);
    assert_true(old != seq);
    udp_reply(d, "%" PRIu32 ",10.9.9.9:9", old);
    udp_reply(d, "%" PRIu32 ",10.1.2.3:4567", seq);
    loop_until(is_done, NULL);
    assert_string_equal(answer.found, "10.1.2.3:4567");
}

static void nothing_but_rubbish_is_told_as_such(void **state)
{
    (void)state;
    uint32_t seq;
    struct datagram *d = ask(&seq);
    udp_reply(d, "%s", "what?");
    loop_until(is_done, NULL);
    assert_string_equal(answer.why, "answers what makes no sense");
}

static void no_agent_is_told_at_once(void **state)
{
    (void)state;
    uint64_t began = uv_hrtime();
    assert_non_null(agent_ask(&loop, udp_free_port(), "clog.srv.ns", on_answer, &answer));
    assert_false(answer.done);
    loop_until(is_done, NULL);
    assert_string_equal(answer.why, "can't be asked: Connection refused");
    assert_true(uv_hrtime() - began < AGENT_TIMEOUT_MS * 1000000ULL);
}

static void cancelled_is_never_answered(void **state)
{
    (void)state;
    struct agent *a = agent_ask(&loop, udp_port(server), "clog.srv.ns", on_answer, &answer);
    agent_cancel(a);
    a = agent_ask(&loop, udp_port(server), "clog.srv.ns", on_answer, &answer);
    struct datagram *d = udp_next(server);
    udp_reply(d, "%d,10.1.2.3:4567", atoi(d->text));
    agent_cancel(a);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_false(answer.done);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_answer_is_the_address),
        TEST(an_end_of_line_does_no_harm),
        TEST(answers_to_other_questions_are_passed_over),
        TEST(an_answer_without_an_address_ends_it_at_once),
        TEST(a_silent_agent_is_asked_again_then_given_up),
        TEST(a_late_answer_will_do_while_it_is_waited_for),
        TEST(an_answer_that_is_too_late_is_not_taken_for_the_next),
        TEST(nothing_but_rubbish_is_told_as_such),
        TEST(no_agent_is_told_at_once),
        TEST(cancelled_is_never_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
