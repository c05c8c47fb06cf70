/* The monitor's log on its way to a collector that comes, goes and moves. */
#include "capture.h"
#include "clog.h"
#include "collector.h"
#include "udp_fixture.h"

#include <sys/syscall.h>

#define FAST .refresh_ms = 100, .retry_ms = 20, .quiet_ms = 60

/* Stands before the C library's: while it is set, a call that does not wait finds the socket's buffer full. */
static bool full;

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (!full || !(flags & MSG_DONTWAIT))
        return syscall(SYS_sendmsg, fd, msg, flags);
    errno = EAGAIN;
    return -1;
}

static struct collector *collector;
static char local[HOST_ADDRESS_SIZE];
static int server, agent;

static int setup(void **state)
{
    (void)state;
    loop_begin();
    server = udp_open(0);
    agent = udp_open(0);
    if (!host_private_address(local))
        strcpy(local, "127.0.0.1");
    collector = collector_new(&loop);
    assert_non_null(collector);
    clog_configure(CLOG_COLLECTOR, 15);
    clog_attach(collector_sink(collector));
    capture_begin();
    return 0;
}

/* The collector is let go of; stderr stays captured. */
static void end_collector(void)
{
    clog_attach(NULL);
    if (collector)
        collector_free(collector);
    collector = NULL;
}

static int teardown(void **state)
{
    (void)state;
    end_collector();
    capture_end();
    clog_configure(0, 0);
    close(server);
    close(agent);
    loop_end();
    return 0;
}

static void send_to(const char *addr)
{
    struct collector_setup s = {
        .name = "mon", .addr = addr, .ports = {.agent = udp_port(agent), .dns = udp_port(server)}, FAST};
    assert_true(collector_configure(collector, &s));
}

static void send_to_port(int port)
{
    char addr[64];
    snprintf(addr, sizeof addr, "127.0.0.1:%d", port);
    send_to(addr);
}

/* The next line that is not about where lines go. */
static const char *next_line(int fd)
{
    const char *text;
    do
        text = udp_next(fd)->text;
    while (strstr(text, "lines for the clog collector") && !strstr(text, "lost"));
    return text;
}

static void expect(int fd, const char *kind, const char *text)
{
    static char expected[COLLECTOR_TEXT_MAX + 500];
    snprintf(expected, sizeof expected, "mon,%s,%s,,%s", kind, local, text);
    assert_string_equal(next_line(fd), expected);
}

/* Answers the agent's next question. */
static void tell_port(int port)
{
    struct datagram *d = udp_next(agent);
    char *comma = strchr(d->text, ',');
    assert_non_null(comma);
    assert_string_equal(comma, ",clog.srv.ns");
    udp_reply(d, "%.*s,127.0.0.1:%d", (int)(comma - d->text), d->text, port);
}

static bool is_said(void *what)
{
    return strstr(captured(), what) != NULL;
}

static void await_said(const char *what)
{
    loop_until(is_said, (void *)(uintptr_t)what);
}

static bool time_is_over(void *end)
{
    return uv_hrtime() >= *(uint64_t *)end;
}

static void let_pass(unsigned ms)
{
    uint64_t end = uv_hrtime() + ms * 1000000ULL;
    loop_until(time_is_over, &end);
}

/* ---- the datagrams */

static void every_level_has_its_word(void **state)
{
    (void)state;
    send_to_port(udp_port(server));
    clog_error("one");
    clog_warn("two");
    clog_info("three");
    clog_debug("four");
    expect(server, "logerr", "one");
    expect(server, "logwar", "two");
    expect(server, "loginfo", "three");
    expect(server, "logdbg", "four");
    clog_configure(CLOG_COLLECTOR, CLOG_ERROR | CLOG_WARN);
    clog_info("not this");
    clog_debug("nor this");
    clog_error("but this");
    expect(server, "logerr", "but this");
    assert_true(udp_is_quiet(server));
    assert_string_equal(captured(), "");
}

static void commas_and_line_ends_are_part_of_the_text(void **state)
{
    (void)state;
    send_to_port(udp_port(server));
    clog_error("a,b,,c\nd\r\x1b[0m,");
    expect(server, "logerr", "a,b,,c\\x0ad\\x0d\\x1b[0m,");
    clog_error("%s", "");
    expect(server, "logerr", "");
}

static void a_long_text_goes_in_parts(void **state)
{
    (void)state;
    static char text[150001], got[150001];
    size_t len = 0, parts = 0, n = 0;
    for (; len < sizeof text - 4; len += 3)
        memcpy(text + len, "中", 3); /* 65000 is within a character */
    text[len] = 0;
    send_to_port(udp_port(server));
    clog_error("%s", text);
    char head[64];
    size_t head_len = (size_t)snprintf(head, sizeof head, "mon,logerr,%s,,", local);
    for (; n < len; parts++) {
        const char *part = next_line(server);
        assert_int_equal(strncmp(part, head, head_len), 0);
        size_t k = strlen(part + head_len);
        assert_int_equal(k, n + 64998 <= len ? 64998 : len - n);
        memcpy(got + n, part + head_len, k + 1);
        n += k;
    }
    assert_int_equal(parts, 3);
    assert_string_equal(got, text);
    memset(text, 'x', COLLECTOR_TEXT_MAX + 1);
    text[COLLECTOR_TEXT_MAX] = 0;
    clog_error("%s", text);
    assert_int_equal(strlen(next_line(server)), head_len + COLLECTOR_TEXT_MAX);
    clog_error("%sy", text);
    assert_int_equal(strlen(next_line(server)), head_len + COLLECTOR_TEXT_MAX);
    expect(server, "logerr", "y");
    assert_true(udp_is_quiet(server));
}

