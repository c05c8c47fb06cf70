/* Answers in pieces, and clients that do not stay for them: a real server on a loop of its own, a simulated world
 * behind it, plain sockets in front. */
#include "clock.h"
#include "core_fixture.h"
#include "http.h"
#include "mhd.h"
#include "request.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <uv.h>

#define PATIENCE_MS 10000

static uv_loop_t loop;
static struct http *http;
static struct admin admin;

/* ---- a command that does what the test says */

static struct request *asked; /* the last one, NULL once it is over */
static int cancelled, drained;
static void (*on_cancel)(struct request *r);

static void cancel(struct request *r)
{
    assert_ptr_equal(r, asked);
    cancelled++;
    if (on_cancel)
        on_cancel(r);
    asked = NULL;
}

static void run_stub(struct request *r)
{
    asked = r;
    r->cancel = cancel;
    if (request_arg(r, "write"))
        request_write(r, request_arg(r, "write"), strlen(request_arg(r, "write")));
    if (request_arg(r, "done"))
        request_done(r, 200, EXIT_SERVICE);
}

static const struct command stub = {.name = "stub", .open = true, .any_args = true, .run = run_stub};
static const struct command *const commands[] = {&stub};
static struct command_table table = {.commands = commands, .count = 1};

/* ---- the server */

static int setup(void **state)
{
    if (fixture_setup(state) || uv_loop_init(&loop))
        return -1;
    signal(SIGPIPE, SIG_IGN);
    clog_configure(false, 0);
    fixture_up(fixture_conf("alpha"));
    admin = (struct admin){.mon = fx.m};
    command_set_extra(&admin, &table);
    asked = NULL;
    on_cancel = NULL;
    cancelled = drained = 0;
    static char localhost[] = "127.0.0.1";
    char *bind[] = {localhost, NULL};
    struct conf conf = {.bind = bind, .http = {.header_kb = 32}};
    struct err err = {0};
    http = http_new(&loop, &admin);
    return http && http_listen(http, &conf, &err) ? 0 : -1;
}

static void stop_server(void)
{
    http_free(http);
    http = NULL;
    while (uv_run(&loop, UV_RUN_NOWAIT))
        ;
}

static int teardown(void **state)
{
    stop_server();
    command_set_extra(&admin, NULL);
    return uv_loop_close(&loop) || fixture_teardown(state);
}

/* Turns the loop for as long as it takes until the condition holds. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        int64_t deadline = clock_mono_ms() + PATIENCE_MS;                                                              \
        while (!(condition)) {                                                                                         \
            if (clock_mono_ms() > deadline)                                                                            \
                fail_msg("still not: %s", #condition);                                                                 \
            uv_run(&loop, UV_RUN_NOWAIT);                                                                              \
            poll(NULL, 0, 1);                                                                                          \
        }                                                                                                              \
    } while (0)

/* ---- a client */

struct client {
    int fd;
    struct buf got;
    bool ended;
};

static struct client client_open(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)atoi(strchr(http_address(http), ':') + 1));
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(connect(c.fd, (struct sockaddr *)&a, sizeof a), 0);
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    return c;
}

static void client_close(struct client *c)
{
    close(c->fd);
    buf_fini(&c->got);
}

static void client_ask(struct client *c, const char *query)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "GET /?command=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", query);
    assert_int_equal(send(c->fd, text, (size_t)n, 0), n);
}

static void client_read(struct client *c)
{
    char text[65536];
    ssize_t n;
    while ((n = recv(c->fd, text, sizeof text, 0)) > 0)
        buf_add(&c->got, text, (size_t)n);
    c->ended = c->ended || n == 0 || errno != EAGAIN;
}

static bool client_has(struct client *c, const char *text)
{
    client_read(c);
    return strstr(buf_str(&c->got), text) != NULL;
}

static struct client ask(const char *query)
{
    struct client c = client_open();
    client_ask(&c, query);
    return c;
}

