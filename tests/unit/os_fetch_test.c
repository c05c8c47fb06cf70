/* HTTP requests on the loop: what goes out, what comes back, what is refused, and that nothing waits for them. */
#include "fetch.h"

#include "clock.h"
#include "os_fetch_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <uv.h>

#define LIMIT_MS 20000
#define PLENTY (1 << 20)

extern char **environ;

static uv_loop_t loop;
static struct fetcher *fetcher;
static char url[2048];

/* What `done` was told. */
static struct answer {
    int times, status;
    char *error, *body, *headers;
    size_t body_len;
} got;

static int group_setup(void **state)
{
    (void)state;
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
        unsetenv(proxies[i]);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    if (uv_loop_init(&loop) || !(fetcher = fetcher_new(&loop)))
        return -1;
    return server_start();
}

static void forget(void)
{
    free(got.error);
    free(got.body);
    free(got.headers);
    got = (struct answer){0};
}

static int teardown(void **state)
{
    (void)state;
    forget();
    fetcher_free(fetcher);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) || server_stop();
}

static void on_done(void *arg, const struct fetch_result *r)
{
    struct answer *a = arg;
    char headers[8192] = "";
    size_t len = 0;
    for (size_t i = 0; r->headers && r->headers[i]; i++)
        len += (size_t)snprintf(headers + len, sizeof headers - len, "%s\n", r->headers[i]);
    a->times++;
    a->error = r->error ? strdup(r->error) : NULL;
    a->status = r->status;
    a->body_len = r->body_len;
    a->body = malloc(r->body_len + 1);
    assert_non_null(a->body);
    memcpy(a->body, r->body ? r->body : "", r->body_len + 1);
    a->headers = strdup(headers);
}

static void beat(uv_timer_t *timer)
{
    (void)timer;
}

/* Turns the loop until *times is `wanted`; returns how long the longest turn took beyond the heart's beat. */
static int64_t turn_until(const int *times, int wanted)
{
    int64_t now = clock_mono_ms(), end = now + LIMIT_MS, longest = 0;
    uv_timer_t heart;
    uv_timer_init(&loop, &heart);
    uv_timer_start(&heart, beat, 0, 10);
    while (*times < wanted && now < end) {
        uv_run(&loop, UV_RUN_ONCE);
        longest = MAX(longest, clock_mono_ms() - now);
        now = clock_mono_ms();
    }
    uv_close((uv_handle_t *)&heart, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(*times, wanted);
    return longest;
}

static const char *at(const char *path)
{
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server.port, path);
    return url;
}

static struct fetch *begin(const struct fetch_spec *spec)
{
    struct err err = {0};
    struct fetch *t = fetch_start(fetcher, spec, on_done, &got, &err);
    if (!t)
        fail_msg("%s", err.text);
    assert_int_equal(got.times, 0);
    return t;
}

static int64_t run(const struct fetch_spec *spec)
{
    forget();
    begin(spec);
    return turn_until(&got.times, 1);
}

