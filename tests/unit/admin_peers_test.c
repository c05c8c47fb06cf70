/* The other ends of connections: counted by client, ended when they ask for nothing. */
#include "peers.h"

#include "clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SOME 5

static struct peers peers;
static struct peer *some[SOME];
static int ours[SOME], theirs[SOME];

static struct sockaddr_storage address(const char *text, uint16_t port)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
    }
    return a;
}

static int setup(void **state)
{
    (void)state;
    peers = (struct peers){0};
    for (int i = 0; i < SOME; i++) {
        struct sockaddr_storage a = address("192.0.2.7", (uint16_t)i);
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
            return -1;
        ours[i] = pair[0];
        theirs[i] = pair[1];
        some[i] = peers_add(&peers, ours[i], (struct sockaddr *)&a);
        some[i]->since_ms -= 10000 - i; /* the first has been quiet for the longest time */
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (peers.first)
        peers_remove(&peers, peers.first);
    for (int i = 0; i < SOME; i++) {
        close(ours[i]);
        close(theirs[i]);
    }
    return 0;
}

static bool is_hung_up(int i)
{
    struct pollfd p = {.fd = theirs[i], .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1;
}

static void assert_hung_up(const char *which)
{
    for (int i = 0; i < SOME; i++)
        assert_int_equal(is_hung_up(i), which[i] == 'x');
}

static bool may_come(const char *text, int max)
{
    struct sockaddr_storage a = address(text, 4711);
    return peers_may_come(&peers, (struct sockaddr *)&a, max);
}

static void clients_are_counted(void **state)
{
    (void)state;
    assert_true(may_come("192.0.2.7", SOME + 1));
    assert_false(may_come("192.0.2.7", SOME));
    assert_true(may_come("192.0.2.8", 1));
    assert_true(may_come("2001:db8::1", 1));
    peers_remove(&peers, some[3]);
    assert_true(may_come("192.0.2.7", SOME));
    assert_false(may_come("192.0.2.7", SOME - 1));
    struct sockaddr_storage a = address("2001:db8::1", 1);
    peers_add(&peers, -1, (struct sockaddr *)&a);
    assert_false(may_come("2001:db8::1", 1));
    assert_true(may_come("2001:db8::2", 1));
}

static void those_of_this_host_are_not_counted(void **state)
{
    (void)state;
    static const char *const own[] = {"127.0.0.1", "127.1.2.3", "::1"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        struct sockaddr_storage a = address(own[i], 1);
        peers_add(&peers, -1, (struct sockaddr *)&a);
        assert_true(may_come(own[i], 1));
    }
}

static void the_quietest_make_room(void **state)
{
    (void)state;
    peer_begin(some[0]);
    some[4]->since_ms = clock_coarse_ms(); /* just come */
    peers_make_room(&peers, 2);
    assert_hung_up("-xx--");
    peers_make_room(&peers, 2);
    assert_hung_up("-xxx-");
    peers_make_room(&peers, 100);
    assert_hung_up("-xxx-");
    peer_end(some[0]);
    peers_make_room(&peers, 100); /* it has just been busy */
    assert_hung_up("-xxx-");
}

static void who_leaves_a_request_half_done_makes_room(void **state)
{
    (void)state;
    for (int i = 0; i < SOME; i++) {
        peer_begin(some[i]);
        peer_await(some[i], i != 1, clock_coarse_ms()); /* that one waits for us */
        some[i]->since_ms -= 10000 - i;
    }
    peers_make_room(&peers, 2);
    assert_hung_up("x-x--");
    peer_await(some[3], false, 0);
    peers_make_room(&peers, 100);
    assert_hung_up("x-x-x");
    peer_await(some[3], true, clock_coarse_ms()); /* it may be about to go on */
    peers_make_room(&peers, 100);
    assert_hung_up("x-x-x");
}

static void the_idle_are_ended(void **state)
{
    (void)state;
    peer_begin(some[1]);
    some[4]->since_ms += 9000;
    peers_sweep(&peers, 60000);
    assert_hung_up("-----");
    peers_sweep(&peers, 5000);
    assert_hung_up("x-xx-");
    peer_end(some[1]);
    peers_sweep(&peers, 5000);
    assert_hung_up("x-xx-");
}

static void their_addresses_are_told(void **state)
{
    (void)state;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_storage a = address("192.0.2.7", 80);
    assert_string_equal(some[0]->text, "192.0.2.7");
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr), 1);
    assert_string_equal(peers_add(&peers, -1, (struct sockaddr *)&six)->text, "2001:db8::1");
    a.ss_family = AF_UNIX;
    assert_string_equal(peers_add(&peers, -1, (struct sockaddr *)&a)->text, "?");
}

static void without_memory_nothing_is_known(void **state)
{
    (void)state;
    peer_begin(NULL);
    peer_end(NULL);
    peer_await(NULL, true, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clients_are_counted),      TEST(those_of_this_host_are_not_counted),
        TEST(the_quietest_make_room),   TEST(who_leaves_a_request_half_done_makes_room),
        TEST(the_idle_are_ended),       TEST(without_memory_nothing_is_known),
        TEST(their_addresses_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
