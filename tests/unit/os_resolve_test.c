/* From what is written to an address. */
#include "dns.h"
#include "resolve.h"
#include "udp_fixture.h"

static struct {
    bool done, asked_agent;
    char found[HOST_PAIR_SIZE], why[256], agent[256];
} result;

static void on_result(void *arg, const struct resolve_result *r)
{
    assert_ptr_equal(arg, &result);
    assert_false(result.done);
    result.done = true;
    result.asked_agent = r->asked_agent;
    if (r->found)
        host_text(r->found, result.found);
    snprintf(result.why, sizeof result.why, "%s", r->found ? "" : r->why);
    snprintf(result.agent, sizeof result.agent, "%s", r->agent ? r->agent : "");
}

static bool is_done(void *arg)
{
    (void)arg;
    return result.done;
}

static int setup(void **state)
{
    (void)state;
    memset(&result, 0, sizeof result);
    loop_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_end();
    return 0;
}

static void what_is_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port;
        bool literal;
    } good[] = {
        {"clog.srv.ns", "clog.srv.ns", 0, false},
        {"host:1", "host", 1, false},
        {"HOST-1.a_b:65535", "HOST-1.a_b", 65535, false},
        {"a.b.", "a.b.", 0, false},
        {"1.2.3.4", "1.2.3.4", 0, true},
        {"1.2.3.4:5", "1.2.3.4", 5, true},
        {"[::1]:5", "::1", 5, true},
        {"[fe80::1]", "fe80::1", 0, true},
        {"1password.com", "1password.com", 0, false},
    };
    static const char *const bad[] = {
        "",
        ":",
        ":5",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:5:6",
        "a b",
        "a,b",
        "a..b",
        ".a",
        "a/b",
        "::1",
        "::1:5",
        "[::1",
        "[::1]5",
        "[::1]:",
        "[]:5",
        "[host]:5",
        "1.2.3",
        "1.2.3.400",
        "1.2.3.4.5:1",
        "127.1:5",
        "[1.2.3.4]:5",
        "é",
        "a\nb",
        "host:+5",
        "host: 5",
        ".",
        "5",
        "a123456789012345678901234567890123456789012345678901234567890123.com", /* a part of 64 letters */
    };
    struct resolve_target t;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (!resolve_parse(good[i].text, &t))
            fail_msg("\"%s\" is no address", good[i].text);
        assert_string_equal(t.host, good[i].host);
        assert_int_equal(t.port, good[i].port);
        assert_int_equal(t.literal_len > 0, good[i].literal);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (resolve_parse(bad[i], &t))
            fail_msg("\"%s\" is taken for an address", bad[i]);
    char name[300] = "";
    while (strlen(name) < AGENT_NAME_MAX + 1)
        strcat(name, "a.");
    assert_false(resolve_parse(name, &t));
    name[AGENT_NAME_MAX] = 0;
    assert_true(resolve_parse(name, &t));
}

static struct resolve *start(const char *text, int agent_port)
{
    struct resolve_target t;
    struct resolve_ports ports = {.agent = agent_port, .dns = 28702};
    assert_true(resolve_parse(text, &t));
    struct resolve *r = resolve_start(&loop, &t, &ports, on_result, &result);
    assert_non_null(r);
    assert_false(result.done);
    return r;
}

static void a_name_with_a_port_is_asked_of_dns_alone(void **state)
{
    (void)state;
    int agent = udp_open(0);
    start("localhost:4711", udp_port(agent));
    loop_until(is_done, NULL);
    assert_string_equal(result.found, "127.0.0.1:4711"); /* IPv4 first, wherever it stands in the list */
    assert_false(result.asked_agent);
    assert_true(udp_is_quiet(agent));
    close(agent);
}

static void a_name_alone_is_asked_of_the_agent(void **state)
{
    (void)state;
    int agent = udp_open(0);
    start("localhost", udp_port(agent));
    struct datagram *d = udp_next(agent);
    udp_reply(d, "%s", strcat(strtok(d->text, ","), ",10.1.2.3:4567"));
    loop_until(is_done, NULL);
    assert_string_equal(result.found, "10.1.2.3:4567");
    assert_true(result.asked_agent);
    assert_string_equal(result.agent, "");
    close(agent);
}

static void without_an_agent_dns_knows_the_host_and_the_port_is_agreed_on(void **state)
{
    (void)state;
    start("localhost", udp_free_port());
    loop_until(is_done, NULL);
    assert_string_equal(result.found, "127.0.0.1:28702");
    assert_true(result.asked_agent);
    assert_string_equal(result.agent, "can't be asked: Connection refused");
}

static void dns_may_fail_too(void **state)
{
    (void)state;
    /* A name that is refused before any server is asked: the outcome does not depend on where the test runs. */
    struct resolve_target t = {.host = "a..b"};
    struct resolve_ports ports = {.agent = udp_free_port(), .dns = 28702};
    assert_non_null(resolve_start(&loop, &t, &ports, on_result, &result));
    loop_until(is_done, NULL);
    assert_string_equal(result.found, "");
    assert_true(result.why[0] != 0);
}

static void cancelled_is_never_answered(void **state)
{
    (void)state;
    int agent = udp_open(0);
    resolve_cancel(start("localhost", udp_port(agent))); /* while the agent is asked */
    for (int i = 0; i < 50; i++)
        resolve_cancel(start("localhost:1", udp_port(agent))); /* while DNS is */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_false(result.done);
    close(agent);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_an_address),
        TEST(a_name_with_a_port_is_asked_of_dns_alone),
        TEST(a_name_alone_is_asked_of_the_agent),
        TEST(without_an_agent_dns_knows_the_host_and_the_port_is_agreed_on),
        TEST(dns_may_fail_too),
        TEST(cancelled_is_never_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