/* Gets an answer. */
static void ask(const struct fetch_spec *spec)
{
    run(spec);
    if (got.error)
        fail_msg("%s: %s", spec->url, got.error);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* ---- what goes out and comes back ---- */

static void an_answer_is_told_whole(void **state)
{
    (void)state;
    ask(&(struct fetch_spec){.url = at("/hello"), .max_body = PLENTY});
    assert_int_equal(got.status, 200);
    assert_int_equal(got.body_len, 6);
    assert_memory_equal(got.body, "hel\0lo", 7);
    assert_string_equal(got.headers, "Content-Length: 6\nConnection: close\nX-Kind: greeting\nX-Empty:\n");
}

static void a_status_of_failure_is_an_answer(void **state)
{
    (void)state;
    ask(&(struct fetch_spec){.url = at("/status/503"), .max_body = PLENTY});
    assert_int_equal(got.status, 503);
    assert_string_equal(got.body, "so be it");
}

static void methods_and_bodies_go_out(void **state)
{
    (void)state;
    static const struct {
        const char *method, *body, *first, *rest;
    } cases[] = {
        {NULL, NULL, "GET /echo HTTP/1.1\r\n", NULL},  {NULL, "a=b", "POST /echo HTTP/1.1\r\n", "a=b"},
        {"POST", NULL, "POST /echo HTTP/1.1\r\n", ""}, {"POST", "", "POST /echo HTTP/1.1\r\n", ""},
        {"PUT", "{}", "PUT /echo HTTP/1.1\r\n", "{}"}, {"DELETE", NULL, "DELETE /echo HTTP/1.1\r\n", NULL},
        {"GET", "q", "GET /echo HTTP/1.1\r\n", "q"},   {"PROPFIND", NULL, "PROPFIND /echo HTTP/1.1\r\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *body = cases[i].body;
        ask(&(struct fetch_spec){.url = at("/echo"),
                                 .method = cases[i].method,
                                 .body = body,
                                 .body_len = body ? strlen(body) : 0,
                                 .max_body = PLENTY});
        assert_int_equal(got.status, 200);
        assert_true(!strncmp(got.body, cases[i].first, strlen(cases[i].first)));
        assert_true(has(got.body, "\r\nUser-Agent: fota_monitor/" FM_VERSION "\r\n"));
        assert_int_equal(has(got.body, "\r\nContent-Length:"), cases[i].rest != NULL);
        assert_string_equal(strstr(got.body, "\r\n\r\n") + 4, cases[i].rest ? cases[i].rest : "");
    }
    ask(&(struct fetch_spec){.url = at("/echo"), .method = "HEAD", .max_body = 0});
    assert_int_equal(got.body_len, 0);
    assert_true(has(got.headers, "Content-Length: "));
}

static void a_large_body_goes_out_at_once(void **state)
{
    (void)state;
    size_t len = 3 << 20;
    char *body = malloc(len);
    assert_non_null(body);
    memset(body, 'x', len);
    body[5] = 0;
    begin(&(struct fetch_spec){.url = at("/echo"), .body = body, .body_len = len, .max_body = 2 * len});
    memset(body, 'y', len); /* it was the caller's again */
    turn_until(&got.times, 1);
    assert_null(got.error);
    assert_false(has(got.body, "Expect"));
    const char *echo = strstr(got.body, "\r\n\r\n") + 4;
    assert_int_equal(got.body_len - (size_t)(echo - got.body), len);
    assert_memory_equal(echo, "xxxxx\0x", 7);
    assert_int_equal(echo[len - 1], 'x');
    free(body);
}

static void headers_go_out(void **state)
{
    (void)state;
    ask(&(struct fetch_spec){
        .url = at("/echo"),
        .headers = (const char *const[]){"Authorization: Bearer T", "User-Agent: me", "X-Empty:", "X-Blank:  ", NULL},
        .max_body = PLENTY});
    assert_true(has(got.body, "\r\nAuthorization: Bearer T\r\n"));
    assert_true(has(got.body, "\r\nUser-Agent: me\r\n"));
    assert_true(has(got.body, "\r\nX-Empty:\r\n"));
    assert_true(has(got.body, "\r\nX-Blank:\r\n"));
}

static void many_are_under_way_at_once(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct fetch *slow[MANY];
    struct answer silent = {0};
    for (int i = 0; i < MANY; i++)
        slow[i] =
            fetch_start(fetcher, &(struct fetch_spec){.url = at("/slow"), .max_body = PLENTY}, on_done, &silent, NULL);
    ask(&(struct fetch_spec){.url = at("/hello"), .max_body = PLENTY});
    for (int i = 0; i < MANY / 2; i++)
        fetch_cancel(slow[i]);
    ask(&(struct fetch_spec){.url = at("/hello"), .max_body = PLENTY});
    assert_int_equal(silent.times, 0); /* the rest goes with the fetcher */
}

static void again(void *arg, const struct fetch_result *r)
{
    int *left = arg;
    assert_null(r->error);
    if (--*left > 0)
        assert_non_null(
            fetch_start(fetcher, &(struct fetch_spec){.url = at("/hello"), .max_body = PLENTY}, again, left, NULL));
    else
        got.times++;
}

static void the_next_may_be_sent_from_the_answer(void **state)
{
    (void)state;
    int left = 5;
    assert_non_null(
        fetch_start(fetcher, &(struct fetch_spec){.url = at("/hello"), .max_body = PLENTY}, again, &left, NULL));
    turn_until(&got.times, 1);
    assert_int_equal(left, 0);
}

/* ---- where it may go ---- */

static void redirects_are_followed_five_times(void **state)
{
    (void)state;
    ask(&(struct fetch_spec){.url = at("/redirect/5"), .max_body = PLENTY});
    assert_int_equal(got.status, 200);
    assert_int_equal(server.served, 6);
    assert_false(has(got.headers, "X-Step"));
    assert_true(has(got.body, "GET /echo"));
    run(&(struct fetch_spec){.url = at("/redirect/6"), .max_body = PLENTY});
    assert_string_equal(got.error, "Maximum (5) redirects followed");
    /* Only a POST changes on its way. */
    ask(&(struct fetch_spec){.url = at("/redirect/1"), .body = "q", .body_len = 1, .max_body = PLENTY});
    assert_true(has(got.body, "GET /echo"));
    ask(&(struct fetch_spec){
        .url = at("/redirect/1"), .method = "PUT", .body = "q", .body_len = 1, .max_body = PLENTY});
    assert_true(has(got.body, "PUT /echo"));
    assert_string_equal(strstr(got.body, "\r\n\r\n") + 4, "q");
}

static void redirects_lead_nowhere_but_to_http(void **state)
{
    (void)state;
    static const char *const targets[] = {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/",
                                          "dict://x/"};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        char path[64];
        snprintf(path, sizeof path, "/to?%s", targets[i]);
        run(&(struct fetch_spec){.url = at(path), .max_body = PLENTY});
        assert_non_null(got.error);
        assert_true(has(got.error, "not supported or disabled"));
        assert_int_equal(got.body_len, 0);
    }
}

static void the_proxy_of_the_environment_is_asked(void **state)
{
    (void)state;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", server.port);
    setenv("http_proxy", proxy, 1);
    run(&(struct fetch_spec){.url = "http://somewhere.test/x", .max_body = PLENTY});
    setenv("no_proxy", "127.0.0.1", 1);
    assert_null(got.error);
    assert_string_equal(got.body, "http://somewhere.test/x");
    run(&(struct fetch_spec){.url = at("/hello"), .max_body = PLENTY});
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    assert_null(got.error);
    assert_int_equal(got.body_len, 6);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"X", ": x", "X y: z", "A: b\r\nC: d", "\nA: b", "A\t: b"};
    struct err err = {0};
    static const char *const urls[] = {NULL,       "",           "file:///etc/passwd", "127.0.0.1/x",
                                       "ftp://h/", "httpx://h/", " http://h/"};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        assert_null(fetch_start(fetcher, &(struct fetch_spec){.url = urls[i], .max_body = 1}, on_done, &got, &err));
        assert_string_equal(err.text, "the url must begin with http:// or https://");
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *headers[] = {"A: b", bad[i], NULL};
        assert_null(
            fetch_start(fetcher, &(struct fetch_spec){.url = at("/hello"), .headers = headers}, on_done, &got, &err));
        assert_true(has(err.text, "is not of the form \"Name: value\""));
    }
    static const char *const methods[] = {"", "GET /", "A\r\nB: c"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        assert_null(
            fetch_start(fetcher, &(struct fetch_spec){.url = at("/hello"), .method = methods[i]}, on_done, &got, &err));
        assert_string_equal(err.text, "the method is no word");
    }
    assert_int_equal(got.times, 0);
    assert_int_equal(server.served, 0);
}

