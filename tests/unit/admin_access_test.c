/* Who may do what, as a table: each rule for each kind of auth. */
#include "access.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Both ends of a connection within this process: so its owner is our own user. */
static int listening = -1, theirs = -1, ours = -1;
static struct sockaddr_storage peer, local;

static int connect_to_ourselves(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (struct sockaddr *)&a, len) || listen(listening, 1) ||
        getsockname(listening, (struct sockaddr *)&a, &len) || connect(theirs, (struct sockaddr *)&a, len))
        return -1;
    ours = accept(listening, NULL, NULL);
    socklen_t n = sizeof peer, m = sizeof local;
    return getpeername(ours, (struct sockaddr *)&peer, &n) || getsockname(ours, (struct sockaddr *)&local, &m);
}

static int hang_up(void **state)
{
    (void)state;
    return close(ours) | close(theirs) | close(listening);
}

static struct access_answer judge(enum conf_auth auth, struct access_request req, bool own)
{
    struct access_answer a;
    struct err err = {0};
    if (own) {
        req.peer = (struct sockaddr *)&peer;
        req.local = (struct sockaddr *)&local;
    }
    access_judge(auth, TOKEN, &req, &a, &err);
    assert_int_equal(a.verdict == ACCESS_GRANTED, err.text[0] == 0);
    assert_int_equal(a.owner_known, own);
    if (own)
        assert_int_equal(a.owner, geteuid());
    return a;
}

static void expect(enum conf_auth auth, struct access_request req, bool own, enum access_verdict verdict, int why)
{
    struct access_answer a = judge(auth, req, own);
    assert_int_equal(a.verdict, verdict);
    if (verdict != ACCESS_GRANTED)
        assert_int_equal(a.why, why);
}

static void its_own_user_needs_nothing(void **state)
{
    (void)state;
    struct access_request req = {.host = "127.0.0.1:80"};
    assert_string_equal(judge(CONF_AUTH_LOCAL, req, true).principal, "local");
    expect(CONF_AUTH_LOCAL, req, true, ACCESS_GRANTED, 0);
    expect(CONF_AUTH_LOCAL, req, false, ACCESS_TOKEN_WANTED, REFUSAL_NO_TOKEN);
    expect(CONF_AUTH_TOKEN, req, true, ACCESS_TOKEN_WANTED, REFUSAL_NO_TOKEN);
    expect(CONF_AUTH_OPEN, req, false, ACCESS_GRANTED, 0);
    assert_string_equal(judge(CONF_AUTH_OPEN, req, true).principal, "anyone");
}

static void a_token_is_right_or_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *authorization, *password;
        bool right;
    } cases[] = {
        {"Bearer " TOKEN, NULL, true},
        {"bearer   " TOKEN, NULL, true},
        {NULL, TOKEN, true},
        {"Basic x", TOKEN, true},
        {"Bearer", NULL, false},
        {"Bearer ", NULL, false},
        {"Bearer " TOKEN "0", NULL, false},
        {"Bearer " TOKEN " ", NULL, false},
        {"Bearer x", NULL, false},
        {"Bearer" TOKEN, NULL, false},
        {TOKEN, NULL, false},
        {"Digest " TOKEN, NULL, false},
        {"Bearer " TOKEN TOKEN, NULL, false},
        {NULL, "", false},
        {NULL, "x", false},
        {"Bearer " TOKEN, "x", false},
    };
    static const enum conf_auth kinds[] = {CONF_AUTH_LOCAL, CONF_AUTH_TOKEN};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct access_request req = {.authorization = cases[i].authorization, .password = cases[i].password};
            struct access_answer a = judge(kinds[k], req, false);
            assert_true(a.shown);
            assert_int_equal(a.verdict, cases[i].right ? ACCESS_GRANTED : ACCESS_TOKEN_WANTED);
            if (!cases[i].right)
                assert_int_equal(a.why, REFUSAL_WRONG_TOKEN);
            else
                assert_string_equal(a.principal, "token");
        }
}

static void no_token_is_matched_where_there_is_none(void **state)
{
    (void)state;
    struct access_answer a;
    struct err err = {0};
    const struct access_request req = {.authorization = "Bearer "}, basic = {.password = ""};
    access_judge(CONF_AUTH_TOKEN, "", &req, &a, &err);
    assert_int_equal(a.verdict, ACCESS_TOKEN_WANTED);
    access_judge(CONF_AUTH_TOKEN, "", &basic, &a, &err);
    assert_int_equal(a.verdict, ACCESS_TOKEN_WANTED);
}