static struct client ask_and_wait(const char *query)
{
    struct client c = ask(query);
    WAIT_UNTIL(asked);
    return c;
}

static int count_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* How many descriptors there are while it serves HTTP and nobody is connected. */
static int count_fds_awake(void)
{
    struct client c = ask("version");
    WAIT_UNTIL(client_has(&c, "fota_monitor "));
    int n = count_fds() - 2; /* both ends */
    client_close(&c);
    WAIT_UNTIL(count_fds() == n);
    return n;
}

static void write_text(const char *text)
{
    request_write(asked, text, strlen(text));
}

/* ---- answers in pieces */

static void pieces_arrive_as_they_are_written(void **state)
{
    (void)state;
    struct client c = ask_and_wait("stub");
    assert_false(client_has(&c, "HTTP"));
    write_text("one\n");
    WAIT_UNTIL(client_has(&c, "\r\n\r\n4\r\none\n\r\n"));
    assert_true(client_has(&c, "HTTP/1.1 200 OK\r\n"));
    assert_true(client_has(&c, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_true(client_has(&c, "\r\nTrailer: X-Exit-Code\r\n"));
    assert_true(client_has(&c, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    assert_false(client_has(&c, "X-Exit-Code:"));
    assert_int_equal(request_backlog(asked), 0);
    write_text("two");
    write_text(" and three\n");
    WAIT_UNTIL(client_has(&c, "two and three\n"));
    assert_false(client_has(&c, "\r\n0\r\n"));
    request_done(asked, 500, EXIT_SERVICE);
    WAIT_UNTIL(client_has(&c, "\r\n0\r\nX-Exit-Code: 1\r\n\r\n"));
    assert_int_equal(cancelled, 0);
    /* The connection is as good as new. */
    buf_clear(&c.got);
    client_ask(&c, "version");
    WAIT_UNTIL(client_has(&c, "fota_monitor "));
    client_close(&c);
}

/* Else a kill could take back what a client heard, and the next monitor give its number to something else. */
static void what_is_sent_is_in_the_journal(void **state)
{
    (void)state;
    struct client c = ask("stub&write=begun");
    for (int i = 0; i < 2; i++) {
        monitor_flush(fx.m);
        monitor_note(fx.m, NULL, EVENT_MONITOR, 0, "something happened");
        assert_true(fx.m->journal.pending.len > 0);
        if (i)
            write_text("heard\n");
        WAIT_UNTIL(client_has(&c, i ? "heard" : "begun"));
        assert_int_equal(fx.m->journal.pending.len, 0);
    }
    request_done(asked, 200, EXIT_OK);
    WAIT_UNTIL(client_has(&c, "0\r\nX-Exit-Code: 0\r\n\r\n"));
    client_close(&c);
}

static void written_and_done_at_once(void **state)
{
    (void)state;
    struct client c = ask("stub&write=all&done=1");
    WAIT_UNTIL(client_has(&c, "\r\n\r\nall"));
    assert_true(client_has(&c, "HTTP/1.1 200 OK\r\n"));
    assert_true(client_has(&c, "\r\nX-Exit-Code: 1\r\n"));
    assert_true(client_has(&c, "\r\nContent-Length: 3\r\n"));
    client_close(&c);
}

static void written_at_once_and_done_later(void **state)
{
    (void)state;
    struct client c = ask("stub&write=begun");
    WAIT_UNTIL(client_has(&c, "5\r\nbegun\r\n"));
    request_done(asked, 200, EXIT_OK);
    WAIT_UNTIL(client_has(&c, "0\r\nX-Exit-Code: 0\r\n\r\n"));
    client_close(&c);
}

static void an_error_after_the_first_piece_is_the_last_line(void **state)
{
    (void)state;
    static const struct {
        const char *query, *last;
    } cases[] = {
        {"stub&write=half", "Error: it \"failed\"\n\r\n0\r\nX-Exit-Code: 3\r\n\r\n"},
        {"stub&write=half&format=json",
         "{\"error\":{\"code\":\"script\",\"message\":\"it \\\"failed\\\"\"}}\n\r\n0\r\nX-Exit-Code: 3\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct client c = ask(cases[i].query);
        WAIT_UNTIL(client_has(&c, "half\r\n"));
        request_fail(asked, 500, EXIT_COMMAND, "script", "it \"failed\"");
        WAIT_UNTIL(client_has(&c, cases[i].last));
        assert_true(client_has(&c, "\r\n\n")); /* on a line of its own */
        client_close(&c);
    }
}

static void one_without_chunks_is_served_too(void **state)
{
    (void)state;
    struct client c = client_open();
    static const char text[] = "GET /?command=stub&write=old HTTP/1.0\r\n\r\n";
    assert_int_equal(send(c.fd, text, sizeof text - 1, 0), sizeof text - 1);
    WAIT_UNTIL(client_has(&c, "\r\n\r\nold"));
    write_text(" client\n");
    request_done(asked, 200, EXIT_OK);
    WAIT_UNTIL(client_has(&c, "old client\n") && c.ended);
    client_close(&c);
}

/* ---- those who do not wait */

static void who_hangs_up_cancels(void **state)
{
    (void)state;
    static const char *const queries[] = {"stub", "stub&write=begun", "stop&service=alpha"};
    int before = count_fds_awake();
    for (size_t i = 0; i < ARRAY_LEN(queries); i++)
        for (int rude = 0; rude < 2; rude++) {
            struct client c = ask(queries[i]);
            uint64_t requests = admin.requests;
            cancelled = 0;
            WAIT_UNTIL(i == 2 ? admin.requests > requests : asked != NULL);
            WAIT_UNTIL(i != 1 || client_has(&c, "begun"));
            struct linger linger = {.l_onoff = rude};
            setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
            client_close(&c);
            WAIT_UNTIL(count_fds() == before);
            assert_int_equal(cancelled, i == 2 ? 0 : 1);
        }
}

static void who_only_stops_talking_is_waited_for(void **state)
{
    (void)state;
    struct client c = ask_and_wait("stub");
    shutdown(c.fd, SHUT_WR);
    int64_t until = clock_mono_ms() + 1000;
    WAIT_UNTIL(clock_mono_ms() > until); /* several looks */
    assert_int_equal(cancelled, 0);
    write_text("still there\n");
    request_done(asked, 200, EXIT_OK);
    WAIT_UNTIL(client_has(&c, "still there\n") && client_has(&c, "X-Exit-Code: 0"));
    client_close(&c);
}

static void a_timeout_cancels(void **state)
{
    (void)state;
    struct client c = ask_and_wait("stub&timeout=2");
    run(1900);
    assert_int_equal(cancelled, 0);
    run(200);
    assert_int_equal(cancelled, 1);
    WAIT_UNTIL(client_has(&c, "\r\n\r\nError: not done within 2 s\n"));
    assert_true(client_has(&c, "HTTP/1.1 504 ") && client_has(&c, "\r\nX-Exit-Code: 3\r\n"));
    client_close(&c);
    c = ask_and_wait("stub&timeout=2&write=begun");
    run(2100);
    assert_int_equal(cancelled, 2);
    WAIT_UNTIL(client_has(&c, "\nError: not done within 2 s\n\r\n0\r\nX-Exit-Code: 3\r\n\r\n"));
    client_close(&c);
}

static void say_goodbye(struct request *r)
{
    request_write(r, "goodbye\n", 8);
    request_done(r, 200, EXIT_OK);
}

static void what_is_cancelled_may_still_answer(void **state)
{
    (void)state;
    struct client c = ask_and_wait("stub&timeout=2");
    on_cancel = say_goodbye;
    run(2100);
    WAIT_UNTIL(client_has(&c, "goodbye\n"));
    assert_int_equal(cancelled, 1);
    assert_false(client_has(&c, "Error"));
    client_close(&c);
    /* Also when there is nobody to hear it. */
    c = ask_and_wait("stub");
    client_close(&c);
    WAIT_UNTIL(cancelled == 2);
}

static void the_end_of_the_monitor_cancels(void **state)
{
    (void)state;
    struct client whole = ask_and_wait("stub");
    asked->cancel = NULL;
    asked = NULL;
    struct client begun = ask("stub&write=begun");
    WAIT_UNTIL(client_has(&begun, "begun"));
    stop_server();
    assert_int_equal(cancelled, 1);
    assert_true(client_has(&whole, "HTTP/1.1 503 "));
    assert_true(client_has(&whole, "Error: the monitor is ending; what was asked for goes on\n"));
    assert_true(
        client_has(&begun, "Error: the monitor is ending; what was asked for goes on\n\r\n0\r\nX-Exit-Code: 4\r\n"));
    client_close(&whole);
    client_close(&begun);
}

static void without_a_limit_it_goes_on(void **state)
{
    (void)state;
    struct client c = ask_and_wait("stub");
    request_endless(asked);
    run(8 * 24 * 3600 * INT64_C(1000));
    assert_int_equal(cancelled, 0);
    client_close(&c);
    WAIT_UNTIL(cancelled == 1);
    c = ask_and_wait("stub&timeout=2");
    request_endless(asked); /* but this one was given */
    run(2100);
    assert_int_equal(cancelled, 2);
    client_close(&c);
}

/* ---- libmicrohttpd comes and goes */

static void it_is_let_go_of_when_nobody_is_connected(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        http_let_go(http);
        assert_false(mhd_is_loaded());
        int asleep = count_fds();
        struct client c = ask("version");
        WAIT_UNTIL(client_has(&c, "fota_monitor "));
        http_let_go(http);
        assert_true(mhd_is_loaded());
        int awake = count_fds();
        client_close(&c);
        WAIT_UNTIL(count_fds() == awake - 2);
        http_let_go(http);
        uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(count_fds(), asleep);
    }
}

static void its_end_comes_while_it_is_being_loaded(void **state)
{
    (void)state;
    http_let_go(http);
    struct client c = client_open();
    WAIT_UNTIL(uv_run(&loop, UV_RUN_ONCE) && !mhd_is_loaded());
    stop_server();
    client_close(&c);
    assert_true(mhd_is_loaded()); /* its end has waited for that */
}

/* ---- over to the next program */

/* The next program may have found nothing to listen on: what it was given is closed, and it goes on. */
static void connections_given_to_nobody_are_closed(void **state)
{
    (void)state;
    struct client c = client_open();
    struct sockaddr_storage peer;
    struct http *deaf = http_new(&loop, &admin);
    int ours = fcntl(c.fd, F_DUPFD_CLOEXEC, 0); /* any connection will do */
    assert_non_null(deaf);
    assert_int_equal(getpeername(ours, (struct sockaddr *)&peer, &(socklen_t){sizeof peer}), 0);
    http_take(deaf, &(struct http_given){.fd = ours}, 1);
    http_taken(deaf);
    assert_int_equal(fcntl(ours, F_GETFD), -1);
    http_free(deaf);
    client_close(&c);
}

/* ---- slow readers */

static char block[65536];

/* The client does not read, the command does not look: that costs so much and no more. */
static void who_does_not_read_is_cut_off(void **state)
{
    (void)state;
    fx.m->conf->http.backlog_kb = 256;
    int before = count_fds_awake();
    struct client c = ask_and_wait("stub");
    size_t most = 0;
    for (int i = 0; i < 4096 && asked; i++) {
        request_write(asked, block, sizeof block);
        most = asked ? MAX(most, request_backlog(asked)) : most;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    WAIT_UNTIL(cancelled == 1);
    assert_true(most >= 256 * 1024 && most <= 256 * 1024 + sizeof block);
    WAIT_UNTIL(count_fds() == before + 1);
    struct client other = ask("version");
    WAIT_UNTIL(client_has(&other, "fota_monitor "));
    client_close(&other);
    WAIT_UNTIL(client_has(&c, "HTTP/1.1 200") && c.ended);
    assert_false(client_has(&c, "X-Exit-Code:"));
    client_close(&c);
}

/* Little lies there, but it lies there for long. */
static void who_does_not_read_for_long_is_cut_off(void **state)
{
    (void)state;
    fx.m->conf->http.idle_timeout = 1;
    struct client c = ask_and_wait("stub");
    for (int i = 0; i < 4096 && request_backlog(asked) < 2 * sizeof block; i++) {
        request_write(asked, block, sizeof block);
        for (int turn = 0; turn < 20; turn++) /* until the kernel takes no more */
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(cancelled, 0);
    WAIT_UNTIL(cancelled == 1);
    client_close(&c);
}

/* One that waits because nothing is written is not idle. */
static void a_quiet_stream_is_not_cut_off(void **state)
{
    (void)state;
    fx.m->conf->http.idle_timeout = 1;
    struct client c = ask_and_wait("stub&write=begun");
    int64_t until = clock_mono_ms() + 2500;
    WAIT_UNTIL(clock_mono_ms() > until);
    write_text("more");
    WAIT_UNTIL(client_has(&c, "more"));
    assert_int_equal(cancelled, 0);
    client_close(&c);
}

#define NUMBERS 400000

static int next_number;

static void write_numbers(struct request *r)
{
    char text[16];
    drained++;
    for (int i = 0; i < 1000 && next_number < NUMBERS; i++) {
        int n = snprintf(text, sizeof text, "%d\n", next_number++);
        request_write(r, text, (size_t)n);
    }
    if (next_number == NUMBERS)
        request_done(r, 200, EXIT_OK);
}

/* A command that waits for `drained` keeps any client in step, and loses nothing. */
static void a_slow_reader_gets_everything(void **state)
{
    (void)state;
    struct client c = ask_and_wait("stub");
    int small = 4096;
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    next_number = 0;
    asked->drained = write_numbers;
    write_numbers(asked);
    WAIT_UNTIL(client_has(&c, "\r\n0\r\nX-Exit-Code: 0\r\n"));
    assert_true(drained > NUMBERS / 1000 - 1);
    /* Put together without the chunks' sizes, it is all numbers in their order. */
    const char *p = strstr(c.got.data, "\r\n\r\n") + 4;
    int wanted = 0;
    char line[64];
    size_t len = 0;
    for (;;) {
        char *end;
        unsigned long left = strtoul(p, &end, 16);
        if (left == 0)
            break;
        for (p = end + 2; left > 0; left--, p++) {
            line[len++] = *p;
            if (*p != '\n')
                continue;
            line[len - 1] = 0;
            len = 0;
            assert_int_equal(atoi(line), wanted++);
        }
        p += 2;
    }
    assert_int_equal(wanted, NUMBERS);
    client_close(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pieces_arrive_as_they_are_written),
        TEST(what_is_sent_is_in_the_journal),
        TEST(written_and_done_at_once),
        TEST(written_at_once_and_done_later),
        TEST(an_error_after_the_first_piece_is_the_last_line),
        TEST(one_without_chunks_is_served_too),
        TEST(who_hangs_up_cancels),
        TEST(who_only_stops_talking_is_waited_for),
        TEST(a_timeout_cancels),
        TEST(what_is_cancelled_may_still_answer),
        TEST(the_end_of_the_monitor_cancels),
        TEST(without_a_limit_it_goes_on),
        TEST(it_is_let_go_of_when_nobody_is_connected),
        TEST(its_end_comes_while_it_is_being_loaded),
        TEST(connections_given_to_nobody_are_closed),
        TEST(who_does_not_read_is_cut_off),
        TEST(who_does_not_read_for_long_is_cut_off),
        TEST(a_quiet_stream_is_not_cut_off),
        TEST(a_slow_reader_gets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