static void a_broken_url_is_an_error(void **state)
{
    (void)state;
    run(&(struct fetch_spec){.url = "http://127.0.0.1:99999/", .max_body = 1});
    assert_non_null(got.error);
    run(&(struct fetch_spec){.url = "http:///", .max_body = 1});
    assert_non_null(got.error);
    run(&(struct fetch_spec){.url = "http://127.0.0.1/a b\r\nX: y", .max_body = 1});
    assert_non_null(got.error);
}

/* ---- what is bounded ---- */

static void a_large_answer_is_an_error(void **state)
{
    (void)state;
    ask(&(struct fetch_spec){.url = at("/big/100000"), .max_body = 100000});
    assert_int_equal(got.body_len, 100000);
    run(&(struct fetch_spec){.url = at("/big/100001"), .max_body = 100000});
    assert_string_equal(got.error, "the answer is larger than 100000 bytes");
    assert_int_equal(got.body_len, 0);
    run(&(struct fetch_spec){.url = at("/endless"), .max_body = 300000});
    assert_string_equal(got.error, "the answer is larger than 300000 bytes");
    run(&(struct fetch_spec){.url = at("/headers"), .max_body = 1});
    assert_string_equal(got.error, "the headers of the answer are larger than 262144 bytes");
}

static void it_ends_in_time(void **state)
{
    (void)state;
    int64_t start = clock_mono_ms();
    run(&(struct fetch_spec){.url = at("/slow"), .timeout_ms = 200, .max_body = PLENTY});
    assert_in_range(clock_mono_ms() - start, 190, LIMIT_MS / 2);
    assert_true(has(got.error, "timed out"));
    run(&(struct fetch_spec){.url = at("/endless"), .timeout_ms = 200, .max_body = SIZE_MAX / 2});
    assert_true(has(got.error, "timed out"));
}