static void both_modes_at_once(void **state)
{
    (void)state;
    clog_configure(CLOG_LOCAL | CLOG_COLLECTOR, CLOG_ERROR);
    send_to_port(udp_port(server));
    clog_error("here and there");
    expect(server, "logerr", "here and there");
    assert_int_equal(count_of(captured(), "[ERROR] here and there\n"), 1);
}

/* ---- the address */

static void lines_wait_until_the_address_is_known(void **state)
{
    (void)state;
    send_to("clog.srv.ns");
    for (int i = 0; i < 20; i++)
        clog_info("line %d", i);
    assert_true(udp_is_quiet(server));
    tell_port(udp_port(server));
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "line %d", i);
        expect(server, "loginfo", text);
    }
    clog_info("and now");
    expect(server, "loginfo", "and now");
    assert_string_equal(captured(), "");
}

static void what_does_not_fit_is_counted(void **state)
{
    (void)state;
    static char big[2001];
    memset(big, 'x', sizeof big - 1);
    send_to("clog.srv.ns");
    for (int i = 0; i < 50; i++)
        clog_info("%02d%s", i, big);
    clog_info("a small one behind the gap");
    tell_port(udp_port(server));
    int fit = COLLECTOR_KEEP_BYTES / (2002 + 8);
    for (int i = 0; i < fit; i++) {
        const char *line = next_line(server);
        assert_int_equal(atoi(strstr(line, ",,") + 2), i);
    }
    char said[128];
    snprintf(said, sizeof said, "%d lines for the clog collector got lost while its address was not known", 51 - fit);
    expect(server, "logwar", said);
    assert_int_equal(count_of(captured(), said), 1);
    let_pass(20);
    clog_info("after it");
    expect(server, "loginfo", "after it");
}

static void it_is_asked_again_and_followed(void **state)
{
    (void)state;
    int other = udp_open(0);
    send_to("clog.srv.ns");
    tell_port(udp_port(server));
    clog_info("first");
    expect(server, "loginfo", "first");
    tell_port(udp_port(server)); /* nothing new */
    tell_port(udp_port(other));
    char moved[128];
    snprintf(moved, sizeof moved, "lines for the clog collector clog.srv.ns go to 127.0.0.1:%d from now on",
             udp_port(other));
    assert_non_null(strstr(udp_next(other)->text, moved));
    clog_info("second");
    expect(other, "loginfo", "second");
    while (!udp_is_quiet(server)) /* what told where lines go */
        assert_null(strstr(udp_next(server)->text, "second"));
    assert_string_equal(captured(), "");
    close(other);
}

static void without_an_agent_dns_and_back(void **state)
{
    (void)state;
    int port = udp_port(agent), other = udp_open(0);
    struct collector_setup s = {
        .name = "mon", .addr = "localhost", .ports = {.agent = port, .dns = udp_port(server)}, FAST};
    close(agent);
    assert_true(collector_configure(collector, &s));
    clog_info("by DNS");
    expect(server, "loginfo", "by DNS");
    let_pass(500); /* several look-ups */
    assert_int_equal(count_of(captured(), "the name agent can't be asked: Connection refused; DNS is asked for "
                                          "localhost instead\n"),
                     1);
    agent = udp_open(port);
    const struct datagram *d = udp_next(agent);
    udp_reply(d, "%.*s,127.0.0.1:%d", (int)(strchr(d->text, ',') - d->text), d->text, udp_port(other));
    await_said("the name agent tells where localhost is again\n");
    clog_info("by the agent");
    expect(other, "loginfo", "by the agent");
    assert_int_equal(count_of(captured(), "name agent"), 2);
    close(other);
}

static void an_address_that_can_not_be_used_is_said_once_and_tried_again(void **state)
{
    (void)state;
    send_to("255.255.255.255:1"); /* no socket may send there unless it says so first */
    clog_info("kept");
    let_pass(300);
    const char *said = "[WARN] the clog collector 255.255.255.255:1: ";
    assert_int_equal(count_of(captured(), said), 1);
    send_to("clog.srv.ns");
    tell_port(udp_port(server));
    expect(server, "loginfo", "kept");
    assert_int_equal(count_of(captured(), "\n"), 1);
}

/* ---- a collector that is away */

