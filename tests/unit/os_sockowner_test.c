/* sockowner: whose socket is at the other end of a connection within this host. */
#include "sockowner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct pair {
    int listener, client, server;
    union address peer, local;
};

static void connect_pair(int family, uid_t as, struct pair *p)
{
    union address a = {0};
    socklen_t len = family == AF_INET ? sizeof a.v4 : sizeof a.v6;
    a.any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        a.v6.sin6_addr = in6addr_loopback;
    p->listener = socket(family, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, &a.any, len), 0);
    assert_int_equal(listen(p->listener, 4), 0);
    assert_int_equal(getsockname(p->listener, &a.any, &len), 0);
    uid_t me = geteuid();
    assert_int_equal(seteuid(as), 0);
    p->client = socket(family, SOCK_STREAM, 0);
    assert_int_equal(seteuid(me), 0);
    assert_int_equal(connect(p->client, &a.any, len), 0);
    len = sizeof p->peer;
    p->server = accept(p->listener, &p->peer.any, &len);
    len = sizeof p->local;
    assert_int_equal(getsockname(p->server, &p->local.any, &len), 0);
}

static void close_pair(struct pair *p)
{
    close(p->listener);
    close(p->client);
    close(p->server);
}

static void names_the_owner(int family)
{
    uid_t users[] = {geteuid(), geteuid() == 0 ? 65534 : geteuid()}, uid = 4242;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        struct pair p;
        connect_pair(family, users[i], &p);
        assert_true(sockowner_find(&p.peer.any, &p.local.any, &uid));
        assert_int_equal(uid, users[i]);
        close_pair(&p);
    }
}

static void names_the_owner_over_ipv4(void **state)
{
    (void)state;
    names_the_owner(AF_INET);
}

static void names_the_owner_over_ipv6(void **state)
{
    (void)state;
    names_the_owner(AF_INET6);
}

static void knows_no_connection_that_is_not_there(void **state)
{
    (void)state;
    struct pair p;
    uid_t uid = 4242;
    connect_pair(AF_INET, geteuid(), &p);
    union address other = p.peer;
    other.v4.sin_port = htons(1);
    assert_false(sockowner_find(&other.any, &p.local.any, &uid));
    other = p.peer;
    other.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    assert_false(sockowner_find(&other.any, &p.local.any, &uid));
    assert_int_equal(uid, 4242);
    close_pair(&p);
}

static void mapped_addresses_are_plain_ones(void **state)
{
    (void)state;
    struct pair p;
    uid_t uid = 4242;
    connect_pair(AF_INET, geteuid(), &p);
    union address peer = {.v6 = {.sin6_family = AF_INET6, .sin6_port = p.peer.v4.sin_port}}, local = peer;
    local.v6.sin6_port = p.local.v4.sin_port;
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &peer.v6.sin6_addr);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &local.v6.sin6_addr);
    assert_true(sockowner_find(&peer.any, &local.any, &uid));
    assert_int_equal(uid, geteuid());
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_owner_over_ipv4),
        cmocka_unit_test(names_the_owner_over_ipv6),
        cmocka_unit_test(knows_no_connection_that_is_not_there),
        cmocka_unit_test(mapped_addresses_are_plain_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