static void nothing_waits_for_a_name(void **state)
{
    (void)state;
    int64_t start = clock_mono_ms();
    int64_t longest = run(&(struct fetch_spec){.url = "http://name.slow/", .timeout_ms = 200, .max_body = PLENTY});
    assert_true(has(got.error, "timed out"));
    assert_int_equal(lookups, 1); /* it still goes on */
    assert_true(clock_mono_ms() - start < LIMIT_MS / 2);
    assert_true(longest < LIMIT_MS / 2);
    forget();
    struct fetch *t = begin(&(struct fetch_spec){.url = "http://other.slow/", .max_body = PLENTY});
    while (lookups < 2)
        uv_run(&loop, UV_RUN_NOWAIT);
    fetch_cancel(t);
    begin(&(struct fetch_spec){.url = "http://third.slow/", .max_body = PLENTY});
    while (lookups < 3)
        uv_run(&loop, UV_RUN_NOWAIT);
    fetcher_free(fetcher);
    fetcher = NULL;
    assert_int_equal(lookups, 3);
    assert_int_equal(got.times, 0);
    assert_true(clock_mono_ms() - start < LIMIT_MS / 2);
}

static void no_answer_is_an_error(void **state)
{
    (void)state;
    run(&(struct fetch_spec){.url = at("/nothing"), .max_body = PLENTY});
    assert_string_equal(got.error, "Empty reply from server");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0); /* bound, but nobody listens */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    run(&(struct fetch_spec){.url = url, .max_body = PLENTY});
    assert_true(has(got.error, "Failed to connect"));
    close(fd);
}

static void a_fetcher_that_was_never_used_goes(void **state)
{
    (void)state;
    fetcher_free(fetcher_new(&loop));
    fetcher_free(NULL);
}

/* ---- who the server is ---- */

static struct {
    char dir[32], cert[64], key[64];
    pid_t pid;
    int port;
} tls;

static bool start_program(char *const *argv, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int r = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return r == 0;
}