static void a_dead_collector_is_said_once_and_missed_lines_are_counted(void **state)
{
    (void)state;
    int port = udp_port(server);
    send_to_port(port);
    clog_info("well");
    expect(server, "loginfo", "well");
    close(server);
    for (int i = 0; i < 10; i++)
        clog_info("lost %d", i);
    char said[128];
    snprintf(said, sizeof said,
             "[WARN] the clog collector 127.0.0.1:%d: Connection refused; lines for it are being lost\n", port);
    assert_int_equal(count_of(captured(), said), 1);
    assert_int_equal(count_of(captured(), "\n"), 1);
    server = udp_open(port);
    clog_info("the first line it can have");
    expect(server, "loginfo", "the first line it can have");
    let_pass(80);
    clog_info("the next");
    expect(server, "loginfo", "the next");
    expect(server, "logwar", "10 lines for the clog collector got lost; it takes them again");
    assert_int_equal(count_of(captured(), "10 lines for the clog collector got lost; it takes them again\n"), 1);
    clog_info("and on");
    expect(server, "loginfo", "and on");
    close(server); /* and again: another time to say so */
    clog_info("lost");
    clog_info("lost");
    assert_int_equal(count_of(captured(), said), 2);
    server = udp_open(port);
}

static void what_the_socket_does_not_take_at_once_is_counted(void **state)
{
    (void)state;
    send_to_port(udp_port(server));
    full = true;
    for (int i = 0; i < 7; i++)
        clog_info("lost %d", i);
    full = false;
    assert_int_equal(count_of(captured(), ": Resource temporarily unavailable; lines for it are being lost\n"), 1);
    let_pass(80);
    clog_info("taken");
    expect(server, "loginfo", "taken");
    expect(server, "logwar", "7 lines for the clog collector got lost; it takes them again");
    assert_int_equal(count_of(captured(), "\n"), 2);
}

static void a_dead_collector_is_looked_for_sooner(void **state)
{
    (void)state;
    int other = udp_open(0);
    struct collector_setup s = {.name = "mon",
                                .addr = "clog.srv.ns",
                                .ports = {.agent = udp_port(agent), .dns = 1},
                                .refresh_ms = 3600000,
                                .retry_ms = 20,
                                .quiet_ms = 3600000};
    assert_true(collector_configure(collector, &s));
    tell_port(udp_port(server));
    clog_info("well");
    expect(server, "loginfo", "well");
    close(server);
    clog_info("lost");
    clog_info("lost");
    tell_port(udp_port(other));
    expect(other, "logwar", "2 lines for the clog collector got lost; it takes them again");
    server = other;
}

static void what_never_got_through_is_said_at_the_end(void **state)
{
    (void)state;
    send_to("clog.srv.ns");
    clog_info("one");
    clog_info("two");
    end_collector();
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(count_of(captured(), "[WARN] 2 lines for the clog collector got lost: the monitor ends\n"), 1);
}

/* ---- other settings */

static void settings_can_change(void **state)
{
    (void)state;
    int other = udp_open(0);
    send_to_port(udp_port(server));
    struct collector_setup s = {.name = "renamed", .ports = {.agent = 1, .dns = 1}, FAST};
    char addr[64], line[256];
    snprintf(addr, sizeof addr, "127.0.0.1:%d", udp_port(server));
    s.addr = addr;
    assert_true(collector_configure(collector, &s));
    clog_info("a");
    snprintf(line, sizeof line, "renamed,loginfo,%s,,a", local);
    assert_string_equal(next_line(server), line);
    send_to_port(udp_port(other));
    clog_info("b");
    expect(other, "loginfo", "b");
    assert_true(collector_configure(collector, NULL));
    clog_info("c");
    assert_true(udp_is_quiet(server) && udp_is_quiet(other));
    s.addr = "no address";
    assert_false(collector_configure(collector, &s));
    send_to_port(udp_port(other));
    clog_info("d");
    expect(other, "loginfo", "d");
    close(other);
}

static void a_changed_address_takes_along_what_waits(void **state)
{
    (void)state;
    send_to("clog.srv.ns");
    clog_info("waits");
    send_to_port(udp_port(server));
    expect(server, "loginfo", "waits");
    assert_string_equal(captured(), "");
}

static void without_a_port_the_address_has_the_agreed_one(void **state)
{
    (void)state;
    send_to("127.0.0.1");
    clog_info("there");
    expect(server, "loginfo", "there");
    assert_true(udp_is_quiet(agent));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_level_has_its_word),
        TEST(commas_and_line_ends_are_part_of_the_text),
        TEST(a_long_text_goes_in_parts),
        TEST(both_modes_at_once),
        TEST(lines_wait_until_the_address_is_known),
        TEST(what_does_not_fit_is_counted),
        TEST(it_is_asked_again_and_followed),
        TEST(without_an_agent_dns_and_back),
        TEST(an_address_that_can_not_be_used_is_said_once_and_tried_again),
        TEST(a_dead_collector_is_said_once_and_missed_lines_are_counted),
        TEST(what_the_socket_does_not_take_at_once_is_counted),
        TEST(a_dead_collector_is_looked_for_sooner),
        TEST(what_never_got_through_is_said_at_the_end),
        TEST(settings_can_change),
        TEST(a_changed_address_takes_along_what_waits),
        TEST(without_a_port_the_address_has_the_agreed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