static void another_site_may_nothing_whatever_it_shows(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *site;
    } cases[] = {
        {"http://evil.example", NULL},
        {"null", NULL},
        {"", NULL},
        {"127.0.0.1:80", NULL},
        {"http://127.0.0.1", NULL},
        {NULL, "cross-site"},
        {NULL, "same-site"},
        {"http://127.0.0.1:80", "cross-site"},
        {"http://127.0.0.1:80/", NULL},
    };
    static const enum conf_auth kinds[] = {CONF_AUTH_LOCAL, CONF_AUTH_TOKEN, CONF_AUTH_OPEN};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct access_request req = {.host = "127.0.0.1:80",
                                         .origin = cases[i].origin,
                                         .sec_fetch_site = cases[i].site,
                                         .authorization = "Bearer " TOKEN};
            expect(kinds[k], req, true, ACCESS_FORBIDDEN, REFUSAL_CROSS_SITE);
        }
    struct access_request own = {
        .host = "127.0.0.1:80", .origin = "http://127.0.0.1:80", .sec_fetch_site = "same-origin"};
    expect(CONF_AUTH_LOCAL, own, true, ACCESS_GRANTED, 0);
}

/* What a browser sends for an image, a link or a form of a page differs: by plain HTTP to another name than localhost
 * it says nothing of the site, and where the page wants that, nothing of the page. */
static void a_browser_must_say_which_page_asks(void **state)
{
    (void)state;
    static const struct {
        const char *referer, *site;
        bool granted;
    } cases[] = {
        {NULL, NULL, false},
        {"http://evil.example/", NULL, false},
        {"http://evil.example/http://10.0.0.1:80/", NULL, false},
        {"http://10.0.0.1:80.evil.example/", NULL, false},
        {"http://10.0.0.1:8080/", NULL, false},
        {"", NULL, false},
        {"http://10.0.0.1:80/", NULL, true},
        {"http://10.0.0.1:80/?command=status", NULL, true},
        {"http://10.0.0.1:80", NULL, true},
        {NULL, "none", true},
        {NULL, "same-origin", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct access_request req = {.host = "10.0.0.1:80",
                                     .user_agent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/130",
                                     .referer = cases[i].referer,
                                     .sec_fetch_site = cases[i].site,
                                     .changes = true};
        expect(CONF_AUTH_LOCAL, req, true, cases[i].granted ? ACCESS_GRANTED : ACCESS_FORBIDDEN, REFUSAL_CROSS_SITE);
        req.password = TOKEN; /* a browser shows it by itself once it knows it */
        expect(CONF_AUTH_TOKEN, req, false, cases[i].granted ? ACCESS_GRANTED : ACCESS_FORBIDDEN, REFUSAL_CROSS_SITE);
    }
    struct access_request silent = {.host = "10.0.0.1:80", .user_agent = "Mozilla/5.0", .changes = true};
    expect(CONF_AUTH_OPEN, silent, false, ACCESS_GRANTED, 0);
    silent.authorization = "Bearer " TOKEN; /* that one it does not show by itself */
    expect(CONF_AUTH_LOCAL, silent, false, ACCESS_GRANTED, 0);
    silent.authorization = NULL;
    silent.changes = false; /* the page can't see the answer */
    expect(CONF_AUTH_LOCAL, silent, true, ACCESS_GRANTED, 0);
    silent.changes = true;
    silent.user_agent = "curl/8";
    expect(CONF_AUTH_LOCAL, silent, true, ACCESS_GRANTED, 0);
}

/* A name that somebody's DNS points at this host: a browser sends it, believing it to be that site's. */
static void a_rebound_name_has_no_right_of_its_own(void **state)
{
    (void)state;
    static const char *const names[] = {"evil.example",
                                        "evil.example:80",
                                        "127.0.0.1.evil.example",
                                        "evil.localhost",
                                        "localhost.evil.example",
                                        "",
                                        "127.0.0.1.",
                                        "127.1",
                                        "[::1",
                                        "::1]:80",
                                        "0x7f000001",
                                        "2130706433",
                                        "localhost:80:80x",
                                        "[::1].evil.example"};
    static const char *const own[] = {"127.0.0.1", "127.0.0.1:80", "LocalHost", "localhost:80", "[::1]", "[::1]:80"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct access_request req = {.host = names[i]};
        expect(CONF_AUTH_LOCAL, req, true, ACCESS_FORBIDDEN, REFUSAL_HOST);
        expect(CONF_AUTH_OPEN, req, true, ACCESS_GRANTED, 0);
        req.authorization = "Bearer " TOKEN; /* no page of a site knows that */
        expect(CONF_AUTH_LOCAL, req, true, ACCESS_GRANTED, 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        struct access_request req = {.host = own[i]};
        expect(CONF_AUTH_LOCAL, req, true, ACCESS_GRANTED, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_own_user_needs_nothing),
        cmocka_unit_test(a_token_is_right_or_wrong),
        cmocka_unit_test(no_token_is_matched_where_there_is_none),
        cmocka_unit_test(another_site_may_nothing_whatever_it_shows),
        cmocka_unit_test(a_browser_must_say_which_page_asks),
        cmocka_unit_test(a_rebound_name_has_no_right_of_its_own),
    };
    return cmocka_run_group_tests(tests, connect_to_ourselves, hang_up);
}