/* A key and a certificate for 127.0.0.1 alone. */
static bool make_certificate(void)
{
    char *const argv[] = {"openssl", "req",   "-x509", "-newkey", "ec",       "-pkeyopt", "ec_paramgen_curve:P-256",
                          "-nodes",  "-days", "2",     "-subj",   "/CN=test", "-addext",  "subjectAltName=IP:127.0.0.1",
                          "-keyout", tls.key, "-out",  tls.cert,  NULL};
    pid_t pid;
    int status;
    return start_program(argv, STDERR_FILENO, &pid) && waitpid(pid, &status, 0) == pid && status == 0;
}

static int tls_setup(void **state)
{
    if (setup(state))
        return -1;
    strcpy(tls.dir, "/tmp/fetch_test.XXXXXX");
    if (!mkdtemp(tls.dir))
        return -1;
    snprintf(tls.cert, sizeof tls.cert, "%s/cert.pem", tls.dir);
    snprintf(tls.key, sizeof tls.key, "%s/key.pem", tls.dir);
    tls.pid = 0;
    int fds[2];
    if (!make_certificate())
        return 0; /* no openssl here */
    char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
                          tls.cert,  "-key",     tls.key,   "-www",        NULL};
    if (pipe2(fds, O_CLOEXEC) || !start_program(argv, fds[1], &tls.pid))
        return -1;
    close(fds[1]);
    FILE *said = fdopen(fds[0], "r");
    char line[256] = "";
    while (said && fgets(line, sizeof line, said) && sscanf(line, "ACCEPT 127.0.0.1:%d", &tls.port) != 1)
        ;
    if (said)
        fclose(said);
    return tls.port ? 0 : -1;
}

static int tls_teardown(void **state)
{
    int r = teardown(state);
    if (tls.pid) {
        kill(tls.pid, SIGKILL);
        waitpid(tls.pid, NULL, 0);
    }
    unlink(tls.cert);
    unlink(tls.key);
    return rmdir(tls.dir) || r;
}

static void the_server_must_be_vouched_for(void **state)
{
    (void)state;
    if (!tls.pid)
        skip();
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", tls.port);
    run(&(struct fetch_spec){.url = url, .max_body = PLENTY});
    assert_non_null(got.error);
    assert_true(has(got.error, "certificate"));
    ask(&(struct fetch_spec){.url = url, .ca_file = tls.cert, .max_body = PLENTY});
    assert_int_equal(got.status, 200);
    ask(&(struct fetch_spec){.url = url, .insecure = true, .max_body = PLENTY});
    assert_int_equal(got.status, 200);
    /* What was let pass for one is not for the next. */
    run(&(struct fetch_spec){.url = url, .max_body = PLENTY});
    assert_non_null(got.error);
    run(&(struct fetch_spec){.url = url, .ca_file = "/no/such/file", .max_body = PLENTY});
    assert_true(has(got.error, "/no/such/file"));
    /* Vouched for, but by another name. */
    snprintf(url, sizeof url, "https://localhost:%d/", tls.port);
    run(&(struct fetch_spec){.url = url, .ca_file = tls.cert, .max_body = PLENTY});
    assert_true(has(got.error, "localhost"));
    ask(&(struct fetch_spec){.url = url, .insecure = true, .max_body = PLENTY});
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_told_whole),
        TEST(a_status_of_failure_is_an_answer),
        TEST(methods_and_bodies_go_out),
        TEST(a_large_body_goes_out_at_once),
        TEST(headers_go_out),
        TEST(many_are_under_way_at_once),
        TEST(the_next_may_be_sent_from_the_answer),
        TEST(redirects_are_followed_five_times),
        TEST(redirects_lead_nowhere_but_to_http),
        TEST(the_proxy_of_the_environment_is_asked),
        TEST(nonsense_is_refused),
        TEST(a_broken_url_is_an_error),
        TEST(a_large_answer_is_an_error),
        TEST(it_ends_in_time),
        TEST(nothing_waits_for_a_name),
        TEST(no_answer_is_an_error),
        TEST(a_fetcher_that_was_never_used_goes),
        cmocka_unit_test_setup_teardown(the_server_must_be_vouched_for, tls_setup, tls_teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
