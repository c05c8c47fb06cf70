/* HTTP answers, whole and in every two parts and byte by byte: the same comes out. */
#include "answer.h"

#include "buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sample {
    const char *text; /* what comes in */
    const char *body;
    int status, exit_code;
    int error; /* what reading it returns */
    bool cut;  /* it is not the whole answer */
};

static const struct sample samples[] = {
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Exit-Code: 0\r\n\r\nhello", .body = "hello", .status = 200},
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more than that",
     .body = "hello",
     .status = 200,
     .exit_code = -1},
    {.text = "HTTP/1.1 500 No\r\ncontent-length:5 \r\nx-exit-code:3\r\n\r\nhello",
     .body = "hello",
     .status = 500,
     .exit_code = 3},
    {.text = "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", .body = "hi", .status = 200, .exit_code = -1},
    {.text = "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", .body = "", .status = 200, .exit_code = -1},
    {.text = "HTTP/1.1 204 None\r\n\r\n", .body = "", .status = 204, .exit_code = -1},
    {.text = "HTTP/1.0 200 OK\r\n\r\nuntil it\nis closed",
     .body = "until it\nis closed",
     .status = 200,
     .exit_code = -1},
    {.text = "HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx",
     .body = "x",
     .status = 404,
     .exit_code = -1},
    {.text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00c; name=x\r\n, to you\r\n!!\r\n"
             "0\r\nX-Exit-Code: 1\r\nOther: 2\r\n\r\n",
     .body = "hello, to you\r\n!!",
     .status = 200,
     .exit_code = 1},
    /* The length, where there is one as well, does not count. */
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
     .body = "0123456789",
     .status = 200,
     .exit_code = -1},
    {.text = "", .body = "", .exit_code = -1, .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", .body = "", .status = 200, .exit_code = -1, .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
     .body = "hell",
     .status = 200,
     .exit_code = -1,
     .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
     .body = "hello",
     .status = 200,
     .exit_code = -1,
     .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Exit-Code: 1\r\n",
     .body = "hello",
     .status = 200,
     .exit_code = 1,
     .cut = true},
    {.text = "SSH-2.0-OpenSSH_9.2\r\n", .body = "", .exit_code = -1, .error = -EPROTO, .cut = true},
    {.text = "\r\n", .body = "", .exit_code = -1, .error = -EPROTO, .cut = true},
    {.text = "HTTP/1.1 nonsense\r\n\r\n", .body = "", .exit_code = -1, .error = -EPROTO, .cut = true},
    {.text = "HTTP/1.1 2000 OK\r\n\r\n", .body = "", .status = 200, .exit_code = -1, .error = -EPROTO, .cut = true},
    {.text = "HTTP/1.1 20\r\n\r\n", .body = "", .status = 20, .exit_code = -1, .error = -EPROTO, .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n",
     .body = "",
     .status = 200,
     .exit_code = -1,
     .error = -EPROTO,
     .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n",
     .body = "",
     .status = 200,
     .exit_code = -1,
     .error = -EPROTO,
     .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
     .body = "",
     .status = 200,
     .exit_code = -1,
     .error = -EPROTO,
     .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
     .body = "",
     .status = 200,
     .exit_code = -1,
     .error = -EPROTO,
     .cut = true},
    {.text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
     .body = "ab",
     .status = 200,
     .exit_code = -1,
     .error = -EPROTO,
     .cut = true},
};

static int keep(void *arg, const char *data, size_t len)
{
    assert_true(len > 0);
    buf_add(arg, data, len);
    return 0;
}

/* Feeds text in steps, the first `first` bytes long. */
static void check(const struct sample *s, size_t first, size_t step)
{
    struct buf body = {0};
    struct answer a;
    answer_init(&a, keep, &body);
    size_t len = strlen(s->text);
    int error = 0;
    for (size_t at = 0, n = first; at < len && !error; at += n, n = step) {
        n = MIN(n, len - at);
        char *piece = malloc(n + 1); /* of exactly that size: a sanitizer sees what reads beyond it */
        memcpy(piece, s->text + at, n);
        error = answer_feed(&a, piece, n);
        free(piece);
    }
    assert_int_equal(error, s->error);
    assert_string_equal(buf_str(&body), s->body);
    assert_int_equal(a.status, s->status);
    assert_int_equal(a.exit_code, s->exit_code);
    assert_int_equal(answer_is_whole(&a), !s->cut);
    buf_fini(&body);
}

static void test_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        size_t len = strlen(samples[i].text);
        for (size_t first = 1; first < MAX(len, 2); first++)
            check(&samples[i], first, len);
        check(&samples[i], len, len);
        check(&samples[i], 1, 1);
    }
}

/* Lines longer than there is room for are of no interest, and do no harm. */
static void test_long_lines(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_adds(&text, "HTTP/1.1 200 ");
    for (int i = 0; i < 1000; i++)
        buf_adds(&text, "OK");
    for (int n = 240; n < 270; n++) {
        buf_addf(&text, "\r\nX-%d: ", n);
        for (int i = 0; i < n; i++)
            buf_addc(&text, 'x');
    }
    buf_adds(&text, "\r\nX-Exit-Code: 3\r\nContent-Length: 2\r\n\r\nhi");
    struct sample s = {.text = buf_str(&text), .body = "hi", .status = 200, .exit_code = 3};
    check(&s, 1, 1);
    check(&s, text.len, 1);
    check(&s, 100, 100);
    buf_fini(&text);
}

static int refuse(void *arg, const char *data, size_t len)
{
    (void)data;
    (void)len;
    ++*(int *)arg;
    return -ENOSPC;
}

static void test_a_body_nobody_takes_ends_the_reading(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1\r\ny\r\n0\r\n\r\n";
    struct answer a;
    int asked = 0;
    answer_init(&a, refuse, &asked);
    assert_int_equal(answer_feed(&a, text, sizeof text - 1), -ENOSPC);
    assert_int_equal(asked, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_a_body_nobody_takes_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
